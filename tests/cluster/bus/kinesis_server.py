"""A server with Kinesis' protocol (moto's) behind a wire that refuses records, breaks and loses answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import boto3
import httpx
import msgspec
import uvicorn
from moto.server import ThreadedMotoServer
from starlette.requests import Request
from starlette.responses import Response

STREAM = "events"
REGION = "eu-central-1"


class KinesisServer:
    """The server, and what tests look at."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = boto3.client(
            "kinesis", region_name=REGION, endpoint_url=url, aws_access_key_id="x", aws_secret_access_key="x"
        )

    def make_stream(self, name: str, shards: int = 2) -> None:
        """Make an empty stream."""
        self._client.create_stream(StreamName=name, ShardCount=shards)

    def records(self, name: str) -> list[dict[str, Any]]:
        """Return all records of a stream: key, shard and message, in the order of each shard."""
        found = []
        for shard in self._client.describe_stream(StreamName=name)["StreamDescription"]["Shards"]:
            place = self._client.get_shard_iterator(
                StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            while True:
                page = self._client.get_records(ShardIterator=place, Limit=1000)
                found += [
                    {
                        "key": record["PartitionKey"],
                        "shard": shard["ShardId"],
                        "message": msgspec.json.decode(record["Data"]),
                    }
                    for record in page["Records"]
                ]
                place = page["NextShardIterator"]
                if not page["Records"]:
                    break
        return found

    def numbers(self, name: str, station_id: str | None = None) -> list[int]:
        """Return which of the tests' events are on a stream, repeats included."""
        records = self.records(name)
        return [r["message"]["data"]["number"] for r in records if station_id in (None, r["message"]["subject"])]


def started() -> tuple[ThreadedMotoServer, KinesisServer]:
    """Start moto on a free port of loopback."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    return server, KinesisServer(f"http://{host}:{port}")


class Wire:
    """A proxy before the server. `refuses` says which records of a request are refused, by station and place in it."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.url = ""
        self.refuses: Callable[[str, int], bool] = lambda station_id, place: False
        self.throttles = 0
        """So many requests are refused as a whole."""
        self.loses_answers = 0
        """So many requests are carried out and never answered."""
        self.requests: list[list[str]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Carry one request (ASGI)."""
        request = Request(scope, receive)
        await (await self._carried(request))(scope, receive, send)

    async def _carried(self, request: Request) -> Response:
        asked = json.loads(await request.body())
        keys = [record["PartitionKey"] for record in asked["Records"]]
        self.requests.append(keys)
        if self.throttles:
            self.throttles -= 1
            error = {"__type": "ProvisionedThroughputExceededException", "message": "slow down"}
            return Response(json.dumps(error), 400, media_type="application/x-amz-json-1.1")
        refused = {place for place, key in enumerate(keys) if self.refuses(key, place)}
        passed = [record for place, record in enumerate(asked["Records"]) if place not in refused]
        results = iter(await self._put(request, {**asked, "Records": passed}) if passed else [])
        if self.loses_answers:
            self.loses_answers -= 1
            return Response(status_code=500)
        refusal = {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down"}
        answer = [refusal if place in refused else next(results) for place in range(len(keys))]
        body = json.dumps({"FailedRecordCount": len(refused), "Records": answer})
        return Response(body, media_type="application/x-amz-json-1.1")

    async def _put(self, request: Request, asked: dict[str, Any]) -> list[dict[str, str]]:
        headers = {name: request.headers[name] for name in ("x-amz-target", "content-type", "authorization")}
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(self._target, content=json.dumps(asked), headers=headers)
        found: list[dict[str, str]] = answer.json()["Records"]
        return found


@asynccontextmanager
async def wired(target: str) -> AsyncIterator[Wire]:
    """Open a wire to a server."""
    wire = Wire(target)
    server = uvicorn.Server(uvicorn.Config(wire, "127.0.0.1", 0, log_level="critical", lifespan="off"))
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.005)
    wire.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield wire
    finally:
        server.should_exit = server.force_exit = True
        await task
