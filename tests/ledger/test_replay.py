from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from gateway.ledger import frames, records
from gateway.ledger.frames import Position
from gateway.ledger.replay import JournalReader, frames_of
from gateway.ledger.segments import segment_path
from tests.ledger.journal_material import (
    PRICE,
    a_journal,
    an_intent,
    flipped_everywhere,
    logged,
    mixed_records,
    read_all,
    settled,
    truncated_everywhere,
    what_they_say,
    written_by_hand,
)


def test_a_segment_that_was_cut_off_at_any_byte_gives_all_whole_records(tmp_path: Path) -> None:
    truncated_everywhere(tmp_path / "journal", mixed_records(10))


def test_a_segment_of_which_any_byte_was_changed_gives_all_other_records(tmp_path: Path) -> None:
    flipped_everywhere(tmp_path / "journal", mixed_records(10), lambda at: 0xFF)


@pytest.mark.parametrize(
    ("tokens", "input_cost", "price", "cost"),
    [
        pytest.param(None, 180_000, PRICE, 180_000, id="nothing came: the input alone"),
        pytest.param(32, 180_000, PRICE, 199_200, id="each token that came at its price"),
        pytest.param(1, 10, Decimal("0.5"), 10, id="half of a nano-dollar goes to the even one, down"),
        pytest.param(3, 10, Decimal("0.5"), 12, id="half of a nano-dollar goes to the even one, up"),
        pytest.param(10**6, 7, Decimal("0.0000015"), 8, id="rounded once, after the multiplication"),
        pytest.param(32, None, PRICE, None, id="an unpriced input leaves it unpriced"),
        pytest.param(32, 180_000, None, None, id="an unpriced output leaves it unpriced"),
        pytest.param(None, 180_000, None, 180_000, id="no output needs no price"),
        pytest.param(32, 0, Decimal(0), 0, id="free is not unpriced"),
    ],
)
def test_an_attempt_left_open_is_priced_by_its_last_progress(
    tmp_path: Path, tokens: int | None, input_cost: int | None, price: Decimal | None, cost: int | None
) -> None:
    intent = an_intent(price=price, cost_nanousd=input_cost)
    attempt_id = intent.entry.attempt_id
    payloads = [records.intent_payload(intent)]
    if tokens is not None:
        payloads += [records.progress_payload(attempt_id, 1), records.progress_payload(attempt_id, tokens)]
    reading = read_all(written_by_hand(tmp_path / "journal", b"".join(map(frames.encode, payloads))))
    assert reading.entries == []
    assert reading.orphans == [intent.entry._replace(output_tokens=tokens or 0, cost_nanousd=cost)]


def test_an_attempt_that_was_settled_twice_comes_twice_and_is_not_left_open(tmp_path: Path) -> None:
    intent = an_intent()
    entry = settled(intent)
    twice = frames.encode(records.intent_payload(intent)) + frames.encode(records.settle_payload(entry))
    reading = read_all(written_by_hand(tmp_path / "journal", twice * 2))
    assert reading.entries == [entry, entry]
    assert reading.orphans == []


def test_a_settle_without_its_intent_is_a_row(tmp_path: Path) -> None:
    entry = settled(an_intent())
    lost = frames.encode(records.progress_payload(entry.attempt_id, 5))
    reading = read_all(written_by_hand(tmp_path / "journal", lost + frames.encode(records.settle_payload(entry))))
    assert (reading.entries, reading.orphans, reading.damaged) == ([entry], [], 0)


def test_a_checkpoint_stands_before_the_first_attempt_that_is_open(tmp_path: Path) -> None:
    first, second, third = an_intent(1), an_intent(2), an_intent(3)
    written = [
        records.intent_payload(first),
        records.settle_payload(settled(first)),
        records.intent_payload(second),
        records.intent_payload(third),
        records.settle_payload(settled(third)),
        records.settle_payload(settled(second)),
    ]
    content = [frames.encode(payload) for payload in written]
    before_second = Position(1, len(content[0]) + len(content[1]))
    directory = written_by_hand(tmp_path / "journal", b"".join(content))
    reader = JournalReader(directory)
    assert reader.batch(1).checkpoint == before_second
    batch = reader.batch(1)
    assert [entry.attempt_id for entry in batch.entries] == [third.entry.attempt_id]
    assert batch.checkpoint == before_second
    assert not batch.end
    batch = reader.batch(1)
    assert batch.checkpoint == Position(1, sum(map(len, content)))
    assert reader.batch(1).end
    reader.close()
    again = read_all(directory, before_second)
    assert [entry.attempt_id for entry in again.entries] == [third.entry.attempt_id, second.entry.attempt_id]


def test_records_of_kinds_that_only_a_newer_version_knows_are_passed_over(tmp_path: Path) -> None:
    entry = settled(an_intent())
    content = frames.encode(b'X["id",1]') + frames.encode(records.settle_payload(entry))
    reading = read_all(written_by_hand(tmp_path / "journal", content))
    assert (reading.entries, reading.damaged) == ([entry], 0)


def test_a_good_frame_that_holds_no_row_is_damage_and_stops_nothing(tmp_path: Path) -> None:
    entry = settled(an_intent())
    content = frames.encode(b'S["id"]') + frames.encode(records.settle_payload(entry))
    with logged() as log:
        reading = read_all(written_by_hand(tmp_path / "journal", content))
    assert (reading.entries, reading.damaged) == ([entry], 1)
    assert [line["event"] for line in log] == ["journal_damaged"]


def wiped_page(content: bytes) -> bytes:
    return content[:2000] + bytes(600) + content[2600:]


def wiped_header(content: bytes) -> bytes:
    return bytes(9) + content[9:]


def inserted(content: bytes) -> bytes:
    return content[:2000] + b"\x01S[\x01S[" * 20 + content[2000:]


def all_of_it(content: bytes) -> bytes:
    return b"\x55" * len(content)


@pytest.mark.parametrize(
    ("damage", "least"),
    [
        pytest.param(wiped_page, 15, id="a stretch of zeros, as a power cut leaves it"),
        pytest.param(wiped_header, 19, id="the first header is gone"),
        pytest.param(inserted, 19, id="bytes that look like frames"),
        pytest.param(all_of_it, 0, id="nothing good is left"),
    ],
)
def test_damage_is_searched_through_and_segments_behind_it_are_read(
    tmp_path: Path, damage: Callable[[bytes], bytes], least: int
) -> None:
    written = mixed_records(40)
    first, second = (b"".join(record.frame for record in part) for part in (written[:20], written[20:]))
    directory = written_by_hand(tmp_path / "journal", damage(first), second)
    with logged() as log:
        reading = read_all(directory)
    kept = len(frames_of(segment_path(directory, 1)).damaged)
    assert kept == reading.damaged == 1
    assert [(line["event"], line["log_level"]) for line in log] == [("journal_damaged", "error")]
    assert len(frames.scan(damage(first)).frames) >= least
    assert reading.entries[-len(what_they_say(written[20:])[0]) :] == what_they_say(written[20:])[0]
    assert (tmp_path / "journal-00000001.seg.damaged").read_bytes() == segment_path(directory, 1).read_bytes()


def test_a_write_that_was_cut_off_is_damage_where_more_was_written_later(tmp_path: Path) -> None:
    written = mixed_records(4)
    content = b"".join(record.frame for record in written[:3])
    directory = written_by_hand(tmp_path / "journal", content[:-5], written[3].frame)
    reading = read_all(directory)
    assert (reading.damaged, reading.torn) == (1, 0)
    assert reading.orphans[-1].attempt_id == written[3].intent.entry.attempt_id  # type: ignore[union-attr]


def test_a_segment_that_is_missing_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    written = mixed_records(3)
    directory = written_by_hand(tmp_path / "journal", *(record.frame for record in written))
    segment_path(directory, 2).unlink()
    with logged() as log:
        reading = read_all(directory)
    assert [entry.attempt_id for entry in reading.entries] == [written[2].entry.attempt_id]  # type: ignore[union-attr]
    assert reading.damaged == 1
    assert [line["event"] for line in log] == ["journal_segment_missing"]


@pytest.mark.parametrize(
    "contents",
    [
        pytest.param([], id="no segment"),
        pytest.param([b""], id="an empty segment"),
        pytest.param([b"", b""], id="two empty segments"),
        pytest.param([bytes(5000), b"", bytes(100)], id="segments that were never written"),
    ],
)
def test_a_journal_without_records_ends_at_once(tmp_path: Path, contents: list[bytes]) -> None:
    reading = read_all(written_by_hand(tmp_path / "journal", *contents, blank=0))
    assert (reading.entries, reading.orphans, reading.damaged, reading.torn) == ([], [], 0, 0)


def test_a_frame_larger_than_what_is_read_at_once_is_read(tmp_path: Path) -> None:
    entry = settled(an_intent(), tags={"large": "x" * 600_000})
    directory = written_by_hand(tmp_path / "journal", frames.encode(records.settle_payload(entry)) * 2)
    assert read_all(directory).entries == [entry, entry]


async def test_the_journal_of_this_process_is_read_while_it_is_written(tmp_path: Path) -> None:
    with a_journal(tmp_path, segment_bytes=4096) as journal:
        reader = JournalReader(journal.directory, live=True)
        assert reader.batch(10) == ([], Position(1, 0), True)
        for number in range(40):
            intent = an_intent(number)
            assert journal.intent(intent)
            assert reader.batch(10).entries == []
            assert reader.backlog_bytes(journal.end) == 0
            journal.settle(settled(intent))
            assert reader.backlog_bytes(journal.end) > 0
            batch = reader.batch(10)
            assert batch.entries == [settled(intent)]
            assert batch.checkpoint == journal.end
        assert journal.end.segment > 5
        assert reader.damaged == 0
        reader.close()


async def test_a_batch_ends_at_the_rows_that_were_asked_for(tmp_path: Path) -> None:
    with a_journal(tmp_path) as journal:
        for number in range(5):
            journal.settle(settled(an_intent(number)))
        reader = JournalReader(journal.directory, live=True)
        sizes = [(len(batch.entries), batch.end) for batch in (reader.batch(2), reader.batch(2), reader.batch(2))]
        assert sizes == [(2, False), (2, False), (1, True)]
        reader.close()


async def test_an_attempt_whose_end_is_damaged_is_given_up_and_one_that_was_heard_of_since_is_not(
    tmp_path: Path,
) -> None:
    lost, alive, later = an_intent(1), an_intent(2), an_intent(3)
    long_after = later.entry.started_at + timedelta(hours=1)
    with a_journal(tmp_path) as journal:
        reader = JournalReader(journal.directory, live=True)
        journal.intent(lost)
        journal.progress(lost.entry.attempt_id, 64)
        behind_lost = journal.end
        journal.intent(alive)
        reader.batch(10)
        assert not reader.in_doubt
        assert reader.expired(long_after) == [], "nothing is damaged: whatever is open may still end"
        damaged_at = journal.end.offset
        journal.settle(settled(lost))
        overwrite(journal.directory, damaged_at + 60)
        journal.progress(alive.entry.attempt_id, 32)
        journal.intent(later)
        assert (reader.batch(10).entries, reader.damaged, reader.in_doubt) == ([], 1, True)
        assert reader.checkpoint == Position(1, 0)
        assert reader.expired(lost.entry.started_at) == []
        assert reader.expired(long_after) == [lost.entry._replace(output_tokens=64, cost_nanousd=180_000 + 600 * 64)]
        assert reader.checkpoint == behind_lost
        assert not reader.in_doubt
        assert reader.expired(long_after) == []
        # It was not over after all: the database has a row of that id, and keeps it.
        journal.settle(settled(lost))
        journal.settle(settled(alive))
        journal.settle(settled(later))
        batch = reader.batch(10)
        assert (batch.entries, batch.checkpoint) == ([settled(lost), settled(alive), settled(later)], journal.end)
        assert reader.orphans() == []
        reader.close()


def overwrite(directory: Path, offset: int) -> None:
    with segment_path(directory, 1).open("r+b") as segment:
        segment.seek(offset)
        segment.write(b"?")


def test_a_report_of_a_segment_counts_and_changes_nothing(tmp_path: Path) -> None:
    written = mixed_records(9)
    content = b"".join(record.frame for record in written)
    directory = written_by_hand(tmp_path / "journal", content[:-1] + b"}" + written[0].frame + written[1].frame[:-1])
    report = frames_of(segment_path(directory, 1))
    kinds = [chr(record.payload[0]) for record in written[:-1]]
    assert (report.intents, report.progress, report.settled) == (
        kinds.count("I") + 1,
        kinds.count("P"),
        kinds.count("S"),
    )
    begin = len(content) - len(written[-1].frame)
    assert report.damaged == [(begin, len(written[-1].frame))]
    assert report.torn == len(content) + len(written[0].frame)
    assert [path.name for path in tmp_path.iterdir()] == ["journal"]


def test_what_was_written_by_an_older_version_is_read(tmp_path: Path) -> None:
    intent = an_intent()
    fields = orjson.loads(records.intent_payload(intent)[1:])
    older = b"I" + orjson.dumps(fields[: 1 + intent.entry._fields.index("input_audio_tokens")])
    reading = read_all(written_by_hand(tmp_path / "journal", frames.encode(older)))
    assert reading.orphans == [intent.entry]
