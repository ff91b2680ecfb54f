"""The OpenAPI descriptions: complete, true, and the files of the repository."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from actors.errors import CloudBayError
from serve import access
from serve.openapi import APPLICATIONS, FOLDER, file_name, main, text

OPERATIONS = ("get", "post", "put", "patch", "delete")


def described(application: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(text(application))
    return made


def operations(description: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in description["paths"].items():
        for method in OPERATIONS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def contents(description: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what bodies and answers consist of."""
    holders = list(description["components"]["responses"].values())
    for _, operation in operations(description):
        holders += [operation.get("requestBody", {}), *operation["responses"].values()]
    for holder in holders:
        yield from holder.get("content", {}).values()


@pytest.mark.parametrize("application", APPLICATIONS)
def test_the_file_of_the_repository_is_what_the_application_serves(application: str) -> None:
    """`python -m serve.openapi` writes it anew."""
    assert (FOLDER / file_name(application)).read_text() == text(application)


def test_the_files_are_written_where_they_are_read(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.openapi.FOLDER", tmp_path)
    monkeypatch.setattr("serve.openapi.RELEASED", tmp_path / "released")
    main([])
    assert not (tmp_path / "released").exists()
    main(["--release"])
    for application in APPLICATIONS:
        assert (tmp_path / "released" / file_name(application)).read_text() == text(application)


@pytest.mark.parametrize("application", APPLICATIONS)
def test_it_is_openapi_3_1(application: str) -> None:
    description = described(application)
    assert description["openapi"] == "3.1.0"
    schemas = description["components"]["schemas"]
    jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": schemas})
    assert not {"HTTPValidationError", "ValidationError"} & set(schemas)
    ids = [operation["operationId"] for _, operation in operations(description)]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("application", APPLICATIONS)
def test_every_body_and_every_answer_has_an_example_that_fits(application: str) -> None:
    description = described(application)
    for content in contents(description):
        schema = {**content["schema"], "components": description["components"]}
        jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(content["example"])


@pytest.mark.parametrize("application", APPLICATIONS)
def test_every_operation_says_who_may_do_it_and_how_it_fails(application: str) -> None:
    table = APPLICATIONS[application].table
    for name, operation in operations(described(application)):
        assert operation["security"] == [{"HTTPBearer": []}]
        assert operation.get("x-scope", "") == table[name].scope
        assert operation.get("x-roles", []) == sorted(table[name].roles)
        assert {"401", "403", "422", "431", "500", "503"} <= set(operation["responses"])
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert answer["$ref"].startswith("#/components/responses/")
        if "requestBody" in operation:
            assert {"413", "415"} <= set(operation["responses"])
            assert list(operation["requestBody"]["content"]) == ["application/json"]


def test_the_admin_application_is_described_whole() -> None:
    assert {name for name, _ in operations(described("admin"))} == set(access.ADMIN)


@pytest.mark.parametrize("application", APPLICATIONS)
def test_every_post_may_be_repeated_under_a_key(application: str) -> None:
    for name, operation in operations(described(application)):
        named = {parameter["name"] for parameter in operation.get("parameters", [])}
        assert ("Idempotency-Key" in named) == name.startswith("POST ")


_OF_THE_LOGIN = {"cluster.identity.oauth", "cluster.identity.tickets"}  # they leave by its pages alone


def test_every_error_of_ours_has_a_status_that_is_described() -> None:
    def below(kind: type[CloudBayError]) -> Iterator[type[CloudBayError]]:
        for child in kind.__subclasses__():
            yield child
            yield from below(child)

    ours = {kind for kind in below(CloudBayError) if kind.__module__.startswith(("actors", "cluster", "serve"))}
    ours -= {kind for kind in ours if kind.__module__ in _OF_THE_LOGIN}
    told = described("admin")["components"]["responses"].values()
    known = {answer["content"]["application/problem+json"]["example"]["status"] for answer in told}
    assert {kind.http_status for kind in ours} <= known
