"""Where facts are in an issuer's tokens, and what a claim that is not as it should be amounts to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.identity.caller import ROLES
from cluster.identity.claims import Identity, identity_of, value_at
from cluster.identity.errors import BadToken
from configs.fields import StaffRole
from tests.cluster.identity.conftest import trusting
from tests.cluster.identity.tiny_issuer import NOON

HERE = "https://id.example"
NOW = int(NOON.timestamp())


def read(claims: Mapping[str, Any], **mapping: Any) -> Identity:
    return identity_of({"sub": "alice", **claims}, trusting(HERE, claims=mapping), NOON)


def test_settings_and_code_have_the_same_roles() -> None:
    assert frozenset(get_args(StaffRole)) == ROLES


def test_an_issuer_that_keeps_to_the_standards_needs_no_mapping() -> None:
    claims = {
        "client_id": "web",
        "name": "Alice Ångström",
        "email": "alice@example.com",
        "scope": "openid stations:read",
        "auth_time": NOW - 60,
        "sid": "s-1",
    }
    assert read(claims) == Identity(
        issuer=HERE,
        subject="alice",
        client="web",
        name="Alice Ångström",
        email="alice@example.com",
        scopes=frozenset({"openid", "stations:read"}),
        logged_in_at=NOON - timedelta(seconds=60),
        session_id="s-1",
    )


def test_keycloak_nests_its_roles() -> None:
    claims = {
        "azp": "web",
        "realm_access": {"roles": ["admin", "offline_access"]},
        "resource_access": {"web.app": {"roles": ["ops"]}},
    }
    mapping: dict[str, Any] = {"client": "azp", "role_names": {"admin": "admin", "ops": "operator"}}
    assert read(claims, roles="realm_access.roles", **mapping).roles == {"admin"}
    assert read(claims, roles=["resource_access", "web.app", "roles"], **mapping).roles == {"operator"}
    assert read(claims, **mapping).client == "web"


def test_cognito_has_groups_and_no_name() -> None:
    identity = read(
        {"cognito:groups": ["Staff"], "username": "alice", "client_id": "7f"},
        roles="cognito:groups",
        role_names={"Staff": "support"},
        name="username",
    )
    assert identity.roles == {"support"}
    assert identity.name == "alice"


def test_a_name_with_dots_is_written_as_a_list() -> None:
    claims = {"https://cloudbay.example/roles": ["auditor"]}
    mapping = {"roles": ["https://cloudbay.example/roles"], "role_names": {"auditor": "auditor"}}
    assert read(claims, **mapping).roles == {"auditor"}


@pytest.mark.parametrize("scope", ["a b", ["a", "b"], ["a b"]])
def test_scopes_are_one_text_or_a_list(scope: object) -> None:
    """RFC 9068, section 2.2.3; some issuers send a list."""
    assert read({"scope": scope}).scopes == {"a", "b"}


@pytest.mark.parametrize(
    ("claims", "mapping", "is_machine"),
    [
        ({"client_id": "web"}, {}, False),
        ({"client_id": "alice"}, {}, True),  # RFC 9068, section 2.2: without a person `sub` is the client
        ({"azp": "alice"}, {"client": "azp"}, True),
        ({"gty": "client-credentials"}, {"machine": {"gty": "client-credentials"}}, True),
        ({"gty": "password"}, {"machine": {"gty": "client-credentials"}}, False),
        ({"idtyp": "app"}, {"machine": {"idtyp": "app", "gty": "x"}}, False),
        ({}, {}, False),
    ],
)
def test_machines_are_told_from_people(claims: dict[str, str], mapping: dict[str, Any], is_machine: bool) -> None:
    identity = read({"auth_time": NOW, **claims}, **mapping)
    assert identity.is_machine is is_machine
    assert (identity.logged_in_at is None) is is_machine  # a machine never logs in


def test_an_address_that_nobody_verified_is_not_taken() -> None:
    """OpenID Connect Core, section 5.7: whoever may write their own address could be anybody."""
    assert read({"email": "a@b.example", "email_verified": False}).email is None
    assert read({"email": "a@b.example", "email_verified": True}).email == "a@b.example"


@pytest.mark.parametrize("moment", [NOW + 31, NOW + 10**6, 10**300, -(10**300), "now", True, None, [NOW]])
def test_a_login_that_cannot_be_is_none(moment: object) -> None:
    assert read({"auth_time": moment}).logged_in_at is None


def test_a_login_may_be_ahead_by_the_leeway() -> None:
    assert read({"auth_time": NOW + 30}).logged_in_at == NOON + timedelta(seconds=30)


@pytest.mark.parametrize("odd", [7, True, None, [], {}, ["x"], "", "a\x00b", "line\nbreak", "x" * 400])
def test_a_text_that_cannot_be_shown_is_none(odd: object) -> None:
    identity = read({"name": odd, "email": odd, "sid": odd, "client_id": odd})
    assert (identity.name, identity.email, identity.session_id, identity.client) == (None, None, None, None)
    with pytest.raises(BadToken):
        read({"sub": odd})


names = st.text(min_size=1, max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=10,
)
paths = st.lists(names, min_size=1, max_size=4)
role_maps = st.dictionaries(names, st.sampled_from(sorted(ROLES)), max_size=4)


def nested(path: list[str], value: object) -> dict[str, object]:
    for name in reversed(path):
        value = {name: value}
    assert isinstance(value, dict)
    return value


@given(path=paths, value=values)
def test_what_is_put_at_a_path_is_found_there(path: list[str], value: object) -> None:
    assert value_at(nested(path, value), path) == value
    if not any("." in name for name in path):
        assert value_at(nested(path, value), ".".join(path)) == value


@given(path=paths, leaf=st.none() | st.integers() | st.text(max_size=12) | st.lists(names, max_size=3), further=names)
def test_a_path_that_goes_on_below_a_value_leads_to_nothing(path: list[str], leaf: object, further: str) -> None:
    assert value_at(nested(path, leaf), [*path, further]) is None
    assert value_at(nested(path, leaf), [f"{path[0]}!", *path[1:]]) is None


@given(path=paths, value=values, role_names=role_maps)
def test_nobody_gets_a_role_that_the_map_does_not_name(
    path: list[str], value: object, role_names: dict[str, StaffRole]
) -> None:
    path[0] = f"r{path[0]}"
    roles = read(nested(path, value), roles=path, role_names=role_names).roles
    listed = value if isinstance(value, list) else [value]
    assert roles == {role for name, role in role_names.items() if name in listed}


@given(granted=st.lists(names, max_size=5), role_names=role_maps)
def test_roles_do_not_depend_on_order_or_repeats(granted: list[str], role_names: dict[str, StaffRole]) -> None:
    def roles(value: list[str]) -> frozenset[str]:
        return frozenset(read({"roles": value}, roles="roles", role_names=role_names).roles)

    assert roles(granted) == roles(granted[::-1]) == roles(granted * 2)


@given(seconds=st.integers(min_value=0, max_value=NOW))
def test_a_login_in_the_past_is_that_moment(seconds: int) -> None:
    assert read({"auth_time": seconds}).logged_in_at == datetime.fromtimestamp(seconds, UTC)


@given(claims=st.dictionaries(st.sampled_from(["sub", "name", "email", "scope", "auth_time", "sid", "azp"]), values))
def test_whatever_the_claims_an_identity_is_one_or_a_bad_token(claims: dict[str, Any]) -> None:
    try:
        identity = read(claims)
    except BadToken:
        assert claims["sub"] != "alice"
        return
    for text in (identity.subject, identity.name, identity.email, identity.session_id, identity.client):
        assert text is None or (text.isprintable() and text)
    assert not any(" " in scope for scope in identity.scopes)
