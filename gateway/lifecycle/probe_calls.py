"""The smallest call that tells whether a model answers: one token of it, or the vector of one word."""

import asyncio
import re
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from gateway.clock import Clock
from gateway.config.routes import Target
from gateway.providers.classify import classify
from gateway.providers.connection import ConnectFailed, TransportError
from gateway.providers.openai_wire import MAX_ERROR_BYTES, Upstream, header_map
from gateway.reasons import FailureKind

PROBE_TIMEOUT_S = 30.0
TargetKey = tuple[str, str]
"""A provider's name and a model: the unit of availability."""


@dataclass(frozen=True, slots=True)
class ProbeCall:
    """A call that a verification made, for the ledger: providers bill it like any other."""

    target: Target
    attempt_id: str
    status: int
    failure: FailureKind | None
    answer: object
    """The parsed answer, or None."""
    duration_ms: float
    endpoint: str = "chat_completions"


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """One endpoint's smallest call."""

    endpoint: str
    path: str
    asks: Mapping[str, Any]
    answers: str
    """The field of a success."""
    limit: str | None = None


_CHAT: Final = Shape(
    "chat_completions",
    "/chat/completions",
    {"messages": [{"role": "user", "content": "Hi"}]},
    "choices",
    "max_tokens",
)
_VECTOR: Final = Shape("embeddings", "/embeddings", {"input": "Hi"}, "data")
_TEXT: Final = Shape("completions", "/completions", {"prompt": "Hi"}, "choices", "max_tokens")
_SHAPES: Final = (_CHAT, _VECTOR, _TEXT)
_NAMES_VECTORS: Final = re.compile(r"embed|(?<![a-z])(?:bge|gte|e5)(?![a-z])", re.IGNORECASE)
# What makes pictures or sound, or hears it, has no smallest call: one would cost money, and seconds.
_NAMES_MEDIA: Final = re.compile(
    r"(?<![a-z])(?:whisper|tts|dall-?e|imagen?|transcribe|moderation|sora|flux|stable-diffusion)(?![a-z])",
    re.IGNORECASE,
)
_OTHER_SHAPE_RULES: Final = frozenset(("operation-not-offered",))
# What an endpoint answers that a model, or a whole server, does not have.
_NOT_HERE: Final = frozenset((404, 405, 501))


class ProbeCalls:
    """Makes such calls, each in the shape that the model was last found to answer."""

    def __init__(
        self,
        clock: Clock,
        record: Callable[[ProbeCall], None],
        new_attempt_id: Callable[[], str],
        answers_at: Callable[[TargetKey], AbstractSet[str]] = lambda key: frozenset(),
        begin: Callable[[ProbeCall], None] = lambda call: None,
    ) -> None:
        """Take who hears of calls.

        ``begin`` hears of each before it is sent, as one that was interrupted, and ``record`` when it is over.
        ``answers_at`` tells the paths of the endpoints at which a model was seen to answer callers.
        """
        self._begin = begin
        self._clock = clock
        self._answers_at = answers_at
        self._record = record
        self._new_attempt_id = new_attempt_id
        self._answered: dict[TargetKey, Shape] = {}

    async def ask(self, upstream: Upstream, target: Target) -> FailureKind | None:
        """Call a model; return what went wrong, or None.

        Whoever refuses one shape is asked for the others: a model that makes vectors is not gone because it does not
        chat. Where none is answered, the first refusal counts. Of a model that has no smallest call nothing is found
        out: ``BAD_REQUEST``, without any call.
        """
        key = (target.provider.name, target.model)
        seen = self._answers_at(key)
        shapes = _known_shapes(seen) if seen else _shapes(upstream, target, self._answered.get(key))
        first: FailureKind | None = None if shapes else FailureKind.BAD_REQUEST
        for shape in shapes:
            call = await self._ask_for(upstream, target, shape, certain=bool(seen))
            if call.failure is None:
                self._answered[key] = shape
                return None
            first = first or call.failure
            if not _is_another_shapes(call):
                break
        return first

    async def _ask_for(self, upstream: Upstream, target: Target, shape: Shape, *, certain: bool) -> ProbeCall:
        limit = target.parameters.rename.get("max_tokens", shape.limit) if shape is _CHAT else shape.limit
        call = await self._call(upstream, target, shape, limit, certain=certain)
        if shape is _CHAT and call.failure is FailureKind.BAD_REQUEST and call.status not in _NOT_HERE:
            # Models know the limit by one of two names, and refuse the other.
            other = "max_completion_tokens" if limit == "max_tokens" else "max_tokens"
            call = await self._call(upstream, target, shape, other, certain=certain)
        return call

    async def _call(
        self, upstream: Upstream, target: Target, shape: Shape, limit: str | None, *, certain: bool
    ) -> ProbeCall:
        attempt_id = self._new_attempt_id()
        body = {"model": target.model, **shape.asks, **({limit: 1} if limit else {})}
        started = self._clock.monotonic()
        status, answer, failure = 0, None, None
        unheard = ProbeCall(target, attempt_id, 0, FailureKind.INTERRUPTED, None, 0.0, shape.endpoint)
        self._begin(unheard)
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                exchange = upstream.exchange(shape.endpoint, shape.path, target.model)
                connection = await exchange.post(orjson.dumps(body), attempt_id)
                try:
                    await connection.wait_head()
                    status, headers = connection.status, header_map(connection.headers)
                    answer = parsed(await connection.read(MAX_ERROR_BYTES))
                finally:
                    connection.finish()
            if status != 200 or not isinstance(answer, dict) or shape.answers not in answer:
                found = classify(upstream.provider.kind, status, headers, answer)
                # "Not with this model" is no news of one that was never seen to do that.
                failure = FailureKind.BAD_REQUEST if found.rule in _OTHER_SHAPE_RULES and not certain else found.kind
        except ConnectFailed:
            failure = FailureKind.CONNECTION
        except (TransportError, TimeoutError):
            failure = FailureKind.TIMEOUT
        except BaseException:
            # Nobody waits for it any more; it may be billed all the same.
            self._record(replace(unheard, duration_ms=(self._clock.monotonic() - started) * 1000))
            raise
        duration_ms = (self._clock.monotonic() - started) * 1000
        call = ProbeCall(target, attempt_id, status, failure, answer, duration_ms, shape.endpoint)
        self._record(call)
        return call


def _known_shapes(paths: AbstractSet[str]) -> list[Shape]:
    """Return the smallest calls of the endpoints at which a model answers; who has responses has chat."""
    shapes = [shape for shape in _SHAPES if shape.path in paths]
    return shapes or ([_CHAT] if "/responses" in paths else [])


def _shapes(upstream: Upstream, target: Target, answered: Shape | None) -> list[Shape]:
    """Return the shapes to try where nothing is known, the likeliest first."""
    names = (target.model, target.base or "")
    if answered is None and any(_NAMES_MEDIA.search(name) for name in names):
        return []
    by_name = any(_NAMES_VECTORS.search(name) for name in names)
    likely = answered or (_VECTOR if by_name else _CHAT)
    order = dict.fromkeys((likely, *_SHAPES))
    # Of a provider that serves none of them now, the first call says so.
    return [shape for shape in order if upstream.serves(shape.endpoint)] or [likely]


def _is_another_shapes(call: ProbeCall) -> bool:
    """Tell whether a refusal may be one of the call's shape, and not of the model."""
    return call.failure is FailureKind.BAD_REQUEST or (
        call.failure is FailureKind.SERVER_ERROR and call.status in _NOT_HERE
    )


def parsed(body: bytes) -> object:
    """Return a body's JSON, or its text where it is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")
