"""Keys made, changed, rotated and revoked on the database, by command."""

import asyncio
import hmac
import io
import re
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from command_line import Ran, Run
from postgres_server import RunningPostgres

from gateway.cli.keys import keys_app
from gateway.cli.keys_text import dollars, sum_of
from gateway.clock import SystemClock
from gateway.config.callers import Budget, Caller, KeyRole
from gateway.store.database import Database
from gateway.store.keys import KeyRow, KeyStore
from gateway.store.migrate import migrate

PEPPER = "p3pper-" * 6
TEXT = re.compile(r"us_[a-z0-9]{8}_[A-Za-z0-9_-]{43}\n")


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "empty.db"
    migrate(f"sqlite:///{path}")
    return path


class Keys:
    """The command, on one database."""

    def __init__(self, run: Run, url: str) -> None:
        self._run, self.url = run, url

    def __call__(self, *arguments: str) -> Ran:
        return self._run("keys", *arguments, "--database", self.url)

    def row(self, name: str) -> KeyRow:
        return asyncio.run(_row(self.url, name))


async def _row(url: str, name: str) -> KeyRow:
    database = await Database.open(url)
    try:
        return next(row for row in await KeyStore(database, SystemClock()).all() if row.caller.name == name)
    finally:
        await database.close()


@pytest.fixture(autouse=True)
def pepper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KEY_PEPPER", PEPPER)
    monkeypatch.delenv("GATEWAY_KEY_PEPPER_FILE", raising=False)


@pytest.fixture
def keys(run: Run, tmp_path: Path, migrated: Path) -> Keys:
    shutil.copy(migrated, tmp_path / "gateway.db")
    return Keys(run, f"sqlite:///{tmp_path}/gateway.db")


def digest_of(text: str) -> str:
    return hmac.digest(PEPPER.encode(), text.strip().encode(), "sha256").hex()


def story(keys: Keys) -> None:
    """Make, change, rotate and revoke a key, and look at it in between."""
    made = keys("create", "forum-app", "--route", "forum-*", "--budget-day", "5", "--tag", "tenant=acme", "--by", "kim")
    assert made.code == 0, made.err
    assert TEXT.fullmatch(made.out)
    assert "calls forum-*, $5.00 a day" in made.err
    assert "shown this once" in made.err
    assert made.out.strip() not in made.err
    assert keys.row("forum-app").digest == digest_of(made.out)
    changed = keys("set", "forum-app", "--budget-day", "none", "--budget-total", "1000", "--owner", "support")
    assert changed.code == 0, changed.err
    assert "$1,000.00 in all" in changed.out
    rotated = keys("rotate", "forum-app", "--grace", "24h")
    assert TEXT.fullmatch(rotated.out)
    assert "the one before is taken until" in rotated.err
    row = keys.row("forum-app")
    assert (row.digest, row.old_digest) == (digest_of(rotated.out), digest_of(made.out))
    listed = keys("list").out
    assert re.search(
        r"^forum-app +key_\w{8} +active +support +forum-\* +\$0.00 +\$0.00 +\$0.00 of \$1,000", listed, re.M
    )
    shown = keys("show", row.caller.id).out
    assert "tenant=acme" in shown
    assert "valid until" in shown
    assert "replica refuses it within five seconds" in keys("revoke", "forum-app").out
    assert "was revoked already" in keys("revoke", "forum-app").out
    assert "every key is revoked" in keys("list").err
    assert "revoked" in keys("list", "--all").out
    audit = keys("audit", "forum-app")
    lines = audit.out.splitlines()
    assert [line.split("  ")[1].strip() for line in lines] == [
        "key_created",
        "key_changed",
        "key_rotated",
        "key_revoked",
    ]
    assert "by kim (cli)" in lines[0]
    assert "day_budget: $5.00 → none" in lines[1]
    said = "".join(part for ran in (audit, keys("list", "--all", "--json"), changed) for part in (ran.out, ran.err))
    for secret in (made.out.strip(), rotated.out.strip(), row.digest, digest_of(made.out), PEPPER):
        assert secret not in said
        assert secret not in shown


def test_the_story_of_a_key(keys: Keys) -> None:
    story(keys)


def test_the_story_of_a_key_on_postgresql(run: Run, postgres: RunningPostgres) -> None:
    story(Keys(run, postgres.migrated_database()))


def test_postgresql_that_is_not_migrated_says_so(run: Run, postgres: RunningPostgres) -> None:
    keys = Keys(run, postgres.fresh_database())
    made = keys("create", "forum-app")
    assert (made.code, made.out) == (1, "")
    assert "run 'gateway migrate'" in made.err
    assert keys("list").code == 1


def test_every_option_says_its_field(keys: Keys) -> None:
    made = keys(
        *("create", "forum-app", "--role", "caller", "--route", "a", "--route", "b-*", "--owner", "support"),
        *("--team", "forum", "--tag", "tenant=acme", "--tag", "feature=reply", "--budget-day", "0.5"),
        *("--budget-month", "$2.25", "--budget-total", "1000", "--rpm", "600", "--tpm", "200_000"),
        *("--max-output-tokens", "4,096", "--pins", "--residency", "eu", "--expires", "2099-06-01", "--capture"),
    )
    assert made.code == 0, made.err
    caller = keys.row("forum-app").caller
    assert caller == Caller(
        caller.id,
        "forum-app",
        owner="support",
        team="forum",
        tags={"feature": "reply", "tenant": "acme"},
        routes=("a", "b-*"),
        pins=True,
        residency="eu",
        expires_at=datetime(2099, 6, 1, tzinfo=UTC),
        budget=Budget(500_000_000, 2_250_000_000, 1_000_000_000_000),
        requests_per_minute=600,
        tokens_per_minute=200_000,
        max_output_tokens=4096,
        capture=True,
    )
    cleared = keys(
        *("set", "forum-app", "--role", "observer", "--route", "none", "--owner", "none", "--team", "none"),
        *("--tag", "tenant=", "--tag", "feature=", "--budget-day", "none", "--budget-month", "none"),
        *("--budget-total", "none", "--rpm", "none", "--tpm", "none", "--max-output-tokens", "none", "--no-pins"),
        *("--residency", "none", "--expires", "none", "--no-capture"),
    )
    assert cleared.code == 0, cleared.err
    assert keys.row("forum-app").caller == Caller(caller.id, "forum-app", KeyRole.OBSERVER)


def test_what_no_option_names_stays(keys: Keys) -> None:
    keys("create", "forum-app", "--budget-day", "5", "--tag", "tenant=acme", "--pins", "--rpm", "5")
    before = keys.row("forum-app").caller
    assert keys("set", "forum-app", "--budget-month", "9").code == 0
    after = keys.row("forum-app").caller
    assert after.budget == Budget(5_000_000_000, 9_000_000_000)
    assert (after.tags, after.pins, after.requests_per_minute) == (before.tags, True, 5)


def test_a_key_expires_so_many_days_from_now(keys: Keys) -> None:
    keys("create", "forum-app", "--expires", "90d")
    expires = keys.row("forum-app").caller.expires_at
    assert expires is not None
    assert abs(expires - SystemClock().now() - timedelta(days=90)) < timedelta(minutes=5)


@pytest.mark.parametrize(
    ("nanousd", "as_limit", "as_spent"),
    [
        (0, "$0.00", "$0.00"),
        (1, "$0.000000001", "<$0.0001"),
        (51_234, "$0.000051234", "<$0.0001"),
        (125_000_000, "$0.125", "$0.1250"),
        (5_000_000_000, "$5.00", "$5.00"),
        (1_234_567_891_234, "$1,234.567891234", "$1,234.57"),
    ],
)
def test_amounts_are_exact_where_they_are_limits(nanousd: int, as_limit: str, as_spent: str) -> None:
    assert (dollars(nanousd), sum_of(nanousd)) == (as_limit, as_spent)


def test_json_holds_what_the_api_answers(keys: Keys) -> None:
    made = keys("create", "forum-app", "--budget-day", "5", "--json")
    assert TEXT.fullmatch(made.json["key"] + "\n")
    assert made.err == ""
    rotated = keys("rotate", "forum-app", "--json").json
    assert (rotated["id"], rotated["old_key_valid_until"]) == (made.json["id"], None)
    (listed,) = keys("list", "--json").json["keys"]
    assert listed == keys("show", "forum-app", "--json").json
    assert (listed["status"], listed["budget"]["day_usd"], "key" in listed) == ("active", 5, False)
    assert keys("revoke", "forum-app", "--json").json["status"] == "revoked"
    assert [row["action"] for row in keys("audit", "--json").json["changes"]][::2] == ["key_revoked", "key_created"]


def test_a_reviewers_key_says_what_it_opens(keys: Keys) -> None:
    made = keys("create", "mira", "--role", "reviewer", "--route", "forum-*", "--tag", "tenant=acme")
    assert "reviews acme's answers of forum-*, and nothing else" in made.err
    assert keys.row("mira").caller.role is KeyRole.REVIEWER
    assert "active, reviewer" in keys("list").out


MISUSED = [
    pytest.param(("create", "a b"), "NAME", "letters, digits", id="a name with a space"),
    pytest.param(("create", "admin"), "NAME", "must be another name", id="the administrator's name"),
    pytest.param(
        ("create", "x", "--role", "admin"), "--role", "'caller', 'observer' or 'reviewer'", id="an administrator"
    ),
    pytest.param(("create", "x", "--budget-day", "five"), "--budget-day", "is no amount", id="an amount in words"),
    pytest.param(("create", "x", "--budget-total", "nan"), "--budget-total", "finite", id="no amount at all"),
    pytest.param(("create", "x", "--budget-month", "-1"), "--budget-month", "greater than", id="less than nothing"),
    pytest.param(("create", "x", "--rpm", "1.5"), "--rpm", "is no whole number", id="one and a half"),
    pytest.param(("create", "x", "--rpm", "9" * 30), "--rpm", "is no whole number", id="a number beyond all"),
    pytest.param(("create", "x", "--tpm", "0"), "--tpm", "greater than", id="no tokens"),
    pytest.param(("create", "x", "--tag", "acme"), "--tag", "has no '='", id="a tag without a value"),
    pytest.param(("create", "x", "--tag", "a b=c"), "--tag", "must be a name", id="a tag's name that is none"),
    pytest.param(("create", "x", "--route", "a@primary"), "--route", "without '@'", id="a pin for a route"),
    pytest.param(("create", "x", "--expires", "soon"), "--expires", "must be a day", id="a day that is none"),
    pytest.param(
        ("create", "x", "--expires", "2026-01-01"), "--expires", "is over already", id="a day that has passed"
    ),
    pytest.param(("create", "x", "--owner", "a\nb"), "--owner", "printable", id="an owner of two lines"),
    pytest.param(("set", "x"), "Invalid value", "name what to change", id="no change"),
    pytest.param(("rotate", "x", "--grace", "31d"), "--grace", "at most 30d", id="a month and a day of grace"),
    pytest.param(("rotate", "x", "--grace", "24"), "--grace", "24h", id="a grace of 24 what"),
    pytest.param(("rotate", "x", "--grace", "-1"), "--grace", "write 0", id="negative grace"),
]


@pytest.mark.parametrize(("arguments", "option", "says"), MISUSED)
def test_what_cannot_be_meant_is_said_by_its_option(
    arguments: tuple[str, ...], option: str, says: str, keys: Keys
) -> None:
    done = keys(*arguments)
    assert (done.code, done.out) == (2, "")
    assert option in done.err
    assert says in done.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(("create", "forum-app"), "already; revoked keys keep their names", id="a name that is taken"),
        pytest.param(("show", "forum-ap"), "did you mean 'forum-app'?", id="a name that nearly is"),
        pytest.param(("set", "none", "--rpm", "5"), "there is no key 'none'", id="a key that there is not"),
        pytest.param(("revoke", "key_aaaaaaaa"), "there is no key", id="an id that there is not"),
    ],
)
def test_what_the_database_speaks_against_is_a_finding(arguments: tuple[str, ...], says: str, keys: Keys) -> None:
    keys("create", "forum-app")
    done = keys(*arguments)
    assert (done.code, done.out) == (1, "")
    assert says in done.err


def test_a_revoked_key_is_not_changed(keys: Keys) -> None:
    keys("create", "forum-app")
    keys("revoke", "forum-app")
    for arguments in (("set", "forum-app", "--rpm", "5"), ("rotate", "forum-app")):
        done = keys(*arguments)
        assert (done.code, done.out) == (1, "")
        assert "is revoked, and stays so" in done.err


def test_what_a_terminal_cannot_show_does_no_harm(keys: Keys) -> None:
    assert keys("create", "forum-app", "--by", "kim\x1b[2J\udcff").code == 0
    assert r"by kim\x1b[2J\udcff" in keys("show", "forum-app").out
    for arguments in (("show", "\udcff\x1b"), ("create", "\udcff"), ("audit", "\udcff\x1b")):
        done = keys(*arguments)
        assert done.code in (0, 1, 2)
        assert "\x1b" not in done.out + done.err


def test_without_a_pepper_it_says_how_to_make_one(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    keys("create", "forum-app")
    monkeypatch.delenv("GATEWAY_KEY_PEPPER")
    for arguments in (("create", "other"), ("rotate", "forum-app")):
        done = keys(*arguments)
        assert (done.code, done.out) == (1, "")
        assert "openssl rand -hex 32" in done.err
    # What makes no digest needs none.
    assert keys("revoke", "forum-app").code == keys("list").code == 0


def test_the_first_key_makes_the_database(run: Run, tmp_path: Path) -> None:
    keys = Keys(run, f"sqlite:///{tmp_path}/state/gateway.db")
    listed = keys("list")
    assert (listed.code, listed.out) == (1, "")
    assert "no gateway has kept its state" in listed.err
    assert TEXT.fullmatch(keys("create", "forum-app").out)
    assert keys("list").code == 0


def test_no_keys_are_said(keys: Keys) -> None:
    assert (keys("list").out, keys("audit").out) == ("", "")
    assert "gateway keys create NAME" in keys("list").err
    assert "nothing was changed by hand yet of reply" in keys("audit", "reply").err


def test_a_digest_for_routes_yaml_is_made_with_its_key(run: Run) -> None:
    made = run("keys", "digest", "forum-app")
    assert TEXT.fullmatch(made.out)
    declared = yaml.safe_load(made.err[made.err.index("keys:") : made.err.index("\n\nThe key")])
    assert declared == {"keys": {"forum-app": {"digest": f"hmac-sha256:{digest_of(made.out)}"}}}
    as_json = run("keys", "digest", "forum-app", "--json").json
    assert as_json["digest"] == f"hmac-sha256:{digest_of(as_json['key'])}"


def test_a_digest_of_a_key_that_is_there_is_made_without_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-ours-" + "x7" * 10
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{key}\n"))
    made = run("keys", "digest", "on", "--stdin")
    assert yaml.safe_load(made.out) == {"keys": {"on": {"digest": f"hmac-sha256:{digest_of(key)}"}}}
    assert key not in made.out + made.err


@pytest.mark.parametrize("text", ["", "hunter2", "x" * 23, "x" * 600, "two words " * 4, "pässwörd" * 5])
def test_a_key_that_somebody_made_up_gets_no_digest(text: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    done = run("keys", "digest", "forum-app", "--stdin")
    assert (done.code, done.out) == (2, "")
    assert "24 to 512 visible ASCII" in done.err
    assert not text or text not in done.err


def test_help_of_every_command_has_an_example(run: Run) -> None:
    names = [command.name for command in keys_app.registered_commands]
    assert names == ["create", "set", "rotate", "revoke", "list", "show", "audit", "digest"]
    for name in names:
        assert "Example:" in run("keys", str(name), "--help").out
