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
    identity = session or next((v for f in IDENTITY_FIELDS if isinstance(v := body.get(f), str) and v), None)
    if identity is None:
        first = next((m for m in body.get("messages", ()) if isinstance(m, dict) and m.get("role") == "user"), {})
        identity = text_of(first)
    digest = hashlib.blake2b(f"{route}\0{identity}".encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
