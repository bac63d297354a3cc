"""``gateway ledger``: status, verify and export, on real databases and journals."""

import asyncio
import csv
import io
import json
import os
import sqlite3
import stat
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from command_line import Run

from gateway.cli.ledger_findings import findings_of
from gateway.cli.ledger_rows import csv_lines, json_lines
from gateway.cli.ledger_seen import DatabaseSeen, Seen, Waiting
from gateway.clock import SystemClock
from gateway.config.routes_ledger import Ledger
from gateway.ledger.entry import Entry
from gateway.ledger.journal import Intent, Journal
from gateway.ledger.journals_seen import JournalSeen, RootSeen
from gateway.ledger.refused import RefusedRows
from gateway.store.database import Database
from gateway.store.ledger_export import COLUMNS
from gateway.store.migrate import migrate
from gateway.store.usage import Checkpoint, UsageStore
from tests.store.rows import START, an_entry, entries

HOUR = timedelta(hours=1)
HOSTILE = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", '"a,b"\nc', "Straße 😀", "'quoted"]


class Kept:
    """One database, and the journals beside it."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "gateway.db"
        self.url = f"sqlite:///{self.path}"
        self.root = directory / "gateway.journal"

    def insert(self, rows: Sequence[Entry], checkpoint: Checkpoint | None = None) -> None:
        async def inserted() -> None:
            database = await Database.open(self.url)
            await UsageStore(database).insert_attempts(rows, checkpoint)
            await database.close()

        asyncio.run(inserted())

    def execute(self, statement: str) -> None:
        with sqlite3.connect(self.path) as connection:
            connection.execute(statement)
        connection.close()

    def read(self, query: str) -> list[Any]:
        with sqlite3.connect(self.path) as connection:
            found = connection.execute(query).fetchall()
        connection.close()
        return found


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "gateway.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def kept(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    monkeypatch.delenv("GATEWAY_JOURNAL_DIR", raising=False)
    found = Kept(tmp_path)
    found.path.write_bytes(migrated.read_bytes())
    return found


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    """What a journal lives in."""
    with asyncio.Runner() as runner:
        yield runner


def journal_of(kept: Kept, loop: asyncio.Runner, rows: Sequence[Entry], database: str | None = None) -> Journal:
    """A journal that is being written, with these rows in it."""

    async def opened() -> Journal:
        where = str(kept.path) if database is None else database
        journal = Journal.open(kept.root, database=where, clock=SystemClock(), ledger=Ledger(), segment_bytes=1 << 16)
        for row in rows:
            journal.intent(Intent(row, None))
            journal.settle(row)
        return journal

    return loop.run(opened())


# status


def test_status_of_a_gateway_that_runs(kept: Kept, loop: asyncio.Runner, run: Run) -> None:
    rows = entries(3)
    kept.insert(rows[:2])
    journal = journal_of(kept, loop, rows[:2])
    ran = run("ledger", "status", "--database", kept.url)
    assert ran.code == 0, ran.out + ran.err
    assert f"database   {kept.path} (SQLite)" in ran.out
    assert "rows       about 2, started 2026-11-23 12:00 to 2026-11-23 12:00 UTC" in ran.out
    assert "totals     by the hour, 2026-11-23 12:00 to 2026-11-23 12:00 UTC" in ran.out
    assert f"{journal.name}  running" in ran.out
    assert "all in the database" in ran.out
    # One that has not been brought there yet: a gateway that runs is about to.
    loop.run(settled(journal, rows[2]))
    ran = run("ledger", "status", "--database", kept.url, "--json")
    (seen,) = ran.json["journals"]
    assert (ran.code, seen["live"], seen["waits"]) == (0, True, True)
    assert seen["oldest_waiting_at"] == rows[2].finished_at.isoformat().replace("+00:00", "Z")
    journal.close(empty=True)


async def settled(journal: Journal, row: Entry) -> None:
    journal.settle(row)


def test_status_of_what_a_dead_gateway_left_behind(kept: Kept, loop: asyncio.Runner, run: Run) -> None:
    journal = journal_of(kept, loop, entries(2))
    end = journal.end
    journal.close(empty=False)
    ran = run("ledger", "status", "--database", kept.url)
    assert ran.code == 1
    assert (
        f"! journal {journal.name}: its process is gone and left rows behind; any gateway with this database" in ran.out
    )
    assert sorted(path.name for path in journal.directory.iterdir()) == [
        "00000001.seg",
        "00000002.seg",
        "database",
        "lock",
    ]
    # The same once its rows are there: nothing is left to do.
    kept.insert(entries(0), Checkpoint(journal.name, end.segment, end.offset))
    assert run("ledger", "status", "--database", kept.url).code == 0


def test_a_call_that_a_dead_gateway_never_finished_waits_too(kept: Kept, loop: asyncio.Runner, run: Run) -> None:
    journal = journal_of(kept, loop, [])
    loop.run(begun(journal, an_entry()))
    assert run("ledger", "status", "--database", kept.url).code == 0, "it may still end"
    journal.close(empty=False)
    ran = run("ledger", "status", "--database", kept.url, "--json")
    assert (ran.code, ran.json["journals"][0]["waits"]) == (1, True)


async def begun(journal: Journal, row: Entry) -> None:
    journal.intent(Intent(row, None))


def test_status_tells_of_rows_that_go_elsewhere(kept: Kept, loop: asyncio.Runner, run: Run) -> None:
    journal_of(kept, loop, entries(1), database="postgresql://elsewhere/ledger").close(empty=False)
    ran = run("ledger", "status", "--database", kept.url)
    assert ran.code == 1
    assert "its rows go to postgresql://elsewhere/ledger: start a gateway with that database" in ran.out


def test_a_journal_whose_database_cannot_be_read_is_told_and_nothing_else_fails(
    kept: Kept, loop: asyncio.Runner, run: Run
) -> None:
    journal = journal_of(kept, loop, entries(1))
    journal.close(empty=False)
    (journal.directory / "database").write_bytes(b"\xff\xfe")
    ran = run("ledger", "status", "--database", kept.url)
    assert ran.code == 1
    assert f"journal {journal.name}: its process is gone, and its rows go to " in ran.out
    assert run("ledger", "verify", "--database", kept.url).code == 0


def test_status_tells_of_damage_and_of_refused_rows(kept: Kept, run: Run) -> None:
    kept.root.mkdir()
    (kept.root / "20261129T101500-3fa9c2d1-00000001.seg.damaged").write_bytes(b"x")
    RefusedRows(kept.root).keep(an_entry(), ValueError("x"))
    ran = run("ledger", "status", "--database", kept.url)
    assert ran.code == 1
    assert "! 1 damaged segment was kept, 20261129T101500-3fa9c2d1-00000001.seg.damaged" in ran.out
    assert "! the database refused 1 row for their own sake" in ran.out or "the database refused 1 row " in ran.out
    assert run("ledger", "status", "--database", kept.url, "--json").json["refused_rows"] == 1


@pytest.mark.parametrize(
    ("own_mib", "dead_mib", "said"),
    [
        pytest.param(51, 0, [], id="not yet"),
        pytest.param(60, 0, ["94% full; at 95 % its gateway is not ready"], id="of its own rows"),
        pytest.param(40, 20, ["94% full; at 95 % its gateway is not ready"], id="of dead ones' too"),
    ],
)
def test_status_warns_before_a_journal_is_full(own_mib: int, dead_mib: int, said: list[str]) -> None:
    journals = [
        JournalSeen("own", Path("own"), live=True, database="here", bytes=own_mib << 20),
        JournalSeen("dead", Path("dead"), live=False, database="here", bytes=dead_mib << 20),
    ]
    waiting = {"own": Waiting(START), "dead": Waiting(None)}
    seen = Seen(DatabaseSeen("here", "sqlite"), RootSeen(Path(), journals, [], 0), Ledger(journal_mib=64), waiting)
    found = findings_of(seen)
    assert len(found) == len(said)
    assert all(words in finding for words, finding in zip(said, found, strict=True))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        pytest.param("sqlite:///{}/none.db", "there is no such file yet: `gateway serve` makes it", id="no file"),
        pytest.param("sqlite:///{}/empty.db", "nothing was ever migrated here: run `gateway migrate`", id="no schema"),
        pytest.param(
            "postgresql://u:s3cret@127.0.0.1:9/ledger", "it cannot be reached", id="a server that is not there"
        ),
    ],
)
def test_status_says_why_a_database_cannot_be_looked_at(url: str, says: str, tmp_path: Path, run: Run) -> None:
    (tmp_path / "empty.db").touch()
    ran = run("ledger", "status", "--database", url.format(tmp_path))
    assert ran.code == 1
    assert says in ran.out
    assert "s3cret" not in ran.out + ran.err


@pytest.mark.parametrize("command", ["status", "verify", "export"])
def test_another_versions_schema_is_named_and_nothing_is_changed(kept: Kept, run: Run, command: str) -> None:
    kept.execute("UPDATE alembic_version SET version_num = '20250101_old'")
    before = kept.path.read_bytes()
    ran = run("ledger", command, "--database", kept.url)
    assert ran.code == (2 if command == "verify" else 1)
    assert "schema" in ran.out + ran.err
    assert "gateway migrate" in ran.out + ran.err
    assert kept.path.read_bytes() == before


# verify


def test_verify_of_a_whole_ledger(kept: Kept, loop: asyncio.Runner, run: Run) -> None:
    rows = entries(5)
    kept.insert(rows)
    journal = journal_of(kept, loop, rows)
    ran = run("ledger", "verify", "--database", kept.url)
    assert ran.code == 0, ran.out + ran.err
    assert "journals  2 segments, 10 records: whole" in ran.out
    assert "every hour is the sum of its rows" in ran.out
    journal.close(empty=True)


def test_verify_of_an_empty_ledger(kept: Kept, run: Run) -> None:
    ran = run("ledger", "verify", "--database", kept.url)
    assert (ran.code, ran.out) == (0, "journals  0 segments, 0 records: whole\ntotals    there are no rows yet\n")


def test_verify_finds_totals_that_differ_and_makes_them_anew(kept: Kept, run: Run) -> None:
    kept.insert([an_entry(), an_entry(HOUR), an_entry(2 * HOUR)])
    kept.execute(
        "UPDATE usage_hours SET cost_nanousd = cost_nanousd + 1 WHERE hour = (SELECT max(hour) FROM usage_hours)"
    )
    ran = run("ledger", "verify", "--database", kept.url)
    assert ran.code == 1
    assert "1 hour differs" in ran.out
    assert "2026-11-23 14:00  rows: 1 attempt, $0.000495000; totals: 1 attempt, $0.000495001; --repair" in ran.out
    # A period without that hour has nothing to say of it.
    elsewhere = run("ledger", "verify", "--database", kept.url, "--until", "2026-11-23T14:00")
    assert elsewhere.code == 0, elsewhere.out
    mended = run("ledger", "verify", "--database", kept.url, "--repair", "--json")
    (difference,) = mended.json["differences"]
    assert (mended.code, difference["hour"], difference["repaired"]) == (0, "2026-11-23T14:00:00Z", True)
    assert run("ledger", "verify", "--database", kept.url).code == 0


def test_totals_of_rows_that_are_gone_stay_where_older_rows_come_in_late(kept: Kept, run: Run) -> None:
    kept.insert([an_entry(hour * HOUR) for hour in range(6)])
    kept.execute("DELETE FROM attempts WHERE started_at < (SELECT max(started_at) FROM attempts)")
    # A dead gateway's journal, taken up after retention was here.
    kept.insert([an_entry(HOUR)])
    ran = run("ledger", "verify", "--repair", "--database", kept.url)
    assert ran.code == 1
    assert "3 hours, the first 2026-11-23 14:00, with fewer rows than the totals count" in ran.out
    found = run("ledger", "verify", "--json", "--database", kept.url).json["differences"]
    assert [(hour["rows_missing"], hour["repaired"]) for hour in found] == [(True, False)] * 3
    assert kept.read("SELECT sum(attempts) FROM usage_hours") == [(7,)]
    assert kept.read("SELECT sum(attempts) FROM usage_days") == [(7,)]


def test_verify_finds_days_that_are_not_their_hours_and_makes_them_anew(kept: Kept, run: Run) -> None:
    kept.insert([an_entry(), an_entry(HOUR), an_entry(24 * HOUR)])
    kept.execute("UPDATE usage_days SET attempts = 9 WHERE day = (SELECT min(day) FROM usage_days)")
    # Of what rows are gone of, days are compared all the same.
    kept.execute("DELETE FROM attempts")
    ran = run("ledger", "verify", "--database", kept.url)
    assert ran.code == 1
    assert "days      1 day: not what their hours add up to" in ran.out
    assert "2026-11-23  hours: 2 attempts, $0.000990000; the day: 9 attempts, $0.000990000; --repair" in ran.out
    mended = run("ledger", "verify", "--database", kept.url, "--repair", "--json")
    (day,) = mended.json["days"]
    assert (mended.code, day["day"], day["repaired"]) == (0, "2026-11-23", True)
    assert run("ledger", "verify", "--database", kept.url).code == 0


def test_verify_names_file_and_offset_of_damage(kept: Kept, loop: asyncio.Runner, run: Run) -> None:
    journal = journal_of(kept, loop, entries(3))
    journal.close(empty=False)
    segment = journal.directory / "00000001.seg"
    data = bytearray(segment.read_bytes())
    data[20] ^= 0x10
    segment.write_bytes(data)
    ran = run("ledger", "verify", "--database", kept.url, "--json")
    (damage,) = ran.json["damaged"]
    assert (ran.code, ran.json["clean"], ran.json["records"]) == (1, False, 5)
    assert (damage["file"], damage["offset"]) == (str(segment), 0)
    said = run("ledger", "verify", "--database", kept.url).out
    assert f"damaged   {segment}: {damage['bytes']:,} bytes at 0; what is behind them can be read" in said
    assert not list(kept.root.glob("*.damaged")), "looking changes nothing"


def test_a_journal_that_was_cut_off_is_whole(kept: Kept, loop: asyncio.Runner, run: Run) -> None:
    journal = journal_of(kept, loop, entries(2))
    end = journal.end.offset
    journal.close(empty=False)
    segment = journal.directory / "00000001.seg"
    segment.write_bytes(segment.read_bytes()[: end - 5])
    ran = run("ledger", "verify", "--database", kept.url)
    assert ran.code == 0, ran.out
    assert "1 write cut off at the end, as by a kill: nothing that was whole is lost" in ran.out


def test_verify_tells_of_what_is_no_failure(kept: Kept, run: Run) -> None:
    kept.insert([an_entry(), an_entry(timedelta(seconds=1), cost_nanousd=None, model_answered="new")])
    ran = run("ledger", "verify", "--database", kept.url)
    assert ran.code == 0
    assert "requests  1 request id answered more than once" in ran.out
    assert "unpriced  openai new: 1 attempt, 1,350 tokens" in ran.out


def test_verify_reads_journals_where_the_database_is_away(
    kept: Kept, loop: asyncio.Runner, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal_of(kept, loop, entries(1)).close(empty=False)
    monkeypatch.setenv("GATEWAY_JOURNAL_DIR", str(kept.root))
    ran = run("ledger", "verify", "--database", "postgresql://u:s3cret@127.0.0.1:9/ledger")
    assert ran.code == 2
    assert "2 records: whole" in ran.out
    assert "the database cannot be looked at: " in ran.err
    assert "s3cret" not in ran.out + ran.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["--since", "yesterday"], "names no time", id="no time"),
        pytest.param(["--since", "2026-11-02", "--until", "2026-11-01"], "before it begins", id="the wrong way round"),
        pytest.param(["--database", "mysql://h/d"], "the ledger is kept in sqlite or postgresql", id="no ledger's"),
    ],
)
def test_a_misused_verify_ends_with_2(arguments: list[str], says: str, run: Run) -> None:
    ran = run("ledger", "verify", *arguments)
    assert ran.code == 2
    assert says in ran.err


# export


def test_an_export_is_a_csv_file_that_a_spreadsheet_may_open(kept: Kept, run: Run, tmp_path: Path) -> None:
    rows = [
        an_entry(timedelta(minutes=number), request_id=text, key=text, tags={"=tag": text}, cost_nanousd=number)
        for number, text in enumerate(HOSTILE)
    ]
    kept.insert(rows)
    out = tmp_path / "rows.csv"
    ran = run("ledger", "export", "--database", kept.url, "--output", out)
    assert (ran.code, ran.out, ran.err) == (0, "", f"9 rows to {out}\n")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    read = list(csv.DictReader(io.StringIO(out.read_bytes().decode(), newline="")))
    assert [row["request_id"] for row in read] == [
        *("'" + text for text in HOSTILE[:6]),
        *HOSTILE[6:],
    ]
    assert [json.loads(row["tags"])["=tag"] for row in read] == HOSTILE
    assert not [cell for row in read for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    third = read[3]
    assert (third["cost_nanousd"], third["cost_usd"], Decimal(third["cost_usd"])) == (
        "3",
        "0.000000003",
        Decimal("3e-9"),
    )
    assert (third["started_at"], third["stream"], third["ttft_ms"]) == ("2026-11-23T12:03:00.000005Z", "false", "")
    assert third["attempt_id"] == rows[3].attempt_id
    assert list(tmp_path.glob(".rows*")) == []


def test_an_export_as_json_lines(kept: Kept, run: Run) -> None:
    exact = 9_007_199_254_740_993
    kept.insert([an_entry(cost_nanousd=exact, tags={"a": "b"}), an_entry(HOUR, cost_nanousd=None, route="other")])
    ran = run("ledger", "export", "--database", kept.url, "--format", "jsonl")
    first, second = (json.loads(line, parse_float=Decimal) for line in ran.out.splitlines())
    assert (first["cost_nanousd"], first["cost_usd"]) == (exact, Decimal("9007199.254740993"))
    assert (first["tags"], first["stream"], first["started_at"]) == ({"a": "b"}, False, "2026-11-23T12:00:00.000005Z")
    assert (second["cost_nanousd"], second["cost_usd"]) == (None, None)
    assert set(first) == {*COLUMNS, "cost_usd"}
    chosen = run("ledger", "export", "--database", kept.url, "--format", "jsonl", "--route", "other", "--kind", "live")
    assert [json.loads(line)["route"] for line in chosen.out.splitlines()] == ["other"]
    chosen = run("ledger", "export", "--database", kept.url, "--since", "2026-11-23T13:00", "--format", "jsonl")
    assert [json.loads(line)["route"] for line in chosen.out.splitlines()] == ["other"]


def test_an_export_of_nothing_is_its_first_line(kept: Kept, run: Run) -> None:
    ran = run("ledger", "export", "--database", kept.url)
    assert ran.out.startswith("attempt_id,request_id,route,")
    assert len(ran.out.splitlines()) == 1
    assert run("ledger", "export", "--database", kept.url, "--format", "jsonl").out == ""


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(["--kind", "dead"], 2, "'dead' is none of live, rehearsal", id="no such kind"),
        pytest.param(["--format", "xml"], 2, "'xml'", id="no such format"),
        pytest.param(
            ["--database", "sqlite:////no/such/file.db"], 1, "no gateway has kept its state", id="no database"
        ),
        pytest.param(
            ["--output", "/no/such/directory/x.csv"], 1, "cannot write /no/such/directory/x.csv", id="no place"
        ),
        pytest.param(["--database", "postgresql://u:s3cret@127.0.0.1:9/l"], 1, "cannot export: ", id="no server"),
    ],
)
def test_what_cannot_be_exported(arguments: list[str], code: int, says: str, kept: Kept, run: Run) -> None:
    if "--database" not in arguments:
        arguments = [*arguments, "--database", kept.url]
    ran = run("ledger", "export", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert says in ran.err
    assert "s3cret" not in ran.err


def test_a_pipe_that_an_export_goes_to_stays_one(kept: Kept, run: Run, tmp_path: Path) -> None:
    kept.insert([an_entry()])
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # Both ends, so that nobody waits for the other.
    read = os.open(pipe, os.O_RDWR)
    try:
        assert run("ledger", "export", "--database", kept.url, "--output", str(pipe)).code == 0
        assert os.read(read, 1 << 16).startswith(b"attempt_id,")
        assert pipe.is_fifo()
    finally:
        os.close(read)


def test_a_file_that_was_there_stays_where_an_export_fails(kept: Kept, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    out.write_text("before")
    kept.execute("UPDATE alembic_version SET version_num = '20250101_old'")
    assert run("ledger", "export", "--database", kept.url, "-o", out).code == 1
    assert out.read_text() == "before"
    assert list(tmp_path.glob(".rows*")) == []


def test_whoever_has_read_enough_ends_it_quietly(kept: Kept, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.insert(entries(100))
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        ran = run("ledger", "export", "--database", kept.url)
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize("value", [0, 1, 999_999_999, 10**18, 9_223_372_036_854_775_807])
def test_both_amounts_are_the_same_to_the_nano_dollar(value: int) -> None:
    row: list[Any] = list(an_entry(cost_nanousd=value))
    for form, read in ((csv_lines, _csv_row), (json_lines, _json_row)):
        head, lines = form(COLUMNS)
        found = read(head + lines([row]))
        assert Decimal(found["cost_usd"]).scaleb(9) == int(found["cost_nanousd"]) == value


def _csv_row(data: bytes) -> dict[str, Any]:
    return next(csv.DictReader(io.StringIO(data.decode(), newline="")))


def _json_row(data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(data, parse_float=Decimal)
    return found


def test_times_are_in_utc_to_the_microsecond() -> None:
    row: list[Any] = list(an_entry(started_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)))
    head, lines = csv_lines(COLUMNS)
    assert _csv_row(head + lines([row]))["started_at"] == "2026-01-02T03:04:05.000000Z"
    assert START.tzinfo is UTC
