"""Whatever bytes stand in a journal: reading never fails, and loses nothing that was whole before the damage."""

import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.ledger import frames
from tests.ledger.journal_material import mixed_records, read_all, what_they_say, written_by_hand

SOAK = bool(os.environ.get("UNDERSTUDY_SOAK"))
LIKE_A_JOURNAL = settings(
    max_examples=5_000 if SOAK else 60, deadline=2_000, suppress_health_check=[HealthCheck.too_slow]
)
RECORDS = mixed_records(30)
GOOD = [record.frame for record in RECORDS]
RUBBISH = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from(GOOD).map(lambda frame: frame[: len(frame) // 2]),
        st.binary(max_size=40).map(frames.encode),
        st.sampled_from([b'S["x"', b"S[]", b"I[null]", b"P[1,2]", b'S["a",{}]', b"Z[1]", b"[", b"S"]).map(
            frames.encode
        ),
        st.just(bytes(64)),
    ),
    max_size=12,
).map(b"".join)


@LIKE_A_JOURNAL
@given(st.integers(0, len(RECORDS)), RUBBISH, st.booleans())
def test_any_bytes_behind_good_records_lose_none_of_those(good: int, rubbish: bytes, live: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = written_by_hand(Path(directory), b"".join(GOOD[:good]) + rubbish)

        found = read_all(path, live=live)

    entries, _ = what_they_say(RECORDS[:good])
    assert [entry for entry in found.entries if entry in entries][: len(entries)] == entries


@LIKE_A_JOURNAL
@given(st.binary(max_size=400))
def test_no_bytes_at_all_make_it_fail(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        read_all(written_by_hand(Path(directory), content))
