"""What docs/keys.md shows is run, over the command line and over HTTP, and its figures are those of the code."""

import asyncio
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import Run, run
from migrated_database import migrated

from gateway import errors
from gateway.api.admin import LONGEST_GRACE_S, MOST_KEYS
from gateway.api.admin_models import KeyView
from gateway.api.guard import WRONG_KEYS_A_MINUTE
from gateway.config.key_fields import MOST_ROUTES, MOST_TAGS, MOST_USD, BudgetFields, KeyFields, NewKey
from gateway.config.loader import load
from gateway.config.schema_keys import KeyEntry
from gateway.config.settings import LEAST_PEPPER, Settings
from gateway.policy.answer_length import DEFAULT_TOKENS
from gateway.policy.limits import REQUESTS_BURST_S, TOKENS_BURST_S
from gateway.store.spend import LOST_AFTER
from tests.api.keyed_gateway import ADMIN_KEY, Keyed, running

TEXT = (Path(__file__).parent.parent / "docs" / "keys.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
PEPPER = "p3pper-" * 6
__all__ = ["run"]


def blocks(language: str) -> list[str]:
    return [block for name, block in BLOCKS if name == language]


def table(first_heading: str) -> list[list[str]]:
    """The rows of the table whose first column is called so."""
    rows = TEXT[TEXT.index(f"| {first_heading} |") :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in rows]


def test_the_commands_it_shows_run_in_their_order(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KEY_PEPPER", PEPPER)
    monkeypatch.setenv("GATEWAY_DATABASE_URL", f"sqlite:///{tmp_path}/state/gateway.db")
    commands = re.findall(r"^\$ gateway (.*)$", "".join(blocks("console")), re.MULTILINE)
    assert len(commands) == 8
    for command in commands:
        done = run(*shlex.split(command))
        assert done.code == 0, (command, done.err)
    assert [row["action"] for row in run("keys", "audit", "--json").json["changes"]] == [
        "key_revoked",
        "key_rotated",
        "key_changed",
        "key_created",
    ]


def test_what_making_a_key_prints_is_what_it_says(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KEY_PEPPER", PEPPER)
    command, *printed = blocks("console")[0].splitlines()
    done = run(*shlex.split(command.removeprefix("$ gateway ")), "--database", f"sqlite:///{tmp_path}/gateway.db")
    said, key, after = (*done.err.splitlines()[:1], done.out.strip(), done.err.splitlines()[1])
    as_shown = [re.sub(r"[a-z0-9]{8}(?=\)|_)", "ID", line) for line in (said, after)]
    assert [re.sub(r"[a-z0-9]{8}(?=\)|_)", "ID", printed[place]) for place in (0, 2)] == as_shown
    form = r"us_[a-z0-9]{8}_[A-Za-z0-9_-]{43}"
    assert re.fullmatch(form, key)
    assert re.fullmatch(form, printed[1])


async def test_the_calls_it_shows_are_answered(tmp_path: Path) -> None:
    ledger = tmp_path / "empty.db"
    await asyncio.to_thread(migrated, f"sqlite:///{ledger}")
    (shown,) = (block for block in blocks("sh") if "/admin/" in block)
    calls = re.sub(r" \\\n +", " ", shown)
    lines = [line for line in calls.splitlines() if line.startswith("curl ")]
    assert len(lines) == 7
    (tmp_path / "gateway").mkdir()
    async with running(tmp_path / "gateway", ledger) as keyed:
        made = ""
        for line in lines:
            answer = await called(keyed, line.replace("key_k3x9m2p7", made or "key_k3x9m2p7"))
            assert answer.status_code in (200, 201), (line, answer.text)
            made = made or answer.json()["id"]
        (row, *_) = (await keyed.admin("GET", "/audit")).json()["data"]
    assert (row["action"], row["subject"]) == ("key_revoked", made)


async def called(keyed: Keyed, line: str) -> Any:
    words = shlex.split(line.replace("$GATEWAY_ADMIN_KEY", ADMIN_KEY))[1:]
    method, url, headers, body = "", "", {}, None
    while words:
        word = words.pop(0)
        if word == "-X":
            method = words.pop(0)
        elif word == "-H":
            name, _, value = words.pop(0).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = words.pop(0)
        else:
            url = word.removeprefix("http://127.0.0.1:8080")
    return await keyed.gateway.client.request(method or ("POST" if body else "GET"), url, headers=headers, content=body)


@pytest.mark.parametrize("snippet", blocks("yaml"), ids=lambda body: body.splitlines()[0])
def test_what_is_shown_of_routes_yaml_loads(tmp_path: Path, snippet: str) -> None:
    routes = {
        "version": 1,
        "providers": {"openai": {"kind": "openai", "api_key_env": "OPENAI_API_KEY"}},
        "defaults": {"provider": "openai"},
        "routes": {"forum-reply": "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"},
    }
    path = tmp_path / "routes.yaml"
    path.write_text(yaml.safe_dump(routes | yaml.safe_load(snippet)))
    load(path, environ={"OPENAI_API_KEY": "secret", "GATEWAY_KEY_PEPPER": PEPPER})


def test_every_field_is_in_its_table() -> None:
    rows = table("Option")
    in_api = {word.partition(".")[0] for row in rows for word in re.findall(r"[a-z_]+", row[1])}
    assert in_api - set(BudgetFields.model_fields) == set(NewKey.model_fields)
    assert set(KeyFields.model_fields) < set(KeyView.model_fields)
    in_yaml = {name for row in rows[1:] for name in re.findall(r"[a-z_]+", row[1 if row[2] == "the same" else 2])}
    assert in_yaml - set(BudgetFields.model_fields) == set(KeyEntry.model_fields) - {"digest"}


def test_every_refusal_in_its_table_is_one() -> None:
    known = {
        (kind.status, kind.code)
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.GatewayError)
    }
    shown = [(int(row[0][:3]), row[0][5:-1]) for row in table("Status, `code`")]
    assert set(shown) <= known
    assert len(shown) == len(set(shown)) == 12
    assert set(re.findall(r"\d{3} `([a-z_]+)`", TEXT)) <= {code for _, code in known}


def test_the_settings_it_names_are_there() -> None:
    named = {name.removeprefix("GATEWAY_").lower() for name in re.findall(r"GATEWAY_[A-Z_]+", TEXT)}
    assert named <= set(Settings.model_fields)


def test_its_figures_are_the_codes() -> None:
    assert (REQUESTS_BURST_S, TOKENS_BURST_S) == (60 / 6, 60 / 2)
    assert (LOST_AFTER.total_seconds(), LONGEST_GRACE_S) == (24 * 3600, 30 * 24 * 3600)
    assert (MOST_KEYS, MOST_TAGS, MOST_ROUTES, MOST_USD, LEAST_PEPPER) == (1000, 8, 100, 10**9, 32)
    assert (DEFAULT_TOKENS, WRONG_KEYS_A_MINUTE) == (4096, 20)
    bounds = {row[1].strip("`"): row[4] for row in table("Option") if len(row) > 4}
    for field in ("requests_per_minute", "tokens_per_minute", "max_output_tokens"):
        schema = KeyFields.model_json_schema()["properties"][field]["anyOf"][0]
        assert bounds[field] == f"{schema['minimum']:,}–{schema['maximum']:,}"
