"""What a provider's answer means: is the model gone, not ours, perhaps either, or is it something else?

The decision is rules in order (``classify_rules``) over one normal form (``evidence``); no I/O, no state.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway.providers.classify_rules import NO_ERROR, OTHERWISE, RULES
from gateway.providers.evidence import Evidence, read_evidence
from gateway.providers.retry_after import retry_after_s
from gateway.providers.rule import Rule
from gateway.reasons import FailureKind

_VERDICTS = {
    FailureKind.MODEL_GONE: "model_gone",
    FailureKind.MODEL_NO_ACCESS: "model_no_access",
    FailureKind.MODEL_AMBIGUOUS: "ambiguous",
}


@dataclass(frozen=True, slots=True)
class Classification:
    """One answer, understood."""

    kind: FailureKind
    rule: str
    """The id of the rule that decided; stable."""
    message: str
    """The provider's own words, at most 500 characters, without control characters."""
    code: str | None
    retry_after_s: float | None
    """How long the provider asks to wait, 0 to 86,400 seconds."""

    @property
    def verdict(self) -> str:
        """``model_gone``, ``model_no_access``, ``ambiguous`` or ``not_model_gone``."""
        return _VERDICTS.get(self.kind, "not_model_gone")


def classify(
    provider: str, status: int, headers: Mapping[str, str] | None, body: object, *, now: datetime | None = None
) -> Classification:
    """Classify one answer that is no success; never raises, never blocks.

    ``provider`` is the vendor's kind; ``body`` is parsed JSON of any shape, or text or bytes. ``now`` is only needed to
    understand a retry-after that is a date.
    """
    evidence = read_evidence(provider, status, headers, body)
    rule = _decide(status, evidence)
    return Classification(
        kind=rule.kind,
        rule=rule.id,
        message=evidence.message,
        code=evidence.code,
        retry_after_s=retry_after_s(headers, body, evidence.text, now=now),
    )


def prepare() -> None:
    """Compile every rule, which takes some 100 ms, so that the first failure need not wait for it."""
    for rule in RULES:
        rule.prepare()


def _decide(status: int, evidence: Evidence) -> Rule:
    if 200 <= status < 300 and not evidence.is_error:
        return NO_ERROR
    return next((rule for rule in RULES if rule.matches(evidence)), OTHERWISE)
