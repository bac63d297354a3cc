from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.routes import Canary, Cutover, Route, Target
from gateway.policy.lifecycle import UNKNOWN_DATES, Dates, midnight
from gateway.policy.planner import FRESH, Command, Observed, Pin, Plan, plan
from gateway.reasons import Availability, Reason
from tests.example_routes import DEFAULT_FALLBACK_ON, a_fallback, a_primary, a_provider, a_route

END = date(2027, 1, 14)
PLANNED = Dates(announced=date(2026, 10, 14), shutdown=END)
TODAY = "2026-11-23T12:00"
EVE, DAY = "2027-01-13T23:59:59", "2027-01-14T00:00"
ALL_WORDS = DEFAULT_FALLBACK_ON | {"rate_limited", "quota"}

GONE, NO_ACCESS = Observed(Availability.GONE), Observed(Availability.NO_ACCESS)
SUSPECT, UNKNOWN = Observed(Availability.SUSPECT), Observed(Availability.UNKNOWN)
ALIVE = Observed(Availability.AVAILABLE)
OPEN, RESTING = Observed(circuit_open=True), Observed(resting=True)
KEY_REFUSED = Observed(credential_refused=True)

ONE = (a_fallback("luna"),)
TWO = (a_fallback("luna"), a_fallback("terra"))
RAMP = Cutover(days_before=14, ramp_days=7)


@dataclass(frozen=True)
class Case:
    """A situation, and the plan for it as words: ``target:reason`` for steps and for who is skipped."""

    steps: str
    skipped: str = ""
    seen: dict[str, Observed] = field(default_factory=dict)
    dates: dict[str, Dates] = field(default_factory=dict)
    now: str = TODAY
    bucket: float = 0.0
    pin: Pin | None = None
    route: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    """Further arguments of ``plan``."""

    def plan(self) -> Plan:
        return planned(
            a_route(**self.route),
            self.seen,
            self.dates,
            datetime.fromisoformat(self.now).replace(tzinfo=UTC),
            self.bucket,
            self.pin,
            **self.more,
        )


def planned(
    route: Route,
    seen: dict[str, Observed],
    dates: dict[str, Dates],
    now: datetime,
    bucket: float,
    pin: Pin | None = None,
    **more: Any,
) -> Plan:
    return plan(
        route,
        observe=lambda target: seen.get(target.name, FRESH),
        dates_of=lambda target: dates.get(target.name, UNKNOWN_DATES),
        now=now,
        bucket=bucket,
        pin=pin,
        **more,
    )


def words(made: Plan) -> tuple[str, str]:
    steps = (f"{step.target.name}:{step.reason.value if step.reason else '-'}" for step in made.steps)
    skipped = (f"{entry.target.name}:{entry.reason.value}" for entry in made.skipped)
    return " ".join(steps), " ".join(skipped)


HEALTH = {
    "all is well: the primary answers, the fallback stands by": Case("primary:primary luna:-"),
    "seen alive is no different from never seen": Case(
        "primary:primary luna:-", seen={"primary": ALIVE, "luna": ALIVE}
    ),
    "unknown after a verification is asked": Case("primary:primary luna:-", seen={"primary": UNKNOWN}),
    "two fallbacks stand by in the order that is written": Case(
        "primary:primary luna:- terra:-", route={"fallbacks": TWO}
    ),
    "gone: the fallback answers, and the primary is not even second": Case(
        "luna:gone", "primary:gone", seen={"primary": GONE}
    ),
    "no access: likewise": Case("luna:no_access", "primary:no_access", seen={"primary": NO_ACCESS}),
    "suspect: skipped while it is being verified": Case("luna:suspect", "primary:suspect", seen={"primary": SUSPECT}),
    "an open circuit: skipped": Case("luna:circuit_open", "primary:circuit_open", seen={"primary": OPEN}),
    "a refused credential: skipped as no access": Case(
        "luna:no_access", "primary:no_access", seen={"primary": KEY_REFUSED}
    ),
    "resting is ignored where the route does not ask for a fallback on rate limits": Case(
        "primary:primary luna:-", seen={"primary": RESTING}
    ),
    "resting counts where the route asks for a fallback on rate limits": Case(
        "luna:resting", "primary:resting", seen={"primary": RESTING}, route={"fallback_on": ALL_WORDS}
    ),
    "resting counts where the route asks for a fallback on quota": Case(
        "luna:resting", "primary:resting", seen={"primary": RESTING}, route={"fallback_on": frozenset(("quota",))}
    ),
    "the first fallback is gone: the second answers, for the primary's reason": Case(
        "terra:gone", "primary:gone luna:gone", seen={"primary": GONE, "luna": GONE}, route={"fallbacks": TWO}
    ),
    "a fallback with an open circuit is passed over": Case(
        "terra:gone", "primary:gone luna:circuit_open", seen={"primary": GONE, "luna": OPEN}, route={"fallbacks": TWO}
    ),
    "a gone fallback behind a healthy primary": Case("primary:primary", "luna:gone", seen={"luna": GONE}),
    "gone outranks an open circuit": Case(
        "luna:gone", "primary:gone", seen={"primary": Observed(Availability.GONE, circuit_open=True, resting=True)}
    ),
    "suspect outranks an open circuit": Case(
        "luna:suspect", "primary:suspect", seen={"primary": Observed(Availability.SUSPECT, circuit_open=True)}
    ),
}

NOBODY_LEFT = {
    "everybody is gone: nobody is asked": Case("", "primary:gone luna:gone", seen={"primary": GONE, "luna": GONE}),
    "no fallback, and the primary is gone: nobody is asked": Case(
        "", "primary:gone", seen={"primary": GONE}, route={"fallbacks": ()}
    ),
    "no fallback, and the circuit is open: nobody is asked": Case(
        "", "primary:circuit_open", seen={"primary": OPEN}, route={"fallbacks": ()}
    ),
    "no fallback, and the primary is only suspect: it is asked": Case(
        "primary:primary", "", seen={"primary": SUSPECT}, route={"fallbacks": ()}
    ),
    "the only fallback is suspect, and the primary gone: the suspect is asked": Case(
        "luna:gone", "primary:gone", seen={"primary": GONE, "luna": SUSPECT}
    ),
    "both are suspect: both are asked, in order": Case(
        "primary:primary luna:-", "", seen={"primary": SUSPECT, "luna": SUSPECT}
    ),
    "the fallback is gone, the primary's circuit open: nobody is asked": Case(
        "", "primary:circuit_open luna:gone", seen={"primary": OPEN, "luna": GONE}
    ),
}

FALLBACK_ON = {
    "fallback_on []: a gone primary stays unanswered": Case(
        "", "primary:gone", seen={"primary": GONE}, route={"fallback_on": frozenset()}
    ),
    "fallback_on []: an open circuit stays unanswered": Case(
        "", "primary:circuit_open", seen={"primary": OPEN}, route={"fallback_on": frozenset()}
    ),
    "fallback_on []: a suspect is asked until it is seen to be gone": Case(
        "primary:primary", "", seen={"primary": SUSPECT}, route={"fallback_on": frozenset()}
    ),
    "fallback_on []: a date moves nothing": Case(
        "primary:primary", "", dates={"primary": PLANNED}, now=DAY, route={"fallback_on": frozenset()}
    ),
    "fallback_on []: a ramp moves nothing": Case(
        "primary:primary",
        "",
        dates={"primary": PLANNED},
        now="2026-12-30",
        route={"fallback_on": frozenset(), "cutover": RAMP},
    ),
    "fallback_on [gone]: gone": Case(
        "luna:gone", "primary:gone", seen={"primary": GONE}, route={"fallback_on": frozenset(("gone",))}
    ),
    "fallback_on [gone]: suspect": Case(
        "luna:suspect", "primary:suspect", seen={"primary": SUSPECT}, route={"fallback_on": frozenset(("gone",))}
    ),
    "fallback_on [gone]: no access stays unanswered": Case(
        "", "primary:no_access", seen={"primary": NO_ACCESS}, route={"fallback_on": frozenset(("gone",))}
    ),
    "fallback_on [gone]: a refused credential stays unanswered": Case(
        "", "primary:no_access", seen={"primary": KEY_REFUSED}, route={"fallback_on": frozenset(("gone",))}
    ),
    "fallback_on [gone]: an open circuit stays unanswered": Case(
        "", "primary:circuit_open", seen={"primary": OPEN}, route={"fallback_on": frozenset(("gone",))}
    ),
    "fallback_on [gone]: a date moves": Case(
        "luna:shutdown_reached",
        "primary:shutdown_reached",
        dates={"primary": PLANNED},
        now=DAY,
        route={"fallback_on": frozenset(("gone",))},
    ),
    "fallback_on [timeout]: an open circuit is answered": Case(
        "luna:circuit_open",
        "primary:circuit_open",
        seen={"primary": OPEN},
        route={"fallback_on": frozenset(("timeout",))},
    ),
    "fallback_on [timeout]: gone stays unanswered": Case(
        "", "primary:gone", seen={"primary": GONE}, route={"fallback_on": frozenset(("timeout",))}
    ),
    "fallback_on []: a fallback that is gone changes nothing for the primary": Case(
        "primary:primary", "luna:gone", seen={"luna": GONE}, route={"fallback_on": frozenset()}
    ),
}

BY_DATE = {
    "a deprecated primary answers": Case("primary:primary luna:-", dates={"primary": PLANNED}),
    "23:59:59 before the day: the primary answers": Case("primary:primary luna:-", dates={"primary": PLANNED}, now=EVE),
    "00:00 of the day: the fallback answers": Case(
        "luna:shutdown_reached", "primary:shutdown_reached", dates={"primary": PLANNED}, now=DAY
    ),
    "a day reached without any fallback: the primary is asked until it is seen to be gone": Case(
        "primary:primary", "", dates={"primary": PLANNED}, now=DAY, route={"fallbacks": ()}
    ),
    "a day reached, and the fallback is gone: the primary is asked": Case(
        "primary:primary", "luna:gone", dates={"primary": PLANNED}, now=DAY, seen={"luna": GONE}
    ),
    "a day reached, and the fallback's circuit is open: the primary is asked": Case(
        "primary:primary", "luna:circuit_open", dates={"primary": PLANNED}, now=DAY, seen={"luna": OPEN}
    ),
    "a day reached, and the fallback is suspect: the primary is asked, then the suspect": Case(
        "primary:primary luna:-", "", dates={"primary": PLANNED}, now=DAY, seen={"luna": SUSPECT}
    ),
    "a day reached, the primary seen gone, no fallback: nobody is asked": Case(
        "", "primary:gone", dates={"primary": PLANNED}, now=DAY, seen={"primary": GONE}, route={"fallbacks": ()}
    ),
    "observed gone outranks the date": Case(
        "luna:gone", "primary:gone", dates={"primary": PLANNED}, now=DAY, seen={"primary": GONE}
    ),
    "at: gone: the primary answers beyond its date": Case(
        "primary:primary luna:-", dates={"primary": PLANNED}, now="2027-06-01", route={"cutover": Cutover(at="gone")}
    ),
    "at: gone: observed gone moves": Case(
        "luna:gone",
        "primary:gone",
        dates={"primary": PLANNED},
        now="2027-06-01",
        seen={"primary": GONE},
        route={"cutover": Cutover(at="gone")},
    ),
    "dates that only warn do not move a primary": Case(
        "primary:primary luna:-", dates={"primary": Dates(shutdown=END, acts=False)}, now="2028-01-01"
    ),
    "dates that only warn do not pass over a fallback": Case(
        "luna:gone",
        "primary:gone",
        dates={"luna": Dates(shutdown=END, acts=False)},
        now="2028-01-01",
        seen={"primary": GONE},
    ),
    "a fallback past its own date is passed over": Case(
        "terra:gone",
        "primary:gone luna:shutdown_reached",
        dates={"luna": PLANNED},
        now=DAY,
        seen={"primary": GONE},
        route={"fallbacks": TWO},
    ),
    "a fallback is not ramped: it answers until its day": Case(
        "luna:gone", "primary:gone", dates={"luna": PLANNED}, now=EVE, seen={"primary": GONE}, route={"cutover": RAMP}
    ),
    "primary and fallback both past their dates: both are asked, the primary first": Case(
        "primary:primary luna:-", "", dates={"primary": PLANNED, "luna": PLANNED}, now=DAY
    ),
    "the only fallback past its date, the primary gone: it is asked until it is seen to be gone": Case(
        "luna:gone", "primary:gone", dates={"luna": PLANNED}, now=DAY, seen={"primary": GONE}
    ),
}

ON_THE_RAMP = {
    "before the ramp nobody has moved": Case(
        "primary:primary luna:-",
        dates={"primary": PLANNED},
        now="2026-12-23T23:59",
        bucket=0.0,
        route={"cutover": RAMP},
    ),
    "at D-21 nobody has moved": Case(
        "primary:primary luna:-", dates={"primary": PLANNED}, now="2026-12-24", bucket=0.0, route={"cutover": RAMP}
    ),
    "half-way, a conversation below the half has moved, and the primary stands by": Case(
        "luna:deprecated_ramp primary:-",
        "primary:deprecated_ramp",
        dates={"primary": PLANNED},
        now="2026-12-27T12:00",
        bucket=0.4999,
        route={"cutover": RAMP},
    ),
    "half-way, a conversation at the half has not moved": Case(
        "primary:primary luna:-",
        dates={"primary": PLANNED},
        now="2026-12-27T12:00",
        bucket=0.5,
        route={"cutover": RAMP},
    ),
    "at D-14 everybody has moved, and the primary no longer stands by": Case(
        "luna:shutdown_reached",
        "primary:shutdown_reached",
        dates={"primary": PLANNED},
        now="2026-12-31",
        bucket=0.9999,
        route={"cutover": RAMP},
    ),
    "moved, but the fallback is gone: back to the primary": Case(
        "primary:primary",
        "luna:gone",
        dates={"primary": PLANNED},
        now="2026-12-30",
        seen={"luna": GONE},
        route={"cutover": RAMP},
    ),
    "moved, with two fallbacks: the primary stands behind both": Case(
        "luna:deprecated_ramp terra:- primary:-",
        "primary:deprecated_ramp",
        dates={"primary": PLANNED},
        now="2026-12-30",
        route={"cutover": RAMP, "fallbacks": TWO},
    ),
    "gone on the ramp: for everybody": Case(
        "luna:gone",
        "primary:gone",
        dates={"primary": PLANNED},
        now="2026-12-25",
        bucket=0.99,
        seen={"primary": GONE},
        route={"cutover": RAMP},
    ),
}

WITHOUT_A_PRIMARY = {
    "not trained yet: the fallback plays": Case("luna:no_primary", route={"primary": None}),
    "not trained yet: the second where the first is gone": Case(
        "terra:no_primary", "luna:gone", seen={"luna": GONE}, route={"primary": None, "fallbacks": TWO}
    ),
    "not trained yet, fallback_on []: the fallback plays all the same": Case(
        "luna:no_primary", route={"primary": None, "fallback_on": frozenset()}
    ),
    "not trained yet, the only fallback gone: nobody": Case(
        "", "luna:gone", seen={"luna": GONE}, route={"primary": None}
    ),
}

PINNED = {
    "@primary asks the primary alone": Case("primary:pinned", pin=Pin("primary")),
    "@primary asks even where it is gone": Case("primary:pinned", pin=Pin("primary"), seen={"primary": GONE}),
    "@primary asks even past its date": Case("primary:pinned", pin=Pin("primary"), dates={"primary": PLANNED}, now=DAY),
    "@fallback asks the fallbacks in order": Case("luna:pinned terra:-", pin=Pin("fallback"), route={"fallbacks": TWO}),
    "@fallback passes over the one that is gone": Case(
        "terra:pinned", pin=Pin("fallback"), seen={"luna": GONE}, route={"fallbacks": TWO}
    ),
    "@fallback, all gone: asks them, so that the answer says so": Case(
        "luna:pinned", pin=Pin("fallback"), seen={"luna": NO_ACCESS}
    ),
    "@fallback works where fallback_on is empty": Case(
        "luna:pinned", pin=Pin("fallback"), route={"fallback_on": frozenset()}
    ),
    "@NAME asks that fallback alone": Case("terra:pinned", pin=Pin("terra"), route={"fallbacks": TWO}),
    "@DATE runs the plan of that day": Case(
        "luna:shutdown_reached", "primary:shutdown_reached", pin=Pin(at=midnight(END)), dates={"primary": PLANNED}
    ),
    "@DATE the day before": Case(
        "primary:primary luna:-", pin=Pin(at=midnight(END) - timedelta(days=1)), dates={"primary": PLANNED}, now=DAY
    ),
    "@DATE knows what is observed now": Case(
        "luna:gone", "primary:gone", pin=Pin(at=midnight(END)), dates={"primary": PLANNED}, seen={"primary": GONE}
    ),
}

CANARY = Canary(target=a_primary(name="canary", model="ft:next"), share=0.05)
ELSEWHERE = Canary(target=a_primary(name="canary", provider=a_provider(name="there"), model="ft:next"), share=0.05)
BESIDE = {"canary": CANARY}
ASKED = {"canary": True}
BY_HAND = Command("luna", "a trial", "ana", datetime(2026, 11, 1, tzinfo=UTC))


def lacking(name: str, what: str = "no tools") -> dict[str, Any]:
    return {"lacks": lambda target: what if target.name == name else None}


CANARIES = {
    "a canary's conversation goes to it, and the primary stands behind": Case(
        "canary:canary primary:primary luna:-", route=BESIDE, more=ASKED
    ),
    "other conversations never see it": Case("primary:primary luna:-", route=BESIDE),
    "a route without one has none": Case("primary:primary luna:-", more=ASKED),
    "it is asked once its conversations have not moved by date": Case(
        "canary:canary primary:primary luna:-",
        dates={"primary": PLANNED},
        now="2026-12-28",
        bucket=0.99,
        route=BESIDE | {"cutover": RAMP},
        more=ASKED,
    ),
    "where a conversation has left the primary by date there is nothing to try": Case(
        "luna:deprecated_ramp primary:-",
        "primary:deprecated_ramp",
        dates={"primary": PLANNED},
        now="2026-12-28",
        route=BESIDE | {"cutover": RAMP},
        more=ASKED,
    ),
    "past the primary's date there is no canary either": Case(
        "luna:shutdown_reached",
        "primary:shutdown_reached",
        dates={"primary": PLANNED},
        now=DAY,
        route=BESIDE,
        more=ASKED,
    ),
    "nor while the primary is gone": Case(
        "luna:gone", "primary:gone", seen={"primary": GONE}, route=BESIDE, more=ASKED
    ),
    "nor is it a last resort": Case(
        "", "primary:gone", seen={"primary": GONE}, route=BESIDE | {"fallbacks": ()}, more=ASKED
    ),
    "its own date counts, whatever the route's ramp says": Case(
        "primary:primary luna:-",
        "canary:shutdown_reached",
        dates={"canary": PLANNED},
        now=DAY,
        route=BESIDE,
        more=ASKED,
    ),
    "a canary that is gone is passed over": Case(
        "primary:primary luna:-", "canary:gone", seen={"canary": GONE}, route=BESIDE, more=ASKED
    ),
    "one that is suspect likewise": Case(
        "primary:primary luna:-", "canary:suspect", seen={"canary": SUSPECT}, route=BESIDE, more=ASKED
    ),
    "one whose circuit is open likewise": Case(
        "primary:primary luna:-", "canary:circuit_open", seen={"canary": OPEN}, route=BESIDE, more=ASKED
    ),
    "one that rests is passed over also where fallbacks may not stand in for that": Case(
        "primary:primary luna:-", "canary:resting", seen={"canary": RESTING}, route=BESIDE, more=ASKED
    ),
    "one that lacks what is asked is passed over": Case(
        "primary:primary luna:-", "canary:lacks_capability", route=BESIDE, more=ASKED | lacking("canary")
    ),
    "where the primary lacks it there is nothing to compare": Case(
        "luna:lacks_capability", "primary:lacks_capability", route=BESIDE, more=ASKED | lacking("primary")
    ),
    "a command outranks it": Case(
        "luna:commanded primary:-", "primary:commanded", route=BESIDE, more=ASKED | {"command": BY_HAND}
    ),
    "so does a command to the primary": Case(
        "primary:commanded luna:-", route=BESIDE, more=ASKED | {"command": replace(BY_HAND, target="primary")}
    ),
    "nobody is commanded to a canary": Case(
        "primary:primary luna:-", route=BESIDE, more=ASKED | {"command": replace(BY_HAND, target="canary")}
    ),
    "a canary's conversation does not rehearse": Case(
        "canary:canary primary:primary luna:-", route=BESIDE, more=ASKED | {"rehearses": True}
    ),
    "another one does": Case("luna:rehearsal primary:primary", route=BESIDE, more={"rehearses": True}),
    "a pin to it": Case("canary:pinned", pin=Pin("canary"), route=BESIDE),
    "a pin to the primary": Case("primary:pinned", pin=Pin("primary"), route=BESIDE, more=ASKED),
    "a pin to the fallbacks": Case("luna:pinned", pin=Pin("fallback"), route=BESIDE, more=ASKED),
    "a pin to a day": Case(
        "primary:primary luna:-", pin=Pin(at=datetime(2026, 12, 1, tzinfo=UTC)), route=BESIDE, more=ASKED
    ),
    "what the primary's provider stores may be a canary's of the same provider": Case(
        "canary:canary primary:primary luna:-", route=BESIDE, more=ASKED | {"held_by": "here"}
    ),
    "and stays with the primary in other conversations": Case(
        "primary:primary luna:-", route=BESIDE, more={"held_by": "here"}
    ),
    "what only the canary's provider stores goes there": Case(
        "canary:canary",
        "primary:lacks_capability luna:lacks_capability",
        route={"canary": ELSEWHERE},
        more={"held_by": "there"},
    ),
    "what only others store does not": Case(
        "primary:primary luna:-", route={"canary": ELSEWHERE}, more=ASKED | {"held_by": "here"}
    ),
}

CASES = {
    f"{group}: {sentence}": case
    for group, cases in {
        "health": HEALTH,
        "nobody left": NOBODY_LEFT,
        "fallback_on": FALLBACK_ON,
        "dates": BY_DATE,
        "ramp": ON_THE_RAMP,
        "primary null": WITHOUT_A_PRIMARY,
        "pins": PINNED,
        "canary": CANARIES,
    }.items()
    for sentence, case in cases.items()
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_plan(case: Case) -> None:
    made = case.plan()
    assert words(made) == (case.steps, case.skipped)
    assert made.pinned is (case.pin is not None)


def test_every_step_has_the_routes_total_time() -> None:
    route = a_route()
    assert {step.timeout_s for step in Case("").plan().steps} == {route.timeouts.total_s}


SEEN = st.builds(
    Observed,
    availability=st.sampled_from(Availability),
    circuit_open=st.booleans(),
    resting=st.booleans(),
    credential_refused=st.booleans(),
)
DATES = st.sampled_from((UNKNOWN_DATES, PLANNED, Dates(shutdown=END, acts=False)))
ROUTES = st.builds(
    a_route,
    primary=st.sampled_from((a_primary(), None)),
    fallbacks=st.just(TWO),
    fallback_on=st.frozensets(st.sampled_from(sorted(ALL_WORDS))),
    cutover=st.builds(
        Cutover, at=st.sampled_from(("shutdown", "gone")), days_before=st.integers(0, 30), ramp_days=st.integers(0, 30)
    ),
)
NAMES = ("primary", "luna", "terra")
MINUTES = st.integers(-60 * 24 * 60, 60 * 24 * 60)


@given(
    ROUTES,
    st.fixed_dictionaries(dict.fromkeys(NAMES, SEEN)),
    st.fixed_dictionaries(dict.fromkeys(NAMES, DATES)),
    MINUTES,
    st.floats(0, 1, exclude_max=True),
)
def test_any_plan_is_sound(
    route: Route, seen: dict[str, Observed], dates: dict[str, Dates], minutes: int, bucket: float
) -> None:
    made = planned(route, seen, dates, midnight(END) + timedelta(minutes=minutes), bucket)
    asked: list[Target] = [step.target for step in made.steps]
    assert len(set(map(id, asked))) == len(asked), "a target is asked at most once"
    assert not any(seen[t.name].availability in (Availability.GONE, Availability.NO_ACCESS) for t in asked)
    assert [step.reason is not None for step in made.steps] == [True] + [False] * (len(asked) - 1) if asked else True
    mentioned = {t.name for t in asked} | {entry.target.name for entry in made.skipped}
    if not route.fallback_on and route.primary is not None and route.primary not in asked:
        # Rather fail than answer differently.
        assert asked == []
    elif route.fallback_on >= ALL_WORDS or route.primary is None:
        assert mentioned == {target.name for target in route.targets}, "nobody is left out without a word"


@given(st.integers(0, 30), st.integers(0, 30), MINUTES, st.integers(0, 60 * 24 * 30), st.floats(0, 1, exclude_max=True))
def test_a_conversation_that_has_moved_never_moves_back(
    days_before: int, ramp_days: int, minutes: int, later: int, bucket: float
) -> None:
    route = a_route(cutover=Cutover(days_before=days_before, ramp_days=ramp_days))
    now = midnight(END) + timedelta(minutes=minutes)
    first, then = (
        planned(route, {}, {"primary": PLANNED}, at, bucket).steps[0].target.name
        for at in (now, now + timedelta(minutes=later))
    )
    assert (first, then) != ("luna", "primary")


@given(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True), MINUTES)
def test_a_lower_place_moves_no_later(one: float, other: float, minutes: int) -> None:
    lower, higher = sorted((one, other))
    now = midnight(END) + timedelta(minutes=minutes)
    at_lower, at_higher = (
        planned(a_route(cutover=RAMP), {}, {"primary": PLANNED}, now, place).steps[0].reason
        for place in (lower, higher)
    )
    assert not (at_higher is Reason.DEPRECATED_RAMP and at_lower is Reason.PRIMARY)
