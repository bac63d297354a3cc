"""Answers of the watched gateway that wait to be reviewed, and what was said of some of them."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from watched_routes import BY_NAME, LUNA

from gateway.ledger.entry import new_attempt_id
from gateway.policy.inputs import input_id
from gateway.policy.splits import split_of
from gateway.reasons import Label, Role
from gateway.store.captured import Captured, CapturedStore
from gateway.store.database import Database
from gateway.store.feedback import Feedback, FeedbackStore

Message = dict[str, Any]
FORUM = "You answer questions of Lumen's customers in its forum: short, friendly, and true."
TRIAGE = "Sort the ticket: one of billing, delivery, defect, other."
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": fields}}}
    for name, fields in (
        ("find_contract", {"customer": {"type": "string"}}),
        (
            "set_reminder",
            {"contract": {"type": "string"}, "on": {"type": "string"}, "days_before": {"type": "integer"}},
        ),
    )
]
ASKED_FOR_TOOLS = "Remind Ms Ortega's team a month before the Hamburg contract ends."


def _said(role: str, text: str) -> Message:
    return {"role": role, "content": text}


def _calls(name: str, arguments: Mapping[str, Any], number: int = 1) -> Message:
    function = {"name": name, "arguments": json.dumps(arguments)}
    call = {"id": f"call_{number}", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


_FORUM_TALK = [
    _said("system", FORUM),
    _said("user", "My Arc desk lamp flickers since Friday. Same bulb as always."),
    _said("assistant", "Sorry to hear that! Does it also flicker in another socket?"),
    _said(
        "user",
        "Yes, in every room. I tried three sockets and a new bulb.\n\nIs that still under guarantee? Bought in May.",
    ),
]
_TOOL_TALK = [
    _said("system", "You keep the legal team's calendar. Use the tools; never guess a date."),
    _said("user", ASKED_FOR_TOOLS),
    _calls("find_contract", {"customer": "Ortega"}),
    {"role": "tool", "tool_call_id": "call_1",
     "content": '[{"contract": "HH-2291", "city": "Hamburg", "ends": "2027-03-31"}]'},
]  # fmt: skip
_TICKETS = (
    ("The parcel was left at the neighbour's, and they are on holiday.", "delivery", None),
    ("You charged my card twice for order 4471.", "delivery", "billing"),
    ("The dimmer hums as soon as it is below half.", "defect", "defect"),
    ("Can I have the invoice with our VAT number on it?", "billing", "billing"),
    ("Is the Arc lamp also sold in green?", "defect", None),
    ("The glass shade came broken, the box was fine.", "delivery", "defect"),
    ("Where do I change my address?", "other", None),
)
_LATEST = UUID("0199f0de-0000-7000-8000-0000000000ff").int


def answer_id(number: int) -> str:
    """Return the id of an answer; 0 is the latest."""
    return str(UUID(int=_LATEST - number))


LATEST_ANSWER, ANSWER_WITH_CALLS, CORRECTED_ANSWER = answer_id(0), answer_id(2), answer_id(10)


async def keep_answers(database: Database, now: datetime) -> None:
    """Keep answers of three routes, and marks on some."""
    for number, (route, request, answer, better) in enumerate(_answers()):
        at = now - timedelta(minutes=3 + 17 * number)
        row = captured(answer_id(number), route, request, answer, at)
        assert await CapturedStore(database).add([row]) == ["kept"]
        if better is not None:
            mark = marked(row, None if better == answer else better, at + timedelta(minutes=2))
            assert await FeedbackStore(database).add(mark) == "kept"


def captured(
    captured_id: str, route: str, request: Mapping[str, Any], answer: Message, at: datetime, **fields: Any
) -> Captured:
    """Return a row as capture keeps it."""
    is_gone = route == "forum-reply"
    given: dict[str, Any] = {
        "captured_id": captured_id,
        "route": route,
        "tenant": "",
        "input_id": input_id(request["messages"], request.get("tools")),
        "request_id": f"req_{captured_id[-12:]}",
        "user_digest": None,
        "role": Role.FALLBACK if is_gone else Role.PRIMARY,
        "provider": "openai",
        "model": LUNA if is_gone or BY_NAME[route].primary is None else BY_NAME[route].primary,
        "prompt_version": "7c1f09ab44d2" if is_gone else None,
        "request": json.dumps(request, ensure_ascii=False),
        "answer": json.dumps(answer, ensure_ascii=False),
        "redacted": {},
        "captured_at": at,
        "expires_at": at + timedelta(days=30),
    }
    return Captured(**{**given, **fields})


def marked(row: Captured, better: Message | None, at: datetime, **fields: Any) -> Feedback:
    """Return what somebody said of a row: a better answer, or that it is right."""
    given: dict[str, Any] = {
        "feedback_id": new_attempt_id(at),
        **{name: getattr(row, name) for name in ("route", "tenant", "request_id", "input_id", "request", "answer")},
        **{name: getattr(row, name) for name in ("role", "provider", "model", "prompt_version", "user_digest")},
        "source": "review",
        "by": "admin (ops page)",
        "given_at": at,
        "label": Label.RIGHT if better is None else Label.WRONG,
        "correction": json.dumps(better) if better is not None else None,
        "split": split_of(json.loads(row.request)["messages"]),
    }
    return Feedback(**{**given, **fields})


def _answers() -> Iterator[tuple[str, Message, Message, Message | None]]:
    """Yield route, request, the answer that was given, and the better one; the same: it is right, None: unmarked."""
    lamp = (
        "It sounds like the driver in the lamp's foot. Bought in May it is under guarantee for another year: send us "
        "the order number, and we send you a new lamp before you return the old one."
    )
    yield "forum-reply", {"messages": _FORUM_TALK}, _said("assistant", lamp), None
    question = "Does the Arc lamp come with a bulb? And does it dim?"
    said = "Yes, a warm white E27 of 9 W is in the box. It dims with any dimmer."
    yield "forum-reply", {"messages": [_said("system", FORUM), _said("user", question)]}, _said("assistant", said), None
    wrong = _calls("set_reminder", {"contract": "HH-2291", "on": "2027-03-31", "days_before": 0}, 2)
    yield "contract-dates", {"messages": _TOOL_TALK, "tools": TOOLS}, wrong, None
    for text, given, better in _TICKETS:
        request = {"messages": [_said("system", TRIAGE), _said("user", text)]}
        answer, fix = _said("assistant", given), _said("assistant", better) if better else None
        yield "ticket-triage", request, answer, fix
    request = {
        "messages": [
            _said("system", FORUM),
            _said("user", "How long may I send the lamp back? It is the Arc, in brass."),
        ]
    }
    given = "You can return it within 14 days. Brass is made to order, so we keep 10 % of the price. Sorry!"
    better = (
        "You can return it within 30 days, brass too: it is no longer made to order. We refund all of the price once "
        "the lamp is back with us."
    )
    yield "forum-reply", request, _said("assistant", given), _said("assistant", better)
