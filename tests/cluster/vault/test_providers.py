"""The contract of KeyProvider: the key file, AWS KMS as moto's server speaks it, and the twin of other tests."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from actors.errors import Unavailable
from cluster.vault.aws_kms import AwsKms
from cluster.vault.key_file import KeyFile
from cluster.vault.ports import KeyProvider, Wrapped
from cluster.vault.vault import SealBroken
from tests.twins.vault import MemoryProvider

REGION = "eu-central-1"


class World:
    """A provider; `renew` makes it wrap with another key, and returns the provider as it is configured then."""

    provider: KeyProvider

    def renew(self) -> KeyProvider:
        raise NotImplementedError


class MemoryWorld(World):
    def __init__(self) -> None:
        self.provider = self._memory = MemoryProvider()

    def renew(self) -> KeyProvider:
        self._memory.renew()
        return self._memory


class FileWorld(World):
    def __init__(self, path: Path) -> None:
        self._path = path
        self.provider = KeyFile(path)

    def renew(self) -> KeyProvider:
        KeyFile(self._path).add()
        return KeyFile(self._path)


class KmsWorld(World):
    def __init__(self, endpoint_url: str) -> None:
        self._endpoint_url = endpoint_url
        self._client = boto3.client("kms", region_name=REGION, endpoint_url=endpoint_url)
        self.provider = self._configured()

    def renew(self) -> KeyProvider:
        return self._configured()

    def _configured(self) -> AwsKms:
        key_id = self._client.create_key()["KeyMetadata"]["KeyId"]
        return AwsKms(key_id, REGION, self._endpoint_url)


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """Start moto's server in a thread and return its URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(params=["memory", "file", "aws-kms"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    if request.param == "memory":
        return MemoryWorld()
    if request.param == "file":
        return FileWorld(tmp_path / "secrets" / "wrapping.keys")
    request.getfixturevalue("credentials")
    return KmsWorld(request.getfixturevalue("moto"))


async def test_a_wrapped_key_is_unwrapped_again(world: World) -> None:
    key, wrapped = await world.provider.generate("seal 2")
    assert len(key) == 32
    assert key not in wrapped.data
    assert await world.provider.unwrap(wrapped, "seal 2") == key


async def test_every_data_key_is_another_one(world: World) -> None:
    made = [await world.provider.generate("seal 2") for _ in range(3)]
    assert len({key for key, _ in made}) == 3


async def test_a_wrapped_key_cannot_be_taken_for_another(world: World) -> None:
    """The label is authenticated: AES-GCM's associated data, KMS's encryption context."""
    _, wrapped = await world.provider.generate("seal 2")
    with pytest.raises(SealBroken):
        await world.provider.unwrap(wrapped, "lookup 1")


async def test_a_changed_wrapped_key_is_refused(world: World) -> None:
    _, wrapped = await world.provider.generate("seal 2")
    damaged = Wrapped(wrapped.by, wrapped.data[:-1] + bytes([wrapped.data[-1] ^ 1]))
    with pytest.raises(SealBroken):
        await world.provider.unwrap(damaged, "seal 2")


async def test_a_key_is_wrapped_anew_only_under_another_wrapping_key(world: World) -> None:
    key, wrapped = await world.provider.generate("seal 2")
    assert await world.provider.rewrap(wrapped, "seal 2") == wrapped
    renewed = world.renew()
    anew = await renewed.rewrap(wrapped, "seal 2")
    assert anew.by != wrapped.by
    assert await renewed.unwrap(anew, "seal 2") == key
    assert await renewed.unwrap(wrapped, "seal 2") == key


async def test_the_key_file_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "wrapping.keys"
    await KeyFile(path).generate("seal 2")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    KeyFile(path).add()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["wrapping.keys"]


async def test_processes_that_start_together_make_one_key_file(tmp_path: Path) -> None:
    providers = [KeyFile(tmp_path / "secrets" / "wrapping.keys") for _ in range(8)]
    made = await asyncio.gather(*(provider.generate("seal 2") for provider in providers))
    assert len({wrapped.by for _, wrapped in made}) == 1
    for key, wrapped in made:
        assert await providers[0].unwrap(wrapped, "seal 2") == key


async def test_a_lost_key_file_is_told_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "wrapping.keys"
    _, wrapped = await KeyFile(path).generate("seal 2")
    path.unlink()
    with pytest.raises(Unavailable, match=r"wrapping\.keys cannot be read"):
        await KeyFile(path).unwrap(wrapped, "seal 2")
    assert not path.exists()


@pytest.mark.parametrize("content", ["", "abc", "abc def ghi", "1234 c2hvcnQ=", "1234 %%%"])
async def test_a_damaged_key_file_is_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "wrapping.keys"
    _, wrapped = await KeyFile(path).generate("seal 2")
    path.write_text(content)
    with pytest.raises(Unavailable, match="damaged"):
        await KeyFile(path).unwrap(wrapped, "seal 2")


async def test_keys_of_another_file_are_told_apart(tmp_path: Path) -> None:
    _, wrapped = await KeyFile(tmp_path / "one").generate("seal 2")
    await KeyFile(tmp_path / "other").generate("seal 2")
    with pytest.raises(Unavailable, match=wrapped.by):
        await KeyFile(tmp_path / "other").unwrap(wrapped, "seal 2")


async def test_kms_that_is_away_is_unavailable(credentials: None) -> None:
    nowhere = AwsKms("alias/cloudbay", REGION, "http://127.0.0.1:9")
    with pytest.raises(Unavailable, match="AWS KMS cannot be asked"):
        await nowhere.generate("seal 2")


async def test_a_kms_key_that_is_not_there_is_named_in_words(credentials: None, moto: str) -> None:
    with pytest.raises(Unavailable, match="refuses generate_data_key: NotFoundException"):
        await AwsKms("00000000-0000-0000-0000-000000000000", REGION, moto).generate("seal 2")


async def test_kms_is_not_asked_for_keys_of_a_file(credentials: None, moto: str) -> None:
    with pytest.raises(Unavailable, match="file:1234"):
        await AwsKms("alias/cloudbay", REGION, moto).unwrap(Wrapped("file:1234", b""), "seal 2")
