"""What evaluations say of the fallback that takes over first. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import orjson

from gateway.config.routes import Route, Target
from gateway.policy.evidence import evidence_key
from gateway.policy.lifecycle import Dates

if TYPE_CHECKING:
    # The database's library takes long to load, and the command line loads this for its words.
    from gateway.store.evaluations import Evaluation


class Proof(StrEnum):
    """How good a fallback was shown to be."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    NOT_ENOUGH = "not_enough_evidence"
    OTHER_PROMPT = "other_prompt"
    """There is a verdict, on another prompt than the fallback has now: it does not count."""
    OTHER_TERMS = "other_terms"
    """There is a verdict, beside another primary, parameters, contract, measure or margin: it does not count."""
    NEVER = "never_evaluated"
    NO_PACK = "pack_not_here"
    """Its prompt is a pack that the database does not have, so that no verdict can be on it."""


_PROOFS = {"accept": Proof.ACCEPTED, "reject": Proof.REJECTED}


@dataclass(frozen=True, slots=True)
class Evidence:
    """The latest verdict on a route's first fallback, or why there is none."""

    route: Route
    dates: Dates
    """Of the primary."""
    fallback: Target
    proof: Proof
    evaluation: "Evaluation | None" = None
    """Of ``OTHER_PROMPT`` and ``OTHER_TERMS`` the one that does not count."""
    has_moved: bool = False

    @property
    def waits(self) -> bool:
        """Whether moves before the shutdown wait for a better one."""
        return self.route.cutover.require_evidence and self.proof is not Proof.ACCEPTED and not self.has_moved

    @property
    def rows_needed(self) -> int | None:
        """About how many rows would decide; None: it is decided, or no number would."""
        if self.evaluation is None or self.proof is not Proof.NOT_ENOUGH:
            return None
        needed: int | None = orjson.loads(self.evaluation.report).get("rows", {}).get("needed")
        return needed


def evidence_on(
    route: Route, evaluations: "Sequence[Evaluation]", dates: Dates, *, has_moved: bool = False
) -> Evidence | None:
    """Return what evaluations, newest first, say of a route's first fallback.

    ``dates`` are the primary's. ``has_moved``: its day has come, or it is gone, and nothing waits any more. None where
    there is nothing to evaluate: no fallback, or no primary that it would have to keep up with.
    """
    key = evidence_key(route)
    if key is None or route.primary is None:
        return None
    fallback = route.fallbacks[0]
    if fallback.prompt is not None and fallback.prompt.awaited_pack is not None:
        return Evidence(route, dates, fallback, Proof.NO_PACK, None, has_moved)
    of_model = [found for found in evaluations if (found.route, found.provider, found.model) == key[:3]]
    for found in of_model:
        if (found.prompt_version, found.terms) == key[3:]:
            proof = _PROOFS.get(found.verdict, Proof.NOT_ENOUGH)
            return Evidence(route, dates, fallback, proof, found, has_moved)
    of_prompt = [found for found in of_model if found.prompt_version == key[3]]
    if of_prompt:
        return Evidence(route, dates, fallback, Proof.OTHER_TERMS, of_prompt[0], has_moved)
    if of_model:
        return Evidence(route, dates, fallback, Proof.OTHER_PROMPT, of_model[0], has_moved)
    return Evidence(route, dates, fallback, Proof.NEVER, None, has_moved)
