"""The HTTP client behind the verbs that look at a platform: finds the running one through its data folder."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from actors.errors import CloudBayError, Unavailable
from cluster.bearer import mint
from cluster.keys import load_keys
from configs.settings import Settings

_TOKEN_LIFE_S = 300


class RefusedByApi(CloudBayError):
    """The API has answered with a problem; the text is its own."""


class ApiClient:
    """Calls the API of the platform that runs on a data folder, as an admin."""

    def __init__(self, settings: Settings) -> None:
        token = mint(load_keys(settings.data_dir).token, ["admin"], life_s=_TOKEN_LIFE_S)
        self.address = _address(settings.data_dir) or f"http://{settings.api.host}:{settings.api.port}"
        self._http = httpx.Client(base_url=self.address, headers={"Authorization": f"Bearer {token}"}, timeout=30.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **query: str) -> Any:
        """Return the JSON of a GET. Raises RefusedByApi, Unavailable."""
        return self._call("GET", path, params=query)

    def post(self, path: str, body: dict[str, object]) -> Any:
        """Return the JSON of a POST. Raises RefusedByApi, Unavailable."""
        return self._call("POST", path, json=body)

    def put(self, path: str, body: dict[str, object] | None = None) -> Any:
        """Return the JSON of a PUT. Raises RefusedByApi, Unavailable."""
        return self._call("PUT", path, json=body)

    def delete(self, path: str) -> Any:
        """Return the JSON of a DELETE. Raises RefusedByApi, Unavailable."""
        return self._call("DELETE", path)

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.TransportError:
            raise Unavailable(f"no platform answers at {self.address}; start it with `cloudbay up`") from None
        if response.is_error:
            raise RefusedByApi(_problem(response))
        return response.json() if response.content else {}


def _address(data_dir: Path) -> str | None:
    try:
        return str(json.loads((data_dir / "run.json").read_text())["api"])
    except (OSError, ValueError, KeyError):
        return None


def _problem(response: httpx.Response) -> str:
    try:
        problem = response.json()
        return str(problem.get("detail") or problem.get("title"))
    except ValueError:
        return f"the API answered {response.status_code}"
