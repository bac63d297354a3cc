"""Gateways whose callers have budgets, and what the database says of it."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import text

from gateway.store.database import Database

PEPPER = "a pepper of at least thirty-two characters"
ADMIN = "the-admins-key"
ENVIRON = {"GATEWAY_KEY_PEPPER": PEPPER, "GATEWAY_ADMIN_KEY": ADMIN}
MODEL = "gpt-4o-mini-2024-07-18"
TUNED = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
FALLBACK = "gpt-4.1-mini-2025-04-14"


class Books(NamedTuple):
    """What all keys have spent and hold, in nano-dollars, and how many holds there are."""

    spent: int
    held: int
    holds: int
    by_day: int
    by_month: int


def keys(**budgets: Mapping[str, Any]) -> dict[str, Any]:
    """Declare keys by digest; the text of each is its name."""
    return {
        name: {
            "digest": f"hmac-sha256:{hmac.digest(PEPPER.encode(), name.encode(), hashlib.sha256).hex()}",
            "budget": dict(budget),
        }
        for name, budget in budgets.items()
    }


def write_budgeted(path: Path, base_url: str, primary: str, *fallbacks: str, **budgets: Mapping[str, Any]) -> Path:
    """Write a configuration of one route, at the sandbox's own prices, with keys that have budgets."""
    prices = {MODEL: ("0.15", "0.075", "0.60"), TUNED: ("0.30", "0.15", "1.20"), FALLBACK: ("0.40", "0.10", "1.60")}
    said = {
        "version": 1,
        "providers": {"first": {"kind": "sandbox", "base_url": base_url}},
        "prices": {
            "first": {
                model: {
                    "input_usd_per_1m": float(plain),
                    "cached_input_usd_per_1m": float(cached),
                    "output_usd_per_1m": float(output),
                    "source": "the sandbox's catalogue",
                }
                for model, (plain, cached, output) in prices.items()
            }
        },
        "fallbacks": {f"fallback-{n}": {"provider": "first", "model": model} for n, model in enumerate(fallbacks)},
        "routes": {
            "reply": {
                "provider": "first",
                "primary": primary,
                "owner": "support",
                "fallbacks": [f"fallback-{n}" for n in range(len(fallbacks))],
            }
        },
        "keys": keys(**budgets),
    }
    path.write_text(json.dumps(said))
    return path


async def books(url: str) -> Books:
    """Read them over a connection that is no gateway's."""
    database = await Database.open(url)
    try:
        async with database.engine.connect() as connection:
            sums = ", ".join(f"SUM({name})" for name in ("total_spent", "total_held", "day_spent", "month_spent"))
            spent, held, by_day, by_month = (await connection.execute(text(f"SELECT {sums} FROM key_spend"))).one()
            holds = await connection.scalar(text("SELECT count(*) FROM budget_holds"))
    finally:
        await database.close()
    return Books(int(spent or 0), int(held or 0), int(holds or 0), int(by_day or 0), int(by_month or 0))
