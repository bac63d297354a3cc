"""Promoting a version: a patch that Git takes, a share, at once, and back."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from command_line import Ran, Run
from migrated_database import migrated
from programs import required
from sqlalchemy import select, update

from gateway.clock import SystemClock, time_ordered_id
from gateway.policy.promotion import Promotion, Version, VersionStatus
from gateway.reasons import Availability, Reason
from gateway.store.database import Database
from gateway.store.evaluations import Evaluation, EvaluationStore
from gateway.store.promotions import PromotionStore
from gateway.store.rows import Rows
from gateway.store.states import StateStore
from gateway.store.tables import notices as outbox
from gateway.store.tables_training import promotions
from gateway.store.usage import UsageStore
from gateway.store.versions import VersionStore
from tests.store.rows import START, an_entry

OLD = "ft:gpt-4o-mini-2024-07-18:acme:forum:A1"
NEW = "ft:gpt-4.1-mini-2025-04-14:acme:forum:B2"
ROUTES = f"""\
# Who answers what.
version: 1
providers:
  sandbox: {{ kind: sandbox, base_url: "http://127.0.0.1:9/v1" }}
  closed: {{ kind: openai-compatible, base_url: "http://127.0.0.1:9/v1", api_key_env: A_KEY_THAT_NOBODY_HAS }}
fallbacks: {{ luna: {{ provider: sandbox, model: gpt-6-luna }} }}
defaults: {{ provider: sandbox, fallbacks: [luna] }}
routes:
  forum-reply: {OLD}  # of May
  of-acme:
    tenant: acme
    primary: {OLD}
  vectors: {{ primary: text-embedding-3-small, fallbacks: [] }}
  untrained: {{ primary: null }}
"""


@pytest.fixture
def routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "routes.yaml"
    path.write_text(ROUTES)
    monkeypatch.chdir(tmp_path)
    return path


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database to copy: migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("promoted") / "empty.db"
    migrated(f"sqlite:///{path}")
    return path


@pytest.fixture
def database(tmp_path: Path, empty_database: Path) -> str:
    shutil.copy(empty_database, tmp_path / "gateway.db")
    return f"sqlite+aiosqlite:///{tmp_path}/gateway.db"


Promote = Callable[..., Ran]


@pytest.fixture
def promote(run: Run, routes: Path, database: str) -> Promote:
    def promote(*arguments: str, route: str = "forum-reply") -> Ran:
        return run("promote", route, *arguments, "--routes", routes, "--database", database)

    return promote


@pytest.fixture
def second(promote: Promote) -> None:
    """v2 is a version."""
    assert promote("--model", NEW).code == 0


def on(database: str, work: Callable[[Database], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        opened = await Database.open(database)
        try:
            return await work(opened)
        finally:
            await opened.close()

    return asyncio.run(run())


def standings(database: str, route: str = "forum-reply") -> dict[str, str]:
    versions: list[Version] = on(database, lambda opened: VersionStore(opened).of_route(route))
    return {version.name: version.status.value for version in versions}


def current(database: str, route: str = "forum-reply") -> Promotion | None:
    active: dict[str, Promotion] = on(database, lambda opened: PromotionStore(opened).active())
    return active.get(route)


def an_evaluation(verdict: str) -> Evaluation:
    return Evaluation(
        evaluation_id=time_ordered_id(SystemClock().now()),
        route="forum-reply",
        target="v2",
        provider="sandbox",
        model=NEW,
        prompt_version="",
        terms="",
        verdict=verdict,
        looks="many",
        measure="similarity",
        margin=0.05,
        rows=412,
        difference=0.01,
        difference_low=-0.02,
        difference_high=0.04,
        retained=None,
        retained_low=None,
        retained_high=None,
        cost_change=-0.38,
        first_token_change=None,
        report="{}",
        evaluated_at=datetime(2026, 11, 29, tzinfo=UTC),
    )


def evaluate(database: str, verdict: str) -> None:
    async def keep(opened: Database) -> None:
        evaluation = an_evaluation(verdict)
        await EvaluationStore(opened).conclude(evaluation)
        assert await VersionStore(opened).attach("forum-reply", 2, evaluation_id=evaluation.evaluation_id)

    on(database, keep)


def see(database: str, model: str, availability: Availability, version: int = 0) -> None:
    async def keep(opened: Database) -> None:
        moved = await StateStore(opened, "replica").move_target(
            ("sandbox", model), availability, version=version, now=SystemClock().now()
        )
        assert moved

    on(database, keep)


def stops(routes: Path, model: str, day: str) -> None:
    with routes.open("a") as file:
        file.write(f'lifecycle: {{ sandbox: {{ "{model}": {{ shutdown: {day}, source: "a test" }} }} }}\n')


def test_versions_begin_with_what_routes_yaml_names(promote: Promote, database: str) -> None:
    looked = promote()
    assert looked.code == 0, looked.err
    assert f"v1  serving  {OLD} at sandbox  named by routes.yaml" in looked.out
    assert "nothing is in force: v1, which routes.yaml names, answers" in looked.out
    named = promote("--model", NEW, "--by", "kim")
    assert f"v2 ({NEW} at sandbox) is a version of forum-reply; next: gateway evaluate forum-reply --version v2" in (
        named.out
    )
    assert promote("--model", NEW).code == 0
    assert standings(database) == {"v1": "serving", "v2": "candidate"}
    assert "v2  candidate" in promote("--status").out
    assert "no evaluation of v2 is kept: gateway evaluate forum-reply --version v2" in promote("--status").out


def test_the_patch_is_all_that_goes_to_stdout_and_git_takes_it(
    promote: Promote, second: None, routes: Path, tmp_path: Path
) -> None:
    required("git")
    done = promote("v2")
    assert done.code == 0, done.err
    assert routes.read_text() == ROUTES
    assert done.out.startswith("--- a/routes.yaml\n+++ b/routes.yaml\n")
    assert "warning: no evaluation of v2 is kept" in done.err
    assert f"routes.yaml would name v2 ({NEW} at sandbox) in place of v1 ({OLD} at sandbox)" in done.err
    environ = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    subprocess.run(["git", "apply"], input=done.out.encode(), cwd=tmp_path, env=environ, check=True, timeout=20)
    assert routes.read_text() == ROUTES.replace(OLD, NEW, 1)


def test_the_patch_goes_to_a_file_where_one_is_named(promote: Promote, second: None, tmp_path: Path) -> None:
    done = promote("v2", "--out", "change.patch")
    assert "git apply change.patch" in done.out
    assert (tmp_path / "change.patch").read_text().startswith("--- a/routes.yaml\n")


def test_the_patch_says_evidence_dates_and_prices(promote: Promote, second: None, routes: Path, database: str) -> None:
    evaluate(database, "accept")
    day = SystemClock().now().date() + timedelta(days=30)
    stops(routes, NEW, day.isoformat())
    with routes.open("a") as file:
        file.write(
            f'prices: {{ sandbox: {{ "{OLD}": {{ input_usd_per_1m: 0.3, output_usd_per_1m: 1.2, source: s }}, '
            f'"{NEW}": {{ input_usd_per_1m: 0.6, output_usd_per_1m: 1.2, source: s }} }} }}\n'
        )
    said = promote("v2").err
    assert (
        "v2 was accepted on 412 rows (2026-11-29): similarity 0.01 [−0.02, 0.04] against the primary, −38 % cost"
        in (said)
    )
    assert f"v2 stops on {day}, in 30 days (planned, source: a test)" in said
    assert "no date is known on which v1 stops" in said
    assert "input $0.3 → $0.6 (+100 %), output $1.2 per 1M tokens, v2 against v1" in said
    assert "warning" not in said


def test_apply_writes_the_file_and_the_versions_follow(
    promote: Promote, second: None, routes: Path, database: str, run: Run
) -> None:
    done = promote("v2", "--apply", "--by", "kim", "--reason", "it is better")
    assert done.code == 0, done.err
    assert "commit it" in done.err
    assert routes.read_text() == ROUTES.replace(OLD, NEW, 1)
    assert standings(database) == {"v1": "retired", "v2": "serving"}
    kept = run("keys", "audit", "forum-reply", "--database", database).out
    assert f"by kim (cli)  primary: {OLD} → {NEW}; file: routes.yaml; reason: it is better" in kept
    again = promote("v2", "--apply")
    assert "names v2" in again.out and "already" in again.out


def test_a_canary_begins_grows_shrinks_and_takes_over(promote: Promote, second: None, database: str, run: Run) -> None:
    began = promote("v2", "--canary", "5%", "--by", "kim", "--reason", "a trial")
    assert began.code == 0, began.err
    assert "forum-reply: v2 answers 5 % of conversations since " in began.out
    assert standings(database) == {"v1": "serving", "v2": "canary"}
    first = current(database)
    assert first is not None and first.share == 0.05 and first.by == "kim"
    for share, stands in (("20%", 0.2), ("0.1", 0.1)):
        assert promote("v2", "--canary", share).code == 0
        changed = current(database)
        assert changed is not None and (changed.promotion_id, changed.share) == (first.promotion_id, stands)
    anew = promote("v2", "--canary", "10%", "--margin", "0.02")
    assert anew.code == 0
    replaced = current(database)
    assert replaced is not None and replaced.promotion_id != first.promotion_id and replaced.margin == 0.02
    assert promote("v2", "--now").code == 0
    assert standings(database) == {"v1": "retired", "v2": "serving"}
    happened = run("lifecycle", "events", "--database", database).out
    assert "5 % of the conversations" in happened
    assert "a trial" in happened


def test_now_is_an_override_that_expires_and_prints_the_patch_all_the_same(
    promote: Promote, second: None, routes: Path, database: str
) -> None:
    done = promote("v2", "--now", "--for", "3d")
    assert done.code == 0, done.err
    assert done.out.startswith("--- a/routes.yaml\n")
    assert "v2 answers all conversations since " in done.err
    assert routes.read_text() == ROUTES
    promotion = current(database)
    assert promotion is not None
    assert promotion.expires_at - promotion.started_at == timedelta(days=3)
    assert (promotion.incumbent_provider, promotion.incumbent_model) == ("sandbox", OLD)
    assert "v2 answers all conversations" in promote("--status").out


def test_a_rollback_ends_what_is_in_force_and_says_why_in_the_audit(
    promote: Promote, second: None, database: str, run: Run
) -> None:
    promote("v2", "--now")
    done = promote("--rollback", "--by", "lee", "--reason", "it swears")
    assert done.code == 0, done.err
    assert f"forum-reply: v2 answers no more, v1 ({OLD} at sandbox) does" in done.out
    assert current(database) is None
    assert standings(database) == {"v1": "serving", "v2": "retired"}
    kept = run("keys", "audit", "forum-reply", "--database", database).out
    assert "by lee (cli)" in kept and "why: it swears" in kept


def test_where_nothing_is_in_force_a_rollback_is_the_patch_back(
    promote: Promote, second: None, routes: Path, database: str
) -> None:
    assert "served before: name one (v2), as in gateway promote forum-reply v2 --rollback" in promote("--rollback").err
    promote("v2", "--apply")
    looked = promote("--rollback")
    assert f"+  forum-reply: {OLD}" in looked.out
    assert "warning" not in looked.err
    assert routes.read_text() == ROUTES.replace(OLD, NEW, 1)
    done = promote("--rollback", "--apply")
    assert done.code == 0, done.err
    assert routes.read_text() == ROUTES
    assert standings(database) == {"v1": "serving", "v2": "retired"}


def test_a_rollback_knows_the_way_back_before_a_server_has_read_the_file(
    promote: Promote, second: None, routes: Path, database: str
) -> None:
    routes.write_text(ROUTES.replace(OLD, NEW, 1))
    assert standings(database) == {"v1": "serving", "v2": "candidate"}
    assert f"+  forum-reply: {OLD}" in promote("--rollback").out


def test_a_look_from_another_checkout_changes_nothing_and_commands_say_so(
    promote: Promote, second: None, routes: Path, database: str
) -> None:
    now = SystemClock().now()
    on(database, lambda opened: StateStore(opened, "replica").report("0123456789ab", now, now))
    routes.write_text(ROUTES.replace(OLD, NEW, 1))
    for look in ((), ("--status",), ("v1",)):
        assert promote(*look).code == 0
    assert standings(database) == {"v1": "serving", "v2": "candidate"}
    assert "replicas run by another configuration (0123456789ab) than this one" in promote("v1", "--now").err


def test_nobody_rolls_back_to_what_has_stopped(promote: Promote, second: None, routes: Path, database: str) -> None:
    promote("v2", "--now")
    stops(routes, OLD, "2026-01-14")
    refused = promote("--rollback")
    assert refused.code == 1
    assert refused.err.strip() == (
        f"v1 ({OLD}) stopped on 2026-01-14, so there is no way back to it: fallback luna (gpt-6-luna) would answer in "
        "its place, and remains as it is; to go there: gateway cutover forum-reply --to luna --reason …"
    )
    assert current(database) is not None
    # In Git it is no other.
    promote("v2", "--apply")
    on(database, lambda opened: _ended(opened))
    refused = promote("--rollback", "--apply")
    assert (refused.code, "stopped on 2026-01-14" in refused.err) == (1, True)
    assert NEW in routes.read_text()


async def _ended(opened: Database) -> None:
    """End what is in force as a server does that has seen routes.yaml name it."""
    from gateway.policy.promotion import Ending

    store = PromotionStore(opened)
    (promotion,) = (await store.active()).values()
    assert await store.end(promotion, Ending.IN_ROUTES, SystemClock().now())


def test_nobody_rolls_back_to_what_was_seen_gone(promote: Promote, second: None, database: str) -> None:
    promote("v2", "--now")
    see(database, OLD, Availability.GONE)
    refused = promote("--rollback")
    assert (refused.code, "was seen to be gone, so there is no way back" in refused.err) == (1, True)


def test_a_canary_ends_even_where_the_one_before_it_is_gone(promote: Promote, second: None, database: str) -> None:
    promote("v2", "--canary", "5%")
    see(database, OLD, Availability.GONE)
    done = promote("--rollback")
    assert done.code == 0, done.err
    assert "fallback luna (gpt-6-luna) would answer in its place" in done.out
    assert current(database) is None


WAYS = (("--canary", "5%"), ("--now",), ("--apply",))
"""To have requests sent to a version."""


class TestRefusals:
    """What is refused whichever way it is asked for."""

    @staticmethod
    def refused(promote: Promote, says: str, *more: str, version: str = "v2", route: str = "forum-reply") -> None:
        for way in WAYS:
            done = promote(version, *way, *more, route=route)
            assert (done.code, says in done.err) == (1, True), (way, done.err)

    @staticmethod
    def passes_in_spite(promote: Promote) -> None:
        for way in WAYS:
            assert promote("v2", *way, "--in-spite").code == 0

    def test_past_its_date(self, promote: Promote, second: None, routes: Path) -> None:
        stops(routes, NEW, "2026-01-14")
        self.refused(promote, f"v2 ({NEW}) stopped on 2026-01-14", "--in-spite")

    def test_gone_and_closed(self, promote: Promote, second: None, database: str) -> None:
        see(database, NEW, Availability.GONE)
        others = "the route's other versions: gateway promote forum-reply --status"
        self.refused(promote, f"was seen to be gone; {others}", "--in-spite")
        see(database, NEW, Availability.NO_ACCESS, 1)
        self.refused(promote, "is closed to our key", "--in-spite")
        see(database, NEW, Availability.AVAILABLE, 2)
        assert promote("v2", "--now").code == 0

    def test_rejected_but_in_spite(self, promote: Promote, second: None, database: str) -> None:
        evaluate(database, "reject")
        self.refused(promote, "rejected it; --in-spite takes it all the same")
        self.passes_in_spite(promote)

    def test_stopped_as_a_canary(self, promote: Promote, second: None, database: str) -> None:
        rejected, now = VersionStatus.REJECTED, SystemClock().now()
        on(database, lambda opened: VersionStore(opened).set_status("forum-reply", 2, rejected, now))
        self.refused(promote, "a canary of v2")
        self.passes_in_spite(promote)

    def test_without_a_credential(self, promote: Promote) -> None:
        assert promote("--model", NEW, "--on", "closed").code == 0
        self.refused(promote, "is not set: A_KEY_THAT_NOBODY_HAS")
        self.passes_in_spite(promote)

    def test_at_a_provider_that_is_not_here_any_more(self, promote: Promote, routes: Path) -> None:
        assert promote("--model", NEW, "--on", "closed").code == 0
        routes.write_text("".join(line for line in ROUTES.splitlines(keepends=True) if "closed" not in line))
        self.refused(promote, "'closed', which this configuration does not have", "--in-spite")

    def test_of_another_tenant(self, promote: Promote, routes: Path) -> None:
        assert promote("--model", NEW, route="of-acme").code == 0
        routes.write_text(ROUTES.replace("tenant: acme", "tenant: globex"))
        self.refused(promote, "is of tenant 'acme', and the route is of 'globex'", "--in-spite", route="of-acme")

    def test_other_vectors(self, promote: Promote) -> None:
        assert promote("--model", "text-embedding-3-large", route="vectors").code == 0
        self.refused(promote, "do not mix", "--in-spite", route="vectors")

    def test_the_fallback_itself(self, promote: Promote) -> None:
        assert promote("--model", "gpt-6-luna").code == 0
        self.refused(promote, "the route's fallback 'luna'", "--in-spite")

    def test_a_version_that_is_none(self, promote: Promote) -> None:
        for way in WAYS:
            done = promote("v7", *way)
            said = "forum-reply has no version v7; it has v1"
            assert (done.code, said in " ".join(done.err.split())) == (2, True), "as to gateway evaluate"


def test_a_patch_of_what_has_stopped_is_printed_with_a_warning(promote: Promote, second: None, database: str) -> None:
    see(database, NEW, Availability.GONE)
    done = promote("v2")
    assert done.code == 0
    assert f"+  forum-reply: {NEW}" in done.out
    assert f"warning: v2 ({NEW}) was seen to be gone" in done.err


def test_a_route_without_a_primary_begins_by_patch(promote: Promote, routes: Path, database: str) -> None:
    assert "no version yet" in promote(route="untrained").out
    assert "name one with --on" not in promote("--model", NEW, "--on", "sandbox", route="untrained").err
    refused = promote("v1", "--now", route="untrained")
    assert (refused.code, "write it in with --apply" in refused.err) == (1, True)
    done = promote("v1", "--apply", route="untrained")
    assert done.code == 0, done.err
    assert f'untrained: {{ primary: "{NEW}" }}' in routes.read_text()
    assert standings(database, "untrained") == {"v1": "serving"}


def test_what_routes_yaml_names_is_not_promoted(promote: Promote, second: None) -> None:
    refused = promote("v1", "--now")
    assert (refused.code, "names v1 as the primary of forum-reply already" in refused.err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(("v2", "--canary", "5"), "write 5% or 0.05", id="a share without a sign"),
        pytest.param(("v2", "--canary", "100%"), "is no share", id="all as a canary"),
        pytest.param(("v2", "--canary", "0%"), "is ended by --rollback", id="nothing as a canary"),
        pytest.param(("v2", "--canary", "5%", "--now"), "at a time", id="two at once"),
        pytest.param(("--now",), "name a VERSION", id="nobody"),
        pytest.param(("--apply",), "needs a VERSION", id="nothing to write"),
        pytest.param(("two", "--now"), "is no version; write v2", id="a version in words"),
        pytest.param(("v2", "--now", "--for", "91d"), "90d at most", id="an override for ever"),
        pytest.param(("v2", "--now", "--for", "soon"), "is no duration", id="a duration that is none"),
        pytest.param(("v2", "--for", "1d"), "--for is how long", id="a duration of a patch"),
        pytest.param(("v2", "--margin", "0.1"), "--margin is a canary's", id="a margin of a patch"),
        pytest.param(("v2", "--on", "sandbox"), "say more of --model", id="a provider of a version"),
        pytest.param(("v2", "--model", NEW), "not both", id="a version and a model"),
        pytest.param(("v2", "--now", "--apply"), "leave it as it is", id="at once and in the file"),
        pytest.param(("--status", "--rollback"), "does nothing", id="a look that does something"),
        pytest.param(("v2", "--now", "--reason", " "), "in a few words", id="no reason"),
        pytest.param(("--model", NEW, "--on", "azure"), "no provider 'azure'", id="an unknown provider"),
    ],
)
def test_a_command_that_cannot_be_meant_is_refused(arguments: tuple[str, ...], says: str, promote: Promote) -> None:
    done = promote(*arguments)
    assert done.code in (1, 2)
    assert says in " ".join(done.err.split())


def test_a_rollback_without_another_version_says_how_to_make_one(promote: Promote) -> None:
    assert "served before: --model ID makes a version of a model" in promote("--rollback").err
    untrained = promote("--rollback", route="untrained").err
    assert "untrained has had no version yet: there is nothing to roll back; --model ID makes a version" in untrained


def test_an_unknown_route_and_a_database_that_is_none(run: Run, routes: Path, database: str, tmp_path: Path) -> None:
    assert "did you mean 'forum-reply'" in run("promote", "forum-repli", "--routes", routes).err
    done = run("promote", "forum-reply", "--routes", routes, "--database", f"sqlite:///{tmp_path}/nothing.db")
    assert (done.code, "--database" in done.err) == (1, True)
    assert not (tmp_path / "nothing.db").exists()


def test_a_promotion_that_somebody_else_moved_meanwhile_is_left_alone(
    promote: Promote, second: None, database: str
) -> None:
    from gateway.cli.promote_acts import Who, to_promote
    from gateway.cli.promote_desk import Desk
    from gateway.config.loader import load
    from gateway.errors import ConfigError
    from gateway.policy.promotion_rules import Act, Asked

    async def race(opened: Database) -> None:
        now, loaded = SystemClock().now(), load(Path("routes.yaml"), environ={})
        mine, theirs = [await Desk.read(loaded, "forum-reply", opened, by="us", now=now) for _ in range(2)]
        asked, until = Asked(Act.CANARY, 0.05), now + timedelta(days=1)
        await to_promote(theirs, theirs.version(2), asked, until, Who("lee", "first"))
        with pytest.raises(ConfigError, match="meanwhile"):
            await to_promote(mine, mine.version(2), asked, until, Who("kim", "second"))

    on(database, race)
    promotion = current(database)
    assert promotion is not None and promotion.by == "lee"


def test_a_route_that_is_held_by_hand_says_so(
    promote: Promote, second: None, run: Run, routes: Path, database: str
) -> None:
    held = ("cutover", "forum-reply", "--to", "luna", "--reason", "a trial", "--by", "kim")
    assert run(*held, "--routes", routes, "--database", database).code == 0
    assert "forum-reply is held at luna by kim (a trial)" in promote("v2", "--canary", "5%").out


def test_webhooks_are_told_in_the_same_transaction(promote: Promote, second: None, routes: Path, database: str) -> None:
    with routes.open("a") as file:
        file.write('webhooks: { ops: { url: "http://127.0.0.1:9/hook", events: [promotion] } }\n')
    promote("v2", "--canary", "5%", "--reason", "a trial")
    promote("--rollback")
    notices = on(database, lambda opened: Rows(opened).read(select(outbox)))
    assert len(notices) == 2
    assert "a trial" in notices[0]["body"]


def test_a_variant_is_a_route_of_its_own(promote: Promote, routes: Path, database: str) -> None:
    variants = f"  reply:\n    primary: {OLD}\n    variant_by: tenant\n    variants:\n      acme: {OLD} # theirs\n"
    routes.write_text(ROUTES + variants)
    assert promote("--model", NEW, route="reply:acme").code == 0
    done = promote("v2", "--apply", route="reply:acme")
    assert done.code == 0, done.err
    assert routes.read_text() == ROUTES + variants.replace(f"acme: {OLD} #", f"acme: {NEW} #")
    versions = on(database, lambda opened: VersionStore(opened).of_route("reply:acme"))
    assert [(version.tenant, version.status.value) for version in versions] == [
        ("acme", "retired"),
        ("acme", "serving"),
    ]
    assert standings(database, "reply") == {}


def test_what_has_run_out_is_said_and_begins_anew(promote: Promote, second: None, database: str) -> None:
    promote("v2", "--now")
    held = current(database)
    assert held is not None
    past = SystemClock().now() - timedelta(seconds=1)
    statement = update(promotions).values(expires_at=past)
    on(database, lambda opened: Rows(opened).write(statement))
    assert "v2 was promoted, and it has run out" in promote("--status").out
    refused = promote("--rollback")
    said = "has run out: what routes.yaml names answers already; see gateway promote forum-reply --status"
    assert (refused.code, said in refused.err) == (1, True)
    assert promote("v2", "--now").code == 0
    anew = current(database)
    assert anew is not None and anew.promotion_id != held.promotion_id


def test_status_has_the_comparison_on_live_traffic(promote: Promote, second: None) -> None:
    promote("v2", "--canary", "5%")
    assert "nothing to compare yet" in promote("--status").out
    live = promote("--status", "--json").json["live"]
    assert (live["verdict"], live["answers"]["pairs"]) == ("not_enough_evidence", 0)


def test_status_says_how_many_answers_broke_the_contract(
    promote: Promote, routes: Path, second: None, database: str
) -> None:
    routes.with_name("order.json").write_text('{"type": "object"}')
    routes.write_text(ROUTES.replace(f"forum-reply: {OLD}", f"forum-reply: {{primary: {OLD}, contract: order.json}}"))
    promote("v2", "--canary", "5%")
    an_hour_ago = SystemClock().now() - timedelta(hours=1)

    async def lived(opened: Database) -> None:
        """Have the canary run for an hour."""
        async with opened.engine.begin() as connection:
            await connection.execute(update(promotions).values(changed_at=an_hour_ago))
        rows = [
            an_entry(
                an_hour_ago + timedelta(minutes=minute) - START,
                request_id=f"req_{minute}",
                provider="sandbox",
                model_asked=NEW if minute % 2 else OLD,
                reason=Reason.CANARY if minute % 2 else Reason.PRIMARY,
                contract_broken=minute in (1, 3, 4),
            )
            for minute in range(1, 8)
        ]
        await UsageStore(opened).insert_attempts(rows)

    on(database, lived)
    said = promote("--status").out
    assert "v2: 4 attempts, 0 of them failed, 2 broke the contract\n" in said
    assert "the primary: 3 attempts, 0 of them failed, 1 broke the contract\n" in said
    assert "; 2 broke the contract, and 1 of the incumbent's" in said
    live = promote("--status", "--json").json["live"]
    assert [live[side]["broke_contract"] for side in ("canary", "incumbent")] == [2, 1]


def test_as_json(promote: Promote, second: None) -> None:
    done = promote("v2", "--now", "--for", "1d", "--json").json
    assert (done["version"], done["model"], done["written"]) == ("v2", NEW, False)
    assert done["patch"].startswith("--- a/routes.yaml")
    assert done["promotion"]["state"] == "serving"
    status = promote("--status", "--json").json
    assert (status["primary"], status["promotion"]["version"]) == ("v1", "v2")
    assert [(row["version"], row["status"]) for row in status["versions"]] == [("v1", "retired"), ("v2", "serving")]
