"""A gateway whose keys an administrator makes: the real app over real HTTP, with a pepper."""

import re
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from viewed_gateway import ROUTES

from tests.faults.served_gateway import ServedGateway, eventually, served

ADMIN_KEY, PEPPER = "sk-admin-of-the-story", "p3pper-" * 6
ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
NOW = datetime(2026, 11, 29, 12, 30, tzinfo=UTC)

DOCUMENT: dict[str, Any] = {}
"""What the gateway says of its own paths; read once."""


class Keyed:
    """A gateway with a pepper, and its administrator."""

    def __init__(self, gateway: ServedGateway) -> None:
        self.gateway = gateway

    async def admin(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**ADMIN, **more.pop("headers", {})}
        answer = await self.gateway.client.request(method, f"/admin{path}", headers=headers, **more)
        documented = await self._documented(method, answer.request.url.path)
        assert str(answer.status_code) in documented, (method, path, answer.status_code, documented)
        return answer

    async def _documented(self, method: str, path: str) -> Collection[str]:
        """The statuses that the gateway's own document names for this path; all where it names no such path."""
        if not DOCUMENT:
            DOCUMENT.update((await self.gateway.client.get("/openapi.json", headers=ADMIN)).json()["paths"])
        for known, operations in DOCUMENT.items():
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", known), path):
                return operations[method.lower()]["responses"].keys()
        return ("404",)

    async def made(self, **fields: Any) -> Any:
        answer = await self.admin("POST", "/keys", json=fields)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def status(self, key: str) -> int:
        """What a caller with this key gets."""
        answer = await self.gateway.client.get("/v1/models", headers={"authorization": f"Bearer {key}"})
        return answer.status_code


@asynccontextmanager
async def running(
    directory: Path, ledger: Path, routes: Mapping[str, Any] = ROUTES, **settings: Any
) -> AsyncIterator[Keyed]:
    """Serve routes at NOW with a pepper and an administrator's key."""
    keys = {"key_pepper": PEPPER, "admin_key": ADMIN_KEY}
    async with served(routes, directory, ledger, environ={}, now=NOW, ready=False, **keys | settings) as gateway:

        async def is_ready() -> bool:
            gateway.clock.advance(0.1)
            return (await gateway.client.get("/readyz")).status_code == 200

        await eventually(is_ready, "the gateway is ready")
        yield Keyed(gateway)
