"""Which rows are evaluated, and what each is measured against."""

from dataclasses import replace

import orjson
import pytest
from evaluation_material import REDACTOR, id_of, question_of, recorded, row, rows_of

from gateway.config.packs import FIXED, HELD_OUT, INSTRUCTIONS, POOL, PackExample, example_line, parse_pack, sealed
from gateway.config.routes import Prompt
from gateway.learning.evaluation.rows import example_questions, gather, is_for_tuning, messages_of
from gateway.store.recordings import Recording


def test_a_held_out_row_is_measured_against_its_answer_and_a_recorded_one_against_the_primarys() -> None:
    found = gather(
        rows_of(row("one", "billing")),
        [recorded("one", answer="account"), recorded("two"), recorded("two", 1, "how-to")],
        examples=frozenset(),
        tenant=None,
        redactor=REDACTOR,
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
    (only,) = gather(
        rows_of(row("a")) if gold else (), recordings, examples=frozenset(), tenant=None, redactor=REDACTOR
    ).rows
    assert only.missing_sample == missing


def test_inputs_that_the_prompt_shows_are_left_out_and_counted() -> None:
    found = gather(
        rows_of(row("shown"), row("held out")), [recorded("shown as well")],
        examples=frozenset((question_of("shown"), question_of("shown as well"))), tenant=None, redactor=REDACTOR,
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
    found = gather((), [recorded("a", tenant=owner)], examples=frozenset(), tenant=tenant, redactor=REDACTOR)
    assert (len(found.rows), found.of_other_tenants) == (rows, 1 - rows)


def test_the_same_input_counts_once_whatever_its_system_message() -> None:
    found = gather(
        rows_of(row("a", system="x"), row(" a "), row("b")), [], examples=frozenset(), tenant=None, redactor=REDACTOR
    )
    assert (len(found.rows), found.repeated) == (2, 1)


def test_a_row_is_asked_with_its_own_system_message() -> None:
    (only,) = rows_of(row("a", system="Sort it."))
    assert messages_of(only)[0] == {"role": "system", "content": "Sort it."}


def test_rows_come_in_the_order_of_their_hashes() -> None:
    found = gather(
        rows_of(*(row(f"question {n}") for n in range(50))), [], examples=frozenset(), tenant=None, redactor=REDACTOR
    )
    ids = [one.input_id for one in found.rows]
    assert ids == sorted(ids)
    assert 10 < sum(map(is_for_tuning, found.rows)) < 40


MAIL = "Refund to ann@example.org, please"


def examples_of(*examples: tuple[dict[str, str], ...]) -> frozenset[str]:
    """Return the questions of a pack's examples."""
    packed = b"".join(example_line(PackExample("0" * 16, example, 9)) for example in examples)
    manifest = {"format": 1, "route": "r", "similar": 1, "similar_tokens": 9, "prefix_tokens": 9, "trained_system": []}
    files = {INSTRUCTIONS: b"", FIXED: packed, POOL: b"", HELD_OUT: b""}
    return example_questions(Prompt(version="", pack=parse_pack(sealed(manifest, files))), REDACTOR)


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(recorded(MAIL), id="before it was redacted"),
        pytest.param(recorded("refund to  [email], PLEASE"), id="with another case and white space"),
        pytest.param(
            replace(
                recorded(MAIL), request=orjson.dumps({"messages": [said("user", MAIL)], "tools": [{"a": 1}]}).decode()
            ),
            id="with tools",
        ),
        pytest.param(recorded("Hello"), id="as an earlier turn of an example"),
    ],
)
def test_what_the_pack_shows_is_left_out_however_it_is_written(asked: Recording) -> None:
    shown = examples_of(
        (said("user", "Refund to [email], please"), said("assistant", "billing")),
        (said("user", "Hello"), said("assistant", "Hi"), said("user", "Bye"), said("assistant", "Bye")),
    )
    found = gather((), [asked, recorded("new")], examples=shown, tenant=None, redactor=REDACTOR)
    assert [one.input_id for one in found.rows] == [id_of("new")]
    assert found.in_prompt == 1


def test_a_row_and_its_redacted_twin_are_one_and_share_the_primarys_answer() -> None:
    found = gather(
        rows_of(row("Refund to [email], please", "billing")), [recorded(MAIL, answer="to ann@example.org")],
        examples=frozenset(), tenant=None, redactor=REDACTOR,
    )  # fmt: skip
    (only,) = found.rows
    assert found.repeated == 1
    assert only.ceiling == {"role": "assistant", "content": "to [email]"}
    assert only.missing_sample is None


def test_the_recording_of_a_held_out_row_is_no_repetition() -> None:
    found = gather(rows_of(row("a")), [recorded("a")], examples=frozenset(), tenant=None, redactor=REDACTOR)
    assert (len(found.rows), found.repeated) == (1, 0)


def test_rows_of_a_named_file_stand_alone_with_recordings_as_their_ceilings() -> None:
    found = gather(
        rows_of(row("a")), [recorded("a"), recorded("b")],
        examples=frozenset(), tenant=None, redactor=REDACTOR, gold_only=True,
    )  # fmt: skip
    assert [(one.input_id, one.ceiling is not None) for one in found.rows] == [(id_of("a"), True)]


@pytest.mark.parametrize(
    ("tuned", "rows", "left_out"),
    [
        pytest.param(10, 20, True, id="twenty others are there"),
        pytest.param(11, 30, False, id="too few others are there"),
    ],
)
def test_rows_that_chose_the_size_are_left_out_while_enough_others_are_there(
    tuned: int, rows: int, left_out: bool
) -> None:
    some = rows_of(*(row(f"question {n}") for n in range(30)))
    found = gather(some, [], examples=frozenset(), tenant=None, redactor=REDACTOR)
    chose = frozenset(one.input_id for one in found.rows[:tuned])
    after = found.without_tuning(chose | {"f" * 16}, 20)
    assert (len(after.rows), after.tuned_on, after.is_tuning_left_out) == (rows, chose, left_out)
