"""One word per idea, the same in YAML, headers, metrics, logs, ledger, pages and on the command line."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a target answers, or why it was skipped."""

    PRIMARY = "primary"
    DEPRECATED_RAMP = "deprecated_ramp"
    SHUTDOWN_REACHED = "shutdown_reached"
    GONE = "gone"
    NO_ACCESS = "no_access"
    SUSPECT = "suspect"
    CIRCUIT_OPEN = "circuit_open"
    RESTING = "resting"
    LACKS_CAPABILITY = "lacks_capability"
    CONTRACT = "contract"
    COMMANDED = "commanded"
    PINNED = "pinned"
    CONNECTION = "connection"
    TIMEOUT = "timeout"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    NO_PRIMARY = "no_primary"
    REHEARSAL = "rehearsal"
    """The route rehearses: a share of its traffic is answered by the fallback before that is needed."""
    CANARY = "canary"
    """A version that may become the primary answers a share of conversations."""


class Role(StrEnum):
    """Which part a target plays in its route; the ``served_by`` of headers and metrics."""

    PRIMARY = "primary"
    FALLBACK = "fallback"


class Availability(StrEnum):
    """What was observed of a target. Only ``gone`` and ``no_access`` are verified, and sticky."""

    AVAILABLE = "available"
    SUSPECT = "suspect"
    GONE = "gone"
    NO_ACCESS = "no_access"
    UNKNOWN = "unknown"


class Lifecycle(StrEnum):
    """What a model's published dates say of it on a given day."""

    ACTIVE = "active"
    DEPRECATED = "deprecated"
    RETIRED = "retired"


class EventKind(StrEnum):
    """What happened, as events and webhooks name it."""

    CUTOVER = "cutover"
    """A route moved to another target."""
    RETURN = "return"
    """A route moved back to its primary."""
    REFUSAL = "refusal"
    """A route should have moved, and did not: nobody else can answer."""
    COMMANDED = "commanded"
    """A person moved a route by hand, or took that back."""
    SHUTDOWN_NOTICE = "shutdown_notice"
    """A base stops in 90, 30, 7 or 1 days."""
    DATES_CHANGED = "dates_changed"
    """A provider announced, moved or withdrew a model's date."""
    AVAILABILITY = "availability"
    """A target was found to be gone, closed to us, or back."""
    SUBSTITUTED = "substituted"
    """A provider answered with another model than was asked."""
    PROMOTION = "promotion"
    """A version began to answer a share or all of a route, or ceased to."""


class Label(StrEnum):
    """What a person says of an answer."""

    RIGHT = "right"
    WRONG = "wrong"


class FailureKind(StrEnum):
    """What went wrong with one attempt; ``policy.verdicts`` says what each leads to."""

    CONNECTION = "connection"
    TIMEOUT = "timeout"
    TLS = "tls"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    MODEL_GONE = "model_gone"
    MODEL_NO_ACCESS = "model_no_access"
    MODEL_AMBIGUOUS = "model_ambiguous"
    AUTHENTICATION = "authentication"
    CONTEXT_TOO_LONG = "context_too_long"
    BAD_REQUEST = "bad_request"
    CONTENT_REFUSED = "content_refused"
    CLIENT_CANCELLED = "client_cancelled"
    INTERRUPTED = "interrupted"


class Outcome(StrEnum):
    """How an attempt ended, as its ledger row says it."""

    OK = "ok"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"


class UsageSource(StrEnum):
    """Who counted an attempt's tokens."""

    PROVIDER = "provider"
    ESTIMATED = "estimated"
    INTERRUPTED = "interrupted"
    NONE = "none"


class ProtocolRefusal(StrEnum):
    """Why a connection was ended before the app had a say, or without it."""

    HEADER_TIMEOUT = "header_timeout"
    BODY_TIMEOUT = "body_timeout"
    LONG_URL = "long_url"
    TOO_LARGE_HEADERS = "too_large_headers"
    TOO_MANY_HEADERS = "too_many_headers"
    MALFORMED = "malformed"
    """It is not HTTP/1.1, or has bytes where none may be."""
    SMUGGLING = "smuggling"
    """It leaves open where the request ends, or whom it is for: servers in front may have read it differently."""
    SLOW_READER = "slow_reader"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    STOPPING = "stopping"
    """The gateway stops, and the request was not complete."""
