"""Events in one plain sentence each, as their rows keep them. Pure."""

from collections.abc import Mapping
from datetime import UTC, date, datetime

from gateway.policy.announcements import BaseDate, DueNotice, Event
from gateway.policy.promotion import Ending, Promotion, PromotionState, version_name
from gateway.reasons import EventKind, Reason

WHY: Mapping[Reason, str] = {
    Reason.PRIMARY: "the primary answers",
    Reason.DEPRECATED_RAMP: "the model's shutdown is near, and conversations leave it step by step",
    Reason.SHUTDOWN_REACHED: "the date to leave the model has come",
    Reason.GONE: "the provider no longer serves the model",
    Reason.NO_ACCESS: "the provider no longer lets our key use the model",
    Reason.SUSPECT: "the model may be gone, and is being verified",
    Reason.CIRCUIT_OPEN: "calls to the model kept failing",
    Reason.RESTING: "the provider asked to be left alone for a while",
    Reason.LACKS_CAPABILITY: "the model cannot do what is asked",
    Reason.CONTRACT: "the model's answers break the route's contract",
    Reason.COMMANDED: "somebody commanded it",
    Reason.PINNED: "the caller asked for it",
    Reason.CONNECTION: "there is no connection to the provider",
    Reason.TIMEOUT: "the model does not answer in time",
    Reason.OVERLOADED: "the provider is overloaded",
    Reason.SERVER_ERROR: "the provider has errors of its own",
    Reason.RATE_LIMITED: "the provider's rate limit is reached",
    Reason.QUOTA: "the provider's quota is used up",
    Reason.NO_PRIMARY: "the route has no primary",
    Reason.REHEARSAL: "the route rehearses its fallback",
    Reason.CANARY: "a version that may become the primary answers a share of conversations",
}


def sentence(
    event: Event,
    *,
    why: str | None = None,
    until: datetime | None = None,
    answered: str | None = None,
    before: date | None = None,
    after: date | None = None,
    promotion: Promotion | None = None,
    is_accepted: bool = False,
) -> str:
    """Return the event in one plain sentence.

    Args:
        event: Its own ``text`` is not looked at.
        why: What the person who commanded it gave as the reason; of a canary that evidence stopped, the evidence.
        until: When the command ends.
        answered: Of a substitution, the model that answered.
        before: Of changed dates, the shutdown that was known; None: none.
        after: The shutdown that is known now; None: none.
        promotion: As it is after what happened to it.
        is_accepted: Whether what happened is that a canary was shown to be good enough.
    """
    if event.kind is EventKind.PROMOTION:
        if promotion is not None and is_accepted:
            return _accepted(promotion, why)
        return _promoted(event, promotion, why) if promotion is not None else f"{event.route} has another version"
    if event.kind is EventKind.COMMANDED:
        return _commanded(event, why, until)
    if event.kind is EventKind.DATES_CHANGED:
        return _dates_changed(event, before, after)
    if event.kind is EventKind.SUBSTITUTED:
        return f"{event.provider} answered {event.route} with {answered}, though {event.model} was asked"
    if event.kind is EventKind.AVAILABILITY:
        return _availability(event)
    if event.kind is EventKind.SHUTDOWN_NOTICE:
        return notice_text(event.stopping, event.at) if event.stopping else f"{event.model} of {event.provider} stops"
    return _moved(event)


def _moved(event: Event) -> str:
    route, model = event.route, event.model
    why = WHY[event.reason] if event.reason is not None else "nobody knows why"
    if event.kind is EventKind.RETURN:
        return f"{route} is back on its primary {model}"
    if event.kind is EventKind.REFUSAL:
        if event.to_target is None:
            return f"{route} cannot be answered: {why} ({model}), and no fallback can take over"
        return f"{route} should have left {model} and did not: {why}, but no fallback can take over"
    if event.reason is Reason.DEPRECATED_RAMP:
        return f"{route} has begun to move from {model} to {event.to_target}: {why}"
    if event.from_target is None:
        return f"{route} is answered again, by {event.to_target}"
    return f"{route} moved from {model} to {event.to_target}: {why}"


def _commanded(event: Event, why: str | None, until: datetime | None) -> str:
    because = f": {why}" if why else ""
    if event.reason is Reason.COMMANDED and event.to_target is not None:
        ends = f" until {minute(until)}" if until else ""
        return f"{event.by} moved {event.route} to {event.to_target} by hand{ends}{because}"
    now = f"; {event.to_target} answers" if event.to_target else "; nobody can answer"
    return f"{event.route} is no longer moved by hand{now}{because}"


def _accepted(promotion: Promotion, why: str | None) -> str:
    version, because = f"{version_name(promotion.number)} ({promotion.model})", f": {why}" if why else ""
    return (
        f"the canary {version} of {promotion.route} is shown to be good enough beside {promotion.incumbent_model}"
        f"{because}; nothing moves by itself: gateway promote {promotion.route} {version_name(promotion.number)}"
    )


def _promoted(event: Event, promotion: Promotion, why: str | None) -> str:
    route, because = event.route, f": {why}" if why else ""
    version = f"{version_name(promotion.number)} ({promotion.model})"
    until = minute(promotion.expires_at)
    if promotion.state is PromotionState.SERVING:
        return f"{event.by} promoted {version} on {route} over {promotion.incumbent_model} until {until}{because}"
    if promotion.state is PromotionState.CANARY:
        share = f"{100 * promotion.share:g} % of the conversations"
        return f"{event.by} lets {version} answer {share} of {route} until {until}{because}"
    what = f"the {'promotion' if promotion.share >= 1 else 'canary'} {version} of {route}"
    answers = f"{promotion.incumbent_model} answers"
    return {
        Ending.IN_ROUTES: f"routes.yaml names {version} as the primary of {route}: nothing is put in its place",
        Ending.SUPERSEDED: f"{what} is over: routes.yaml names another model, or another promotion began",
        Ending.EXPIRED: f"{what} has expired: {answers}",
        Ending.ROLLED_BACK: f"{event.by} rolled {route} back from {version}: {answers}{because}",
        Ending.EVIDENCE: f"{what} was stopped, for it is worse than {promotion.incumbent_model}{because}",
        Ending.GONE: f"{what} is over, for its model is not there any more: {answers}",
    }[promotion.ended_because or Ending.SUPERSEDED]


def _availability(event: Event) -> str:
    what = f"{event.model} of {event.provider}"
    if event.reason is None:
        return f"{what} answers again"
    if event.reason is Reason.NO_ACCESS:
        return f"{what} is closed to us: {WHY[Reason.NO_ACCESS]}"
    return f"{what} is {event.reason.value}: {WHY[event.reason]}"


def _dates_changed(event: Event, before: date | None, after: date | None) -> str:
    if after is None:
        known = f" of {before.isoformat()}" if before else ""
        return f"{event.provider} withdrew the shutdown date{known} of {event.model}"
    if before is None:
        return f"{event.provider} announced that {event.model} stops on {after.isoformat()}"
    return f"{event.provider} moved the shutdown of {event.model} from {before.isoformat()} to {after.isoformat()}"


def notice_event(due: DueNotice, *, event_id: str, at: datetime, by: str) -> Event:
    """Return the event that tells of a base's end."""
    return Event(
        event_id=event_id,
        at=at,
        kind=EventKind.SHUTDOWN_NOTICE,
        reason=None,
        route=None,
        owner=None,
        provider=due.stopping.provider,
        model=due.stopping.base,
        from_target=None,
        to_target=None,
        by=by,
        text=notice_text(due.stopping, at),
        once_key=due.once_key,
        stopping=due.stopping,
    )


def notice_text(stopping: BaseDate, at: datetime) -> str:
    """Return the plain sentence of a shutdown notice; ``at`` is when it is given."""
    days_left = (stopping.shutdown - at.astimezone(UTC).date()).days
    routes = len({line.route for line in stopping.routes})
    alone = len({line.route for line in stopping.routes if line.takes_over is None})
    tentative = " (tentative)" if stopping.dates.certainty == "tentative" else ""
    whom = f"for {alone} of them " if alone < routes else ""
    orphans = f", and {whom}nobody takes over" if alone else ""
    return (
        f"{_what_stops(stopping)} at {stopping.provider} in {counted(days_left, 'day')}, on "
        f"{stopping.shutdown.isoformat()}{tentative}: {counted(routes, 'route')} "
        f"{'uses' if routes == 1 else 'use'} it{orphans}"
    )


def _what_stops(stopping: BaseDate) -> str:
    """Say whether it is the base or what was trained from it: their days may differ."""
    models = {line.model for line in stopping.routes}
    tunes = len(models - {stopping.base})
    if not tunes:
        return f"{stopping.base} stops"
    if stopping.base in models:
        return f"{stopping.base} and {counted(tunes, 'fine-tune')} of it stop"
    return f"{counted(tunes, 'fine-tune')} of {stopping.base} {'stops' if tunes == 1 else 'stop'}"


def minute(at: datetime) -> str:
    """Return an instant as people read it."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def counted(number: int, word: str) -> str:
    """Return a number of things."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
