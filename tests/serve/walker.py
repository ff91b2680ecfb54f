"""Clients that know an API's root and the names of its relations and forms, and nothing else: no path, no id.

They follow links (RFC 8288, RFC 6570) and fill in forms (HAL-FORMS), on whatever platform they are let loose.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

import httpx

_VARIABLES = re.compile(r"\{(\??)([^}]*)\}")
_LOOK_EVERY_S = 0.1
_PATIENCE_S = 60.0


class Resource:
    """One answer, or a part of one that has links and forms of its own."""

    def __init__(self, http: httpx.AsyncClient, content: Mapping[str, Any]) -> None:
        self._http = http
        self.content = content

    def __getitem__(self, name: str) -> Any:
        return self.content[name]

    def leads_to(self, relation: str) -> bool:
        """Tell whether there is a link."""
        return relation in self.content["_links"]

    def offers(self, form: str) -> bool:
        """Tell whether there is a form."""
        return form in self.content.get("_templates", {})

    async def follow(self, relation: str, **variables: object) -> Resource:
        """Go where a link leads; what of it is not named is left out."""
        link = self.content["_links"][relation]
        href = _expanded(link["href"], variables) if link.get("templated") else link["href"]
        return await self._send("GET", href)

    async def again(self) -> Resource:
        """Look at it again."""
        return await self.follow("self")

    async def submit(self, form: str, **values: object) -> Resource:
        """Fill in a form: its own values, and those given. Fails for a name it does not ask for."""
        template = self.content["_templates"][form]
        inputs = {one["name"]: one for one in template.get("properties", [])}
        assert set(values) <= set(inputs), f"{form} asks for {sorted(inputs)}"
        filled = {name: one["value"] for name, one in inputs.items() if "value" in one} | values
        assert {name for name, one in inputs.items() if one.get("required")} <= set(filled)
        body = filled if "contentType" in template else None
        return await self._send(template["method"], template["target"], body)

    def items(self, relation: str) -> list[Resource]:
        """Return the parts of a list."""
        return [Resource(self._http, item) for item in self.content["_embedded"][relation]]

    @asynccontextmanager
    async def watch(self, relation: str) -> AsyncIterator[Happening]:
        """Listen to the events that a link leads to."""
        link = self.content["_links"][relation]
        assert not link.get("templated"), link
        headers = {"Accept": "text/event-stream"}
        async with self._http.stream("GET", link["href"], headers=headers) as answer:
            assert answer.is_success, f"GET {link['href']}: {answer.status_code}"
            yield Happening(answer)

    async def until(self, found: Callable[[Self | Resource], bool]) -> Resource:
        """Look again and again until it is so; fails after a minute."""
        resource: Self | Resource = self
        async with asyncio.timeout(_PATIENCE_S):
            while not found(resource):
                await asyncio.sleep(_LOOK_EVERY_S)
                resource = await resource.again()
        return resource

    async def _send(self, method: str, href: str, body: object = None) -> Resource:
        answer = await self._http.request(method, href, json=body)
        assert answer.is_success, f"{method} {href}: {answer.status_code} {answer.text}"
        return Resource(self._http, answer.json())


class Happening:
    """Events as they come (WHATWG HTML, 9.2): only their data is read, which is one line each."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()

    async def until(self, found: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
        """Return the first event that is what was waited for; fails after a minute."""
        async with asyncio.timeout(_PATIENCE_S):
            async for line in self._lines:
                if line.startswith("data: "):
                    event: dict[str, Any] = json.loads(line.removeprefix("data: "))
                    if found(event):
                        return event
        raise AssertionError("the stream has ended")


async def enter(http: httpx.AsyncClient, root: str) -> Resource:
    """Begin at the root of an application."""
    return await Resource(http, {"_links": {"root": {"href": root}}}).follow("root")


async def charge_a_car(root: Resource) -> Resource:
    """Walk through the app: start a charge, watch it, stop it; return the receipt."""
    for item in (await root.follow("cb:stations")).items("cb:station"):
        station = await item.follow("self")
        free = [connector for connector in station.items("cb:connector") if connector.offers("start")]
        if free:
            break
    asked = await free[0].submit("start")
    begun = await asked.until(lambda request: request.leads_to("cb:charge"))
    charge = await begun.follow("cb:charge")
    async with charge.watch("cb:events") as events:
        drawn = await events.until(
            lambda event: event["type"] == "TransactionUpdated" and event["data"]["energyWh"] > 0
        )
        assert drawn["data"]["transaction"] == charge["id"]
        charge = await charge.again()
        assert charge["energyWh"] > 0
        assert not charge.leads_to("cb:receipt")
        assert (await charge.follow("cb:curve"))["curve"]
        assert (await root.follow("cb:charges", open="true")).items("cb:charge")[0]["id"] == charge["id"]
        await charge.submit("stop")
        await events.until(lambda event: event["type"] == "TransactionEnded")
    ended = await charge.until(lambda charge: charge.leads_to("cb:receipt"))
    assert not ended.offers("stop")
    return await ended.follow("cb:receipt")


async def command_a_station(root: Resource, words: str, action: str, payload: Mapping[str, object]) -> Resource:
    """Walk through the admin application: find a station, send it a command; return the command with its result."""
    listed = await root.follow("cb:stations", q=words, limit=1)
    found = await listed.until(lambda page: bool(page.items("cb:station")))
    station = await found.items("cb:station")[0].follow("self")
    command = await station.submit("command", action=action, payload=payload)
    return await command.until(lambda command: command["status"] not in ("queued", "sent"))


def _expanded(href: str, variables: Mapping[str, object]) -> str:
    """Fill in the variables of a URI template: simple ones and queries (RFC 6570 levels 1 and 3)."""

    def fill(match: re.Match[str]) -> str:
        named = (name.removesuffix("*") for name in match[2].split(","))
        names = [name for name in named if name in variables]
        if match[1]:
            query = httpx.QueryParams({name: str(variables[name]) for name in names})
            return f"?{query}" if names else ""
        return "".join(httpx.QueryParams({"": str(variables[name])}).__str__().removeprefix("=") for name in names)

    return _VARIABLES.sub(fill, href)
