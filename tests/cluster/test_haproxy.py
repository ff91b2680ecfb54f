"""What HAProxy is made to listen on."""

from pathlib import Path

from cluster.haproxy import mended

# As Ray Serve 2.60 writes it; tests/ray sees what a real one then listens on.
WRITTEN = """global
    stats socket /run/s mode 666 level admin expose-fd listeners
frontend prometheus
    bind :9101
    mode http
frontend http_frontend
    bind 127.0.0.1:8000
    log global
backend http-api
    server replica 127.0.0.1:30000 check
listen stats
  bind *:8404
  stats enable
"""


def test_only_the_api_has_a_port_and_it_is_where_the_settings_say() -> None:
    configuration = mended(WRITTEN, "0.0.0.0", Path("/run/x"))
    binds = [line.strip() for line in configuration.splitlines() if line.strip().startswith("bind ")]
    assert binds == ["bind unix@/run/x/metrics mode 600", "bind 0.0.0.0:8000", "bind unix@/run/x/stats mode 600"]
    assert "server replica 127.0.0.1:30000" in configuration


def test_the_admin_socket_is_for_its_owner() -> None:
    assert "stats socket /run/s mode 600 level admin" in mended(WRITTEN, "127.0.0.1", Path("/run/x"))


def test_to_mend_twice_changes_nothing() -> None:
    once = mended(WRITTEN, "127.0.0.1", Path("/run/x"))
    assert mended(once, "127.0.0.1", Path("/run/x")) == once


def test_the_api_is_told_who_calls_and_callers_cannot_say_it_themselves() -> None:
    lines = [line.strip() for line in mended(WRITTEN, "127.0.0.1", Path("/run/x")).splitlines()]
    at = lines.index("http-request set-header X-Forwarded-For %[src]")
    assert lines[at - 2 : at] == ["frontend http_frontend", "bind 127.0.0.1:8000"]
    assert lines[at + 1] == "http-request del-header X-Request-ID", "requests are told apart by ids of ours"
