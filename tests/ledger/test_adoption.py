import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from ledger_bench import DATABASE, Sink, a_dead_journal, a_journal, until
from structlog.testing import capture_logs

from gateway.ledger import dead_journals
from gateway.ledger.adoption import LOOK_EVERY_S, Adoption
from gateway.ledger.delivery import Delivery
from gateway.ledger.entry import Entry
from gateway.ledger.refused import RefusedRows
from gateway.ledger.segments import segment_numbers
from gateway.reasons import FailureKind, Outcome, UsageSource
from gateway.store.usage import Checkpoint
from tests.fake_clock import FakeClock
from tests.store.rows import an_entry, entries

SETTLED = entries(7)
BEGUN = [
    an_entry(
        request_id=f"begun-{number}",
        outcome=Outcome.INTERRUPTED,
        failure=FailureKind.INTERRUPTED,
        usage_source=UsageSource.INTERRUPTED,
        output_tokens=0,
        cost_nanousd=1000,
    )
    for number in range(3)
]
INTERRUPTED = [row._replace(output_tokens=32, cost_nanousd=1000 + 32 * 2) for row in BEGUN]


class Killed(BaseException):
    """Ends everything where it stands, and lets go of locks, as the kernel does."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "gateway.journal"


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def adopt(root: Path, sink: Sink, clock: FakeClock) -> Callable[[], Adoption]:
    """Return what another process would have: a journal of its own, and the same database."""

    def another() -> Adoption:
        return Adoption(a_journal(root), DATABASE, Delivery(lambda: sink, RefusedRows(root)), clock)

    return another


async def test_a_dead_journals_rows_come_in_then_what_it_left_open_and_it_is_gone(
    root: Path, sink: Sink, adopt: Callable[[], Adoption]
) -> None:
    dead = a_dead_journal(root, SETTLED, BEGUN)
    adoption = adopt()
    await adoption.look()
    assert sink.rows == [*SETTLED, *INTERRUPTED]
    assert not dead.exists()
    assert (sink.forgotten, sink.checkpoints, adoption.adopted) == ([dead.name], {}, 1)
    calls = sink.calls
    await adoption.look()
    assert sink.calls == calls


async def test_it_is_read_from_where_the_database_knows_it(
    root: Path, sink: Sink, adopt: Callable[[], Adoption]
) -> None:
    journal = a_journal(root)
    for row in SETTLED[:4]:
        journal.settle(row)
    sink.checkpoints[journal.name] = Checkpoint(journal.name, *journal.end)
    for row in SETTLED[4:]:
        journal.settle(row)
    journal.close(empty=False)
    await adopt().look()
    assert sink.rows == SETTLED[4:]


async def test_a_long_outages_journal_shrinks_while_it_is_taken_up(
    root: Path, sink: Sink, adopt: Callable[[], Adoption]
) -> None:
    journal = a_journal(root, segment_bytes=100_000)
    for row in entries(1_100):
        journal.settle(row)
    journal.close(empty=False)
    before = len(segment_numbers(journal.directory))
    killed = KilledSink(sink, "insert_attempts", 2, after=True)
    with pytest.raises(Killed):
        await Adoption(a_journal(root), DATABASE, Delivery(lambda: killed, RefusedRows(root)), FakeClock()).look()
    assert len(segment_numbers(journal.directory)) < before - 1
    await adopt().look()
    assert len(sink.rows) == 1_100


async def test_living_processes_journals_are_left_alone(root: Path, sink: Sink, adopt: Callable[[], Adoption]) -> None:
    living = a_journal(root)
    living.settle(an_entry())
    adoption = adopt()
    await adoption.look()
    assert sink.calls == 0
    assert living.directory.exists()
    living.close(empty=False)
    await adoption.look()
    assert len(sink.rows) == 1


async def test_another_databases_journal_is_left_alone_and_said_once(
    root: Path, sink: Sink, adopt: Callable[[], Adoption]
) -> None:
    dead = a_dead_journal(root, SETTLED, database="postgresql://db.example/ledger")
    before = {file.name: file.read_bytes() for file in dead.iterdir()}
    adoption = adopt()
    with capture_logs() as logged:
        await adoption.look()
        await adoption.look()
    assert [line for line in logged if line["log_level"] == "warning"] == [
        {
            "event": "journal_of_another_database",
            "log_level": "warning",
            "path": str(dead),
            "database": "postgresql://db.example/ledger",
            "ours": DATABASE,
        }
    ]
    assert sink.calls == 0
    assert {file.name: file.read_bytes() for file in dead.iterdir()} == before


async def test_while_the_database_is_away_dead_journals_wait_and_count_what_they_hold(
    root: Path, sink: Sink, clock: FakeClock
) -> None:
    dead = [a_dead_journal(root, SETTLED), a_dead_journal(root, [], BEGUN)]
    own = a_journal(root)
    adoption = Adoption(own, DATABASE, Delivery(lambda: sink, RefusedRows(root)), clock)
    sink.available = False
    task = asyncio.create_task(adoption.run())
    await until(lambda: clock.sleepers)
    on_disk = sum(file.stat().st_size for path in dead for file in path.glob("*.seg"))
    assert 0 < own.foreign_bytes == on_disk < 20_000, "room that was only made ahead is given back"
    assert sink.calls == 1, "one question is enough to know"
    sink.available = True
    clock.advance(0.2)
    await until(lambda: adoption.adopted == 2)
    assert (own.foreign_bytes, len(sink.rows)) == (0, 10)
    late = a_dead_journal(root, [an_entry(request_id="late")])
    await until(lambda: clock.sleepers)
    clock.advance(LOOK_EVERY_S)
    await until(lambda: adoption.adopted == 3)
    assert not late.exists()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class KilledSink(Sink):
    """Hands on to a database until the call at which its process is killed."""

    def __init__(self, sink: Sink, method: str, call: int, *, after: bool) -> None:
        super().__init__()
        self._sink, self._method, self._call, self._after = sink, method, call, after

    async def insert_attempts(self, rows: Sequence[Entry], checkpoint: Checkpoint | None = None) -> int:
        self._dies("insert_attempts", 1)
        new = await self._sink.insert_attempts(rows, checkpoint)
        self._dies("insert_attempts", 0, after=True)
        return new

    async def checkpoint(self, journal: str) -> Checkpoint | None:
        self._dies("checkpoint", 1)
        return await self._sink.checkpoint(journal)

    async def forget_journal(self, journal: str) -> None:
        self._dies("forget_journal", 1)
        await self._sink.forget_journal(journal)
        self._dies("forget_journal", 0, after=True)

    def _dies(self, method: str, call: int, *, after: bool = False) -> None:
        if method == self._method:
            self._call -= call
            if not self._call and after == self._after:
                raise Killed


@pytest.mark.parametrize(
    ("method", "call", "after"),
    [
        pytest.param("checkpoint", 1, False, id="before it knows how far the journal is"),
        pytest.param("insert_attempts", 1, False, id="before the rows are in"),
        pytest.param("insert_attempts", 1, True, id="once the rows are in"),
        pytest.param("insert_attempts", 2, False, id="before what was left open is in"),
        pytest.param("insert_attempts", 2, True, id="once what was left open is in"),
        pytest.param("forget_journal", 1, False, id="before the journal is forgotten"),
        pytest.param("forget_journal", 1, True, id="once the journal is forgotten"),
    ],
)
async def test_a_kill_in_between_is_harmless(
    method: str, call: int, after: bool, root: Path, sink: Sink, adopt: Callable[[], Adoption], clock: FakeClock
) -> None:
    dead = a_dead_journal(root, SETTLED, BEGUN)
    killed = KilledSink(sink, method, call, after=after)
    with pytest.raises(Killed):
        await Adoption(a_journal(root), DATABASE, Delivery(lambda: killed, RefusedRows(root)), clock).look()
    assert dead.exists()
    await adopt().look()
    assert sink.rows == [*SETTLED, *INTERRUPTED]
    assert not dead.exists()
    assert sink.checkpoints == {}


@pytest.mark.parametrize(
    "removed",
    [
        pytest.param(["*.seg"], id="once its segments are removed"),
        pytest.param(["*.seg", "database"], id="once it does not say any more whose it was"),
        pytest.param(["*.seg", "database", "lock"], id="once it is empty"),
    ],
)
async def test_a_kill_while_a_journal_is_removed_is_harmless(
    removed: list[str], root: Path, sink: Sink, adopt: Callable[[], Adoption]
) -> None:
    dead = a_dead_journal(root, SETTLED)
    for pattern in removed:
        for file in dead.glob(pattern):
            file.unlink()
    adoption = adopt()
    await adoption.look()
    age(dead)
    await adoption.look()
    assert not dead.exists()
    assert sink.rows == []


def age(directory: Path) -> None:
    """Make a directory as old as one that nobody is making any more."""
    if directory.exists():
        long_ago = directory.stat().st_mtime - dead_journals.HALF_MADE_S - 1
        os.utime(directory, (long_ago, long_ago))


@pytest.mark.parametrize("name", ["20261129T101500-3fa9c2d1", ".20261129T101500-3fa9c2d1"])
@pytest.mark.parametrize("files", [[], ["lock"]], ids=["empty", "a lock alone"])
async def test_a_directory_that_never_became_a_journal_is_removed_once_nobody_can_be_making_it(
    name: str, files: list[str], root: Path, adopt: Callable[[], Adoption]
) -> None:
    adoption = adopt()
    half_made = root / name
    half_made.mkdir()
    for file in files:
        (half_made / file).touch()
    await adoption.look()
    assert half_made.exists()
    age(half_made)
    await adoption.look()
    assert not half_made.exists()


async def test_what_is_no_journal_stays(root: Path, adopt: Callable[[], Adoption]) -> None:
    adoption = adopt()
    (root / "refused.jsonl").write_text("{}")
    (root / "somebodys").mkdir()
    (root / "somebodys" / "00000001.seg").write_bytes(b"what is this")
    (root / "elsewhere").symlink_to(root / "somebodys")
    with capture_logs() as logged:
        await adoption.look()
        age(root / "somebodys")
        await adoption.look()
    assert (root / "refused.jsonl").exists()
    assert (root / "somebodys" / "00000001.seg").exists()
    assert (root / "elsewhere").is_symlink()
    assert [line for line in logged if line["log_level"] == "error"] == []


async def test_one_that_cannot_be_read_does_not_keep_the_others_waiting(
    root: Path, sink: Sink, adopt: Callable[[], Adoption]
) -> None:
    broken, whole = sorted([a_dead_journal(root, SETTLED), a_dead_journal(root, entries(2))])
    for segment in broken.glob("*.seg"):
        segment.unlink()
    (broken / "00000001.seg").mkdir()
    with capture_logs() as logged:
        await adopt().look()
    assert not whole.exists()
    assert [line["event"] for line in logged if line["log_level"] == "warning"] == ["journal_not_taken_up"]


async def test_of_a_damaged_journal_the_good_rows_come_in_and_the_file_is_kept(
    root: Path, sink: Sink, adopt: Callable[[], Adoption]
) -> None:
    dead = a_dead_journal(root, SETTLED)
    with (dead / "00000001.seg").open("r+b") as segment:
        content = segment.read()
        row = content.index(b'S["' + SETTLED[3].attempt_id.encode())
        segment.seek(row + 50)
        segment.write(b"?")
    adoption = adopt()
    await adoption.look()
    by_id = {row.attempt_id: row for row in sink.rows}
    assert len(by_id) == len(SETTLED), "of the damaged row its intent is left"
    assert [by_id[row.attempt_id] for row in SETTLED if row is not SETTLED[3]] == [*SETTLED[:3], *SETTLED[4:]]
    assert adoption.damaged == 1
    assert not dead.exists()
    assert (root / f"{dead.name}-00000001.seg.damaged").exists()


async def test_two_that_find_the_same_journal_take_it_up_once(
    root: Path, sink: Sink, adopt: Callable[[], Adoption]
) -> None:
    for number in range(5):
        a_dead_journal(root, [an_entry(request_id=f"of-{number}")])
    both = [adopt(), adopt()]
    await asyncio.gather(*(adoption.look() for adoption in both))
    assert sum(adoption.adopted for adoption in both) == 5
    assert sorted(row.request_id for batch in sink.batches for row in batch) == [f"of-{n}" for n in range(5)]
