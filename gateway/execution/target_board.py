"""This replica's view of every target: is it there, is it healthy, may it be asked now?"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import TypeVar

from gateway.clock import Clock
from gateway.config.routes import Target
from gateway.policy import breaker
from gateway.policy.availability import FINDINGS, RETURN_HOLDS, Sign, TargetState, after, follow
from gateway.policy.planner import FRESH, UNUSABLE, Command, Observed
from gateway.reasons import Availability

TargetKey = tuple[str, str]
_K = TypeVar("_K")
CREDENTIAL_RESTS_S = 30.0
LONGEST_REST_S = 60.0
ANSWERED_LATELY_S = 3600.0
KEY_WORKS_S = 10.0
"""So long after an answer a refusal of the key is more likely one of that request's, until it is refused again."""
REFUSALS_TO_BELIEVE = 3


def key_of(target: Target) -> TargetKey:
    """Return what availability is known by: the provider's name and the model."""
    return (target.provider.name, target.model)


class TargetBoard:
    """Updated by attempts and verifications, read by the planner; ``version`` rises with every change."""

    def __init__(self, clock: Clock, verify: Callable[[Target, bool], None]) -> None:
        self._clock = clock
        self._verify = verify
        self._availability: dict[TargetKey, Availability] = {}
        self._circuits: dict[TargetKey, breaker.Circuit] = {}
        self._open: set[TargetKey] = set()
        """Those whose circuit is not closed."""
        self._rests: dict[TargetKey, float] = {}
        self._provider_rests: dict[str, float] = {}
        self._returned_at: dict[TargetKey, datetime] = {}
        self._versions: dict[TargetKey, int] = {}
        self._commands: Mapping[str, Command] = {}
        self._served: set[TargetKey] = set()
        self._answered_at: dict[TargetKey, dict[str, float]] = {}
        """When a target last answered at each endpoint's path, in monotonic seconds."""
        self._key_worked_at: dict[str, float] = {}
        self._refusals: dict[str, int] = {}
        """How often each provider's key was refused since it worked last."""
        self.version = 0

    @property
    def timed(self) -> bool:
        """Whether something on the board changes by the mere passing of time."""
        return bool(self._open or self._rests or self._provider_rests)

    def availability(self, target: Target) -> Availability:
        """Return what was observed of a target."""
        return self._availability.get(key_of(target), Availability.UNKNOWN)

    def command(self, route: str) -> Command | None:
        """Return where a person has put a route, while that holds."""
        command = self._commands.get(route)
        return command if command is not None and command.in_force(self._clock.now()) else None

    def agreed_version(self, key: TargetKey) -> int:
        """Return which version of a target's shared state this replica knows; 0: none was ever written."""
        return self._versions.get(key, 0)

    def observe(self, target: Target) -> Observed:
        """Return everything the planner may know of a target."""
        key = key_of(target)
        availability = self._availability.get(key, Availability.UNKNOWN)
        if not self.timed:
            return Observed(availability) if availability is not Availability.UNKNOWN else FRESH
        now = self._clock.monotonic()
        circuit = self._circuits.get(key, breaker.CLOSED)
        rest = self._left(self._rests, key, now)
        credential_rest = self._left(self._provider_rests, key[0], now)
        is_open = not circuit.lets_through(now)
        wait_s = max(rest, credential_rest, max(circuit.open_until, circuit.trial_until) - now if is_open else 0.0)
        return Observed(availability, is_open, rest > 0, credential_rest > 0, wait_s)

    def ever_served(self, key: TargetKey) -> bool:
        """Tell whether this model was ever seen to answer this provider's key."""
        return key in self._served

    def remember_served(self, keys: AbstractSet[TargetKey]) -> None:
        """Take over what the ledger knows, from before this start and of other replicas."""
        self._served |= keys

    def sent(self, target: Target) -> None:
        """A request is on its way; where an open circuit's pause is over, it is the one trial."""
        if self._circuits and (circuit := self._circuits.get(key_of(target))) and not circuit.closed:
            now = self._clock.monotonic()
            # One that is sent in spite of the pause, for it is pinned, must not stand in for the trial.
            if circuit.lets_through(now):
                self._circuits[key_of(target)] = breaker.on_trial(circuit, now)
                self.version += 1

    def answered(self, target: Target, path: str) -> None:
        """A target gave a good answer at an endpoint's path."""
        key = key_of(target)
        known = self._answered_at.get(key)
        if known is None:
            known = self._answered_at[key] = {}
        known[path] = self._key_worked_at[key[0]] = self._clock.monotonic()
        if self._refusals:
            self._refusals.pop(key[0], None)
        if key in self._circuits:
            self._close(key)
        if key not in self._served:
            self._served.add(key)
        if key not in self._availability:
            self._availability[key] = Availability.AVAILABLE
            self.version += 1

    def answers_at(self, key: TargetKey) -> AbstractSet[str]:
        """Return the paths of the endpoints at which this replica has seen a model answer."""
        return self._answered_at.get(key, {}).keys()

    def answers_only_elsewhere(self, target: Target, path: str) -> bool:
        """Tell whether a target answered lately, but never at this endpoint.

        Then a failure there says nothing of the model: it may just not be made for that, and whoever asks a chat model
        for vectors must not take it from the others.
        """
        known = self._answered_at.get(key_of(target))
        if not known or path in known:
            return False
        return self._clock.monotonic() - max(known.values()) < ANSWERED_LATELY_S

    def failed(self, target: Target) -> None:
        """A target failed in a way that speaks against its health."""
        key = key_of(target)
        circuit = breaker.after_failure(self._circuits.get(key, breaker.CLOSED), self._clock.monotonic())
        self._circuits[key] = circuit
        if not circuit.closed:
            self._open.add(key)
        self.version += 1

    def rests(self, target: Target, seconds: float) -> None:
        """A target asked for a pause."""
        self._rests[key_of(target)] = self._clock.monotonic() + min(seconds, LONGEST_REST_S)
        self.version += 1

    def credential_refused(self, target: Target) -> None:
        """A provider refused our key: leave it alone for a while, every model of it.

        Not at once where the key has just worked: one endpoint, or one prompt, may be refused in the same words.
        """
        name, now = target.provider.name, self._clock.monotonic()
        refusals = self._refusals[name] = self._refusals.get(name, 0) + 1
        worked = self._key_worked_at.get(name)
        if worked is not None and now - worked < KEY_WORKS_S and refusals < REFUSALS_TO_BELIEVE:
            return
        self._provider_rests[name] = now + CREDENTIAL_RESTS_S
        self.version += 1

    def suspect(self, target: Target) -> None:
        """A call said that the model is gone, or may be: skip it, and have that verified once."""
        key = key_of(target)
        if self._believe(key, Sign.SAID_GONE):
            self._verify(target, self._has_just_returned(key))

    def verified(self, key: TargetKey, found: Availability) -> bool:
        """Take over what a verification found; False: so soon after a return it has to wait, and the target with it."""
        if found in UNUSABLE and self._has_just_returned(key):
            self._believe(key, Sign.SAID_GONE)
            return False
        before = self._availability.get(key)
        self._believe(key, FINDINGS[found])
        if found is Availability.AVAILABLE and before in (*UNUSABLE, Availability.SUSPECT):
            self._returned_at[key] = self._clock.now()
        return True

    def agree(self, states: Mapping[TargetKey, TargetState], commands: Mapping[str, Command]) -> list[TargetKey]:
        """Follow what the replicas agree on; return the targets whose availability that changed here."""
        changed = []
        for key in self._versions.keys() - states.keys():
            del self._versions[key]
        for key, state in states.items():
            if self._versions.get(key) == state.version:
                continue
            self._versions[key] = state.version
            before = self._availability.get(key, Availability.UNKNOWN)
            if self._set(key, follow(before, state.availability)):
                changed.append(key)
            if state.availability is Availability.AVAILABLE:
                self._returned_at[key] = state.since
        now = self._clock.now()
        in_force = {route: command for route, command in commands.items() if command.in_force(now)}
        if in_force != self._commands:
            self._commands = in_force
            self.version += 1
        return changed

    def forget_others(self, configured: AbstractSet[TargetKey]) -> None:
        """Drop what passes of targets that are no longer configured, and rests that are over."""
        for key in self._circuits.keys() - configured:
            self._close(key)
        now = self._clock.monotonic()
        self._rests = {key: until for key, until in self._rests.items() if until > now and key in configured}
        self._provider_rests = {name: until for name, until in self._provider_rests.items() if until > now}

    def _close(self, key: TargetKey) -> None:
        del self._circuits[key]
        self._open.discard(key)
        self.version += 1

    def _believe(self, key: TargetKey, sign: Sign) -> bool:
        return self._set(key, after(self._availability.get(key, Availability.UNKNOWN), sign))

    def _set(self, key: TargetKey, availability: Availability) -> bool:
        """Tell whether that is new; only then plans are made anew."""
        if self._availability.get(key, Availability.UNKNOWN) is availability:
            return False
        self._availability[key] = availability
        if availability in UNUSABLE and key in self._circuits:
            # Nobody will call it, so nobody would ever close it.
            self._close(key)
        self.version += 1
        return True

    def _has_just_returned(self, key: TargetKey) -> bool:
        returned_at = self._returned_at.get(key)
        return returned_at is not None and timedelta(0) <= self._clock.now() - returned_at < RETURN_HOLDS

    @staticmethod
    def _left(until: dict[_K, float], key: _K, now: float) -> float:
        """Return the seconds left, and forget what is over."""
        if key not in until:
            return 0.0
        left = until[key] - now
        if left <= 0:
            del until[key]
        return left
