"""Looks at targets that are doubted, and takes note of what is found."""

from collections.abc import Callable

from gateway.clock import Clock
from gateway.config.routes import Target
from gateway.execution.accounting import Accounting
from gateway.execution.prepared import Snapshot
from gateway.execution.target_board import TargetBoard, TargetKey
from gateway.ledger.entry import new_attempt_id
from gateway.lifecycle.probes import Prober
from gateway.metrics import Metrics
from gateway.policy import lifecycle
from gateway.policy.planner import UNUSABLE
from gateway.reasons import Availability, FailureKind, Lifecycle

DOUBTED = (*UNUSABLE, Availability.SUSPECT)
SAYS_GONE = (FailureKind.MODEL_GONE, FailureKind.MODEL_AMBIGUOUS, FailureKind.MODEL_NO_ACCESS)


class Verifications:
    """The board of targets, the prober that looks at them, and what leads from one to the other."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        accounting: Accounting,
        found: Callable[[TargetKey, Availability, int], None],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._snapshot, self._agree, self._metrics, self._clock = snapshot, found, metrics, clock
        self.board = TargetBoard(clock, lambda target, carefully: self.prober.verify(target, carefully=carefully))
        self.prober = Prober(
            upstreams=lambda: snapshot().upstreams,
            clock=clock,
            ever_served=self.board.ever_served,
            date_passed=self._date_passed,
            doubted=self._doubted,
            agreed_version=self.board.agreed_version,
            report=self._found,
            exercised=self._exercised,
            record=lambda call: accounting.settle_probe(call, snapshot()),
            begin=lambda call: accounting.begin_probe(call, snapshot()),
            new_attempt_id=lambda: new_attempt_id(clock.now()),
            answers_at=self.board.answers_at,
        )

    def changed(self, key: TargetKey) -> None:
        """Hear that other replicas found something: wait for a return as they do, or look no more."""
        target = self._target(key)
        if target is not None and self.board.availability(target) in UNUSABLE:
            self.prober.await_return(target, self.board.availability(target))
        elif target is not None and self.board.availability(target) not in DOUBTED:
            self.prober.forget(key)

    def doubt(self, key: TargetKey) -> None:
        """Look anew at what was found some time ago."""
        self.prober.forget(key)
        target = self._target(key)
        if target is not None:
            self.prober.verify(target, carefully=True)

    def asked_for(self, target: Target) -> None:
        """Look at a target because a person asks: one that is doubted from the start, any other by one token."""
        if self.board.availability(target) in DOUBTED:
            self.doubt((target.provider.name, target.model))
        else:
            self.prober.exercise(target)

    def configured(self) -> None:
        """Hear of another configuration: forget targets that are none of it, look after those that are doubted."""
        targets = self._targets()
        self.board.forget_others({(target.provider.name, target.model) for target in targets})
        for target in targets:
            # One that was removed and comes back may be doubted still, and nobody looked in the meantime.
            availability = self.board.availability(target)
            if availability is Availability.SUSPECT:
                self.prober.verify(target)
            elif availability in UNUSABLE:
                self.prober.await_return(target, availability)

    def left_the_list(self, provider: str, models: frozenset[str]) -> None:
        """Look at those of our targets that a provider lists no more, before their callers do."""
        for target in self._targets():
            if target.provider.name == provider and target.model in models:
                self._look_at(target)

    def _date_passed(self, target: Target) -> bool:
        dates = self._snapshot().calendar.dates_of(target)
        return lifecycle.state(dates, self._clock.now()) is Lifecycle.RETIRED

    def _doubted(self, key: TargetKey) -> bool:
        """Tell whether anybody still needs to know of a target: it is configured, and not taken for available."""
        target = self._target(key)
        return target is not None and self.board.availability(target) in DOUBTED

    def _found(self, key: TargetKey, found: Availability, version: int) -> None:
        self._metrics.probes.labels(key[0], found.value).inc()
        self._agree(key, found, version)
        target = self._target(key)
        if found is Availability.GONE and target is not None and target.base is not None:
            # Fine-tunes of one base die together: look at the others before their callers find out.
            for other in self._targets():
                same = other.base == target.base and other.provider.name == target.provider.name
                if same:
                    self._look_at(other)

    def _look_at(self, target: Target) -> None:
        if self.board.availability(target) not in DOUBTED:
            self.prober.exercise(target)

    def _exercised(self, target: Target, failure: FailureKind | None) -> None:
        """Hear how a call went that was made because nobody else called."""
        self._metrics.probes.labels(target.provider.name, failure.value if failure else "available").inc()
        if failure in SAYS_GONE:
            self.board.suspect(target)

    def _target(self, key: TargetKey) -> Target | None:
        return next((target for target in self._targets() if (target.provider.name, target.model) == key), None)

    def _targets(self) -> list[Target]:
        return [target for route in self._snapshot().routes.routes.values() for target in route.targets]
