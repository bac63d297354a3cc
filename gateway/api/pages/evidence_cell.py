"""What is known of how good a route's fallback is, in two or three words. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.config.routes import Route
from gateway.lifecycle.forecast_evidence import Proof, evidence_on
from gateway.policy.lifecycle import Dates
from gateway.store.evaluations import Evaluation

_WORDS: Final = {
    Proof.REJECTED: "rejected",
    Proof.NOT_ENOUGH: "not enough evidence",
    Proof.OTHER_PROMPT: "evaluated with another prompt",
    Proof.OTHER_TERMS: "evaluated on other terms",
    Proof.NO_PACK: "its pack is not here",
}


@dataclass(frozen=True, slots=True)
class EvidenceCell:
    """A few words, and whether somebody should do something about them."""

    words: str
    lacks: bool
    is_good: bool = False
    is_bad: bool = False
    """Whether the fallback was shown not to be good enough."""


def evidence_cell(
    route: Route, evaluations: Sequence[Evaluation] | None, dates: Dates, exercised: float | None
) -> EvidenceCell:
    """Say it.

    ``evaluations`` None: not known. ``exercised``: when a fallback last answered anything, in Unix time;
    0: never, None: not known.
    """
    if not route.fallbacks:
        return EvidenceCell("no fallback", lacks=True)
    if route.primary is None:
        return EvidenceCell("", lacks=False)
    evidence = evidence_on(route, evaluations, dates) if evaluations is not None else None
    if evidence is not None and evidence.proof is Proof.ACCEPTED and evidence.evaluation is not None:
        rows = evidence.evaluation.rows
        return EvidenceCell(f"accepted {rows:,} {'row' if rows == 1 else 'rows'}", lacks=False, is_good=True)
    if evidence is not None and evidence.proof in _WORDS:
        return EvidenceCell(_WORDS[evidence.proof], lacks=True, is_bad=evidence.proof is Proof.REJECTED)
    if exercised == 0:
        return EvidenceCell("never exercised", lacks=True)
    return EvidenceCell("never evaluated" if evaluations is not None else "", lacks=evaluations is not None)
