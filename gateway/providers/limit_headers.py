"""Rate limits that providers state in their answers' headers, per minute: one row for each kind that documents them.

What is left out is left out on purpose: OpenAI's names are used elsewhere with other meanings. Groq counts requests by
the day under the same name, Azure over a window that its documents do not settle, Fireworks by turns per minute and
per second; and of anybody else's ``openai-compatible`` server nothing is known. Read 2026-11-24.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple


class LimitHeaders(NamedTuple):
    """Which headers hold a model's limits per minute, in lower case."""

    requests: bytes | None
    tokens: bytes | None


HEADERS: Final[Mapping[str, LimitHeaders]] = {
    "openai": LimitHeaders(b"x-ratelimit-limit-requests", b"x-ratelimit-limit-tokens"),
    "azure": LimitHeaders(None, b"x-ratelimit-limit-tokens"),
    "groq": LimitHeaders(None, b"x-ratelimit-limit-tokens"),
    "mistral": LimitHeaders(b"x-ratelimit-limit-req-minute", b"x-ratelimit-limit-tokens-minute"),
    "sandbox": LimitHeaders(b"x-ratelimit-limit-requests", b"x-ratelimit-limit-tokens"),
}
_LONGEST: Final = 15


def read_limits(kind: str, headers: Iterable[tuple[bytes, bytes]]) -> tuple[int | None, int | None]:
    """Return requests and tokens per minute, each None where it is not stated as a whole number above zero.

    ``headers`` have names in lower case; of a repeated one the last counts.
    """
    names = HEADERS.get(kind)
    if names is None:
        return None, None
    given = dict(headers)
    return _number(given.get(names.requests or b"")), _number(given.get(names.tokens or b""))


def _number(value: bytes | None) -> int | None:
    if value is None or not value.isdigit() or len(value) > _LONGEST:
        return None
    return int(value) or None
