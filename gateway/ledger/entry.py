"""One row of the ledger: what one attempt was, used and cost."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal, NamedTuple

from gateway.clock import time_ordered_id
from gateway.reasons import FailureKind, Outcome, Reason, Role, UsageSource

EntryKind = Literal["live", "rehearsal", "recording", "evaluation", "probe"]

new_attempt_id: Final = time_ordered_id
"""Makes an attempt's id of when it starts: ids sort by start, and the primary key doubles as the index by time."""


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
    hold_id: str | None = None
    """What was set aside for its request, where its key has a budget (``store.tables_keys.budget_holds``)."""
    contract_broken: bool | None = None
    """Whether a whole answer to a caller was not what its route's contract promises.

    None: there is no contract, the answer was streamed or says nothing in words, there is none, or no caller asked.
    """
