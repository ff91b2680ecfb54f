"""Requests reach the addresses that were checked and no others, and no endpoint can hold up, redirect or flood us."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cluster.webhooks.addresses import AddressRules
from cluster.webhooks.httpx_sender import HttpxSender
from cluster.webhooks.model import Answer
from tests.cluster.webhooks.receiver import Receiver, answers, fails, hangs, running

LOOPBACK = AddressRules(["127.0.0.0/8"])
TLS = ssl.create_default_context()


class Names:
    """A resolver: the answers to one look-up after the other, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with running(Receiver()) as receiver:
        yield receiver


async def post(sender: HttpxSender, url: str, times: int = 1) -> list[Answer]:
    endpoint = sender.endpoint(url)
    try:
        return [await endpoint.post({"webhook-id": "m"}, b'{"data":{"number":1}}') for _ in range(times)]
    finally:
        await endpoint.close()


def sender(
    names: Names | None = None, rules: AddressRules = LOOPBACK, timeout_s: float = 5, tls: ssl.SSLContext = TLS
) -> HttpxSender:
    return HttpxSender(rules, timeout_s, tls) if names is None else HttpxSender(rules, timeout_s, tls, names)


async def test_an_endpoint_gets_the_body_and_the_headers_over_one_connection(receiver: Receiver) -> None:
    assert await post(sender(), receiver.url, 3) == [Answer(204)] * 3
    (first, *_) = receiver.received
    assert first.body == b'{"data":{"number":1}}'
    assert first.headers["content-type"] == "application/json"
    assert first.headers["webhook-id"] == "m"
    assert len(receiver.connections) == 1


async def test_a_loopback_address_is_never_called(receiver: Receiver) -> None:
    refused = Answer(error="the name leads to an address that may not be called")
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0x7f000001"):
        (answer,) = await post(sender(rules=AddressRules()), f"http://{host}:{receiver.port}/")
        assert answer == refused or answer.status is None, host
    assert receiver.received == []


async def test_every_address_of_a_name_must_be_permitted(receiver: Receiver) -> None:
    names = Names(["1.1.1.1", "10.0.0.1"])
    (answer,) = await post(sender(names, AddressRules()), "http://mixed.example/")
    assert answer.error == "the name leads to an address that may not be called"


async def test_a_name_that_resolves_otherwise_a_moment_later_gains_nothing(receiver: Receiver) -> None:
    """DNS rebinding: the connection goes to the address that was looked at, and no second look-up is made."""
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    assert await post(sender(names), f"http://rebound.example:{receiver.port}/", 2) == [Answer(204)] * 2
    assert names.asked == ["rebound.example"]
    assert receiver.received[0].headers["host"] == f"rebound.example:{receiver.port}"

    names = Names(["1.1.1.1", "10.0.0.1"], ["127.0.0.1"])
    (answer,) = await post(sender(names, AddressRules()), f"http://rebound.example:{receiver.port}/")
    assert answer.status is None
    assert len(receiver.received) == 2


async def test_the_next_address_is_tried_when_one_lets_nobody_in(receiver: Receiver) -> None:
    names = Names(["127.0.0.2", "127.0.0.1"])
    assert await post(sender(names), f"http://two.example:{receiver.port}/") == [Answer(204)]


async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    """Standard Webhooks, "Delivery success and failure": 3xx is a failure."""
    receiver.behaves = answers(307, location=f"{receiver.url}/elsewhere")
    assert await post(sender(), receiver.url) == [Answer(307)]
    assert [one.path for one in receiver.received] == ["/hook"]


async def test_an_endpoint_that_hangs_is_not_waited_for(receiver: Receiver) -> None:
    receiver.behaves = hangs
    began = time.monotonic()
    assert await post(sender(timeout_s=0.3), receiver.url) == [Answer(error="no answer within 0.3 s")]
    assert time.monotonic() - began < 3


async def test_an_endpoint_that_dribbles_its_headers_is_not_waited_for() -> None:
    """Each piece comes in time, the whole never: the limit is for the request and not for a read."""

    async def dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        try:
            while True:
                writer.write(b"x: y\r\n")
                await writer.drain()
                await asyncio.sleep(0.05)
        except OSError:
            writer.close()

    server = await asyncio.start_server(dribble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await post(sender(timeout_s=0.5), f"http://127.0.0.1:{port}/") == [Answer(error="no answer within 0.5 s")]
    server.close()


async def test_megabytes_are_not_read() -> None:
    """The connection is dropped: what the endpoint gets rid of before it sees that lies in the sockets' buffers."""
    written = asyncio.get_running_loop().create_future()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        count = 0
        try:
            while count < 1_000_000_000:
                writer.write(b"x" * 65536)
                await writer.drain()
                count += 65536
        except OSError:
            writer.close()
        written.set_result(count)

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    endpoint = sender().endpoint(f"http://127.0.0.1:{port}/")
    assert await endpoint.post({}, b"") == Answer(200)
    assert await asyncio.wait_for(written, 5) < 32 * 1024 * 1024
    await endpoint.close()
    server.close()


async def test_an_answer_that_never_ends_counts_by_its_status(receiver: Receiver) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nx")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(endless, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    began = time.monotonic()
    assert await post(sender(timeout_s=60), f"http://127.0.0.1:{port}/") == [Answer(200)]
    assert time.monotonic() - began < 30
    server.close()


@pytest.mark.parametrize(
    "said", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 two hundred\r\n\r\n", b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000]
)
async def test_what_is_no_answer_is_a_failure(said: bytes) -> None:
    async def says(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(says, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    (answer,) = await post(sender(), f"http://127.0.0.1:{port}/")
    assert answer.status is None
    assert answer.error is not None
    assert answer.error.startswith("no answer")
    server.close()


async def test_an_endpoint_that_is_away_is_a_failure(receiver: Receiver) -> None:
    assert await post(sender(), "http://127.0.0.1:9/") == [Answer(error="no connection")]
    names = Names([])
    assert await post(sender(names), "http://nowhere.example/") == [Answer(error="no connection")]


async def test_a_failure_is_its_status(receiver: Receiver) -> None:
    receiver.behaves = fails
    assert await post(sender(), receiver.url) == [Answer(500)]


async def test_retry_after_is_seconds_or_a_date(receiver: Receiver) -> None:
    """RFC 9110, 10.2.3."""
    receiver.behaves = answers(503, retry_after="120")
    assert await post(sender(), receiver.url) == [Answer(503, retry_after_s=120)]
    receiver.behaves = answers(503, retry_after=format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True))
    (answer,) = await post(sender(), receiver.url)
    assert answer.retry_after_s is not None
    assert 240 < answer.retry_after_s <= 300
    for nonsense in ("soon", "-1", "1e9", "Wed, 99 Foo 2026 00:00:00 GMT"):
        receiver.behaves = answers(503, retry_after=nonsense)
        assert await post(sender(), receiver.url) == [Answer(503)]


async def test_no_proxy_of_the_environment_is_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert await post(sender(), receiver.url) == [Answer(204)]


class Certified:
    """A certificate for hooks.example, signed by itself, in files."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks.example")])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        names = [x509.DNSName("hooks.example"), x509.IPAddress(IPv4Address("127.0.0.3"))]
        certificate = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(
            key, hashes.SHA256()
        )
        self.certificate, self.key = folder / "cert.pem", folder / "key.pem"
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        self.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))


@pytest.fixture
async def secure(tmp_path: Path) -> AsyncIterator[tuple[Receiver, ssl.SSLContext]]:
    """Serve over TLS; return what trusts it too."""
    files = Certified(tmp_path)
    async with running(Receiver(), ssl_certfile=str(files.certificate), ssl_keyfile=str(files.key)) as receiver:
        yield receiver, ssl.create_default_context(cafile=str(files.certificate))


async def test_tls_speaks_of_the_name_and_not_of_the_address(secure: tuple[Receiver, ssl.SSLContext]) -> None:
    receiver, trusting = secure
    names = Names(["127.0.0.1"])
    url = f"https://hooks.example:{receiver.port}/"
    assert await post(sender(names, tls=trusting), url, 2) == [Answer(204)] * 2
    assert len(receiver.connections) == 1


async def test_a_certificate_of_another_name_is_refused(secure: tuple[Receiver, ssl.SSLContext]) -> None:
    receiver, trusting = secure
    (answer,) = await post(sender(Names(["127.0.0.1"]), tls=trusting), f"https://other.example:{receiver.port}/")
    assert answer == Answer(error="no connection")
    (answer,) = await post(sender(Names(["127.0.0.1"])), f"https://hooks.example:{receiver.port}/")
    assert answer == Answer(error="no connection"), "a certificate that nobody trusts"
    assert receiver.received == []
