"""Nobody is sent to a model that its provider does not have: it is asked before, and nothing is billed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import Ran, Run
from migrated_database import migrated
from sandbox_server import RunningSandbox, fast_catalogue, running_sandbox

from gateway.clock import SystemClock

OLD = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
THERE = "ft:gpt-4.1-mini-2025-04-14:acme:inv:D4e5F6g7"
NOWHERE = "ft:gpt-4.1-mini-2025-04-14:acme:forum:B2"
WAYS = (("--canary", "5%"), ("--now",), ("--apply",))
Promote = Callable[..., Ran]


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(catalogue=fast_catalogue(SystemClock().now())) as running:
        yield running


@pytest.fixture
def promote(run: Run, sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Promote:
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/gateway.db"
    migrated(url)

    def promote(*arguments: str, primary: str = OLD, base_url: str = sandbox.base_url) -> Ran:
        Path("routes.yaml").write_text(
            f"version: 1\nproviders: {{ sandbox: {{ kind: sandbox, base_url: '{base_url}' }} }}\n"
            "fallbacks: { luna: { provider: sandbox, model: gpt-6-luna } }\n"
            f"defaults: {{ provider: sandbox, fallbacks: [luna] }}\nroutes: {{ forum-reply: '{primary}' }}\n"
        )
        return run("promote", "forum-reply", *arguments, "--database", url)

    return promote


def test_a_model_that_its_provider_lacks_gets_nobody(promote: Promote, sandbox: RunningSandbox) -> None:
    promote("--model", NOWHERE)
    for way in WAYS:
        refused = promote("v2", *way)
        assert refused.code == 1
        assert f"v2 ({NOWHERE}) was not found at sandbox just now" in refused.err
        assert "fallback luna (gpt-6-luna) would answer in its place" in refused.err
    assert promote("v2").code == 0, "a patch sends nobody anywhere"
    for way in WAYS:
        assert promote("v2", *way, "--unseen").code == 0


def test_one_that_is_there_gets_somebody_without_a_warning(promote: Promote) -> None:
    promote("--model", THERE)
    for way in WAYS:
        done = promote("v2", *way)
        assert done.code == 0, done.err
        assert "just now" not in done.err


def test_nobody_is_rolled_back_to_what_is_not_there_any_more(promote: Promote) -> None:
    promote("--model", THERE, primary=NOWHERE)
    assert promote("v2", "--now", primary=NOWHERE).code == 0
    refused = promote("--rollback", primary=NOWHERE)
    assert (refused.code, f"v1 ({NOWHERE}) was not found at sandbox just now" in refused.err) == (1, True)
    assert promote("--rollback", "--unseen", primary=NOWHERE).code == 0
    # In Git it is no other.
    assert promote("v2", "--apply", primary=NOWHERE).code == 0
    refused = promote("v1", "--rollback", "--apply", primary=THERE)
    assert (refused.code, "was not found at sandbox just now" in refused.err) == (1, True)


def test_where_nobody_can_tell_there_is_a_warning(promote: Promote) -> None:
    promote("--model", NOWHERE)
    done = promote("v2", "--now", base_url="http://127.0.0.1:9/v1")
    assert done.code == 0, done.err
    assert f"warning: sandbox could not say whether it has {NOWHERE} just now" in done.err
