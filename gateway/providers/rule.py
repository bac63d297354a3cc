"""What a rule of classification is."""

import re
from collections.abc import Container
from dataclasses import dataclass

from gateway.providers.evidence import Evidence, Shape
from gateway.reasons import FailureKind


class Pattern:
    """A regular expression that is compiled when it is first needed: all of them together take some 100 ms."""

    __slots__ = ("_compiled", "_source")

    def __init__(self, source: str) -> None:
        self._source = source
        self._compiled: re.Pattern[str] | None = None

    def search(self, text: str) -> re.Match[str] | None:
        """Find the pattern in a text."""
        return self.compiled().search(text)

    def compiled(self) -> re.Pattern[str]:
        """Return the expression itself."""
        if self._compiled is None:
            self._compiled = re.compile(self._source, re.MULTILINE)
        return self._compiled


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: it decides when every stated condition holds; ``text`` and ``code`` are alternatives."""

    id: str
    kind: FailureKind
    text: Pattern | None = None
    code: Pattern | None = None
    also: Pattern | None = None
    """Must be in the text as well."""
    unless: Pattern | None = None
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

    def prepare(self) -> None:
        """Compile what this rule looks for."""
        for pattern in (self.text, self.code, self.also, self.unless):
            if pattern is not None:
                pattern.compiled()

    def _found_in(self, evidence: Evidence) -> bool:
        if self.text is None and self.code is None:
            return True
        if self.text is not None and self.text.search(evidence.text):
            return True
        return self.code is not None and self.code.search(evidence.codes) is not None


def either(*alternatives: str) -> Pattern:
    """Return a pattern that any of these satisfies; ``^`` and ``$`` are a line's."""
    return Pattern("|".join(alternatives))


def words(*names: str) -> frozenset[str]:
    """Return the words of providers' kinds that a rule is about."""
    return frozenset(names)
