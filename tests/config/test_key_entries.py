"""Keys of routes.yaml: what they become, and what a person is told of them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.config.callers import Budget, Caller, DeclaredKey, KeyRole
from gateway.config.findings import InvalidRoutes
from gateway.config.key_entries import refuse_without_pepper
from gateway.config.loader import Loaded, load

DIGEST = "ab" * 32
HEAD = """\
version: 1
providers:
  here: {kind: vllm, base_url: "http://h:8000/v1", residency: eu}
fallbacks:
  base: {provider: here, model: m1}
defaults: {provider: here, fallbacks: [base]}
routes: {forum-reply: ft, forum-summary: ft, triage: ft}
keys:
"""
PEPPERED = {"GATEWAY_KEY_PEPPER": "p" * 32}


def loaded_of(path: Path, keys: str, environ: dict[str, str] | None = None) -> Loaded:
    (path / "routes.yaml").write_text(HEAD + keys)
    return load(path / "routes.yaml", environ=PEPPERED if environ is None else environ)


def test_a_key_stands_for_what_is_written(tmp_path: Path) -> None:
    loaded = loaded_of(
        tmp_path,
        f"""\
  forum-app:
    digest: "hmac-sha256:{DIGEST}"
    role: caller
    owner: forum@acme.example
    team: forum
    tags: {{tenant: acme, app: forum}}
    routes: ["forum-*", triage]
    pins: true
    residency: eu
    expires: 2027-06-01
    budget: {{day_usd: 5, month_usd: 100.25, total_usd: 1000}}
    requests_per_minute: 600
    tokens_per_minute: 200000
    max_output_tokens: 4096
    capture: true
""",
    )
    caller = Caller(
        "yaml:forum-app",
        "forum-app",
        KeyRole.CALLER,
        "forum@acme.example",
        "forum",
        {"app": "forum", "tenant": "acme"},
        ("forum-*", "triage"),
        True,
        "eu",
        datetime(2027, 6, 1, tzinfo=UTC),
        Budget(5_000_000_000, 100_250_000_000, 1_000_000_000_000),
        600,
        200_000,
        4096,
        True,
    )
    assert loaded.routes.keys == {"forum-app": DeclaredKey("forum-app", bytes.fromhex(DIGEST), caller)}
    assert loaded.warnings == ()


def test_a_digest_alone_is_a_key_without_limits_that_keeps_nothing(tmp_path: Path) -> None:
    keys = loaded_of(tmp_path, f'  batch: {{digest: "hmac-sha256:{DIGEST}"}}\n').routes.keys
    assert keys["batch"].caller == Caller("yaml:batch", "batch")


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        pytest.param("2027-06-01", datetime(2027, 6, 1, tzinfo=UTC), id="a day"),
        pytest.param('"2027-06-01"', datetime(2027, 6, 1, tzinfo=UTC), id="a day in quotes"),
        pytest.param('"2027-06-01T12:30:00Z"', datetime(2027, 6, 1, 12, 30, tzinfo=UTC), id="an instant"),
        pytest.param('"2027-06-01T12:30:00+02:00"', datetime(2027, 6, 1, 10, 30, tzinfo=UTC), id="of another zone"),
    ],
)
def test_when_a_key_ends(tmp_path: Path, written: str, instant: datetime) -> None:
    keys = loaded_of(tmp_path, f'  a: {{digest: "hmac-sha256:{DIGEST}", expires: {written}}}\n').routes.keys
    assert keys["a"].caller.expires_at == instant


def test_routes_that_nobody_knows_are_warned_of(tmp_path: Path) -> None:
    loaded = loaded_of(tmp_path, f'  a:\n    digest: "hmac-sha256:{DIGEST}"\n    routes: ["forum-*", triagee, "x-*"]\n')
    assert [str(warning) for warning in loaded.warnings] == [
        "routes.yaml:11: keys.a.routes: no route is called 'triagee'; did you mean 'triage'?",
        "routes.yaml:11: keys.a.routes: no route is called 'x-*'",
    ]


def test_without_a_pepper_they_are_warned_of_and_a_gateway_refuses_them(tmp_path: Path) -> None:
    loaded = loaded_of(tmp_path, f'  a: {{digest: "hmac-sha256:{DIGEST}"}}\n', {})
    (warning,) = loaded.warnings
    assert "GATEWAY_KEY_PEPPER" in warning.message
    assert warning.missing_secret
    refuse_without_pepper(loaded, is_keyed=True)
    with pytest.raises(InvalidRoutes, match=r"routes\.yaml:9: keys count only where GATEWAY_KEY_PEPPER"):
        refuse_without_pepper(loaded, is_keyed=False)


def test_a_pepper_in_a_file_is_one(tmp_path: Path) -> None:
    keys = f'  a: {{digest: "hmac-sha256:{DIGEST}"}}\n'
    assert loaded_of(tmp_path, keys, {"GATEWAY_KEY_PEPPER_FILE": "/run/secrets/pepper"}).warnings == ()


def test_without_keys_nobody_asks_for_a_pepper(tmp_path: Path) -> None:
    loaded = loaded_of(tmp_path, "", {})
    assert (loaded.routes.keys, loaded.warnings) == ({}, ())
    refuse_without_pepper(loaded, is_keyed=False)
