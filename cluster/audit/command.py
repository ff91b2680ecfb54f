"""`cloudbay audit`: verify the chain, export it, print its head. Reads the database itself, so no API need run.

Exit codes: 0 the chain is whole, 1 it is not, 2 nobody knows (the database is away).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from actors.errors import BadRequest, NotFound
from cluster.audit.chain import EMPTY, Head
from cluster.audit.ports import AuditChain
from cluster.audit.walk import MAX_FINDINGS, export, verify
from configs.settings import Settings

_PROGRESS_EVERY_S: Final = 2.0


def add_arguments(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    """Add the actions of the verb."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    checking = actions.add_parser("verify", parents=[common], help="check every entry; exit code 1 when one is wrong")
    checking.add_argument(
        "--anchor",
        action="append",
        default=[],
        metavar="SEQ:HASH",
        help="a head that was printed before and kept elsewhere; may be repeated, @FILE reads one a line",
    )
    exporting = actions.add_parser("export", parents=[common], help="write entries as lines of JSON")
    exporting.add_argument("--from", dest="since", type=_time, metavar="TIME", help="not before, as 2026-05-04T12:00Z")
    exporting.add_argument("--until", type=_time, metavar="TIME", help="before")
    exporting.add_argument("--output", type=Path, metavar="FILE", help="a file instead of standard output")
    actions.add_parser("head", parents=[common], help="print the newest entry's place and hash, to keep elsewhere")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run an action; return the exit code."""
    return asyncio.run(_run(arguments, settings))


async def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    async with _store(settings) as store:
        if arguments.action == "verify":
            return await _verify(store, _anchors(arguments.anchor))
        if arguments.action == "export":
            return await _export(store, arguments)
        head = await store.head()
        if head is None:
            raise NotFound("the head of the audit log is missing: `cloudbay audit verify` says more")
        print(head)
        return 0


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[AuditChain]:
    from cluster.embedded import EmbeddedPostgres
    from cluster.store.audit import PostgresAudit
    from cluster.store.engine import make_engine

    url = settings.database.url or EmbeddedPostgres(settings.data_dir.resolve()).url
    engine = make_engine(url, "cloudbay-audit", pool_size=1)
    try:
        yield PostgresAudit(engine)
    finally:
        await engine.dispose()


async def _verify(store: AuditChain, anchors: list[Head]) -> int:
    progress, found = _Progress(await store.head() or EMPTY), 0
    async for finding in verify(store, anchors, progress):
        found += 1
        print(f"{finding.kind}: {finding.text}", flush=True)
        if found == MAX_FINDINGS:
            print(f"no more than {MAX_FINDINGS} findings are shown")
            break
    if found:
        return 1
    print(f"{progress.last.seq} entries, nothing changed, removed or inserted; head {progress.last}")
    return 0


class _Progress:
    def __init__(self, head: Head) -> None:
        self.last = EMPTY
        self._head = head
        self._told_at = time.monotonic()

    def __call__(self, last: Head) -> None:
        self.last = last
        if time.monotonic() - self._told_at >= _PROGRESS_EVERY_S:
            self._told_at = time.monotonic()
            print(f"{last.seq} of {self._head.seq} entries", file=sys.stderr, flush=True)


async def _export(store: AuditChain, arguments: argparse.Namespace) -> int:
    lines = export(store, arguments.since, arguments.until)
    if arguments.output is None:
        async for line in lines:
            sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
        return 0
    try:
        with arguments.output.open("xb") as file:
            async for line in lines:
                file.write(line)
    except OSError as error:
        raise BadRequest(f"{arguments.output} cannot be written: {error.strerror}") from error
    return 0


def _anchors(given: list[str]) -> list[Head]:
    texts: list[str] = []
    for text in given:
        try:
            texts += Path(text[1:]).read_text().split() if text.startswith("@") else [text]
        except OSError as error:
            raise BadRequest(f"{text[1:]} cannot be read: {error.strerror}") from error
    return [Head.parse(text) for text in texts]


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; one looks like 2026-05-04T12:00Z") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
