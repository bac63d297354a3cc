"""Values of LiteLLM's config: ``os.environ/NAME`` looked up, and what is a secret kept from going any further.

LiteLLM allows ``os.environ/NAME`` for every value. Settings such as addresses are looked up, since routes.yaml has no
such thing; whatever is named like a secret never is.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from gateway.config.yaml_source import Node

_ENVIRON: Final = "os.environ/"
_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]*")
_SECRET_NAME: Final = re.compile(
    r"key|secret|token|passw|credentials?$|authorization|licen[sc]e|database_url|dsn|webhook|headers|private|cookie",
    re.IGNORECASE,
)
_WITH_PASSWORD: Final = re.compile(r"://[^/\s]*@")
_NO_SECRET_NAME: Final = re.compile(r"_name$|cost|tokens$|management_system$|key_header", re.IGNORECASE)
_DUMMIES: Final = frozenset(
    ("anything", "not-needed", "not-used", "not-required", "dummy-key", "fake-key", "placeholder", "sk-anything")
)
_SHORTEST_SECRET: Final = 8
_MOST_SECONDS: Final = 86_400


class Secrets:
    """Every text of a config that is a secret by the name of its key, or of one above it."""

    def __init__(self, found: Iterable[str]) -> None:
        """Take the texts; those that are too short to be secrets, and those that are none, are left out."""
        self._found = frozenset(text for text in found if not is_dummy(text))
        self._lengths: dict[str, set[int]] = {}
        for text in self._found:
            self._lengths.setdefault(text[:_SHORTEST_SECRET], set()).add(len(text))

    def within(self, text: str) -> bool:
        """Tell whether a text holds a secret; takes no longer for more secrets."""
        starts = range(len(text) - _SHORTEST_SECRET + 1)
        return any(
            text[start : start + length] in self._found
            for start in starts
            for length in self._lengths.get(text[start : start + _SHORTEST_SECRET], ())
        )


def secrets_in(root: Node) -> Iterator[str]:
    """Yield the literal values of keys that are named like a secret, whole headers, and URLs with a password."""
    waiting: list[tuple[str, Node]] = [("", root)]
    while waiting:
        name, node = waiting.pop()
        text = (node.text or "").strip()
        if text and not text.startswith(_ENVIRON) and (_is_secret(name, text) or _WITH_PASSWORD.search(text)):
            yield text
        waiting += [(name, item) for item in node.items]
        inherited = "headers" if "headers" in name.lower() else None
        waiting += [(inherited or key, value) for key, value in node.entries.items()]


def _is_secret(name: str, text: str) -> bool:
    is_path = text.endswith(".json") and "{" not in text
    return is_secret_name(name) and not is_path


def is_secret_name(name: str) -> bool:
    """Tell whether what a key or a variable of this name holds is nobody else's to see."""
    return _SECRET_NAME.search(name) is not None and _NO_SECRET_NAME.search(name) is None


def is_dummy(key: str) -> bool:
    """Tell whether a literal key is what people write for servers that ask for none."""
    return len(key) < _SHORTEST_SECRET or key.lower() in _DUMMIES


@dataclass(frozen=True, slots=True)
class Values:
    """Reads values of one config."""

    environ: Mapping[str, str]
    """The config's own ``environment_variables`` over those of this process."""
    secrets: Secrets

    def text(self, node: Node | None) -> str | None:
        """Return a value as text; None where there is none, its variable is not set, or it holds a secret."""
        if node is None or isinstance(node.value, dict | list | bool) or node.value is None:
            return None
        text = str(node.value).strip()
        name = variable(node)
        if name is not None:
            text = "" if is_secret_name(name) else self.environ.get(name, "").strip()
        elif text.startswith(_ENVIRON):
            return None
        return text if text and not self.secrets.within(text) else None

    def variable(self, *names: str) -> str | None:
        """Return the first of these variables that is set, and holds no secret."""
        found = (self.environ.get(name, "").strip() for name in names)
        return next((text for text in found if text and not self.secrets.within(text)), None)

    def number(self, node: Node | None) -> Decimal | None:
        """Return a number, also one written as text, as LiteLLM takes it; None where there is none."""
        text = self.text(node)
        try:
            number = Decimal(text) if text and len(text) <= 40 else None
        except InvalidOperation:
            return None
        return number if number is not None and number.is_finite() and abs(number) < 10**12 else None

    def seconds(self, node: Node | None) -> Decimal | None:
        """Return a time limit that routes.yaml may hold; None where there is none."""
        number = self.number(node)
        return number if number is not None and 0 < number <= _MOST_SECONDS else None


def variable(node: Node | None) -> str | None:
    """Return the NAME of ``os.environ/NAME``; None where that is not written, or is no name that routes.yaml takes."""
    text = node.text if node else None
    name = text.strip().removeprefix(_ENVIRON) if text and text.strip().startswith(_ENVIRON) else ""
    return name if _VARIABLE.fullmatch(name) and len(name) <= 200 else None
