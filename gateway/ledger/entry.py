"""One row of the ledger: what one attempt was, used and cost."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from random import getrandbits
from typing import Final, Literal, NamedTuple

from gateway.reasons import FailureKind, Outcome, Reason, Role, UsageSource

EntryKind = Literal["live", "rehearsal", "recording", "evaluation", "probe"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_VERSION_AND_VARIANT: Final = 0x7 << 76 | 0b10 << 62


def new_attempt_id(started_at: datetime) -> str:
    """Return a UUIDv7 (RFC 9562), as text, for an attempt that starts then.

    It holds the time to the microsecond, then 62 random bits. Ids sort by start, so that the ledger's primary key
    doubles as its index by time; it is derived from the injected clock, and no two are equal even when that clock
    stands still or is set back. As text, since that is how it travels: making a ``UUID`` would cost more than the rest.
    """
    milliseconds, microseconds = divmod((started_at - _EPOCH) // _MICROSECOND, 1000)
    # The 12 bits behind the version hold the fraction of a millisecond.
    fraction = (microseconds << 12) // 1000
    digits = "%032x" % (milliseconds << 80 | fraction << 64 | _VERSION_AND_VARIANT | getrandbits(62))
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class Entry(NamedTuple):
    """One attempt. Its fields are the columns of the table ``attempts``, by name and in order.

    A named tuple: as frozen as a dataclass, at a third of the cost to make, which every request pays. Values go in as
    they are; the store turns them into the database's own, behind the response.
    """

    attempt_id: str
    """From ``new_attempt_id(started_at)``."""
    request_id: str
    route: str
    target: str
    """The target's name within its route."""
    role: Role
    provider: str
    model_asked: str
    model_answered: str | None
    reason: Reason
    prompt_version: str | None
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    usage_source: UsageSource
    price_version: str | None
    cost_nanousd: int | None
    """None: the model has no price (unpriced), which is not the same as free."""
    outcome: Outcome
    failure: FailureKind | None
    endpoint: str
    stream: bool
    pinned: bool
    kind: EntryKind
    instance: str
    config_hash: str
    key: str | None
    """The caller's key by its label, never the key."""
    team: str | None
    tags: Mapping[str, str] | None
    service_tier: str | None
    status: int | None
    """The upstream's HTTP status; None where no answer came."""
    ttft_ms: float | None
    duration_ms: float
    started_at: datetime
    """Aware, UTC."""
    finished_at: datetime
    """Aware, UTC."""
    substituted: bool
    """Whether another model answered than was asked, beyond an alias and its snapshot."""
    traits: str | None
    """What the request asked of a model: sorted words of a closed list, joined by commas (``policy.traits``).

    Empty where it asked for nothing special; None where nobody looked: probes.
    """
    input_audio_tokens: int = 0
    """Of the input tokens, those of sound."""
    output_audio_tokens: int = 0
    input_image_tokens: int = 0
    output_image_tokens: int = 0
    usage_rejected: bool = False
    """Whether the provider's count was absurd (negative, a float, 1e18), so that the tokens are estimated instead."""
    overhead_ms: float | None = None
    """What the gateway had added until the answer was committed: since the request's start, less waits for upstreams.

    None: it answered nothing.
    """
