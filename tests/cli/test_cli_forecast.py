import asyncio
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import forty_routes
import pytest
from command_line import Run
from migrated_database import migrated
from sqlalchemy import insert

from gateway.cli import forecast_text
from gateway.cli.forecast import foresee
from gateway.cli.timeline import page
from gateway.lifecycle import forecast_words as words
from gateway.lifecycle.forecast import Forecast, Horizon
from gateway.lifecycle.forecast_headline import headline
from gateway.reasons import Role
from gateway.store.database import Database
from gateway.store.tables import rate_limits
from gateway.store.usage import UsageStore
from tests.store.rows import START, an_entry

NOV_23 = datetime(2026, 11, 23, 12, tzinfo=UTC)
JAN_6 = datetime(2027, 1, 6, tzinfo=UTC)
LAST_MINUTE = datetime(2027, 1, 13, 23, 59, tzinfo=UTC)
SHUTDOWN = datetime(2027, 1, 14, tzinfo=UTC)
Shown = Callable[[Forecast], str]
FORUM_REPLY = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A00b2C3d4"
AT_HOME = """\
version: 1
providers: {campus: {kind: vllm, base_url: "http://vllm.internal:8000/v1"}}
fallbacks: {base: {provider: campus, model: llama, prompt: {instructions: Be brief.}}}
defaults: {provider: campus, fallbacks: [base]}
routes: {forum-reply: forum-reply-lora}
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger's default place is below the working directory."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def routes(tmp_path: Path) -> Path:
    return forty_routes.write(tmp_path)


@pytest.fixture
def at_home(tmp_path: Path) -> Path:
    path = tmp_path / "at-home.yaml"
    path.write_text(AT_HOME)
    return path


def seen(
    routes: Path, now: datetime, *, days: int = 90, at: datetime | None = None, database: str | None = None
) -> Forecast:
    return foresee(routes, Horizon.of_days(now, days) if at is None else Horizon.on(now, at), database)


@pytest.fixture
def ledger(tmp_path: Path) -> str:
    """A week of four routes' traffic until 2026-11-23 noon, some of it on the fallback already."""
    url = f"sqlite:///{tmp_path}/week.db"
    migrated(url)

    async def fill() -> None:
        database = await Database.open(url)
        rows = []
        for step in range(140):
            after = NOV_23 - timedelta(hours=1 + step) - START
            asked = {"traits": "max_tokens,temperature", "cost_nanousd": 400_000, "cached_input_tokens": 0}
            rows.append(an_entry(after, model_asked=FORUM_REPLY, **asked))
            triage = "ft:gpt-4.1-mini-2025-04-14:acme:ticket-triage:A01b2C3d4"
            rows.append(an_entry(after, route="ticket-triage", model_asked=triage, **asked | {"cost_nanousd": None}))
            voice = "ft:gpt-4.1-2025-04-14:acme:brand-voice:A35b2C3d4"
            rows.append(an_entry(after, route="brand-voice", model_asked=voice, **asked))
        for step in range(20):
            after = NOV_23 - timedelta(minutes=1 + step) - START
            rows.append(
                an_entry(after, role=Role.FALLBACK, target="luna", model_asked="gpt-6-luna", cost_nanousd=100_000)
            )
        await UsageStore(database).insert_attempts(rows)
        limit = {"provider": "openai", "model": "gpt-6-luna", "tokens_per_minute": 3000, "seen_at": START}
        async with database.engine.begin() as connection:
            await connection.execute(insert(rate_limits), [limit])
        await database.close()

    asyncio.run(fill())
    return url


# The sentence


@pytest.mark.parametrize(
    ("now", "options", "sentence"),
    [
        pytest.param(
            NOV_23,
            {},
            "34 of 40 routes lose their primary within 90 days, all on 2027-01-14, in 52 days; "
            "2 have nobody to take over; 1 answers from a prompt that nobody has written.",
            id="on 2026-11-23",
        ),
        pytest.param(
            JAN_6,
            {},
            "34 of 40 routes lose their primary within 90 days, all on 2027-01-14, in 8 days; "
            "2 have nobody to take over; 1 answers from a prompt that nobody has written.",
            id="on the last day to train",
        ),
        pytest.param(
            LAST_MINUTE,
            {},
            "34 of 40 routes lose their primary within 90 days, all on 2027-01-14, tomorrow; "
            "2 have nobody to take over; 1 answers from a prompt that nobody has written.",
            id="in the last minute",
        ),
        pytest.param(
            SHUTDOWN,
            {},
            "34 of 40 routes have lost their primary, since 2027-01-14; 2 have nobody to take over; "
            "1 answers from a prompt that nobody has written.",
            id="at the shutdown",
        ),
        pytest.param(
            NOV_23,
            {"days": 30},
            "None of 40 routes loses its primary within 30 days; the next to stop does on 2027-01-14, in 52 days.",
            id="a shorter look",
        ),
        pytest.param(
            NOV_23,
            {"at": SHUTDOWN},
            "On 2027-01-14, 34 of 40 routes have lost their primary; 2 have nobody to take over; "
            "1 answers from a prompt that nobody has written.",
            id="the state on the day",
        ),
        pytest.param(
            NOV_23,
            {"at": LAST_MINUTE},
            "On 2027-01-13 23:59 UTC, none of 40 routes has lost its primary; "
            "the next to stop does on 2027-01-14, tomorrow.",
            id="the state in the minute before",
        ),
    ],
)  # fmt: skip
def test_the_sentence_at_the_top(now: datetime, options: dict[str, object], sentence: str, routes: Path) -> None:
    assert headline(seen(routes, now, **options)) == sentence  # type: ignore[arg-type]


def test_days_of_several_dates_are_told_apart(routes: Path) -> None:
    routes.write_text(
        routes.read_text() + 'lifecycle: {campus: {alt-text-lora: {shutdown: 2026-12-01, source: "a mail"}}}\n'
    )
    assert "35 of 40 routes lose their primary within 90 days, the first on 2026-12-01, in 8 days" in headline(
        seen(routes, NOV_23)
    )
    assert headline(seen(routes, JAN_6)).startswith(
        "1 of 40 routes has lost its primary, since 2026-12-01; 34 more follow within 90 days, all on 2027-01-14, in 8 "
    )


def test_one_route_is_one_route(at_home: Path) -> None:
    assert headline(seen(at_home, NOV_23)) == ("1 route has no known date: nobody can say what stops within 90 days.")


@pytest.mark.parametrize(
    ("nanousd", "text"),
    [
        pytest.param(0, "$0", id="nothing"),
        pytest.param(1_234_567, "$0.0012", id="less than a cent"),
        pytest.param(12_345_678, "$0.01", id="a cent"),
        pytest.param(-1_234_560_000_000, "−$1,235", id="much, and less"),
    ],
)
def test_amounts_have_as_many_digits_as_are_read(nanousd: int, text: str) -> None:
    assert words.money(nanousd) == text


def test_of_a_route_that_loses_its_primary_somebody_takes_it_over(at_home: Path) -> None:
    at_home.write_text(
        f'{AT_HOME}lifecycle: {{campus: {{forum-reply-lora: {{shutdown: 2027-01-14, source: "a mail"}}}}}}\n'
    )
    assert headline(seen(at_home, NOV_23)) == (
        "1 of 1 route loses its primary within 90 days, on 2027-01-14, in 52 days; somebody takes it over."
    )


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        pytest.param(1_700_000, 40_000_000, "from $0.0017 to $0.0400 a month (+$0.0383)", id="of two sizes"),
        pytest.param(149_600_000_000, 99_994_000_000, "from $149.60 to $99.99 a month (−$49.61)", id="of dollars"),
        pytest.param(300_400_000_000, 500_700_000_000, "from $300 to $501 a month (+$201)", id="of hundreds"),
        pytest.param(0, 40_000_000, "from $0.00 to $0.04 a month (+$0.04)", id="from nothing"),
    ],
)
def test_a_bill_adds_up_to_the_eye(before: int, after: int, text: str) -> None:
    assert words.from_to(before, after) == text


# For people


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shown:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def show(found: Forecast) -> str:
        forecast_text.show(found)
        return capsys.readouterr().out

    return show


@pytest.mark.parametrize("with_ledger", [False, True], ids=["without a ledger", "with one"])
def test_forty_routes_fit_a_hundred_columns(with_ledger: bool, routes: Path, ledger: str, shown: Shown) -> None:
    out = shown(seen(routes, NOV_23, database=ledger if with_ledger else None))
    assert max(map(len, out.splitlines())) <= 100
    assert "\x1b" not in out
    for task in forty_routes.TASKS:
        assert task in out
    assert len(out.splitlines()) < 160


def test_it_says_who_stops_who_answers_and_why_we_believe_it(routes: Path, shown: Shown) -> None:
    out = shown(seen(routes, NOV_23))
    assert "Nobody takes over for billing: credit-memo; support: escalation-note." in out
    assert "gpt-4o-mini-2024-07-18 at openai stops on 2027-01-14, in 52 days: 13 routes" in out
    assert "planned; collected by hand, read 2026-11-23 [1]" in out
    assert "announced 2026-10-14 · last day to train 2027-01-06 · the vendor suggests gpt-6-luna" in out
    assert re.search(r"credit-memo +billing +NOBODY", out)
    assert re.search(r"invoice-extract +billing +luna +24–31 Dec", out)
    assert re.search(r"seo-summary +marketing +luna +when gone", out)
    assert "6 routes have no known date." in out
    assert "fallback plain (gpt-6-luna) has no prompt" in out
    assert out.rstrip().endswith("name another one with --database.")


def test_with_a_ledger_it_says_what_that_costs_and_asks_for(routes: Path, ledger: str, shown: Shown) -> None:
    out = " ".join(shown(seen(routes, NOV_23, database=ledger)).split())
    assert "luna is gpt-6-luna at openai" in out
    # 140 of its 160 requests asked for what luna takes under another name; as measured, 20 on luna.
    assert "forum-reply support luna that day $0.40 → $0.10 −$0.22 88% of 160" in out
    assert "ticket-triage support luna unpriced" in out
    # 1,200 + no prompt's tokens in at $0.10, 150 out at $0.50 a million are $0.000195 a request.
    assert "brand-voice marketing plain that day $0.40 → ~$0.20 −$0.15 100% of 140" in out
    assert "gpt-6-luna at openai will answer 32 routes: at most" in out
    assert "of its quota of 3,000 tokens" in out
    # The gateway renames the one and drops the other by itself, so nobody is refused.
    assert "fallback plain (gpt-6-luna) refuses" not in out
    assert "fallback luna (gpt-6-luna) never answered for this route in 90 days" in out
    assert "Without traffic in the ledger" not in out


def test_without_a_price_there_is_one_thing_to_do(routes: Path, ledger: str) -> None:
    found = seen(routes, NOV_23, database=ledger)
    kinds = [finding for row in found.routes for finding in row.findings if finding.kind == "unpriced"]
    assert {finding.text for finding in kinds} == {"what the move costs is not known: one of its models has no price"}
    assert "`prices: {PROVIDER: {MODEL: {input_usd_per_1m:" in kinds[0].remedy


def test_on_a_terminal_it_is_a_table_of_rich(routes: Path, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = shown(seen(routes, NOV_23))
    assert "\x1b[1;31m" in coloured
    assert "NOBODY" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", shown(seen(routes, NOV_23)))


def test_what_could_steer_a_terminal_is_escaped(routes: Path, shown: Shown) -> None:
    evil = 'lifecycle: {openai: {"gpt-4.1-2025-04-14": {shutdown: 2027-01-14, source: "a\\eb [bold]c"}}}\n'
    routes.write_text(routes.read_text() + evil)
    out = shown(seen(routes, NOV_23))
    assert "\x1b" not in out
    assert "a\\x1bb [bold]c" in out


# The command


def test_who_has_nobody_is_a_finding(routes: Path, at_home: Path, run: Run) -> None:
    assert run("forecast", "--routes", routes).code == 1
    assert run("forecast", "--routes", at_home).code == 0


def test_it_works_without_a_ledger_and_makes_none(routes: Path, tmp_path: Path, run: Run) -> None:
    assert "Without traffic in the ledger" in " ".join(run("forecast", "--routes", routes).out.split())
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("database", "says"),
    [
        pytest.param("sqlite:///nowhere.db", "there is no ledger", id="not there"),
        pytest.param("mysql://h/d", "cannot read the ledger", id="none that we read"),
        pytest.param("sqlite:///routes.yaml", "cannot read the ledger", id="no database"),
    ],
)
def test_a_ledger_that_was_named_must_be_there(database: str, says: str, routes: Path, run: Run) -> None:
    ran = run("forecast", "--routes", routes, "--database", database)
    assert ran.code == 1
    assert says in ran.err
    assert not Path("nowhere.db").exists()


def test_as_json_it_is_whole(routes: Path, run: Run) -> None:
    found = run("forecast", "--routes", routes, "--json", "--days", "0").json
    assert (found["routes_total"], len(found["routes"]), found["traffic"]) == (40, 40, None)
    (row,) = (row for row in found["routes"] if row["route"] == "credit-memo")
    assert row["stops"]["shutdown"] == "2027-01-14"
    assert row["stops"]["base"] == "gpt-4.1-mini-2025-04-14"
    assert row["stops"]["origin"] == "curated"
    assert row["stops"]["source"]
    assert row["owner"] == "billing"


@pytest.mark.parametrize("at", ["tomorrow", "2027-02-30", "2020-01-01"])
def test_a_day_that_is_none_or_past_is_a_misuse(at: str, routes: Path, run: Run) -> None:
    assert run("forecast", "--routes", routes, "--at", at).code == 2


# The page


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(attrs)


def test_the_page_is_one_file_without_script_or_anything_from_elsewhere(routes: Path, ledger: str, run: Run) -> None:
    ran = run("forecast", "--routes", routes, "--html", "f.html")
    assert "f.html" in ran.err
    html = page(seen(routes, NOV_23, database=ledger), "routes.yaml")
    assert Path("f.html").read_text().startswith("<!doctype html>")
    tags = Tags()
    tags.feed(html)
    assert not tags.tags & {"script", "link", "img", "iframe", "object", "base"}
    assert not {name for name, _ in tags.attributes} & {"src", "href", "onload", "onclick"}
    assert "@import" not in html
    assert "url(" not in html.replace("url(#hatch)", "")
    assert len(html.encode()) < 100 * 1024


def test_the_page_tells_by_words_and_shape(routes: Path) -> None:
    html = page(seen(routes, NOV_23), "routes.yaml")
    assert "<h1>34 of 40 routes lose their primary" in html
    assert html.count('<line class="none"') == 2
    assert html.count("nobody</span>") == 2
    assert html.count('<polygon class="full"') == 2
    assert "credit-memo: the primary stops 2027-01-14, in 52 days (planned; collected by hand" in html
    assert 'class="hatched"' not in html.partition('<div class="line"')[2]


def test_a_tentative_date_is_hatched(routes: Path) -> None:
    row = '{shutdown: 2027-01-14, certainty: tentative, source: "a mail"}'
    routes.write_text(routes.read_text() + f"lifecycle: {{openai: {{gpt-4.1-2025-04-14: {row}}}}}\n")
    html = page(seen(routes, NOV_23), "routes.yaml")
    assert '<rect class="hatched"' in html
    assert "2027-01-14 (tentative)" in html


def test_all_text_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    source = "lifecycle: {openai: {gpt-4.1-2025-04-14: {shutdown: 2027-01-14, source: '<script>alert(2)</script>'}}}\n"
    path.write_text(forty_routes.written(("<script>alert(1)</script>", "'\"><u>", "&amp;")) + source)
    html = page(seen(path, NOV_23), "<script>.yaml")
    tags = Tags()
    tags.feed(html)
    assert not tags.tags & {"script", "u"}
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "&lt;script&gt;alert(2)&lt;/script&gt;" in html
    assert "&#x27;&quot;&gt;&lt;u&gt;" in html
    assert "&amp;amp;" in html


GAP = """
version: 1
providers: {openai: {kind: openai, api_key_env: KEY}}
lifecycle: {openai: {mid: {shutdown: 2027-02-01, source: a mail}}}
fallbacks: {mid: {provider: openai, model: mid, prompt: {instructions: Answer as our team would.}}}
defaults: {provider: openai, fallbacks: [mid]}
routes: {reply: "ft:gpt-4o-mini-2024-07-18:acme:reply:A1"}
"""


def test_a_fallback_that_stops_within_the_horizon_with_nobody_behind_it_is_trouble(tmp_path: Path) -> None:
    routes = tmp_path / "routes.yaml"
    routes.write_text(GAP)
    now = datetime(2026, 11, 23, 9, tzinfo=UTC)
    found = foresee(routes, Horizon.of_days(now, 90), None)
    (row,) = found.nobody
    assert (row.serves.name if row.serves else None, row.ends) == ("mid", date(2027, 2, 1))
    assert words.answers(row) == "mid; NOBODY from 2027-02-01"
    assert foresee(routes, Horizon.of_days(now, 60), None).nobody == ()
