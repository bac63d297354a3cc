"""What a rule of classification is."""

import re
from collections.abc import Container
from dataclasses import dataclass

from gateway.providers.evidence import Evidence, Shape
from gateway.reasons import FailureKind


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: it decides when every stated condition holds; ``text`` and ``code`` are alternatives."""

    id: str
    kind: FailureKind
    text: re.Pattern[str] | None = None
    code: re.Pattern[str] | None = None
    also: re.Pattern[str] | None = None
    """Must be in the text as well."""
    unless: re.Pattern[str] | None = None
    """Must not be in the text."""
    vendors: frozenset[str] = frozenset()
    statuses: Container[int] | None = None
    shape: Shape | None = None

    def matches(self, evidence: Evidence) -> bool:
        """Say whether this rule decides; no I/O."""
        if self.vendors and not self.vendors & evidence.provider:
            return False
        if self.statuses is not None and evidence.status not in self.statuses:
            return False
        if self.shape is not None and self.shape != evidence.shape:
            return False
        # What is searched for comes before what must not be there: most rules are done after one search.
        if not self._found_in(evidence):
            return False
        if self.also is not None and not self.also.search(evidence.text):
            return False
        return self.unless is None or not self.unless.search(evidence.text)

    def _found_in(self, evidence: Evidence) -> bool:
        if self.text is None and self.code is None:
            return True
        if self.text is not None and self.text.search(evidence.text):
            return True
        return self.code is not None and self.code.search(evidence.codes) is not None


def either(*alternatives: str) -> re.Pattern[str]:
    """Return a pattern that any of these satisfies; ``^`` and ``$`` are a line's."""
    return re.compile("|".join(alternatives), re.MULTILINE)


def words(*names: str) -> frozenset[str]:
    """Return the words of providers' kinds that a rule is about."""
    return frozenset(names)
