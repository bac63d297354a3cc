"""Responses that a provider stores: fetched, cancelled and deleted where they are."""

import re
from urllib.parse import quote

import orjson
from fastapi import APIRouter, Request, Response

from gateway.api.deps import services_of
from gateway.errors import BadUpstream, InvalidRequest, NotFound, UpstreamError, UpstreamUnreachable
from gateway.policy import stored_ids
from gateway.policy.residency import may_hold
from gateway.providers.connection import TransportError
from gateway.providers.openai_wire import Upstream

router = APIRouter(prefix="/v1/responses")
MAX_ID_CHARS = 300
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
    bare, tag = stored_ids.split(id_[:MAX_ID_CHARS])
    upstream = _upstream(request, tag)
    query = request.url.query
    if not _QUERY.fullmatch(query):
        raise InvalidRequest("The query holds characters that have no place in one.")
    if "stream=true" in query:
        raise InvalidRequest("A stored response is not streamed again by this gateway; fetch it whole.", param="stream")
    path = f"/responses/{quote(bare, safe='')}{behind}" + (f"?{query}" if query else "")
    try:
        status, headers, body = await upstream.request(request.method, path)
    except TransportError:
        raise UpstreamUnreachable(f"Provider {upstream.provider.name!r} cannot be reached.") from None
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadUpstream(f"Provider {upstream.provider.name!r} answered something that is not JSON.") from None
    if status in (401, 403):
        raise UpstreamError(f"Provider {upstream.provider.name!r} refused the gateway's credential.")
    if isinstance(answer, dict) and tag is not None:
        stored_ids.tag_answer(answer, tag)
        for item in answer["data"] if isinstance(answer.get("data"), list) else ():
            if isinstance(item, dict):
                stored_ids.tag_item(item, tag)
    kept = {name: value for name, value in headers.items() if name in ("retry-after", "retry-after-ms")}
    kept["x-gateway-provider"] = upstream.provider.name
    return Response(orjson.dumps(answer), status, kept, media_type="application/json")


def _upstream(request: Request, tag: str | None) -> Upstream:
    """Return the provider of a tag.

    Raises:
        NotFound: no provider of this gateway has it.
    """
    services = services_of(request)
    for name, upstream in services.pipeline.snapshot.upstreams.items():
        if tag == stored_ids.tag_of(name) and may_hold(upstream.provider.residency, services.key_residency):
            return upstream
    raise NotFound("No provider of this gateway stores a response with this id.")
