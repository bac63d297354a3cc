"""Keys of routes.yaml for stories: each by its digest, and what its caller sends."""

from typing import Any

from gateway.execution.key_ring import digest_of

PEPPER = "pepper-of-stories-that-nobody-else-has"


def declared(**keys: dict[str, Any]) -> dict[str, Any]:
    """Return the settings and the section of a gateway with these keys; ``tenant`` is short for the tag."""
    section = {}
    for name, said in keys.items():
        tenant = {"tags": {"tenant": said["tenant"]}} if "tenant" in said else {}
        fields = {field: value for field, value in said.items() if field != "tenant"}
        digest = digest_of(PEPPER.encode(), text_of(name).encode()).hex()
        section[name] = {"digest": f"hmac-sha256:{digest}", **tenant, **fields}
    return section


def text_of(name: str) -> str:
    """Return the key itself."""
    return f"us_{name:0<8}_{'k' * 43}"


def as_(name: str, **headers: str) -> dict[str, str]:
    """Return the headers of a request by a key's caller."""
    return {"authorization": f"Bearer {text_of(name)}"} | headers
