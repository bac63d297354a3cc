"""Events as the messages that webhooks carry. Pure.

A message is Standard Webhooks' ``{"type", "timestamp", "data"}``, with a ``text`` beside them that Slack shows.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from gateway.config.findings import printable
from gateway.config.model_ids import base_of
from gateway.config.routes import Webhook
from gateway.policy.announcements import BaseDate, Event, Notice, RouteLine
from gateway.policy.sentences import WHY, minute, notice_text
from gateway.reasons import EventKind, Reason

MOST_LINES = 15
_MOST_CHARACTERS = 600
# Slack would take the :x: in a fine-tune's id for an emoji.
_WITH_COLONS = re.compile(r"(?<![^\s(])(?!https?://)[A-Za-z][^\s`()\",;]*:[^\s`()\",;]*[^\s`()\",;:.]")


def notices_for(
    events: Sequence[Event], webhooks: Mapping[str, Webhook], *, at: datetime, new_id: Callable[[datetime], str]
) -> tuple[Notice, ...]:
    """Return the messages that tell of events which happened together.

    Each webhook gets those that concern it, as one message for each kind and reason, and one for each base that stops.
    ``new_id`` makes a UUIDv7 of an instant.
    """
    notices = []
    for webhook in webhooks.values():
        groups: dict[tuple[EventKind, Reason | None, str | None], list[Event]] = {}
        for event in events:
            mine = _concerning(event, webhook)
            if mine is not None:
                alone = mine.once_key if mine.kind is EventKind.SHUTDOWN_NOTICE else None
                groups.setdefault((mine.kind, mine.reason, alone), []).append(mine)
        for group in groups.values():
            notices.append(Notice(new_id(at), webhook.name, orjson.dumps(body_of(group)).decode(), at))
    return tuple(notices)


def _concerning(event: Event, webhook: Webhook) -> Event | None:
    """Return an event as far as it concerns a webhook; None where it does not."""
    if webhook.events is not None and event.kind not in webhook.events:
        return None
    owners = webhook.owners
    if owners is None:
        return event
    if event.stopping is not None:
        theirs = tuple(line for line in event.stopping.routes if line.owner is None or line.owner in owners)
        return replace(event, stopping=replace(event.stopping, routes=theirs)) if theirs else None
    return event if event.owner is None or event.owner in owners else None


def body_of(events: Sequence[Event]) -> dict[str, Any]:
    """Return one message about events of one kind and reason, or about one base that stops."""
    first, stopping = events[0], events[0].stopping
    if stopping is not None:
        data, text = _notice_data(stopping, first.at), _notice_message(stopping, first.at)
    else:
        data = {"reason": first.reason, "events": [_event_data(event) for event in events]}
        text = _event_message(events)
    latest = max(event.at for event in events)
    return {
        "type": f"understudy.{first.kind.value}",
        "timestamp": latest.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "data": data,
        "text": text,
    }


def _event_data(event: Event) -> dict[str, Any]:
    names = ("event_id", "at", "kind", "reason", "route", "owner", "provider", "model", "from_target", "to_target")
    return {name: getattr(event, name) for name in (*names, "by", "text")}


def _notice_data(stopping: BaseDate, at: datetime) -> dict[str, Any]:
    dates = stopping.dates
    return {
        "provider": stopping.provider,
        "kind": stopping.kind,
        "base": stopping.base,
        "shutdown": stopping.shutdown,
        "days_left": (stopping.shutdown - at.astimezone(UTC).date()).days,
        "certainty": dates.certainty,
        "source": dates.source,
        "announced": dates.announced,
        "last_training_day": dates.last_training_day,
        "replacement": dates.replacement,
        "routes": [asdict(line) for line in stopping.routes],
    }


def _event_message(events: Sequence[Event]) -> str:
    first = events[0]
    when = f" ({minute(max(event.at for event in events))})"
    if len(events) == 1:
        return _slack(first.text) + when
    rows = [(event.owner, _event_line(event)) for event in events]
    return "\n".join([f"{_headline(events)}{when}", *_by_owner(rows)])


def _headline(events: Sequence[Event]) -> str:
    first, many = events[0], len(events)
    why = WHY[first.reason] if first.reason is not None else ""
    bases = {(base_of(event.model or "") or event.model, event.provider) for event in events}
    base, provider = next(iter(bases))
    of_base = f" of {_code(base)} ({_slack(provider or '')})" if base and len(bases) == 1 else ""
    moved = "have begun to move" if first.reason is Reason.DEPRECATED_RAMP else "moved"
    return {
        EventKind.CUTOVER: f"{many} routes{of_base} {moved} to another model: {why}",
        EventKind.RETURN: f"{many} routes{of_base} are back on their primaries",
        EventKind.REFUSAL: f"{many} routes{of_base} should have moved and did not: {why}, and nobody takes over",
        EventKind.COMMANDED: f"{many} routes were moved by hand, or given back",
        EventKind.AVAILABILITY: f"{many} models {f'are {first.reason}: {why}' if first.reason else 'answer again'}",
        EventKind.DATES_CHANGED: f"The dates of {many} models changed",
        EventKind.SUBSTITUTED: f"{many} routes were answered by another model than was asked",
        EventKind.SHUTDOWN_NOTICE: f"{many} models will stop",
        EventKind.PROMOTION: f"Of {many} routes another version answers, or ceased to",
    }[first.kind]


def _event_line(event: Event) -> str:
    if event.kind is EventKind.CUTOVER:
        return f"{_code(event.route)}: {_code(event.model)} → {_code(event.to_target)}"
    if event.kind in (EventKind.RETURN, EventKind.REFUSAL):
        return f"{_code(event.route)}: {_code(event.model)}"
    return _slack(event.text)


def _notice_message(stopping: BaseDate, at: datetime) -> str:
    dates = stopping.dates
    known = []
    if dates.replacement:
        known.append(f"Named as its replacement: {dates.replacement}")
    if dates.last_training_day is not None:
        known.append(f"Last day to train: {dates.last_training_day.isoformat()}")
    if not dates.acts:
        known.append("This date only warns, it moves no traffic")
    source = f"Source: {dates.source} ({dates.certainty})"
    # Routes that will have nobody stand first: they are why somebody should read this.
    lines = sorted(stopping.routes, key=lambda line: line.takes_over is not None)
    rows = [(line.owner, _route_line(line)) for line in lines]
    return "\n".join([_slack(notice_text(stopping, at)), *map(_slack, known), *_by_owner(rows), _slack(source)])


def _route_line(line: RouteLine) -> str:
    role = "" if line.target == "primary" else f" its fallback {_code(line.target)},"
    return (
        f"{_code(line.route)}:{role} {_code(line.model)} → {_code(line.takes_over) if line.takes_over else '*nobody*'}"
    )


def _by_owner(rows: Iterable[tuple[str | None, str]]) -> list[str]:
    """Return (owner, line) as lines under each owner; what is too much for a message is counted by owner."""
    owned: dict[str | None, list[str]] = {}
    for owner, line in rows:
        owned.setdefault(owner, []).append(line)
    lines: list[str] = []
    left: dict[str, int] = {}
    for owner in sorted(owned, key=lambda name: (name is None, name or "")):
        shown = owned[owner][: max(0, MOST_LINES - len(lines) - 1)]
        named = _slack(owner) if owner is not None else "no owner"
        if shown:
            lines += [f"*{named}*", *(f"• {line}" for line in shown)]
        if len(shown) < len(owned[owner]):
            left[named] = len(owned[owner]) - len(shown)
    if left:
        whose = ", ".join(f"{named} {count}" for named, count in left.items())
        lines.append(f"and {sum(left.values())} more: {whose}")
    return lines


def _slack(text: str) -> str:
    """Return text as Slack shows it unchanged."""
    cut = printable(text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + "…")
    return _WITH_COLONS.sub(lambda found: f"`{found.group()}`", _escaped(cut))


def _code(text: str | None) -> str:
    cut = printable((text or "nobody")[:_MOST_CHARACTERS]).replace("`", "'")
    return f"`{_escaped(cut)}`"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
