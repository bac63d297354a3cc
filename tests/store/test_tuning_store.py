from dataclasses import replace
from datetime import timedelta

from gateway.clock import time_ordered_id
from gateway.policy.tuning import TuningJob, TuningState
from gateway.store.database import Database
from gateway.store.tuning import TuningStore
from tests.store.rows import START

LATER = START + timedelta(minutes=5)


def job(route: str = "reply", *, at: timedelta = timedelta(0)) -> TuningJob:
    created = START + at
    settings = {"dataset": "datasets/reply", "validation": True, "epochs": 3, "suffix": None, "usd_per_1m": "5.00"}
    return TuningJob(
        time_ordered_id(created),
        route,
        "acme",
        "openai",
        "gpt-4.1-mini-2025-04-14",
        "sft",
        "sha256:1",
        TuningState.PLANNED,
        "anna",
        created,
        created,
        settings,
        estimated_tokens=2**40,
        estimated_nanousd=2**50,
    )


async def test_a_job_comes_back_as_it_was_written(database: Database) -> None:
    store, one = TuningStore(database), job()
    await store.add(one)
    assert await store.find(one.job_id) == one
    news = {
        "state": TuningState.SUCCEEDED,
        "training_file": "file-1",
        "validation_file": "file-2",
        "provider_job": "ftjob-1",
        "model": "ft:gpt",
        "trained_tokens": 2**40,
        "billed_nanousd": 2**50,
        "error": None,
        "settings": {**one.settings, "provider_status": "succeeded"},
    }
    changed = await store.change(one, LATER, **news)
    assert changed == replace(one, **news, changed_at=LATER, version=2)
    assert await store.find(one.job_id) == changed


async def test_of_two_that_know_the_same_version_one_writes(database: Database, other_database: Database) -> None:
    first, second, one = TuningStore(database), TuningStore(other_database), job()
    await first.add(one)
    assert await second.change(one, LATER, state=TuningState.CANCELLING) is not None
    assert await first.change(one, LATER, state=TuningState.UPLOADING) is None
    known = await first.find(one.job_id)
    assert known is not None
    assert (known.state, known.version) == (TuningState.CANCELLING, 2)
    assert await first.change(known, LATER, training_file="file-1") is not None


async def test_jobs_are_listed_by_route_the_newest_first(database: Database) -> None:
    store = TuningStore(database)
    old, new, other = job(), job(at=timedelta(hours=1)), job("triage")
    for one in (old, new, other):
        await store.add(one)
    assert await store.of_route("reply") == [new, old]
    await store.change(new, LATER, state=TuningState.FAILED, error="it says so")
    assert await store.unfinished("reply") == [old]
    assert await store.find(time_ordered_id(START)) is None
