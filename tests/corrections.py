"""Marks as people give them, for tests of what becomes of corrections."""

from datetime import UTC, datetime
from itertools import count
from typing import Any

import orjson

from gateway.ledger.entry import new_attempt_id
from gateway.policy.inputs import input_id
from gateway.policy.splits import Split, split_of
from gateway.reasons import Label
from gateway.store.feedback import Feedback

GIVEN_AT = datetime(2026, 11, 28, tzinfo=UTC)


def correction_mark(asked: str, answer: str | None, *, route: str = "ticket-triage", tenant: str = "") -> Feedback:
    """Return a correction of a question's answer; without one the answer was right."""
    messages = [{"role": "user", "content": asked}]
    said: dict[str, Any] = {"role": "assistant", "content": answer}
    correction = None if answer is None else orjson.dumps(said).decode()
    return Feedback(
        feedback_id=new_attempt_id(GIVEN_AT),
        route=route,
        tenant=tenant,
        request_id=f"req-{input_id(messages)}",
        source="review",
        by="ann",
        given_at=GIVEN_AT,
        label=Label.RIGHT if answer is None else Label.WRONG,
        correction=correction,
        input_id=input_id(messages),
        split=split_of(messages),
        request=orjson.dumps({"messages": messages}).decode(),
        answer=orjson.dumps({"role": "assistant", "content": "other"}).decode(),
    )


def question_of_split(split: Split) -> str:
    """Return a question that the rule puts on one side."""
    asked = (f"Question {number}?" for number in count())
    return next(one for one in asked if split_of([{"role": "user", "content": one}]) is split)
