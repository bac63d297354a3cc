"""A canary against its incumbent: what counts, how it is paired, and how often the watch errs."""

import random
import tracemalloc
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from example_promotions import a_canary

from gateway.clock import time_ordered_id
from gateway.config.routes import Timeouts
from gateway.learning.canary import MOST_PAIRS, Comparison, Evidence, Pairing, compared, score_of, words_of
from gateway.learning.evaluation.statistics import Verdict
from gateway.policy.promotion import Promotion
from gateway.reasons import FailureKind, Label, Outcome, Reason, Role
from gateway.store.canaries import Ended
from gateway.store.database import Database
from gateway.store.feedback import Feedback, FeedbackStore
from gateway.store.usage import UsageStore
from tests.store.rows import START, an_entry

SOON = START + timedelta(minutes=20)
MINUTE = timedelta(minutes=1)


def a_promotion(**fields: Any) -> Promotion:
    return a_canary(START, **{"provider": "openai", "incumbent_provider": "openai"} | fields)


# How it is paired.


def paired(*scores: tuple[str, float]) -> list[float]:
    pairing = Pairing()
    for who, score in scores:
        pairing.add(by_canary=who == "canary", score=score)
    return pairing.differences


def test_a_pair_is_what_came_of_both_since_the_last_one() -> None:
    assert paired(("incumbent", 1), ("incumbent", 0), ("canary", 1)) == [0.5]
    assert paired(("canary", 1), ("canary", 0), ("canary", 1), ("incumbent", 1)) == [pytest.approx(-1 / 3)]
    assert paired(("canary", 1), ("incumbent", 1), ("incumbent", 0), ("canary", 1)) == [0, 1]
    assert paired(*[("canary", 1)] * 9) == []


def test_a_time_that_is_bad_for_both_counts_for_neither() -> None:
    good = [("incumbent", 1.0)] * 19 + [("canary", 1.0)]
    bad = [("incumbent", 0.0)] * 19 + [("canary", 0.0)]
    assert paired(*good, *bad, *good) == [0, 0, 0]


def test_what_waits_for_a_canary_that_nobody_asks_takes_no_more_room() -> None:
    pairing = Pairing()
    tracemalloc.start()
    for _ in range(100_000):
        pairing.add(by_canary=False, score=random.random())
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 10_000


def test_pairs_end_somewhere() -> None:
    assert len(paired(*[("incumbent", 1.0), ("canary", 1.0)] * (MOST_PAIRS + 5))) == MOST_PAIRS


# How often it errs: simulated.


def stopped(
    seed: int,
    *,
    ok: tuple[float, float],
    kept: tuple[float, float] = (1, 1),
    pairs: int,
    share: float = 0.05,
    every: int = 50,
) -> bool:
    """Tell whether a canary is stopped that somebody looks at again and again.

    ``ok``: which part of requests the incumbent answers, and the canary; ``kept``: by which part of those the contract
    is kept.
    """
    chance = random.Random(seed)
    evidence = Evidence(a_promotion(margin=0.05), Timeouts())
    looked = 0
    while len(evidence._answers.differences) < pairs:
        by_canary = chance.random() < share
        came = chance.random() < ok[by_canary]
        broke = came and chance.random() >= kept[by_canary]
        evidence._answered(Ended(f"{chance.random()}", by_canary, came, broke_contract=broke))
        if len(evidence._answers.differences) >= looked + every:
            looked = len(evidence._answers.differences)
            if evidence.compared().verdict is Verdict.REJECT:
                return True
    return False


@pytest.mark.parametrize(
    ("ok", "at_least", "at_most"),
    [
        pytest.param((0.97, 0.97), 0, 2, id="one that is as good is stopped in at most 5 % of runs"),
        pytest.param((0.90, 0.90), 0, 2, id="also where both fail often"),
        pytest.param((0.97, 0.92), 0, 3, id="one at the limit itself is stopped in at most 5 %, but for chance"),
        pytest.param((0.97, 0.77), 36, 40, id="one that is clearly worse is stopped in most"),
        pytest.param((0.99, 0.50), 40, 40, id="one that fails every other time is always"),
    ],
)
def test_of_forty_canaries(ok: tuple[float, float], at_least: int, at_most: int) -> None:
    ended = sum(stopped(seed, ok=ok, pairs=250) for seed in range(40))
    assert at_least <= ended <= at_most


@pytest.mark.parametrize(
    ("kept", "at_least", "at_most"),
    [
        pytest.param((1.0, 0.8), 19, 20, id="one that breaks it in one of five is stopped in nearly all"),
        pytest.param((0.8, 0.8), 0, 1, id="one that breaks it as often as its incumbent is not"),
    ],
)
def test_of_twenty_canaries_of_a_route_with_a_contract(kept: tuple[float, float], at_least: int, at_most: int) -> None:
    ended = sum(stopped(seed, ok=(0.97, 0.97), kept=kept, pairs=250) for seed in range(20))
    assert at_least <= ended <= at_most


def test_one_id_for_all_requests_does_not_hide_that_a_canary_fails() -> None:
    """Some clients send one ``X-Request-ID`` for ever."""
    chance, evidence = random.Random(7), Evidence(a_promotion(margin=0.05), Timeouts())
    for _ in range(1000):
        by_canary, fails = chance.random() < 0.3, chance.random() < 0.5
        if by_canary:
            evidence._answered(Ended("same", True, not fails))
        if fails or not by_canary:
            evidence._answered(Ended("same", False, True))
    found = evidence.compared()
    assert found.verdict is Verdict.REJECT
    assert (found.incumbent.answers, found.incumbent.failed) > (500, 0)


# What counts: read out of the database.


def a_mark(number: int, *, model: str = "next", request_id: str | None = None, **fields: Any) -> Feedback:
    at = START + number * MINUTE / 10
    given = Feedback(
        feedback_id=time_ordered_id(at),
        route="forum-reply",
        tenant="",
        request_id=request_id or f"req_{model}_{number}",
        source="api",
        by="app",
        given_at=at,
        provider="openai",
        model=model,
    )
    return replace(given, **fields)


@pytest.mark.parametrize(
    ("mark", "score"),
    [
        pytest.param(a_mark(1, label=Label.RIGHT), 1.0, id="right"),
        pytest.param(a_mark(1, label=Label.WRONG, score=0.9), 0.0, id="wrong, whatever the score"),
        pytest.param(a_mark(1, score=0.75), 0.75, id="a score"),
        pytest.param(a_mark(1, comment="hm"), None, id="a comment alone"),
    ],
)
def test_a_mark_is_worth(mark: Feedback, score: float | None) -> None:
    assert score_of(mark) == score


async def found(database: Database, rows: Iterable[Any] = (), marks: Iterable[Feedback] = ()) -> Comparison:
    await UsageStore(database).insert_attempts(list(rows))
    for mark in marks:
        await FeedbackStore(database).add(mark)
    return await compared(database, a_promotion(), Timeouts(), SOON)


def an_attempt(number: int, *, canary: bool = False, ok: bool = True, **fields: Any) -> Any:
    started = START + number * MINUTE / 10
    given = {
        "attempt_id": time_ordered_id(started),
        "request_id": f"req_{number}",
        "route": "forum-reply",
        "target": "canary" if canary else "primary",
        "role": Role.PRIMARY,
        "provider": "openai",
        "model_asked": "next" if canary else "tuned",
        "model_answered": None,
        "reason": Reason.CANARY if canary else Reason.PRIMARY,
        "outcome": Outcome.OK if ok else Outcome.FAILED,
        "failure": None if ok else FailureKind.SERVER_ERROR,
        "started_at": started,
        "finished_at": started + timedelta(seconds=1),
    }
    return an_entry(number * MINUTE / 10, **given | fields)


async def test_attempts_of_both_are_counted_and_nothing_else(database: Database) -> None:
    rows = [
        an_attempt(1),
        an_attempt(2, ok=False),
        an_attempt(3, canary=True),
        an_attempt(4, canary=True, ok=False),
        # The same request, passed on to the incumbent.
        an_attempt(5, request_id="req_4", ok=False),
        an_attempt(6, pinned=True, ok=False),
        an_attempt(7, kind="rehearsal", ok=False),
        an_attempt(8, outcome=Outcome.CANCELLED),
        an_attempt(9, canary=True, outcome=Outcome.INTERRUPTED),
        an_attempt(10, route="triage", ok=False),
        an_attempt(11, model_asked="third", ok=False),
        an_attempt(12, reason=Reason.SERVER_ERROR, role=Role.FALLBACK, ok=False),
        an_attempt(-20, canary=True, ok=False),
    ]
    made = await found(database, rows)
    assert (made.incumbent.answers, made.incumbent.failed) == (2, 1)
    assert (made.canary.answers, made.canary.failed) == (2, 1)
    assert made.verdict is Verdict.NOT_ENOUGH_EVIDENCE


async def test_what_the_incumbent_refuses_as_well_is_the_callers_and_counts_against_nobody(database: Database) -> None:
    refused = {"ok": False, "failure": FailureKind.BAD_REQUEST}
    rows = [
        an_attempt(1, canary=True, **refused),
        an_attempt(2, request_id="req_1", **refused),
        an_attempt(3, canary=True, **refused),
        an_attempt(4, request_id="req_3"),
        an_attempt(5),
    ]
    made = await found(database, rows)
    assert (made.canary.answers, made.canary.failed) == (1, 1), "the incumbent took what it refused"
    assert (made.incumbent.answers, made.incumbent.failed) == (1, 0)


async def test_an_answer_that_broke_the_contract_came_and_counts_as_nothing(database: Database) -> None:
    rows = [
        an_attempt(1, contract_broken=False),
        an_attempt(2, canary=True, contract_broken=True),
        an_attempt(3, contract_broken=True),
        an_attempt(4, canary=True, contract_broken=False),
        # Nobody looked: a stream, or a replica of the version before.
        an_attempt(5),
        an_attempt(6, canary=True),
        an_attempt(7, canary=True, ok=False),
        # The canary failed this one: what the incumbent made of it is no draw from all of its requests.
        an_attempt(8, request_id="req_7", contract_broken=True),
    ]
    made = await found(database, rows)
    canary, incumbent = made.canary, made.incumbent
    assert (canary.answers, canary.failed, canary.broke_contract) == (4, 1, 1)
    assert (incumbent.answers, incumbent.failed, incumbent.broke_contract) == (3, 0, 1)
    assert (made.answers.rows, made.answers.mean) == (3, 0), "-1, then +1, then 0"
    assert words_of(made).endswith("; 1 broke the contract, and 1 of the incumbent's")


async def test_nothing_is_said_of_contracts_where_none_was_broken(database: Database) -> None:
    made = await found(database, [an_attempt(1), an_attempt(2, canary=True, contract_broken=False)])
    assert "contract" not in words_of(made)


async def test_what_took_long_is_read_once_it_has_ended(database: Database) -> None:
    evidence = Evidence(a_promotion(), Timeouts())
    await UsageStore(database).insert_attempts([an_attempt(1), an_attempt(2, canary=True)])
    await evidence.read_on(database, START + 5 * MINUTE)
    late = an_attempt(3, canary=True, ok=False, finished_at=START + 9 * MINUTE)
    await UsageStore(database).insert_attempts([late])
    await evidence.read_on(database, START + 10 * MINUTE)
    await evidence.read_on(database, START + 11 * MINUTE)
    made = evidence.compared()
    assert (made.canary.answers, made.canary.failed, made.incumbent.answers) == (2, 1, 1)


async def test_a_quiet_month_is_read_in_one_look(database: Database) -> None:
    evidence, month = Evidence(a_promotion(), Timeouts()), timedelta(days=30)
    # The last in the hour before: a long step still begins where its answers do.
    rows = [an_attempt(1), an_attempt(2, canary=True), an_attempt(30 * 24 * 60 - 50, canary=True)]
    await UsageStore(database).insert_attempts(rows)
    assert not await evidence.read_on(database, START + month)
    assert evidence.compared().canary.answers == 2


async def test_what_takes_as_long_as_its_route_allows_counts(database: Database) -> None:
    hangs = an_attempt(1, canary=True, ok=False, finished_at=START + 60 * MINUTE)
    await UsageStore(database).insert_attempts([hangs])
    for total_s, answers in ((4000.0, 1), (600.0, 0)):
        made = await compared(database, a_promotion(), Timeouts(total_s=total_s), START + 61 * MINUTE)
        assert made.canary.answers == answers


async def test_marks_by_people_stop_a_canary_whose_answers_all_come(database: Database) -> None:
    marks = [a_mark(2 * n, label=Label.WRONG) for n in range(1, 90)]
    marks += [a_mark(2 * n + 1, model="tuned", label=Label.RIGHT) for n in range(1, 90)]
    made = await found(database, [an_attempt(n, canary=n % 2 == 0) for n in range(40)], sorted(marks, key=_when))
    assert (made.canary.marks, made.canary.liked, made.incumbent.liked) == (89, 0, 89)
    assert made.answers.verdict is not Verdict.REJECT
    assert made.verdict is Verdict.REJECT
    assert words_of(made).startswith("answers that came +0.0 points (")
    assert "marks by people -100.0 points (" in words_of(made)


def _when(mark: Feedback) -> Any:
    return mark.given_at


async def test_the_first_word_on_a_request_counts_and_marks_on_others_models_do_not(database: Database) -> None:
    marks = [
        a_mark(1, label=Label.RIGHT, request_id="req_1"),
        a_mark(2, label=Label.WRONG, request_id="req_1"),
        a_mark(3, label=Label.WRONG, model="base"),
        a_mark(4, label=Label.WRONG, model="tuned", provider="azure"),
    ]
    made = await found(database, marks=marks)
    assert (made.canary.marks, made.canary.liked, made.incumbent.marks) == (1, 1.0, 0)


async def test_a_mark_counts_once_however_often_somebody_looks_and_one_that_was_kept_late_counts_too(
    database: Database,
) -> None:
    evidence, store = Evidence(a_promotion(), Timeouts()), FeedbackStore(database)
    await store.add(a_mark(10, label=Label.RIGHT))
    await evidence.read_on(database, START + 2 * MINUTE)
    # Given before the look, and kept after it.
    await store.add(a_mark(19, label=Label.WRONG))
    await store.add(a_mark(25, label=Label.WRONG))
    for minute in (3, 4, 9):
        await evidence.read_on(database, START + minute * MINUTE)
    made = evidence.compared()
    assert (made.canary.marks, made.canary.liked) == (3, 1.0)


async def test_what_people_say_of_what_a_canary_had_failed_is_left_out(database: Database) -> None:
    rows = [an_attempt(1, canary=True, ok=False), an_attempt(2, request_id="req_1"), an_attempt(3)]
    marks = [
        a_mark(4, model="tuned", request_id="req_1", label=Label.WRONG),
        a_mark(5, model="tuned", request_id="req_3", label=Label.RIGHT),
    ]
    made = await found(database, rows, marks)
    assert (made.incumbent.marks, made.incumbent.liked) == (1, 1.0)
