from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ledger import records
from gateway.ledger.entry import Entry, EntryKind
from gateway.ledger.records import Intent
from gateway.reasons import FailureKind, Outcome, Reason, Role, UsageSource
from tests.store.rows import an_entry

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
counts = st.integers(0, 2**63 - 1)
times = st.floats(0, 1e9, allow_nan=False)
instants = st.datetimes(timezones=st.just(UTC))
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "attempt_id": texts,
    "role": st.sampled_from(Role),
    "reason": st.sampled_from(Reason),
    "usage_source": st.sampled_from(UsageSource),
    "outcome": st.sampled_from(Outcome),
    "failure": st.none() | st.sampled_from(FailureKind),
    "kind": st.sampled_from(get_args(EntryKind)),
    "tags": st.none() | st.dictionaries(texts, texts, max_size=3),
    "cost_nanousd": st.none() | st.integers(-(2**63), 2**63 - 1),
    "status": st.none() | st.integers(100, 599),
}
BY_TYPE: dict[object, st.SearchStrategy[Any]] = {
    str: texts,
    int: counts,
    bool: st.booleans(),
    float: times,
    datetime: instants,
    str | None: st.none() | texts,
    float | None: st.none() | times,
    bool | None: st.none() | st.booleans(),
}
rows = st.builds(
    Entry, **{name: FIELDS[name] if name in FIELDS else BY_TYPE[kind] for name, kind in Entry.__annotations__.items()}
)
prices = st.none() | st.decimals(0, 10**9, allow_nan=False, allow_infinity=False)


def types_of(entry: Entry) -> list[type]:
    return [type(value) for value in entry]


@settings(max_examples=50)
@given(rows, prices)
def test_rows_and_intents_come_back_exactly(entry: Entry, price: Decimal | None) -> None:
    read = records.entry_of(records.settle_payload(entry))
    assert read == entry
    assert types_of(read) == types_of(entry)
    intent = records.intent_of(records.intent_payload(Intent(entry, price)))
    assert intent == Intent(entry, price)
    assert types_of(intent.entry) == types_of(entry)


@given(texts, counts)
def test_progress_comes_back(attempt_id: str, tokens: int) -> None:
    assert records.progress_of(records.progress_payload(attempt_id, tokens)) == tokens


@given(texts, texts)
def test_an_attempt_is_known_by_the_same_id_in_all_its_records(one: str, other: str) -> None:
    entry = an_entry(attempt_id=one)
    keys = {
        records.attempt_id_of(records.intent_payload(Intent(entry, None))),
        records.attempt_id_of(records.progress_payload(one, 1)),
        records.attempt_id_of(records.settle_payload(entry)),
    }
    assert len(keys) == 1
    assert (records.attempt_id_of(records.progress_payload(other, 1)) in keys) == (one == other)


@pytest.mark.parametrize(
    ("first_unknown", "defaults"),
    [
        pytest.param(
            "input_audio_tokens",
            {"input_audio_tokens": 0, "overhead_ms": None, "contract_broken": None},
            id="one of before parts, overheads and contracts",
        ),
        pytest.param("contract_broken", {"contract_broken": None}, id="one of before contracts"),
    ],
)
def test_a_row_of_an_older_version_gets_the_defaults_of_what_it_does_not_know(
    first_unknown: str, defaults: dict[str, Any]
) -> None:
    entry, known = an_entry(input_audio_tokens=7, overhead_ms=2.5, contract_broken=True), Entry._fields
    older = orjson.loads(records.settle_payload(entry)[1:])[: known.index(first_unknown)]
    assert records.entry_of(b"S" + orjson.dumps(older)) == entry._replace(**defaults)
    intent = orjson.loads(records.intent_payload(Intent(entry, Decimal("1.5")))[1:])[: known.index(first_unknown) + 1]
    assert records.intent_of(b"I" + orjson.dumps(intent)) == Intent(entry._replace(**defaults), Decimal("1.5"))


def test_a_row_of_a_newer_version_is_read_as_far_as_it_is_known() -> None:
    entry = an_entry(overhead_ms=2.5)
    newer = [*orjson.loads(records.settle_payload(entry)[1:]), "more", {"and": "more"}]
    assert records.entry_of(b"S" + orjson.dumps(newer)) == entry
    intent = Intent(entry, Decimal("1.5"))
    newer = [*orjson.loads(records.intent_payload(intent)[1:]), 5]
    assert records.intent_of(b"I" + orjson.dumps(newer)) == intent


def test_a_word_of_a_newer_version_does_not_lose_the_row() -> None:
    payload = records.settle_payload(an_entry()).replace(b'"primary","ft:', b'"x","ft:').replace(b'"ok"', b'"better"')
    assert str(records.entry_of(payload).outcome) == "better"


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"S[]", id="no fields"),
        pytest.param(b'S["id"]', id="too few fields"),
        pytest.param(b'S["id"', id="no JSON"),
        pytest.param(b'S{"id":1}', id="no list"),
        pytest.param(records.settle_payload(an_entry()).replace(b"2026-11-23T", b"yesterday "), id="no instant"),
    ],
)
def test_what_is_no_row_is_told_by_an_error(payload: bytes) -> None:
    with pytest.raises((ValueError, TypeError, IndexError, KeyError)):
        records.entry_of(payload)


def frozen(tags: dict[str, str]) -> Mapping[str, str]:
    return MappingProxyType(tags)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"tags": frozen({"a": "b"})}, {"tags": {"a": "b"}}, id="a frozen mapping is written as it is"),
        pytest.param({"key": "half \ud83d"}, {"key": "half ?"}, id="half a surrogate pair is replaced"),
        pytest.param({"tags": {"a": "\ud83d"}}, {"tags": {"a": "?"}}, id="also in a tag"),
        pytest.param({"input_tokens": 10**30}, {"input_tokens": 2**63 - 1}, id="a count beyond 64 bits is cut"),
    ],
)
def test_a_row_is_not_lost_by_a_value_that_json_cannot_say(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    entry = an_entry()
    assert records.entry_of(records.settle_payload(entry._replace(**fields))) == entry._replace(**expected)
