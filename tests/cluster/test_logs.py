"""A log line is one fact with its particulars."""

from __future__ import annotations

import logging

import orjson

from cluster.logs import JsonLines, Readable


def record(**particulars: object) -> logging.LogRecord:
    made = logging.LogRecord("cluster.host", logging.WARNING, __file__, 1, "host fenced off", (), None)
    made.__dict__.update(particulars)
    return made


def test_a_json_line_holds_the_event_and_its_particulars() -> None:
    line = orjson.loads(JsonLines().format(record(host_id="host-0", _ray_timestamp_ns=1)))
    assert {key: line[key] for key in ("event", "level", "logger", "host_id")} == {
        "event": "host fenced off",
        "level": "warning",
        "logger": "cluster.host",
        "host_id": "host-0",
    }
    assert "_ray_timestamp_ns" not in line


def test_a_readable_line_is_one_line() -> None:
    line = Readable().format(record(host_id="host-0"))
    assert line.endswith("warning host fenced off host_id=host-0")
    assert "\n" not in line


def test_an_exception_is_written_whole() -> None:
    made = record()
    made.exc_info = (ValueError, ValueError("why"), None)
    assert "ValueError: why" in orjson.loads(JsonLines().format(made))["exception"]
