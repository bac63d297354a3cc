"""A gateway whose pages are looked at: the real app over real HTTP, on a real SQLite file with a test's own rows."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import httpx

from gateway.ledger.entry import Entry
from gateway.reasons import Role
from gateway.store.database import Database
from gateway.store.usage import UsageStore
from tests.faults.served_gateway import ServedGateway, served
from tests.store.rows import START, an_entry

NOW = datetime(2026, 11, 29, 12, 30, tzinfo=UTC)
TUNED = "ft:base-1:acme:reply:A1"
ADMIN_KEY = "sk-admin"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
ROUTES: dict[str, Any] = {
    "version": 1,
    "providers": {
        "acme": {"kind": "openai-compatible", "base_url": "http://127.0.0.1:9/v1"},
        "other": {"kind": "openai-compatible", "base_url": "http://127.0.0.1:9/v1"},
    },
    "fallbacks": {"luna": {"provider": "other", "model": "luna-1", "prompt": {"instructions": "Be brief."}}},
    "defaults": {"provider": "acme", "fallbacks": ["luna"]},
    "routes": {
        "reply": {"primary": {"model": TUNED, "base": "base-1"}, "owner": "support"},
        "alone": {"primary": {"model": "ft:base-1:acme:alone:A2", "base": "base-1"}, "fallbacks": []},
        "lasting": {"primary": "own-model", "owner": "billing"},
    },
    "prices": {
        "acme": {TUNED: {"input_usd_per_1m": 1, "output_usd_per_1m": 2, "source": "test"}},
        "other": {"luna-1": {"input_usd_per_1m": 3, "output_usd_per_1m": 4, "source": "test"}},
    },
}
STOPS = {"acme": {"base-1": {"shutdown": "2027-01-14", "announced": "2026-10-14", "source": "a mail"}}}


def a_row(ago: timedelta, **fields: Any) -> Entry:
    """Return a row of ``reply``'s primary that started so long before NOW."""
    started_at = NOW - ago
    usual = {"route": "reply", "provider": "acme", "model_asked": TUNED, "model_answered": TUNED}
    entry = an_entry(started_at - START, **usual | fields)
    return entry._replace(finished_at=entry.started_at + timedelta(milliseconds=entry.duration_ms))


def on_luna(ago: timedelta, **fields: Any) -> Entry:
    """Return a row of ``reply``'s fallback."""
    luna = {"target": "luna", "role": Role.FALLBACK, "provider": "other", "model_asked": "luna-1"}
    return a_row(ago, **luna | {"model_answered": "luna-1"} | fields)


@dataclass(frozen=True)
class Shown:
    """A page as it came."""

    status: int
    headers: httpx.Headers
    html: str

    @property
    def main(self) -> str:
        return self.html.partition("<main")[2].partition("</main>")[0]

    @property
    def text(self) -> str:
        """What is to be read, in one line."""
        shown = re.sub(r"<(option|title)[^>]*>.*?</\1>", " ", self.main.partition(">")[2], flags=re.DOTALL)
        return " ".join(unescape(re.sub(r"<[^>]+>", "", re.sub(r"</(td|th|p|dd|dt|h2|li)>", " ", shown))).split())

    def row(self, name: str) -> str:
        """The text of the table's row that begins with a word."""
        rows = re.findall(r"<tr[^>]*>.*?</tr>", self.main, re.DOTALL)
        texts = [Shown(0, self.headers, f"<main >{row}</main>").text for row in rows]
        found = [text for text in texts if text.startswith(name)]
        assert len(found) == 1, (name, texts)
        return found[0]

    def links(self, beginning: str) -> list[str]:
        links = map(unescape, re.findall(r'href="([^"]*)"', self.main))
        return [link for link in links if link.startswith(beginning)]


@dataclass(frozen=True)
class ViewedGateway:
    """The gateway, and who looks at it."""

    served: ServedGateway
    headers: Mapping[str, str]

    async def get(self, path: str) -> Shown:
        answer = await self.served.client.get(path, headers=dict(self.headers))
        return Shown(answer.status_code, answer.headers, answer.text)

    def away(self) -> None:
        """Take the database away from the pages, which open it anew for each question."""
        self.served.database.rename(self.served.database.with_name("away.db"))


@asynccontextmanager
async def viewed(
    directory: Path,
    template: Path,
    rows: Sequence[Entry] = (),
    routes: Mapping[str, Any] = ROUTES,
    *,
    keyed: bool = False,
    **settings: Any,
) -> AsyncIterator[ViewedGateway]:
    """Serve routes at NOW; ``keyed``: with keys, and looked at with the admin's."""
    keys = {"key": "sk-caller", "admin_key": ADMIN_KEY} if keyed else {}
    headers = {"authorization": f"Bearer {ADMIN_KEY}"} if keyed else {}
    async with served(routes, directory, template, environ={}, now=NOW, **keys, **settings) as gateway:
        if rows:
            database = await Database.open(f"sqlite:///{gateway.database}")
            await UsageStore(database).insert_attempts(rows)
            await database.close()
        yield ViewedGateway(gateway, headers)
