"""Which rows are evaluated, and what each is measured against."""

import pytest
from evaluation_material import id_of, recorded, row, rows_of

from gateway.learning.evaluation.rows import gather, is_for_tuning, messages_of
from gateway.store.recordings import Recording


def test_a_held_out_row_is_measured_against_its_answer_and_a_recorded_one_against_the_primarys() -> None:
    found = gather(
        rows_of(row("one", "billing")),
        [recorded("one", answer="account"), recorded("two"), recorded("two", 1, "how-to")],
        examples=frozenset(),
        tenant=None,
    )
    by_id = {one.input_id: one for one in found.rows}
    gold, own = by_id[id_of("one")], by_id[id_of("two")]
    assert (gold.reference["content"], gold.ceiling["content"]) == ("billing", "account")
    assert (own.reference["content"], own.ceiling["content"]) == ("bug", "how-to")
    assert [gold.missing_sample, own.missing_sample] == [None, None]


@pytest.mark.parametrize(
    ("recordings", "gold", "missing"),
    [
        pytest.param([], True, 0, id="a held-out row needs the primary's answer"),
        pytest.param([recorded("a")], True, None, id="which is recorded"),
        pytest.param([recorded("a")], False, 1, id="a recorded row needs a second sample"),
        pytest.param([recorded("a", answer=None)], True, None, id="a batch's promise is not asked for again"),
        pytest.param([recorded("a"), recorded("a", 1, None)], False, None, id="nor that of a second sample"),
    ],
)
def test_the_primary_is_asked_for_what_the_ceiling_lacks(
    recordings: list[Recording], gold: bool, missing: int | None
) -> None:
    (only,) = gather(rows_of(row("a")) if gold else (), recordings, examples=frozenset(), tenant=None).rows
    assert only.missing_sample == missing


def test_inputs_that_the_prompt_shows_are_left_out_and_counted() -> None:
    found = gather(
        rows_of(row("shown"), row("held out")), [recorded("shown as well")],
        examples=frozenset((id_of("shown"), id_of("shown as well"))), tenant=None,
    )  # fmt: skip
    assert [one.input_id for one in found.rows] == [id_of("held out")]
    assert found.in_prompt == 2


@pytest.mark.parametrize(
    ("owner", "tenant", "rows"),
    [
        pytest.param("", None, 1, id="nobody's row on nobody's route"),
        pytest.param("acme", "acme", 1, id="a tenant's row on that tenant's route"),
        pytest.param("acme", None, 0, id="a tenant's row on nobody's route"),
        pytest.param("acme", "globex", 0, id="a tenant's row on another's route"),
    ],
)
def test_another_tenants_rows_never_enter(owner: str, tenant: str | None, rows: int) -> None:
    found = gather((), [recorded("a", tenant=owner)], examples=frozenset(), tenant=tenant)
    assert (len(found.rows), found.of_other_tenants) == (rows, 1 - rows)


def test_the_same_input_counts_once_whatever_its_system_message() -> None:
    found = gather(rows_of(row("a", system="x"), row(" a "), row("b")), [], examples=frozenset(), tenant=None)
    assert (len(found.rows), found.repeated) == (2, 1)


def test_a_row_is_asked_with_its_own_system_message() -> None:
    (only,) = rows_of(row("a", system="Sort it."))
    assert messages_of(only)[0] == {"role": "system", "content": "Sort it."}


def test_rows_come_in_the_order_of_their_hashes() -> None:
    found = gather(rows_of(*(row(f"question {n}") for n in range(50))), [], examples=frozenset(), tenant=None)
    ids = [one.input_id for one in found.rows]
    assert ids == sorted(ids)
    assert 10 < sum(map(is_for_tuning, found.rows)) < 40
