"""Whole answers are held to their route's contract before they go out: rows and the metric say so, callers get them."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from fake_provider import DONE, FakeProvider, Script, chunk, completion, in_turn, refuses, says, streams, usage_chunk
from promotions_made import begun, ended
from served_gateway import Serve, ServedGateway

from gateway.policy.promotion import Ending
from gateway.store.database import Database
from gateway.store.states import StateStore

pytestmark = pytest.mark.rig
KEPT, BROKEN = '{"total": 5}', '{"sum": 5}'
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
CALLS = completion(
    choices=[{"index": 0, "finish_reason": "tool_calls", "message": {"content": None, "tool_calls": [CALL]}}]
)


async def with_contract(serve: Serve, directory: Path) -> ServedGateway:
    schema = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
    (directory / "answer.json").write_text(json.dumps(schema))
    return await serve({"contract": str(directory / "answer.json")})


@pytest.mark.parametrize(
    ("script", "asked", "broken"),
    [
        pytest.param(says(completion(KEPT)), {}, 0, id="kept"),
        pytest.param(says(completion(BROKEN)), {}, 1, id="JSON of another shape"),
        pytest.param(says(completion("Five.")), {}, 1, id="no JSON"),
        pytest.param(says(CALLS), {}, None, id="a call of a tool says nothing in words"),
        pytest.param(
            streams(chunk("Five."), chunk(finish="stop"), usage_chunk(), DONE),
            {"stream": True},
            None,
            id="a stream is not looked at",
        ),
    ],
)
async def test_a_row_says_whether_an_answer_kept_the_contract(
    serve: Serve, provider: FakeProvider, tmp_path: Path, script: Script, asked: dict[str, Any], broken: int | None
) -> None:
    provider.models["tuned"] = script
    gateway = await with_contract(serve, tmp_path)
    assert (await gateway.chat(**asked)).status_code == 200, "whatever it says, it is the caller's"
    (row,) = await gateway.rows(1)
    assert (row.outcome, row.contract_broken) == ("ok", broken)
    assert await gateway.metric("gateway_contract_violations_total", route="reply") == (broken or 0)


async def test_of_an_attempt_that_failed_nothing_is_said_and_a_fallback_is_held_to_it_too(
    serve: Serve, provider: FakeProvider, tmp_path: Path
) -> None:
    provider.models |= {"tuned": refuses(500, "oops"), "base": says(completion(BROKEN))}
    gateway = await with_contract(serve, tmp_path)
    assert (await gateway.chat()).status_code == 200
    failed, answered = await gateway.rows_of_callers(2)
    assert (failed.contract_broken, answered.contract_broken) == (None, 1)
    assert await gateway.metric("gateway_contract_violations_total", served_by="fallback") == 1


async def test_without_a_contract_nobody_looks(serve: Serve) -> None:
    gateway = await serve()
    await gateway.chat()
    (row,) = await gateway.rows(1)
    assert row.contract_broken is None


async def test_evidence_stops_a_canary_whose_answers_break_the_contract(
    serve: Serve, provider: FakeProvider, tmp_path: Path
) -> None:
    provider.models["tuned"] = says(completion(KEPT))
    turns = [says(completion(text, model="next")) for text in (KEPT, BROKEN)]
    provider.models["next"] = in_turn(*turns * 200)
    gateway = await with_contract(serve, tmp_path)
    await begun(gateway, share=0.5, margin=0.2)
    for start in range(0, 400, 50):
        asked = await asyncio.gather(*(gateway.chat(user=f"user-{start + n}") for n in range(50)))
        assert {answer.status_code for answer in asked} == {200}
    await ended(gateway, Ending.EVIDENCE)
    database = await Database.open(f"sqlite:///{gateway.database}")
    (told, *_) = await StateStore(database, "").events()
    await database.close()
    assert told.text.startswith("the canary v2 (next) of reply was stopped, for it is worse than tuned: answers that ")
    assert " broke the contract, and 0 of the incumbent's" in told.text
