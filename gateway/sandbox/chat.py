"""One chat attempt: from its bytes to its row on the bill."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import orjson

from gateway.sandbox.answers import compose
from gateway.sandbox.bill import Attempt
from gateway.sandbox.catalogue import Fault, Model
from gateway.sandbox.chat_request import ChatRequest, load_body, parse_chat_request
from gateway.sandbox.connection import ClientGone, Connection
from gateway.sandbox.delivery import Delivery, send_stream, send_whole
from gateway.sandbox.provider import Provider
from gateway.sandbox.refusals import ProviderError, invalid_json, rate_limited, unsupported_parameter

_KEPT_NAME_LENGTH = 256
# Per minute and model, as OpenAI states them; nothing here enforces them.
_LIMITS = {"x-ratelimit-limit-requests": "10000", "x-ratelimit-limit-tokens": "2000000"}


async def answer_chat(provider: Provider, connection: Connection, request_headers: Mapping[bytes, bytes]) -> None:
    """Answer ``POST /v1/chat/completions``, and bill it whatever happens."""
    attempt_id = request_headers.get(b"x-client-request-id", b"").decode("latin-1")[:_KEPT_NAME_LENGTH]
    attempt = Attempt(attempt_id or None)
    headers = {"x-request-id": f"req_{uuid4().hex}"}
    try:
        await _answer(provider, connection, attempt, headers)
    except ProviderError as error:
        attempt.status = error.status
        await connection.send_json(error.status, error.body, {**headers, **error.headers})
    except ClientGone:
        pass
    finally:
        provider.bill.add(attempt.row())


async def _answer(provider: Provider, connection: Connection, attempt: Attempt, headers: Mapping[str, str]) -> None:
    body = load_body(await connection.body())
    model, request = _understood(provider, attempt, body)
    if model.fault in (Fault.RATE_LIMITED, Fault.SERVER_ERROR):
        await connection.pause(model.latency_ms / 1000)
        raise rate_limited(model.id) if model.fault is Fault.RATE_LIMITED else provider.next_server_error()
    delivery = _prepared(provider, model, request, headers)
    if request.stream:
        await send_stream(connection, provider.clock, attempt, delivery)
    else:
        await send_whole(connection, attempt, delivery)


def _understood(provider: Provider, attempt: Attempt, body: Mapping[str, Any]) -> tuple[Model, ChatRequest]:
    """Return the model and the request; a retired model is found out before the rest of the request is looked at."""
    asked = body.get("model")
    if isinstance(asked, str) and asked:
        attempt.asked = asked[:_KEPT_NAME_LENGTH]
        model = provider.find(asked, streamed=body.get("stream") is True)
    request = parse_chat_request(body)
    for param, instead in model.unsupported:
        if param in request.given:
            raise unsupported_parameter(param, instead)
    return model, request


def _prepared(provider: Provider, model: Model, request: ChatRequest, headers: Mapping[str, str]) -> Delivery:
    try:
        input_usage = provider.measure(model, request)
    except orjson.JSONEncodeError as error:
        # A schema nested deeper than JSON can be written.
        raise invalid_json() from error
    served = model
    if model.answers_as is not None:
        served = provider.models.get(model.answers_as) or replace(model, id=model.answers_as)
    return Delivery(
        model=model,
        served=served,
        answer=compose(model, request, provider.seed),
        input_usage=input_usage,
        include_usage=request.include_usage,
        completion_id=f"chatcmpl-{uuid4().hex}",
        created=int(provider.clock.now().timestamp()),
        headers={**headers, **_LIMITS},
    )
