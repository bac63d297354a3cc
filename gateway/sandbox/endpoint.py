"""One attempt at any endpoint: from its bytes to its row on the bill."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from uuid import uuid4

import orjson

from gateway.sandbox.bill import Attempt
from gateway.sandbox.catalogue import Fault, Kind, Model
from gateway.sandbox.connection import ClientGone, Connection
from gateway.sandbox.delivery import Delivery, Stream, send
from gateway.sandbox.pricing import Usage
from gateway.sandbox.provider import Provider
from gateway.sandbox.refusals import ProviderError, invalid_json, invalid_type, openai_error, rate_limited

_KEPT_NAME_LENGTH = 256
# Per minute and model, as OpenAI states them; nothing here enforces them.
_LIMITS = {"x-ratelimit-limit-requests": "10000", "x-ratelimit-limit-tokens": "2000000"}


@dataclass(frozen=True, slots=True)
class Call:
    """A request, and the model that it is for."""

    provider: Provider
    model: Model
    """The model that was asked."""
    served: Model
    """The model that answers: another one only where the asked one's fault is to put one in its place."""
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    """Of the answer."""

    @property
    def now_s(self) -> int:
        """The time, in Unix seconds."""
        return int(self.provider.clock.now().timestamp())

    @property
    def streamed(self) -> bool:
        """Whether a stream was asked for."""
        return self.body.get("stream") is True

    def delivery(
        self,
        usage: Usage,
        whole: Callable[[], bytes],
        stream: Stream | None = None,
        when_done: Callable[[], None] | None = None,
    ) -> Delivery:
        """Return what is sent: in parts where a stream was asked for, and the endpoint has one."""
        return Delivery(
            model=self.model,
            served=self.served,
            usage=usage,
            headers=self.headers,
            whole=whole,
            stream=stream if self.streamed else None,
            when_done=when_done,
        )


class Endpoint(ABC):
    """What differs between endpoints that take a model."""

    name: ClassVar[str]
    """As the bill shows it."""
    path: ClassVar[str]
    kinds: ClassVar[frozenset[Kind]]
    default_model: ClassVar[str | None] = None
    openai_style: ClassVar[str] = "openai"
    """How OpenAI says here that a model is gone (``retirement.STYLES``)."""

    def read(self, raw: bytes, content_type: str) -> dict[str, Any]:
        """Return the request's fields.

        Raises:
            ProviderError: a 400: there are none to read.
        """
        return load_body(raw)

    @abstractmethod
    def wrong_kind(self, model: Model) -> ProviderError:
        """Return the answer to a model that is made for another endpoint."""

    @abstractmethod
    def prepare(self, call: Call) -> Delivery:
        """Return what is sent.

        Raises:
            ProviderError: the request is refused.
        """


async def answer_attempt(
    endpoint: Endpoint, provider: Provider, connection: Connection, request_headers: Mapping[bytes, bytes]
) -> None:
    """Answer an attempt, and bill it whatever happens."""
    attempt_id = request_headers.get(b"x-client-request-id", b"").decode("latin-1")[:_KEPT_NAME_LENGTH]
    content_type = request_headers.get(b"content-type", b"").decode("latin-1")
    attempt = Attempt(attempt_id or None, endpoint.name)
    headers = {"x-request-id": f"req_{uuid4().hex}"}
    try:
        body = endpoint.read(await connection.body(), content_type)
        model = _asked(endpoint, provider, attempt, body)
        if (refusal := _refusal(provider, model)) is not None:
            await connection.pause(model.latency_ms / 1000)
            raise refusal
        call = Call(provider, model, _served(provider, model), body, {**headers, **_LIMITS})
        await send(connection, provider.clock, attempt, endpoint.prepare(call))
    except ProviderError as error:
        attempt.status = error.status
        await connection.send_json(error.status, error.body, {**headers, **error.headers})
    except ClientGone:
        pass
    finally:
        provider.bill.add(attempt.row())


def answer_in_batch(endpoint: Endpoint, provider: Provider, attempt: Attempt, body: Mapping[str, Any]) -> bytes:
    """Return the answer to a request of a batch, whole and at once; the attempt is told what it costs: half.

    Raises:
        ProviderError: the request is refused.

    """
    if body.get("stream"):
        raise openai_error(400, "Streaming is not supported in the Batch API.", param="stream")
    model = _asked(endpoint, provider, attempt, body)
    if (refusal := _refusal(provider, model)) is not None:
        raise refusal
    served = _served(provider, model)
    delivery = endpoint.prepare(Call(provider, model, served, body, {}))
    attempt.served, attempt.price, attempt.usage = served.id, served.price.halved(), delivery.usage
    attempt.status, attempt.complete = 200, True
    return delivery.whole()


def load_body(raw: bytes) -> dict[str, Any]:
    """Return the JSON object of a body.

    Raises:
        ProviderError: it is not one.

    """
    try:
        body = orjson.loads(raw)
        # Nested too deeply to be written again, a few levels down in an answer: found out before anything is sent.
        orjson.dumps([[[[body]]]])
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
        raise invalid_json() from error
    if not isinstance(body, dict):
        raise invalid_json()
    return body


def _asked(endpoint: Endpoint, provider: Provider, attempt: Attempt, body: Mapping[str, Any]) -> Model:
    """Return the model: one that is gone is found out before the rest of the request is looked at."""
    asked = body.get("model") or endpoint.default_model
    if not asked:
        raise openai_error(400, "you must provide a model parameter")
    if not isinstance(asked, str):
        raise invalid_type("model", "a string", asked)
    attempt.asked = asked[:_KEPT_NAME_LENGTH]
    model = provider.find(asked, streamed=body.get("stream") is True, openai_style=endpoint.openai_style)
    if model.fault is None and model.kind not in endpoint.kinds:
        raise endpoint.wrong_kind(model)
    provider.capabilities.check(model, body, endpoint.name)
    return model


def _refusal(provider: Provider, model: Model) -> ProviderError | None:
    """Return what a model answers whose fault is to refuse."""
    if model.fault is Fault.RATE_LIMITED:
        return rate_limited(model.id)
    return provider.next_server_error() if model.fault is Fault.SERVER_ERROR else None


def _served(provider: Provider, model: Model) -> Model:
    if model.answers_as is None:
        return model
    return provider.models.get(model.answers_as) or replace(model, id=model.answers_as)
