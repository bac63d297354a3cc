"""What stands beside the ledger's rows: who answers whom since when, events, verdicts, rehearsals, recordings."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import orjson
from watched_history import COMMANDED_FOR, GONE_FOR, MODELS, OUTAGE, REPLICAS
from watched_routes import BY_NAME, LUNA

from gateway.config.routes import Routes
from gateway.execution.teller import new_event
from gateway.ledger.entry import Entry, new_attempt_id
from gateway.lifecycle.calendar import Calendar
from gateway.policy.announcements import NOTICE_DAYS, Event, base_dates, due_notices
from gateway.policy.evidence import terms_of
from gateway.policy.lifecycle import midnight
from gateway.policy.planner import Command
from gateway.policy.sentences import notice_event
from gateway.policy.standing import Standing
from gateway.reasons import Availability, EventKind, Reason
from gateway.store.database import Database
from gateway.store.evaluations import Evaluation, EvaluationStore
from gateway.store.limits import LimitStore
from gateway.store.recordings import Recording, RecordingStore
from gateway.store.rehearsals import Pair, RehearsalStore
from gateway.store.states import RouteMove, StateStore

REPLICA = REPLICAS[0]
WHY = "summaries leave out the policy number since Tuesday's deploy, INC-2291"
WHO = "mira@claims"


async def keep_states(database: Database, routes: Routes, now: datetime) -> None:
    """Keep what replicas agreed on, and every event that led there."""
    store = StateStore(database, REPLICA)
    for name, ago in GONE_FOR.items():
        model = BY_NAME[name].primary
        assert model is not None
        event = _event(EventKind.AVAILABILITY, now - ago, reason=Reason.GONE, provider="openai", model=model)
        await store.move_target(("openai", model), Availability.GONE, version=0, now=now - ago, event=event)
    for move, at in _moves(now):
        await store.move_routes([move], now=at, config_hash=routes.config_hash)
    command = Command("luna-eu", WHY, WHO, now - COMMANDED_FOR, now + timedelta(hours=18, minutes=40))
    await store.command("claims-summary", command)
    await store.record([*_past(now), *_notices(routes, now)])


async def keep_two_gone(database: Database, routes: Routes, now: datetime) -> None:
    """Of forty routes, let one run on its fallback, and one have nobody left."""
    store = StateStore(database, REPLICA)
    for name, ago in (("forum-reply", timedelta(hours=3)), ("escalation-note", timedelta(minutes=48))):
        route, at = routes.routes[name], now - ago
        assert route.primary is not None
        provider, model = route.primary.provider.name, route.primary.model
        await store.move_target((provider, model), Availability.GONE, version=0, now=at)
        to = route.fallbacks[0].name if route.fallbacks else None
        event = _event(
            EventKind.CUTOVER if to else EventKind.REFUSAL, at, reason=Reason.GONE, route=name, owner=route.owner,
            provider=provider, model=model, from_target=model, to_target=LUNA if to else None,
        )  # fmt: skip
        standing = Standing(to, Reason.GONE, None if to else Reason.GONE)
        await store.move_routes([RouteMove(name, standing, None, event)], now=at, config_hash=routes.config_hash)


def _moves(now: datetime) -> Iterator[tuple[RouteMove, datetime]]:
    midnights = midnight(now.date())
    for name, reason, target, at in (
        ("invoice-extract", Reason.SHUTDOWN_REACHED, "luna", midnights - timedelta(days=2)),
        ("refund-reason", Reason.DEPRECATED_RAMP, "luna", midnights - timedelta(days=3)),
        ("forum-reply", Reason.GONE, "luna", now - GONE_FOR["forum-reply"]),
        ("call-summary", Reason.GONE, None, now - GONE_FOR["call-summary"]),
        ("claims-summary", Reason.COMMANDED, "luna-eu", now - COMMANDED_FOR),
    ):
        at += timedelta(seconds=1)
        route = BY_NAME[name]
        told: dict[str, Any] = {}
        kind = EventKind.CUTOVER if target else EventKind.REFUSAL
        by = REPLICA
        if reason is Reason.COMMANDED:
            kind, by = EventKind.COMMANDED, WHO
            told = {"why": WHY, "until": now + timedelta(hours=18, minutes=40)}
        event = _event(
            kind, at, told=told, by=by, reason=reason, route=name, owner=route.owner, provider=route.provider,
            model=route.primary, from_target=route.primary, to_target=MODELS.get(target or ""),
        )  # fmt: skip
        refused = None if target else reason
        yield RouteMove(name, Standing(target, reason, refused), None, event), at
    yield RouteMove("tone-rewrite", Standing("luna", Reason.NO_PRIMARY), None, None), now - timedelta(days=20)


def _event(kind: EventKind, at: datetime, *, by: str = REPLICA, **fields: Any) -> Event:
    return new_event(kind, at, by=by, **fields)


def _past(now: datetime) -> Iterator[Event]:
    """Yield what is over, the oldest first."""
    reply, digest, dates = (BY_NAME[name] for name in ("forum-reply", "review-digest", "contract-dates"))
    of_reply = {"route": reply.name, "owner": reply.owner, "provider": "openai", "model": reply.primary}
    there = {"from_target": reply.primary, "to_target": LUNA}
    back = {"from_target": LUNA, "to_target": reply.primary}
    at = now - timedelta(days=16, hours=2)
    told = {"why": "the provider's incident of that morning", "until": at + timedelta(hours=2)}
    yield _event(EventKind.COMMANDED, at, by="jo@support", told=told, reason=Reason.COMMANDED, **of_reply, **there)
    yield _event(
        EventKind.COMMANDED, at + timedelta(hours=2), by="jo@support", reason=Reason.PRIMARY, **of_reply, **back
    )
    began, ended = (now - each for each in OUTAGE)
    yield _event(EventKind.AVAILABILITY, began, reason=Reason.GONE, provider="openai", model=reply.primary)
    yield _event(EventKind.CUTOVER, began, reason=Reason.GONE, **of_reply, **there)
    yield _event(EventKind.AVAILABILITY, ended, provider="openai", model=reply.primary)
    yield _event(EventKind.RETURN, ended, reason=Reason.PRIMARY, **of_reply, **back)
    yield _event(
        EventKind.DATES_CHANGED, now - timedelta(days=5), provider="openai", model=dates.primary,
        told={"before": (now + timedelta(days=74)).date(), "after": (now + timedelta(days=32)).date()},
    )  # fmt: skip
    yield _event(
        EventKind.SUBSTITUTED, now - timedelta(days=2, hours=7), provider="openai", route=digest.name,
        owner=digest.owner, model="comet-2", to_target="comet-2-preview", told={"answered": "comet-2-preview"},
    )  # fmt: skip


def _notices(routes: Routes, now: datetime) -> Iterator[Event]:
    """Yield every notice that was due until today, on its day."""
    bases = base_dates(routes, Calendar(routes).dates_of)
    for base in bases:
        for threshold in NOTICE_DAYS:
            day = base.shutdown - timedelta(days=threshold)
            if day > now.date():
                continue
            for due in due_notices([base], day):
                at = midnight(day) + timedelta(seconds=9)
                yield notice_event(due, event_id=new_attempt_id(at), at=at, by=REPLICA)


async def keep_evidence(database: Database, routes: Routes, rows: list[Entry], now: datetime) -> None:
    """Keep verdicts in all three answers, pairs of rehearsals, and recordings."""
    chance = random.Random("evidence")
    looks: tuple[tuple[str, str, int, float, dict[str, Any]], ...] = (
        ("ticket-triage", "accept", 384, 0.97, {"cost_change": -0.21, "first_token_change": None}),
        ("forum-reply", "not_enough_evidence", 60, 0.90, {}),
        ("forum-reply", "accept", 412, 0.93, {"cost_change": 1.86, "first_token_change": 1.48}),
        ("contract-dates", "reject", 275, 0.71, {"difference": -0.14, "cost_change": -0.42}),
        ("survey-coding", "not_enough_evidence", 50, 0.88, {}),
        ("refund-reason", "accept", 503, 0.98, {"cost_change": -0.55}),
        ("claims-summary", "accept", 330, 0.91, {"cost_change": 1.22}),
    )
    store = EvaluationStore(database)
    for number, (route, verdict, compared, retained, fields) in enumerate(looks):
        at = now - timedelta(days=13 - number, hours=3)
        await store.conclude(_verdict(routes, route, verdict, compared, retained, at, fields))
    beside = [row for row in rows if row.reason is Reason.REHEARSAL]
    await RehearsalStore(database).keep([_pair(row, chance) for row in beside])
    for route, spent in (("ticket-triage", 61_000_000), ("survey-coding", 38_000_000)):
        await RehearsalStore(database).reserve(route, now.date(), spent, 500_000_000)
    for route, count in (("ticket-triage", 96), ("forum-reply", 80), ("claims-summary", 60), ("faq-answer", 25)):
        await RecordingStore(database).keep(list(_recordings(route, count, now)))
    await LimitStore(database).save([("openai", "gpt-6-luna", 500, 200_000, now - timedelta(minutes=7))])


def _verdict(
    routes: Routes, name: str, verdict: str, rows: int, retained: float, at: datetime, fields: dict[str, Any]
) -> Evaluation:
    route = routes.routes[name]
    target = route.fallbacks[0]
    width = 0.9 / rows**0.5
    given: dict[str, Any] = {
        "evaluation_id": new_attempt_id(at),
        "route": name,
        "target": target.name,
        "provider": target.provider.name,
        "model": target.model,
        "prompt_version": target.prompt.version if target.prompt else "",
        "terms": terms_of(route, target),
        "verdict": verdict,
        "looks": "many",
        "measure": "token_f1",
        "margin": 0.05,
        "rows": rows,
        "difference": -0.01,
        "difference_low": -0.01 - width,
        "difference_high": -0.01 + width,
        "retained": retained,
        "retained_low": retained - width,
        "retained_high": min(1.0, retained + width),
        "cost_change": None,
        "first_token_change": None,
        "report": orjson.dumps({"rows": {"needed": 230 if verdict == "not_enough_evidence" else None}}).decode(),
        "evaluated_at": at,
    }
    found = given | fields
    moved = found["difference"] - given["difference"]
    return Evaluation(**found | {key: found[key] + moved for key in ("difference_low", "difference_high")})


def _pair(row: Entry, chance: random.Random) -> Pair:
    return Pair(
        row.attempt_id,
        row.request_id,
        row.route,
        row.target,
        row.prompt_version,
        round(chance.gauss(180_000, 60_000)),
        chance.gauss(750, 400),
        None,
        min(1.0, max(0.0, chance.gauss(0.93, 0.06))),
    )


def _recordings(name: str, count: int, now: datetime) -> Iterator[Recording]:
    route = BY_NAME[name]
    assert route.primary is not None
    for number in range(count):
        yield Recording(
            name, route.provider, route.primary, f"{number:032x}", 0, "", '{"messages": []}',
            '{"role": "assistant", "content": "…"}', "captured", now - timedelta(days=14, minutes=number),
            input_tokens=240, output_tokens=60, cost_nanousd=300_000, duration_ms=900.0,
        )  # fmt: skip
