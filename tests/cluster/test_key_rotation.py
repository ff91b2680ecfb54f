"""`cloudbay keys` on the database of a platform: what is shown, and what is done."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from actors.domain.token import KnownToken
from actors.errors import BadRequest, Unavailable
from cluster.bootstrap.keys import key_provider
from cluster.key_rotation import list_keys, rotate_keys
from cluster.store.data_keys import PostgresDataKeys
from cluster.store.engine import make_engine
from cluster.store.queries import PostgresQueries
from cluster.store.tokens import PostgresTokens
from cluster.vault.keyring import KeyRing
from configs.settings import Settings
from configs.sources import SettingsError


@pytest.fixture
def settings(database: str, tmp_path: Path) -> Settings:
    return Settings.load(overrides={"data_dir": str(tmp_path), "database.url": database, "vault.refresh_s": 0.05})


async def test_keys_are_rotated_and_shown_from_the_command_line(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = make_engine(str(settings.database.url), "cloudbay tests")
    ring = KeyRing(PostgresDataKeys(engine), key_provider(settings), 30.0, lambda: datetime.now(UTC))
    await PostgresTokens(engine, await ring.open()).put(KnownToken("04A2B3C4D5E6"))
    first = key_file_ids(settings)

    await rotate_keys(settings, new_wrapping_key=True)
    shown = capsys.readouterr().out
    assert "rotating to data key 3" in shown
    assert "id_tokens.id_token           1 rows, 1 sealed anew done" in shown
    assert shown.endswith("all is sealed with data key 3; the older keys stay, for backups and the frame log\n")

    await list_keys(settings)
    shown = capsys.readouterr().out
    older, newer = [*first, *(set(key_file_ids(settings)) - set(first))]
    assert f"file:{older}" not in shown, "all data keys are wrapped by the new wrapping key"
    assert shown.count(f"file:{newer}") == 3
    assert "retired" in shown
    tokens = await PostgresQueries(engine, await ring.open()).tokens(show_tokens=True)
    assert [token.id_token for token in tokens.items] == ["04A2B3C4D5E6"]
    await engine.dispose()


def key_file_ids(settings: Settings) -> list[str]:
    lines = (settings.data_dir / "secrets" / "wrapping.keys").read_text().splitlines()
    return [line.split()[0] for line in lines]


async def test_a_wrapping_key_of_aws_is_made_there(settings: Settings) -> None:
    kms = settings.vault.model_copy(update={"provider": "aws-kms", "kms_key_id": "alias/cloudbay"})
    with pytest.raises(BadRequest, match="rotated there"):
        await rotate_keys(settings.model_copy(update={"vault": kms}), new_wrapping_key=True)


async def test_no_wrapping_key_is_made_for_a_database_that_is_away(settings: Settings) -> None:
    away = settings.database.model_copy(update={"url": "postgresql://nobody@/nowhere?host=/nonexistent"})
    with pytest.raises(Unavailable):
        await rotate_keys(settings.model_copy(update={"database": away}), new_wrapping_key=True)
    assert not (settings.data_dir / "secrets").exists()


def test_aws_needs_a_key(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="kms_key_id"):
        Settings.load(overrides={"vault.provider": "aws-kms"})
