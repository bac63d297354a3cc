import json
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from gateway.config.routes import Webhook
from gateway.policy.announcements import DueNotice, Event, RouteLine
from gateway.policy.lifecycle import Dates
from gateway.policy.messages import MOST_LINES, body_of, notices_for
from gateway.policy.sentences import WHY, notice_event, sentence
from gateway.reasons import EventKind, Reason
from tests.policy.test_announcements import END, MINI, a_base

AT = datetime(2027, 1, 14, 0, 0, 3, tzinfo=UTC)
MODEL = f"ft:{MINI}:acme:x:A1"


def an_event(**fields: Any) -> Event:
    given: dict[str, Any] = {
        "event_id": str(UUID(int=1)),
        "at": AT,
        "kind": EventKind.CUTOVER,
        "reason": Reason.SHUTDOWN_REACHED,
        "route": "forum-reply",
        "owner": "support",
        "provider": "openai",
        "model": MODEL,
        "from_target": "primary",
        "to_target": "luna",
        "by": "gateway-1",
        "text": "",
    }
    told = {key: fields.pop(key) for key in ("why", "until", "answered", "before", "after") if key in fields}
    event = Event(**given | fields)
    return Event(**{name: getattr(event, name) for name in given} | {"text": event.text or sentence(event, **told)})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param(
            {}, f"forum-reply moved from {MODEL} to luna: the date to leave the model has come", id="a cutover by date"
        ),
        pytest.param(
            {"reason": Reason.DEPRECATED_RAMP},
            f"forum-reply has begun to move from {MODEL} to luna: the model's shutdown is near, and conversations "
            "leave it step by step",
            id="a ramp that begins",
        ),
        pytest.param(
            {"reason": Reason.GONE},
            f"forum-reply moved from {MODEL} to luna: the provider no longer serves the model",
            id="a model that is gone",
        ),
        pytest.param(
            {"from_target": None, "reason": Reason.GONE},
            "forum-reply is answered again, by luna",
            id="somebody answers where nobody could",
        ),
        pytest.param(
            {"kind": EventKind.RETURN, "reason": Reason.PRIMARY},
            f"forum-reply is back on its primary {MODEL}",
            id="a return",
        ),
        pytest.param(
            {"kind": EventKind.REFUSAL, "to_target": "primary"},
            f"forum-reply should have left {MODEL} and did not: the date to leave the model has come, but no fallback "
            "can take over",
            id="a refusal, the primary still asked",
        ),
        pytest.param(
            {"kind": EventKind.REFUSAL, "to_target": None, "reason": Reason.GONE},
            f"forum-reply cannot be answered: the provider no longer serves the model ({MODEL}), and no fallback can "
            "take over",
            id="nobody can answer",
        ),
        pytest.param(
            {
                "kind": EventKind.COMMANDED,
                "reason": Reason.COMMANDED,
                "by": "ana",
                "why": "quality looks off",
                "until": datetime(2027, 1, 15, tzinfo=UTC),
            },
            "ana moved forum-reply to luna by hand until 2027-01-15 00:00 UTC: quality looks off",
            id="moved by hand for a day",
        ),
        pytest.param(
            {"kind": EventKind.COMMANDED, "reason": Reason.PRIMARY, "to_target": "primary", "why": "it expired"},
            "forum-reply is no longer moved by hand; primary answers: it expired",
            id="a command that ended",
        ),
        pytest.param(
            {"kind": EventKind.AVAILABILITY, "reason": Reason.GONE, "route": None},
            f"{MODEL} of openai is gone: the provider no longer serves the model",
            id="a target that is gone",
        ),
        pytest.param(
            {"kind": EventKind.AVAILABILITY, "reason": Reason.NO_ACCESS, "route": None},
            f"{MODEL} of openai is closed to us: the provider no longer lets our key use the model",
            id="a target that is closed to us",
        ),
        pytest.param(
            {"kind": EventKind.AVAILABILITY, "reason": None, "route": None},
            f"{MODEL} of openai answers again",
            id="a target that is back",
        ),
        pytest.param(
            {"kind": EventKind.DATES_CHANGED, "reason": None, "after": END},
            f"openai announced that {MODEL} stops on 2027-01-14",
            id="a date that is new",
        ),
        pytest.param(
            {"kind": EventKind.DATES_CHANGED, "reason": None, "before": date(2027, 2, 1), "after": END},
            f"openai moved the shutdown of {MODEL} from 2027-02-01 to 2027-01-14",
            id="a date that moved",
        ),
        pytest.param(
            {"kind": EventKind.DATES_CHANGED, "reason": None, "before": END},
            f"openai withdrew the shutdown date of 2027-01-14 of {MODEL}",
            id="a date that was withdrawn",
        ),
        pytest.param(
            {"kind": EventKind.SUBSTITUTED, "reason": None, "answered": "gpt-4o"},
            f"openai answered forum-reply with gpt-4o, though {MODEL} was asked",
            id="another model than was asked",
        ),
    ],
)
def test_every_kind_of_event_has_its_sentence(fields: dict[str, Any], expected: str) -> None:
    assert an_event(**fields).text == expected


def test_every_reason_has_its_words() -> None:
    assert set(WHY) == set(Reason)


def test_one_event_is_its_sentence_with_the_time_and_slack_sees_no_emoji_in_an_id() -> None:
    body = body_of([an_event()])
    assert body["type"] == "understudy.cutover"
    assert body["timestamp"] == "2027-01-14T00:00:03Z"
    assert body["text"] == (
        f"forum-reply moved from `{MODEL}` to luna: the date to leave the model has come (2027-01-14 00:00 UTC)"
    )
    assert body["data"]["reason"] == "shutdown_reached"
    assert body["data"]["events"][0]["route"] == "forum-reply"
    assert body["data"]["events"][0]["to_target"] == "luna"


def _forty() -> list[Event]:
    return [
        an_event(
            event_id=str(UUID(int=number)),
            route=f"task-{number:02}",
            owner=("support", "billing", "legal", None)[0 if number < 30 else number % 4],
            model=f"ft:{MINI}:acme:x:{number}",
        )
        for number in range(40)
    ]


def test_forty_routes_that_move_together_are_one_message() -> None:
    notices = notices_for(_forty(), {"ops": Webhook(name="ops")}, at=AT, new_id=lambda _: str(UUID(int=7)))
    assert [(notice.webhook, notice.notice_id, notice.created_at) for notice in notices] == [
        ("ops", str(UUID(int=7)), AT)
    ]
    body = json.loads(notices[0].body)
    assert len(body["data"]["events"]) == 40
    lines = body["text"].split("\n")
    assert lines[0] == (
        f"40 routes of `{MINI}` (openai) moved to another model: the date to leave the model has come "
        "(2027-01-14 00:00 UTC)"
    )
    assert lines[1:5] == [
        "*billing*",
        f"• `task-33`: `ft:{MINI}:acme:x:33` → `luna`",
        f"• `task-37`: `ft:{MINI}:acme:x:37` → `luna`",
        "*legal*",
    ]
    assert lines[-1] == "and 28 more: support 25, no owner 3"
    assert len(lines) <= MOST_LINES + 2


def test_what_happened_for_different_reasons_is_told_apart() -> None:
    events = [an_event(), an_event(reason=Reason.GONE), an_event(kind=EventKind.RETURN, reason=Reason.PRIMARY)]
    notices = notices_for(events, {"ops": Webhook(name="ops")}, at=AT, new_id=lambda _: "id")
    assert [json.loads(notice.body)["type"] for notice in notices] == [
        "understudy.cutover",
        "understudy.cutover",
        "understudy.return",
    ]


@pytest.mark.parametrize("kind", list(EventKind))
def test_two_of_any_kind_make_one_message_with_a_headline(kind: EventKind) -> None:
    reason = Reason.GONE if kind in (EventKind.CUTOVER, EventKind.REFUSAL, EventKind.AVAILABILITY) else None
    events = [an_event(kind=kind, reason=reason, route=name, text=f"{name} said") for name in ("a", "b")]
    first, *rest = body_of(events)["text"].split("\n")
    assert "2 " in first
    assert len(rest) == 3
    assert all(name in line for name, line in zip("ab", rest[1:], strict=True))


@pytest.mark.parametrize(
    ("webhook", "routes"),
    [
        pytest.param({}, ["a", "b", "c"], id="without a filter, everything"),
        pytest.param({"owners": frozenset({"billing"})}, ["b", "c"], id="an owner's, and nobody's"),
        pytest.param({"events": frozenset({EventKind.RETURN})}, [], id="another kind of event"),
        pytest.param({"events": frozenset({EventKind.CUTOVER})}, ["a", "b", "c"], id="this kind of event"),
    ],
)
def test_filters_of_a_webhook(webhook: dict[str, Any], routes: list[str]) -> None:
    events = [an_event(route=route, owner=owner) for route, owner in (("a", "support"), ("b", "billing"), ("c", None))]
    notices = notices_for(events, {"ops": Webhook(name="ops", **webhook)}, at=AT, new_id=lambda _: "id")
    told = [event["route"] for notice in notices for event in json.loads(notice.body)["data"]["events"]]
    assert told == routes


def _notice(days_left: int, **fields: Any) -> Event:
    at = datetime(2026, 11, 23, 12, tzinfo=UTC)
    due = DueNotice(a_base(**fields), 90, days_left)
    return notice_event(due, event_id=str(UUID(int=2)), at=at, by="gateway-1")


LINES = (
    RouteLine("forum-reply", "support", "primary", MODEL, "gpt-6-luna"),
    RouteLine("invoices", "billing", "primary", f"ft:{MINI}:acme:inv:B2", "gpt-6-luna"),
    RouteLine("tone", "support", "primary", f"ft:{MINI}:acme:tone:C3", None),
    RouteLine("search", None, "mini", MINI, "gpt-6-luna"),
)
KNOWN = Dates(
    announced=date(2026, 10, 14),
    shutdown=END,
    replacement="gpt-6-luna",
    source="https://vendor.example/deprecations",
    last_training_day=date(2027, 1, 6),
)


def test_a_base_that_stops_is_one_message_with_its_routes_by_owner() -> None:
    event = _notice(52, routes=LINES, dates=KNOWN)
    notices = notices_for([event], {"ops": Webhook(name="ops")}, at=event.at, new_id=lambda _: "id")
    body = json.loads(notices[0].body)
    assert body["text"].split("\n") == [
        f"{MINI} and 3 fine-tunes of it stop at openai in 52 days, on 2027-01-14: 4 routes use it, and for 1 of them "
        "nobody takes over",
        "Named as its replacement: gpt-6-luna",
        "Last day to train: 2027-01-06",
        "*billing*",
        f"• `invoices`: `ft:{MINI}:acme:inv:B2` → `gpt-6-luna`",
        "*support*",
        f"• `tone`: `ft:{MINI}:acme:tone:C3` → *nobody*",
        f"• `forum-reply`: `{MODEL}` → `gpt-6-luna`",
        "*no owner*",
        f"• `search`: its fallback `mini`, `{MINI}` → `gpt-6-luna`",
        "Source: https://vendor.example/deprecations (planned)",
    ]
    assert body["type"] == "understudy.shutdown_notice"
    assert (body["data"]["shutdown"], body["data"]["days_left"]) == ("2027-01-14", 52)
    assert [line["route"] for line in body["data"]["routes"]] == ["forum-reply", "invoices", "tone", "search"]


def test_an_owner_is_told_of_their_own_routes() -> None:
    event = _notice(52, routes=LINES, dates=KNOWN)
    webhooks = {name: Webhook(name=name, owners=frozenset({name})) for name in ("billing", "support")}
    texts = [
        json.loads(notice.body)["text"] for notice in notices_for([event], webhooks, at=event.at, new_id=lambda _: "id")
    ]
    assert "2 routes use it\n" in texts[0]
    assert "tone" not in texts[0]
    assert "3 routes use it, and for 1 of them nobody takes over" in texts[1]


def test_of_a_single_route_without_a_successor_it_says_so() -> None:
    alone = RouteLine("tone", None, "primary", MODEL, None)
    assert _notice(1, routes=(alone,)).text.endswith("1 route uses it, and nobody takes over")


def test_an_owner_whom_it_does_not_concern_is_not_told() -> None:
    event = _notice(52)
    webhooks = {"billing": Webhook(name="billing", owners=frozenset({"billing"}))}
    assert notices_for([event], webhooks, at=event.at, new_id=lambda _: "id") == ()


def test_two_bases_on_one_day_are_two_messages() -> None:
    events = [_notice(52), _notice(52, base="gpt-4.1-2025-04-14")]
    assert len(notices_for(events, {"ops": Webhook(name="ops")}, at=AT, new_id=lambda _: "id")) == 2


def test_a_date_that_only_warns_says_so() -> None:
    text = body_of([_notice(52, dates=Dates(shutdown=END, acts=False, certainty="tentative", source="a feed"))])["text"]
    assert "2027-01-14 (tentative)" in text
    assert "This date only warns, it moves no traffic" in text


def test_slack_takes_nothing_from_a_provider_for_markup() -> None:
    event = an_event(kind=EventKind.AVAILABILITY, reason=None, model="<!channel>&\n`x`:y", route=None)
    text = body_of([event])["text"]
    assert "<!channel>" not in text
    assert "\n" not in text
    assert "&lt;!channel&gt;&amp;" in text
    # Within a list as well.
    assert "<" not in body_of([event, event])["text"]


def test_a_text_without_end_is_cut() -> None:
    assert len(body_of([an_event(text="x" * 100_000)])["text"]) < 1000
