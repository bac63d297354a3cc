"""Responses that a provider stores: fetched, cancelled and deleted where they are."""

import asyncio
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlencode

import orjson
from fastapi import APIRouter, Request, Response

from gateway.api.deps import caller_of, services_of
from gateway.api.guard import request_id
from gateway.api.wire import new_request_id
from gateway.errors import (
    BadUpstream,
    GatewayError,
    InvalidRequest,
    NotFound,
    RateLimited,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.execution.failures import NO_RETRY, CallerError, Failure, retry_after, without_secret
from gateway.policy import stored_ids
from gateway.policy.blacking_out import black_out_error
from gateway.policy.residency import may_hold
from gateway.policy.stored_ids import Owner
from gateway.providers.classify import classify
from gateway.providers.connection import TransportError
from gateway.providers.openai_wire import Upstream

router = APIRouter(prefix="/v1/responses")
MAX_ID_CHARS = 300
TIMEOUT_S = 30.0
NOTHING_STORED = "No provider of this gateway stores a response with this id."
PLACES = ("after", "before")
"""Parameters of a page that name an item."""
_ID = re.compile(r"\w[\w:-]*(?:\.[\w:-]+)*", re.ASCII)
_QUERY = re.compile(r"[\w\[\]%&=.,+-]*", re.ASCII)


@router.get("/{id_}")
@router.delete("/{id_}")
async def stored_response(id_: str, request: Request) -> Response:
    """Fetch or delete a stored response."""
    return await _pass_on(request, id_, "")


@router.get("/{id_}/input_items")
@router.post("/{id_}/cancel")
async def of_stored_response(id_: str, request: Request) -> Response:
    """List what a stored response was asked, or cancel one that runs in the background."""
    return await _pass_on(request, id_, "/" + request.url.path.rpartition("/")[2])


async def _pass_on(request: Request, id_: str, behind: str) -> Response:
    """Ask the provider whose tag the id carries; tag the ids of its answer."""
    bare, tag = stored_ids.split(id_)
    owner = services_of(request).id_owners.of(caller_of(request))
    if len(id_) > MAX_ID_CHARS or not _ID.fullmatch(bare) or not _is_own(id_, owner):
        raise NotFound(NOTHING_STORED)
    upstream = _upstream(request, tag)
    path = f"/responses/{quote(bare, safe='')}{behind}{_query(request, owner)}"
    try:
        async with asyncio.timeout(TIMEOUT_S):
            status, headers, body = await upstream.request(request.method, path)
    except TimeoutError:
        raise UpstreamTimeout(
            f"Provider {upstream.provider.name!r} did not answer in time.", headers=NO_RETRY
        ) from None
    except TransportError:
        raise UpstreamUnreachable(f"Provider {upstream.provider.name!r} cannot be reached.") from None
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadUpstream(f"Provider {upstream.provider.name!r} answered something that is not JSON.") from None
    if not 200 <= status < 300:
        raise _refusal(upstream, status, headers, answer)
    if isinstance(answer, dict) and tag is not None:
        stored_ids.tag_answer(answer, tag, owner)
        stored_ids.tag_page(answer, tag, owner)
        black_out_error(answer, upstream.secret)
    id_sent = (request_id(request.scope["headers"]) or new_request_id()).decode()
    kept = {"x-request-id": id_sent, "x-gateway-provider": upstream.provider.name}
    return Response(orjson.dumps(answer), status, kept, media_type="application/json")


def _is_own(id_: str, owner: Owner | None) -> bool:
    """Tell whether an id is one that this caller was given, as far as callers are told apart."""
    return owner is None or owner.was_given(id_)


def _query(request: Request, owner: Owner | None) -> str:
    """Return the query as the provider knows it.

    Raises:
        InvalidRequest: it asks for a stream, or is not one.
        NotFound: it names an item that this caller was never given.
    """
    if not _QUERY.fullmatch(request.url.query):
        raise InvalidRequest("The query holds characters that have no place in one.")
    pairs = parse_qsl(request.url.query, keep_blank_values=True)
    if any(name == "stream" and value.lower() not in ("false", "0") for name, value in pairs):
        raise InvalidRequest("A stored response is not streamed again by this gateway; fetch it whole.", param="stream")
    if not all(_is_own(value, owner) for name, value in pairs if name in PLACES):
        raise NotFound(NOTHING_STORED)
    bare = [(name, stored_ids.split(value)[0] if name in PLACES else value) for name, value in pairs]
    return f"?{urlencode(bare)}" if bare else ""


def _refusal(upstream: Upstream, status: int, headers: Mapping[str, str], answer: object) -> GatewayError:
    """Return the error for an answer that is no success; the provider's words only where they are the caller's."""
    provider = upstream.provider
    found = classify(provider.kind, status, headers, answer)
    if status in (401, 403):
        return UpstreamError(f"Provider {provider.name!r} refused the gateway's credential.", headers=NO_RETRY)
    if status == 429:
        wait = retry_after(found.retry_after_s or 1.0)
        return RateLimited(f"The rate limit of provider {provider.name!r} is reached; try again later.", headers=wait)
    if status in (400, 404, 409, 422):
        error = answer.get("error") if isinstance(answer, dict) else None
        failure = Failure(
            found.kind, found.message, status, found.code, error=error if isinstance(error, dict) else None
        )
        return CallerError(without_secret(failure, upstream.secret))
    return BadUpstream(f"Provider {provider.name!r} failed to answer.", headers=NO_RETRY)


def _upstream(request: Request, tag: str | None) -> Upstream:
    """Return the provider of a tag.

    Raises:
        NotFound: no provider of this gateway has it.
    """
    services = services_of(request)
    for name, upstream in services.pipeline.snapshot.upstreams.items():
        if tag == stored_ids.tag_of(name) and may_hold(upstream.provider.residency, caller_of(request).residency):
            return upstream
    raise NotFound(NOTHING_STORED)
