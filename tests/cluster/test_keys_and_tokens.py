"""The platform's secrets and the bearer tokens signed with them."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from cluster.bearer import mint, read
from cluster.identity.errors import BadToken
from cluster.keys import derived, load_keys


def test_keys_are_made_once_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    keys = load_keys(tmp_path)
    assert load_keys(tmp_path) == keys
    assert len(keys.token) == len(keys.password) == 32
    assert keys.token != keys.password
    for path in (tmp_path / "secrets").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_keys_are_not_shown(tmp_path: Path) -> None:
    assert repr(load_keys(tmp_path)) == "Keys()"


def test_a_token_speaks_for_its_roles() -> None:
    key = b"k" * 32
    caller = read(mint(key, ["support", "auditor"], 60, subject="ops"), key)
    assert (caller.subject, caller.roles, caller.scopes) == ("ops", frozenset(["support", "auditor"]), None)
    assert caller.logged_in_at is not None


@pytest.mark.parametrize(
    "token",
    [
        "",
        "not.a.token",
        mint(b"x" * 32, ["admin"], 60),
        mint(b"k" * 32, ["admin"], -60),
        mint(b"k" * 32, ["owner"], 60),  # type: ignore[list-item]
    ],
    ids=["empty", "garbage", "signed by another", "expired", "a role that is none"],
)
def test_a_token_that_is_not_good_is_refused(token: str) -> None:
    with pytest.raises(BadToken, match="not valid"):
        read(token, b"k" * 32)


def test_of_processes_that_start_together_the_first_makes_the_signing_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are whole before they have their name, so nobody reads half of them."""
    folder = tmp_path / "secrets"

    def somebody_is_faster() -> str:
        (folder / "issuer.jwks").write_text("theirs")
        return "ours"

    monkeypatch.setattr("cluster.keys.make_signing_keys", somebody_is_faster)
    assert load_keys(tmp_path).issuer == "theirs"
    assert (folder / "issuer.jwks").read_text() == "theirs"
    assert [path.name for path in folder.glob("issuer*")] == ["issuer.jwks"]


def test_a_derived_key_is_one_purpose_s_own() -> None:
    assert derived(b"k" * 32, "forms") != derived(b"k" * 32, "attempts") != b"k" * 32
