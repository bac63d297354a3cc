from pathlib import Path
from typing import Any

import pytest

from gateway.config.settings import read_settings, unknown_variables
from gateway.errors import ConfigError


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in os.environ:
        if name.startswith("GATEWAY_"):
            monkeypatch.delenv(name)


def test_without_any_variable_the_defaults_hold() -> None:
    settings = read_settings()
    assert (settings.host, settings.port, settings.routes_file) == ("127.0.0.1", 8080, Path("routes.yaml"))
    assert settings.database_url == "sqlite+aiosqlite:///state/gateway.db"
    assert (settings.key, settings.admin_key) == (None, None)
    assert (settings.max_body_bytes, settings.log_level, settings.drain_s) == (20 * 1024 * 1024, "info", 25)


def test_variables_are_read_and_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "9000")
    monkeypatch.setenv("GATEWAY_LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("GATEWAY_KEY", "")
    assert (read_settings().port, read_settings().log_level, read_settings().key) == (9000, "debug", None)
    assert read_settings(port=9001, host=None).port == 9001


def test_a_key_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret \n")
    monkeypatch.setenv("GATEWAY_KEY_FILE", str(tmp_path / "key"))
    key = read_settings().key
    assert key is not None
    assert key.get_secret_value() == "s3cret "


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KEY", "s3cret")
    monkeypatch.setenv("GATEWAY_ADMIN_KEY", "s3cret")
    monkeypatch.setenv("GATEWAY_DATABASE_URL", "postgresql+asyncpg://u:s3cret@h/db")
    shown = repr(read_settings()) + str(read_settings())
    assert "s3cret" not in shown
    monkeypatch.setenv("GATEWAY_PORT", "s3cret")
    with pytest.raises(ConfigError) as refused:
        read_settings()
    assert "s3cret" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param(
            {"HOST": "0.0.0.0"},
            "set GATEWAY_KEY or GATEWAY_KEY_PEPPER, and GATEWAY_ADMIN_KEY",
            id="every address without keys",
        ),
        pytest.param({"HOST": "0.0.0.0"}, "GATEWAY_OPEN=true lets anybody in", id="and how to open it outright"),
        pytest.param({"HOST": "::", "KEY_PEPPER": "p" * 32}, "set GATEWAY_ADMIN_KEY ", id="every address, no admin's"),
        pytest.param({"KEY_PEPPER": "p" * 31}, "GATEWAY_KEY_PEPPER is shorter than 32 characters", id="a weak pepper"),
        pytest.param({"KEY_PINS": "true"}, "GATEWAY_KEY_PINS is a property of GATEWAY_KEY", id="pins of no key"),
        pytest.param({"HOST": "::", "KEY": "k"}, "set GATEWAY_ADMIN_KEY ", id="every address with one key"),
        pytest.param({"HOST": "gateway.internal"}, "set GATEWAY_KEY", id="a name that could be any address"),
        pytest.param({"KEY": "k", "KEY_FILE": "f"}, "GATEWAY_KEY and GATEWAY_KEY_FILE are both set", id="a key twice"),
        pytest.param({"KEY_FILE": "/nowhere/k"}, "GATEWAY_KEY_FILE names a file that cannot be read", id="no key file"),
        pytest.param({"ADMIN_KEY_FILE": "/dev/null"}, "GATEWAY_ADMIN_KEY_FILE names an empty file", id="an empty one"),
        pytest.param(
            {"PORT": "tcp://10.0.0.1:80"},
            "GATEWAY_PORT: should be a whole number (Kubernetes sets this variable for a Service named gateway:",
            id="a port that is none",
        ),
        pytest.param(
            {"METRICS_PORT": "70000"}, "GATEWAY_METRICS_PORT: should be less than or equal to 65535.", id="no such port"
        ),
        pytest.param({"UI_ACTIONS": "maybe"}, "GATEWAY_UI_ACTIONS: should be true or false.", id="neither yes nor no"),
        pytest.param({"PORT": "x", "LOG_LEVEL": "x"}, "\nGATEWAY_LOG_LEVEL: ", id="all of what is wrong"),
    ],
)
def test_refused(variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"GATEWAY_{name}", value)
    with pytest.raises(ConfigError) as refused:
        read_settings()
    assert expected in str(refused.value)


def test_new_connections_are_taken_for_a_while_after_a_stop_where_a_load_balancer_may_be() -> None:
    assert read_settings().lingers_s == 0
    assert read_settings(host="0.0.0.0", key="k", admin_key="a").lingers_s == 5
    assert read_settings(linger_s=2).lingers_s == 2


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_a_loopback_address_needs_no_keys(host: str) -> None:
    assert read_settings(host=host).is_loopback


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"key_pepper": "p" * 32, "admin_key": "a"}, id="with keys of the database"),
        pytest.param({"open": True}, id="without any key, where that was said outright"),
        pytest.param({"open": True, "key": "k"}, id="without an admin's key, where that was said outright"),
    ],
)
def test_any_address_may_be_bound(settings: dict[str, Any]) -> None:
    assert not read_settings(host="0.0.0.0", **settings).is_loopback


def test_the_pepper_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pepper").write_text("p" * 40 + "\n")
    monkeypatch.setenv("GATEWAY_KEY_PEPPER_FILE", str(tmp_path / "pepper"))
    pepper = read_settings().key_pepper
    assert pepper is not None
    assert pepper.get_secret_value() == "p" * 40
    assert "pppp" not in repr(read_settings())


def test_with_both_keys_any_address_may_be_bound() -> None:
    assert not read_settings(host="0.0.0.0", key="k", admin_key="a").is_loopback


def test_unknown_variables_are_named_with_the_nearest() -> None:
    environ = {"GATEWAY_PROT": "1", "GATEWAY_PORT": "1", "OTHER": "1", "GATEWAY_ZZZ": "1"}
    assert unknown_variables(environ) == [
        "GATEWAY_PROT is not a setting; did you mean 'GATEWAY_PORT'?",
        "GATEWAY_ZZZ is not a setting",
    ]
