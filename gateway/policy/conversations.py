"""Which conversation a request belongs to, so that a ramp keeps conversations together. Pure."""

import hashlib
from typing import Any

from gateway.policy.prompts import text_of

IDENTITY_FIELDS = ("prompt_cache_key", "safety_identifier", "user")


def bucket(route: str, session: str | None, body: dict[str, Any]) -> float:
    """Place a request's conversation in [0, 1), salted per route; a rising share never moves one back.

    The identity is the ``x-gateway-session`` header, else the first of ``IDENTITY_FIELDS``, else the first user
    message, which clients replay at every turn.
    """
    return _place(route, _identity(session, body))


def canary_bucket(salt: str, request_id: str, session: str | None, body: dict[str, Any]) -> float:
    """Place a request's conversation in [0, 1) once more, independently of ``bucket``: salted per canary.

    A request that belongs to no conversation that can be told, such as one for vectors, is one of its own.
    """
    return _place(salt, _identity(session, body) or request_id)


def _identity(session: str | None, body: dict[str, Any]) -> str:
    """Return what names the conversation; empty where nothing does."""
    named = session or next((v for f in IDENTITY_FIELDS if isinstance(v := body.get(f), str) and v), None)
    if named is not None:
        return named
    first = next((m for m in body.get("messages", ()) if isinstance(m, dict) and m.get("role") == "user"), {})
    return text_of(first)


def _place(salt: str, identity: str) -> float:
    digest = hashlib.blake2b(f"{salt}\0{identity}".encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
