"""Settings: sources and their order, and errors that name key, value, source and remedy."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from configs.settings import HERE, Settings
from configs.sources import SettingsError, dotted_keys


def load(**arguments: object) -> Settings:
    return Settings.load(**{"env": {}, **arguments})  # type: ignore[arg-type]


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text("gateway: {port: 9001, count: 3}\nlog: {level: debug}\n")
    return path


def test_the_embedded_profile_is_the_default_and_listens_on_loopback() -> None:
    settings = load()
    assert (settings.gateway.host, settings.gateway.port) == ("127.0.0.1", 9000)
    assert (settings.api.host, settings.api.port) == ("127.0.0.1", 8000)
    assert (settings.stations.unknown, settings.tokens.unknown) == ("accept", "accept")
    assert settings.database.url is None
    assert settings.data_dir == Path(".cloudbay")


def test_the_production_profile_refuses_strangers_and_logs_json() -> None:
    for settings in (load(profile="production"), load(env={"CLOUDBAY_PROFILE": "production"})):
        assert (settings.stations.unknown, settings.tokens.unknown) == ("refuse", "invalid")
        assert settings.log.format == "json"


def test_later_sources_win(user_file: Path) -> None:
    settings = load(
        files=[user_file],
        env={"CLOUDBAY_GATEWAY__COUNT": "4", "CLOUDBAY_LOG__LEVEL": "error"},
        overrides={"log.level": "warning"},
    )
    assert settings.gateway.port == 9001  # file over base
    assert settings.gateway.count == 4  # variable over file
    assert settings.log.level == "warning"  # flag over variable
    assert settings.api.port == 8000  # untouched


def test_cloudbay_config_names_the_user_file(user_file: Path) -> None:
    assert load(env={"CLOUDBAY_CONFIG": str(user_file)}).gateway.port == 9001


def test_variables_take_the_type_of_their_key() -> None:
    settings = load(
        env={
            "CLOUDBAY_API__HAPROXY": "false",
            "CLOUDBAY_OUTBOX__POLL_S": "2",
            "CLOUDBAY_RAY__NAMESPACE": "42",
            "CLOUDBAY_RAY__NUM_CPUS": "",
            "CLOUDBAY_DATA_DIR": "/srv/cloudbay",
            "CLOUDBAY_DATABASE__URL": "postgresql+asyncpg://user:pass@db/cloudbay",
            "PATH": "/bin",
        }
    )
    assert settings.api.haproxy is False
    assert settings.outbox.poll_s == 2
    assert settings.ray.namespace == "42"
    assert settings.ray.num_cpus is None
    assert settings.data_dir == Path("/srv/cloudbay")
    assert settings.database.url == "postgresql+asyncpg://user:pass@db/cloudbay"


def test_a_map_is_one_value_from_every_source(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text('gateway: {node_labels: {edge: "yes", zone: a-1}}\nhosts: {node_labels: {role: host}}\n')
    settings = load(files=[path], env={"CLOUDBAY_HOSTS__NODE_LABELS": "{work: here}"})
    assert load().gateway.node_labels == {}
    assert settings.gateway.node_labels == {"edge": "yes", "zone": "a-1"}
    assert settings.hosts.node_labels == {"work": "here"}  # as a whole: nothing of the file's map is left


@pytest.mark.parametrize("labels", ["{edge: true}", "edge", "{edge: '!no'}", "{edge: 'in(a,b)'}"])
def test_a_label_is_plain_text(labels: str) -> None:
    """Ray would take `!no` and `in(a,b)` for operators."""
    with pytest.raises(SettingsError, match=r"gateway\.node_labels = .* \(from CLOUDBAY_GATEWAY__NODE_LABELS\)"):
        load(env={"CLOUDBAY_GATEWAY__NODE_LABELS": labels})


def issuers(*changes: Mapping[str, object]) -> dict[str, str]:
    """Return a variable with issuers that differ from a good one as given."""
    good = {"name": "id", "issuer": "https://id.example", "audiences": {"app": ["cloudbay-app"]}}
    return {"CLOUDBAY_IDENTITY__ISSUERS": yaml.safe_dump([{**good, **change} for change in changes])}


def test_an_issuer_needs_a_name_its_address_and_audiences() -> None:
    assert load().identity.issuers == []
    (issuer,) = load(env=issuers({})).identity.issuers
    assert (issuer.name, issuer.issuer, issuer.audiences) == ("id", "https://id.example", {"app": ["cloudbay-app"]})
    assert (issuer.token_types, issuer.claims.roles) == (["at+jwt"], None)


@pytest.mark.parametrize("address", ["http://127.0.0.1:8080/realms/x", "http://localhost", "http://[::1]:80/"])
def test_an_issuer_on_this_machine_may_do_without_https(address: str) -> None:
    assert load(env=issuers({"issuer": address})).identity.issuers[0].issuer == address


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"issuer": "http://id.example"}, "issuers.0.issuer"),
        ({"issuer": "http://127.0.0.1@id.example"}, "issuers.0.issuer"),
        ({"issuer": "http://localhost.example"}, "issuers.0.issuer"),
        ({"issuer": "https://me:secret@id.example"}, "issuers.0.issuer"),
        ({"keys_url": "http://id.example/keys"}, "issuers.0.keys_url"),
        ({"algorithms": ["HS256"]}, "issuers.0.algorithms.0"),
        ({"algorithms": ["none"]}, "issuers.0.algorithms.0"),
        ({"audiences": {}}, "issuers.0.audiences"),
        ({"audiences": {"app": []}}, "issuers.0.audiences.app"),
        ({"claims": {"role_names": {"boss": "root"}}}, "issuers.0.claims.role_names.boss"),
        ({"claims": {"group": "x"}}, "issuers.0.claims.group"),
        ({"leeway_s": 3600}, "issuers.0.leeway_s"),
        ({"token_types": ["JWT"]}, "issuers.0"),
        ({"token_types": ["at+jwt", ""]}, "issuers.0"),
    ],
)
def test_a_wrong_issuer_is_refused_and_the_place_is_named(change: dict[str, object], place: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load(env=issuers(change))
    assert f"identity.{place} = " in str(raised.value)
    assert "from CLOUDBAY_IDENTITY__ISSUERS" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_other_token_types_need_a_claim_that_tells_access_tokens() -> None:
    change = {"token_types": ["JWT"], "require": {"token_use": "access"}}
    assert load(env=issuers(change)).identity.issuers[0].require == {"token_use": "access"}


def test_issuers_differ_in_name_and_address() -> None:
    for change in ({"name": "other"}, {"issuer": "https://other.example"}):
        with pytest.raises(SettingsError, match=r"two issuers have the same"):
            load(env=issuers({}, change))


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load().gateway.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("variable", "value", "names"),
    [
        ("CLOUDBAY_GATEWAY__PORT", "70000", ["gateway.port", "70000", "less than or equal to 65535"]),
        ("CLOUDBAY_GATEWAY__PORT", "nine", ["gateway.port", "'nine'", "valid integer"]),
        ("CLOUDBAY_GATEWAY__PORT", "true", ["gateway.port", "True", "valid integer"]),
        ("CLOUDBAY_HOSTS__COUNT", "", ["hosts.count", "None", "valid integer"]),
        ("CLOUDBAY_OCPP__VALIDATION", "lax", ["ocpp.validation", "'lax'", "'tolerant' or 'strict'"]),
        ("CLOUDBAY_GATEWAY__PROT", "1", ["gateway.prot", "did you mean gateway.port?"]),
        ("CLOUDBAY_PORT", "1", ["unknown setting port", "did you mean"]),
        ("CLOUDBAY_GATEWAY", "1", ["gateway", "is a section"]),
    ],
)
def test_a_wrong_variable_is_named_with_its_value_and_remedy(variable: str, value: str, names: list[str]) -> None:
    with pytest.raises(SettingsError) as raised:
        load(env={variable: value})
    for name in [variable, *names]:
        assert name in str(raised.value)


def test_a_wrong_key_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("gatway: {port: 9001}\n")
    with pytest.raises(SettingsError, match=re.escape(f"gatway.port (from {path}); did you mean gateway.port?")):
        load(files=[path])


def test_a_wrong_override_says_command_line() -> None:
    with pytest.raises(SettingsError, match=r"gateway\.count = 0 \(from command line\)"):
        load(overrides={"gateway.count": 0})


def test_every_wrong_value_is_reported_at_once() -> None:
    with pytest.raises(SettingsError) as raised:
        load(overrides={"gateway.count": 0, "hosts.count": 0})
    assert len(str(raised.value).splitlines()) == 2


def test_passwords_in_wrong_urls_are_not_shown() -> None:
    with pytest.raises(SettingsError) as raised:
        load(env={"CLOUDBAY_DATABASE__URL": "oracle://me:secret@db/x"})
    assert "secret" not in str(raised.value)
    assert "database.url = 'oracle://***@db/x'" in str(raised.value)


def test_passwords_are_not_in_the_repr() -> None:
    assert "secret" not in repr(load(overrides={"redis.url": "redis://:secret@db/0"}))


def test_ports_that_clash_are_named() -> None:
    with pytest.raises(SettingsError, match=r"gateway\.port and api\.port must differ, both are 8000"):
        load(overrides={"gateway.port": 8000})
    with pytest.raises(SettingsError, match=r"api\.replica_port_max must not be below"):
        load(overrides={"api.replica_port_max": 20000})
    with pytest.raises(SettingsError, match=r"api\.max_replicas must not be below"):
        load(overrides={"api.replicas": 3, "api.max_replicas": 2})


@pytest.mark.parametrize("content", ["gateway: [", "- a\n- b\n", "\xff"])
def test_a_broken_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(SettingsError, match=re.escape(str(path))):
        load(files=[path])


def test_a_missing_file_and_a_missing_profile_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"gone\.yaml cannot be read: No such file"):
        load(files=[tmp_path / "gone.yaml"])
    with pytest.raises(SettingsError, match="profile 'test' does not exist; allowed: embedded, production"):
        load(profile="test")


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("")
    assert load(files=[path]) == load()


def test_base_yaml_holds_every_setting_and_nothing_else() -> None:
    base = yaml.safe_load((HERE / "base.yaml").read_text())
    written = {f"{name}.{key}" for name, section in base.items() if isinstance(section, dict) for key in section}
    written |= {name for name, value in base.items() if not isinstance(value, dict)}
    assert written == {key for key, _ in dotted_keys(Settings)}


@pytest.mark.parametrize("path", sorted(HERE.glob("*.yaml")), ids=lambda path: path.name)
def test_every_key_has_one_comment(path: Path) -> None:
    keys = re.compile(r"^ *\w+:(?! *$)")
    lines = [line for line in path.read_text().splitlines() if keys.match(line)]
    assert lines
    assert [line for line in lines if not re.search(r" # \S", line)] == []
