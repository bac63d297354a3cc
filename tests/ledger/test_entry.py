from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

import pytest

from gateway.ledger.entry import Entry, new_attempt_id

START = datetime(2027, 1, 14, 0, 0, 0, 123_456, tzinfo=UTC)


def test_an_attempts_id_is_a_uuid_of_version_7_that_carries_the_start() -> None:
    attempt_id = UUID(new_attempt_id(START))
    assert str(attempt_id) == str(attempt_id).lower()
    assert attempt_id.version == 7
    assert attempt_id.variant == RFC_4122
    milliseconds = attempt_id.int >> 80
    assert datetime.fromtimestamp(milliseconds / 1000, UTC) == START.replace(microsecond=123_000)


def test_ids_sort_by_start_to_the_microsecond() -> None:
    starts = [START + timedelta(microseconds=step) for step in (0, 1, 2, 543, 544, 545, 1000, 876_543, 876_544, 10**7)]
    ids = [new_attempt_id(start) for start in starts]
    assert ids == sorted(ids)
    assert [UUID(id_) for id_ in ids] == sorted(UUID(id_) for id_ in ids)


def test_ids_differ_while_the_clock_stands_still() -> None:
    assert len({new_attempt_id(START) for _ in range(10_000)}) == 10_000


def test_a_start_without_a_zone_is_refused() -> None:
    with pytest.raises(TypeError):
        new_attempt_id(datetime(2027, 1, 14))  # noqa: DTZ001


def test_an_entry_cannot_change(entry: Entry) -> None:
    with pytest.raises(AttributeError):
        entry.cost_nanousd = 0  # type: ignore[misc]
