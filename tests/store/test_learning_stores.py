import asyncio
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from gateway.ledger.entry import new_attempt_id
from gateway.store.database import Database
from gateway.store.evaluations import NO_PROMPT, Evaluation, EvaluationAnswer, EvaluationStore, Judgement
from gateway.store.recordings import Recorded, Recording, RecordingStore
from gateway.store.rehearsals import Pair, RehearsalStore
from gateway.store.rows import Rows
from gateway.store.tables_learning import rehearsal_budgets
from tests.store.rows import START

TODAY, TOMORROW = date(2026, 11, 29), date(2026, 11, 30)


def _id(minutes: int = 0) -> str:
    return new_attempt_id(START + timedelta(minutes=minutes))


# Rows.


def _budget(route: str, nanousd: int = 0) -> dict[str, Any]:
    return {"route": route, "day": TODAY, "reserved_nanousd": nanousd}


async def test_new_rows_go_in_and_known_ones_stay(database: Database) -> None:
    rows = Rows(database)
    assert await rows.insert_new(rehearsal_budgets, [_budget("a", 1), _budget("b", 2)]) == 2
    assert await rows.insert_new(rehearsal_budgets, [_budget("b", 9), _budget("c", 3), _budget("c", 9)]) == 1
    assert await rows.insert_new(rehearsal_budgets, []) == 0
    found = await rows.read(select(rehearsal_budgets).order_by(rehearsal_budgets.c.route))
    assert found == [_budget("a", 1), _budget("b", 2), _budget("c", 3)]


async def test_rows_that_are_put_replace_those_with_their_key(database: Database) -> None:
    rows = Rows(database)
    await rows.put(rehearsal_budgets, [_budget("a", 1), _budget("b", 2)])
    await rows.put(rehearsal_budgets, [_budget("b", 5), _budget("c", 3), _budget("c", 4)])
    await rows.put(rehearsal_budgets, [])
    found = await rows.read(select(rehearsal_budgets).order_by(rehearsal_budgets.c.route))
    assert found == [_budget("a", 1), _budget("b", 5), _budget("c", 4)]


async def test_statements_of_one_write_hold_together_and_say_how_many_rows_they_touched(database: Database) -> None:
    rows = Rows(database)
    await rows.put(rehearsal_budgets, [_budget("a", 1), _budget("b", 2)])
    more = update(rehearsal_budgets).values(reserved_nanousd=rehearsal_budgets.c.reserved_nanousd + 1)
    assert await rows.write(
        more, more.where(rehearsal_budgets.c.route == "a"), more.where(rehearsal_budgets.c.route == "z")
    ) == [2, 1, 0]
    found = await rows.read(select(rehearsal_budgets.c.reserved_nanousd).order_by(rehearsal_budgets.c.route))
    assert [row["reserved_nanousd"] for row in found] == [3, 3]


async def test_two_replicas_that_insert_the_same_rows_insert_each_once(
    database: Database, other_database: Database
) -> None:
    rows = [_budget(f"route{n}") for n in range(40)]
    halves = (
        Rows(database).insert_new(rehearsal_budgets, rows),
        Rows(other_database).insert_new(rehearsal_budgets, rows),
    )
    assert sum(await asyncio.gather(*halves)) == 40


# Money for rehearsals.


async def test_money_is_set_aside_up_to_the_limit_and_to_the_nano_dollar(database: Database) -> None:
    store = RehearsalStore(database)
    assert await store.reserved("reply", TODAY) == 0
    assert not await store.reserve("reply", TODAY, 101, 100)
    assert await store.reserve("reply", TODAY, 60, 100)
    assert not await store.reserve("reply", TODAY, 41, 100)
    assert await store.reserve("reply", TODAY, 40, 100)
    assert not await store.reserve("reply", TODAY, 1, 100)
    assert await store.reserved("reply", TODAY) == 100


async def test_each_route_and_each_day_has_money_of_its_own(database: Database) -> None:
    store = RehearsalStore(database)
    assert await store.reserve("reply", TODAY, 100, 100)
    assert await store.reserve("triage", TODAY, 100, 100)
    assert await store.reserve("reply", TOMORROW, 100, 100)
    await store.release("reply", TODAY, 30)
    assert [await store.reserved(*of) for of in (("reply", TODAY), ("triage", TODAY), ("reply", TOMORROW))] == [
        70,
        100,
        100,
    ]


async def test_what_was_not_spent_can_be_set_aside_again_and_what_was_overspent_counts(database: Database) -> None:
    store = RehearsalStore(database)
    await store.reserve("reply", TODAY, 100, 100)
    await store.release("reply", TODAY, 10)
    assert await store.reserve("reply", TODAY, 10, 100)
    await store.release("reply", TODAY, -50)
    assert await store.reserved("reply", TODAY) == 150
    assert not await store.reserve("reply", TODAY, 1, 100)
    assert await store.reserve("reply", TODAY, 50, 200), "the operator may raise the limit at noon"


async def test_a_billion_dollars_can_be_counted(database: Database) -> None:
    store, much = RehearsalStore(database), 10**18
    assert await store.reserve("reply", TODAY, much, much)
    assert await store.reserved("reply", TODAY) == much


async def test_replicas_that_ask_at_the_same_time_never_pass_the_limit(
    database: Database, other_database: Database
) -> None:
    stores = (RehearsalStore(database), RehearsalStore(other_database))
    sums = [7 + n % 5 for n in range(20)]
    asked = (stores[n % 2].reserve("reply", TODAY, sums[n], 100) for n in range(20))
    granted = await asyncio.gather(*asked)
    spent = sum(sum_ for sum_, ok in zip(sums, granted, strict=True) if ok)
    assert spent == await stores[0].reserved("reply", TODAY)
    refused = [sum_ for sum_, ok in zip(sums, granted, strict=True) if not ok]
    assert 100 - min(refused) < spent <= 100


def _pair(minutes: int, **fields: Any) -> Pair:
    given = {
        "attempt_id": _id(minutes),
        "request_id": f"request-{minutes}",
        "route": "reply",
        "target": "base",
        "prompt_version": None,
        "cost_nanousd": -5,
        "duration_ms": 12.5,
        "ttft_ms": None,
        "agreement": 0.75,
    }
    return Pair(**given | fields)


async def test_the_latest_pairs_of_a_route_come_in_their_order(database: Database) -> None:
    store = RehearsalStore(database)
    pairs = [_pair(n, cost_nanousd=None if n == 3 else n) for n in range(5)]
    await store.keep([pairs[3], pairs[0], pairs[4], pairs[1], pairs[2], _pair(9, route="triage")])
    await store.keep([replace(pairs[4], agreement=0.0)])
    await store.keep([])
    assert await store.latest("reply", 3) == pairs[2:]
    assert await store.latest("reply", 100) == pairs
    assert await store.latest("nobody", 3) == []


# Recordings.


def _recording(input_id: str = "a" * 16, sample: int = 0, **fields: Any) -> Recording:
    given = {
        "route": "reply",
        "provider": "openai",
        "model": "ft:tuned",
        "input_id": input_id,
        "sample": sample,
        "tenant": "",
        "request": '{"messages": []}',
        "answer": '{"content": "ä"}',
        "source": "training.jsonl",
        "recorded_at": START,
        "attempt_id": _id(),
        "cost_nanousd": 1_234_567_890_123,
        "duration_ms": 250.25,
    }
    return Recording(**given | fields)


OURS = ("reply", "openai", "ft:tuned")


async def test_recordings_come_back_as_they_were_sorted_by_input_and_sample(database: Database) -> None:
    store = RecordingStore(database)
    kept = [
        _recording("b" * 16, user_digest="d", request_id="r", input_tokens=1, output_tokens=2, ttft_ms=3.5),
        _recording("a" * 16, 1, answer=None, batch_id="batch-1", attempt_id=None, cost_nanousd=None),
        _recording("a" * 16, tenant="acme"),
    ]
    await store.keep(kept)
    others = [{"model": "ft:other"}, {"route": "triage"}, {"provider": "azure"}, {"asked_with": "0a1b2c3d"}]
    await store.keep([_recording(**other) for other in others])
    assert await store.of_route(*OURS) == [kept[2], kept[1], kept[0]]
    assert [row.asked_with for row in await store.of_route(*OURS, "0a1b2c3d")] == ["0a1b2c3d"]
    assert await store.of_route("reply", "openai", "nothing") == []


async def test_a_later_recording_replaces_an_earlier_one_of_the_same_input_and_sample(database: Database) -> None:
    store = RecordingStore(database)
    await store.keep([_recording(answer=None, batch_id="batch-1"), _recording(sample=1)])
    later = _recording(answer='{"content": "later"}', recorded_at=START + timedelta(days=1), batch_id=None)
    await store.keep([later])
    assert await store.of_route(*OURS) == [
        later,
        _recording(sample=1, attempt_id=(await store.of_route(*OURS))[1].attempt_id),
    ]


async def test_recordings_are_counted_by_what_they_are(database: Database) -> None:
    store = RecordingStore(database)
    assert await store.counts() == {}
    ids = [f"{n:016x}" for n in range(4)]
    await store.keep([_recording(id_) for id_ in ids[:3]] + [_recording(id_, 1) for id_ in ids[:2]])
    await store.keep([_recording(ids[3], answer=None), _recording(ids[2], 1, answer=None), _recording(route="triage")])
    await store.keep([_recording(ids[0], asked_with="0a1b2c3d", answer=None)])
    assert await store.counts() == {
        (*OURS, ""): Recorded(inputs=3, second_samples=2, pending=2),
        (*OURS, "0a1b2c3d"): Recorded(inputs=0, second_samples=0, pending=1),
        ("triage", *OURS[1:], ""): Recorded(inputs=1, second_samples=0, pending=0),
    }
    pending = await store.pending(*OURS)
    assert [(row.input_id, row.asked_with) for row in pending] == [
        (ids[0], "0a1b2c3d"),
        (ids[2], ""),
        (ids[3], ""),
    ]


async def test_what_a_batch_promised_and_did_not_keep_is_taken_back(database: Database) -> None:
    store = RecordingStore(database)
    await store.keep(
        [
            _recording("1" * 16, answer=None, batch_id="batch-1"),
            _recording("2" * 16, batch_id="batch-1"),
            _recording("3" * 16, answer=None, batch_id="batch-2"),
        ]
    )
    assert await store.forget_pending("batch-1") == 1
    assert await store.forget_pending("batch-1") == 0
    assert [row.input_id[0] for row in await store.of_route(*OURS)] == ["2", "3"]


async def test_recordings_are_found_by_any_column(database: Database) -> None:
    store = RecordingStore(database)
    await store.keep([_recording("1" * 16, user_digest="jane"), _recording("2" * 16, user_digest="joe")])
    assert [row.input_id[0] for row in await store.rows_of(user_digest="jane")] == ["1"]
    assert await store.rows_of(user_digest="jane", route="triage") == []


# Evaluations.


def _answer(input_id: str, minutes: int, **fields: Any) -> EvaluationAnswer:
    given = {
        "route": "reply",
        "provider": "openai",
        "model": "base",
        "prompt_version": "v1",
        "input_id": input_id,
        "answer": "{}",
        "attempt_id": _id(minutes),
        "input_tokens": 10,
        "cached_input_tokens": 4,
        "output_tokens": 5,
        "cost_nanousd": None,
        "duration_ms": 1.5,
        "ttft_ms": 0.5,
    }
    return EvaluationAnswer(**given | fields)


BASE = ("reply", "openai", "base", "v1")


async def test_answers_come_in_the_order_in_which_they_were_asked_for_and_nobody_pays_twice(database: Database) -> None:
    store = EvaluationStore(database)
    first, second, third = (_answer(name, minutes) for name, minutes in (("z", 1), ("a", 2), ("m", 3)))
    await store.keep_answers([third, first])
    await store.keep_answers([second, replace(first, answer="{}", attempt_id=_id(9))])
    await store.keep_answers([_answer("z", 4, prompt_version=NO_PROMPT), _answer("z", 5, model="other")])
    assert await store.answers(*BASE) == [first, second, third]
    assert [row.input_id for row in await store.answers(*BASE[:3], NO_PROMPT)] == ["z"]


async def test_the_first_word_of_a_judge_on_a_pair_stays(database: Database) -> None:
    store = EvaluationStore(database)
    judged = Judgement(*BASE, "a", "openai/judge", 1.0, True, START)
    await store.keep_judgements([judged])
    await store.keep_judgements([replace(judged, preference=-1.0), replace(judged, judge="openai/other")])
    assert await store.judged(*BASE, "openai/judge") == [judged]


def _evaluation(minutes: int, verdict: str = "accept", at: datetime = START, **fields: Any) -> Evaluation:
    given: dict[str, Any] = dict.fromkeys(Evaluation.__dataclass_fields__)
    given |= {"evaluation_id": _id(minutes), "verdict": verdict, "looks": "once", "measure": "chrf", "margin": 0.05}
    given |= {"route": "reply", "target": "base", "provider": "openai", "model": "base", "prompt_version": "v1"}
    given |= {"terms": "0a1b2c3d", "rows": 200, "report": "{}", "evaluated_at": at, "difference": -0.01}
    return Evaluation(**given | fields)


async def test_the_latest_verdict_on_each_target_with_each_prompt_counts(database: Database) -> None:
    store = EvaluationStore(database)
    assert await store.latest() == []
    old, new = _evaluation(1, "reject"), _evaluation(5, "accept")
    other_prompt, other_route = _evaluation(3, prompt_version="v2"), _evaluation(2, route="triage")
    for evaluation in (new, old, other_prompt, other_route):
        await store.conclude(evaluation)
    assert await store.latest() == [new, other_prompt, other_route]
    assert await store.latest("reply") == [new, other_prompt]
    assert await store.latest("nobody") == []
    assert [
        await store.looks_at(*BASE),
        await store.looks_at(*BASE[:3], "v2"),
        await store.looks_at("x", *BASE[1:]),
    ] == [2, 1, 0]
