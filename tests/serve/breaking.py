"""What of a description breaks clients of an earlier one, as a table of rules.

A client sends what the earlier description allows, and reads what it promises. Whatever may be sent must stay allowed;
whatever is promised must stay true. Additions are no breaks: clients ignore what they do not know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

Json = Mapping[str, Any]
Pair = tuple[Json, Json]

_METHODS: Final = ("get", "post", "put", "patch", "delete")
_UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
_LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems")


def breaks(earlier: Json, later: Json) -> list[str]:
    """Return in words what breaks a client of `earlier`; none if nothing does."""
    return sorted({f"{where}: {what}" for where, what in _breaks(earlier, later)})


def _breaks(earlier: Json, later: Json) -> Iterator[tuple[str, str]]:
    for path, item in earlier["paths"].items():
        for method in _METHODS:
            if method not in item:
                continue
            where, now = f"{method.upper()} {path}", later["paths"].get(path, {}).get(method)
            if now is None:
                yield where, "the operation is gone"
                continue
            for rule in OPERATION_RULES:
                yield from ((where, what) for what in rule(_whole(item[method], earlier), _whole(now, later)))


def _whole(part: Any, description: Json, inside: tuple[str, ...] = ()) -> Any:
    """Put what is referred to in its place; a schema inside itself is left out."""
    if isinstance(part, list):
        return [_whole(one, description, inside) for one in part]
    if not isinstance(part, Mapping):
        return part
    reference = part.get("$ref")
    if reference is None:
        return {name: _whole(one, description, inside) for name, one in part.items()}
    if reference in inside:
        return {}
    found: Any = description
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return _whole(found, description, (*inside, reference))


def _parameters(was: Json, now: Json) -> Iterator[str]:
    before, after = ({(p["in"], p["name"].lower()): p for p in one.get("parameters", [])} for one in (was, now))
    for key, parameter in before.items():
        name = f"{key[0]} parameter {parameter['name']}"
        if key not in after:
            yield f"{name} is gone"
        else:
            yield from (f"{name}{what}" for what in asked(parameter["schema"], after[key]["schema"]))
    for key, parameter in after.items():
        if parameter.get("required") and not before.get(key, {}).get("required"):
            yield f"{key[0]} parameter {parameter['name']} is required now"


def _body(was: Json, now: Json) -> Iterator[str]:
    before, after = was.get("requestBody", {}), now.get("requestBody", {})
    if after.get("required") and not before.get("required"):
        yield "a body is required now"
    for media, content in before.get("content", {}).items():
        if media not in after.get("content", {}):
            yield f"a body of {media} is taken no more"
        else:
            yield from (f"body{what}" for what in asked(content["schema"], after["content"][media]["schema"]))


def _answers(was: Json, now: Json) -> Iterator[str]:
    for status in (status for status in now["responses"] if status < "4" and status not in was["responses"]):
        yield f"answers {status}, which it never did"
    for status, answer in was["responses"].items():
        after = now["responses"].get(status)
        if after is None:
            if status < "4":
                yield f"answers {status} no more"
            continue
        for name in answer.get("headers", {}):
            if name not in after.get("headers", {}):
                yield f"{status} has no header {name} any more"
        for media, content in answer.get("content", {}).items():
            if media not in after.get("content", {}):
                yield f"{status} is no {media} any more"
            elif "schema" in content:
                promised_now = after["content"][media].get("schema", {})
                yield from (f"{status}{what}" for what in promised(content["schema"], promised_now))


def _permissions(was: Json, now: Json) -> Iterator[str]:
    for word in ("x-roles", "x-relations"):
        if lost := set(was.get(word, [])) - set(now.get(word, [])):
            yield f"{', '.join(sorted(lost))} may do it no more"
    if now.get("x-scope") not in (None, was.get("x-scope")):
        yield f"needs scope {now.get('x-scope')} instead of {was.get('x-scope')}"


OPERATION_RULES: Final[tuple[Callable[[Json, Json], Iterator[str]], ...]] = (
    _parameters,
    _body,
    _answers,
    _permissions,
)


def asked(was: Json, now: Json, at: str = "") -> Iterator[str]:
    """Tell what of `was` may be sent no more."""
    if lost := _types(was) - _types(now):
        yield f"{at} may be {', '.join(sorted(lost))} no more"
    if gone := _values(was, now):
        yield f"{at} may be {', '.join(gone)} no more"
    yield from _bounds(was, now, at)
    for name in set(now.get("required", [])) - set(was.get("required", [])):
        yield f"{at}.{name} is required now"
    for name, part in was.get("properties", {}).items():
        if name in now.get("properties", {}):
            yield from asked(part, now["properties"][name], f"{at}.{name}")
        elif now.get("additionalProperties") is False:
            yield f"{at}.{name} is taken no more"
    yield from _inside(was, now, at, asked)


def promised(was: Json, now: Json, at: str = "") -> Iterator[str]:
    """Tell what of `was` is true no more."""
    if new := _types(now) - _types(was):
        yield f"{at} may be {', '.join(sorted(new))}, which it never was"
    if more := _values(now, was):
        yield f"{at} may be {', '.join(more)}, which it never was"
    for name in was.get("required", []):
        if name not in now.get("properties", {}):
            yield f"{at}.{name} is gone"
        elif name not in now.get("required", []):
            yield f"{at}.{name} may be missing now"
    for name, part in was.get("properties", {}).items():
        if name in now.get("properties", {}):
            yield from promised(part, now["properties"][name], f"{at}.{name}")
    yield from _inside(was, now, at, promised)


def _inside(was: Json, now: Json, at: str, compare: Callable[[Json, Json, str], Iterator[str]]) -> Iterator[str]:
    for word, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(was.get(word), Mapping) and isinstance(now.get(word), Mapping):
            yield from compare(was[word], now[word], f"{at}{mark}")
    choices = [[one for one in _choices(schema) if one.get("type") != "null"] for schema in (was, now)]
    for before, after in zip(*choices, strict=False):
        yield from compare(before, after, at)


def _choices(schema: Json) -> list[Json]:
    found: list[Json] = schema.get("anyOf") or schema.get("oneOf") or []
    return found


def _types(schema: Json) -> frozenset[str]:
    if not schema:
        return frozenset({"anything"})
    choices = _choices(schema) or [schema]
    return frozenset(f"{one['type']} {one.get('format', '')}".strip() for one in choices if "type" in one)


def _values(some: Json, others: Json) -> list[str]:
    """Return the values that one schema names and another does not; none if the other takes any."""
    named, known = ([*one.get("enum", []), *([one["const"]] if "const" in one else [])] for one in (some, others))
    if named and not known:
        return []
    if not named and known:
        return ["any other value"]
    return [repr(value) for value in named if value not in known]


def _bounds(was: Json, now: Json, at: str) -> Iterator[str]:
    for word in (*_UPPER, *_LOWER):
        before, after = was.get(word), now.get(word)
        if after is not None and (before is None or (after < before if word in _UPPER else after > before)):
            yield f"{at} has the {word} {after} now"
    if now.get("pattern") not in (None, was.get("pattern")):
        yield f"{at} has another pattern"
