"""A new platform has one admin, who is told once how to log in."""

from __future__ import annotations

from pathlib import Path

import msgspec

from cluster.first_login import first_login, told
from cluster.identity.services import WEB_CLIENT
from cluster.keys import load_keys
from configs.settings import Settings
from tests.twins.identity import memory_stores

FAST = {"passwords.memory_kib": 64, "passwords.iterations": 1, "passwords.lanes": 1}


async def test_the_first_admin_is_made_once_and_told_with_the_address(tmp_path: Path) -> None:
    settings, stores, keys = Settings.load("embedded", env={}, overrides=FAST), memory_stores(), load_keys(tmp_path)
    made = await first_login(settings, keys, stores)
    assert made is not None
    assert made.user.roles == {"admin"}
    for word in ("http://127.0.0.1:8000", "name admin", made.one_time_password, "once"):
        assert word in told(made, settings)
    assert await first_login(settings, keys, stores) is None
    assert await stores.clients.find(WEB_CLIENT) is None, "there are no web pages to send a browser to yet"


async def test_the_web_pages_client_follows_the_settings(tmp_path: Path) -> None:
    overrides = FAST | {"issuer.web_redirect_uris": ["https://web.example/cb"]}
    settings, stores, keys = (
        Settings.load("embedded", env={}, overrides=overrides),
        memory_stores(),
        load_keys(tmp_path),
    )
    await first_login(settings, keys, stores)
    client = await stores.clients.find(WEB_CLIENT)
    assert client is not None
    assert client.redirect_uris == {"https://web.example/cb"}


async def test_nobody_is_made_where_people_log_in_elsewhere(tmp_path: Path) -> None:
    settings = Settings.load("embedded", env={}, overrides=FAST | {"issuer.enabled": False})
    stores = memory_stores()
    assert await first_login(settings, load_keys(tmp_path), stores) is None
    assert msgspec.json.encode((await stores.users.page()).items) == b"[]"
