"""How rigs look at a gateway's pages: what every page has to be, and what its rows say."""

import re
import time
from collections.abc import Sequence
from datetime import timedelta

import httpx
from browser import DESKTOP, PHONE, THEMES, Account, axe_violations, first_paint_ms, overflowing, watched_page
from playwright.sync_api import BrowserContext, Page
from watched_gateway import ADMIN_KEY, CALLERS_KEY, WatchedGateway
from watched_routes import BY_NAME

from gateway.api.pages.access import COOKIE, Access
from gateway.clock import SystemClock

MOST_BYTES = 100 * 1024
PATIENCE_S = 30.0


def log_in(context: BrowserContext, gateway: WatchedGateway, ago: timedelta = timedelta()) -> None:
    """Give a browser the cookie of a login that was ``ago``."""
    cookie = Access(ADMIN_KEY, is_keyed=True).new_cookie(SystemClock().now() - ago)
    context.add_cookies([{"name": COOKIE, "value": cookie, "url": f"{gateway.url}/ui", "sameSite": "Strict"}])


def hold_sound(context: BrowserContext, path: str, name: str, themes: Sequence[str] = THEMES) -> None:
    """Hold that a page loads without a fault, is light, and that nobody is shut out of it."""
    with watched_page(context) as (page, account):
        page.goto(path, wait_until="networkidle")
        received = account.received_bytes
        print(f"{name}: {received / 1024:.1f} KiB, first paint after {first_paint_ms(page)} ms")
        assert received < MOST_BYTES
        assert page.locator("h1").count() == 1
        hold_in_every_size(page, themes)
        assert not account.faults


def hold_in_every_size(page: Page, themes: Sequence[str] = THEMES) -> None:
    """Hold that axe finds nothing and nothing is too wide: on a desk and on a phone, in light and dark."""
    for width, height in (DESKTOP, PHONE):
        page.set_viewport_size({"width": width, "height": height})
        assert overflowing(page) == []
        for theme in themes:
            page.emulate_media(color_scheme=theme)
            # Another theme is other colours, and nothing else.
            rules = None if theme == themes[0] else ["color-contrast", "link-in-text-block"]
            assert axe_violations(page, rules) == [], f"{theme}, {width} px"


def heard_of(page: Page, account: Account, words: str) -> None:
    """Wait until the browser has reported an error with these words."""
    deadline = time.monotonic() + PATIENCE_S
    while not any(words in fault for fault in account.errors):
        assert time.monotonic() < deadline, account
        page.wait_for_timeout(20)


def row_that_says(page: Page, route: str, word: str) -> str:
    """Look at the routes until a row says a word, and return the row."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        page.goto("/ui")
        said = page.locator(f"#route-{route}").inner_text()
        if word in said:
            return said
        assert time.monotonic() < deadline, f"{route} does not say {word!r}: {said}"


def shown_within(page: Page, where: str, words: str) -> None:
    """Look at a page until a part of it says words: what is read from the database is kept for ten seconds."""
    deadline = time.monotonic() + PATIENCE_S
    while re.search(words, page.locator(where).inner_text()) is None:
        assert time.monotonic() < deadline, f"{words!r} is not in {page.locator(where).inner_text()}"
        page.reload()


def retire(gateway: WatchedGateway, route: str) -> None:
    """Have the sandbox serve a route's primary no longer."""
    address = f"{gateway.sandbox.url}/sandbox/models/{BY_NAME[route].primary}/retire"
    httpx.post(address, json={}, trust_env=False).raise_for_status()


def kill(gateway: WatchedGateway, route: str) -> None:
    """Retire a route's primary, send one request, and wait until everybody knows that it is gone."""
    retire(gateway, route)
    with httpx.Client(trust_env=False) as client:
        body = {"model": route, "messages": [{"role": "user", "content": "A lamp, for a desk."}]}
        key = {"authorization": f"Bearer {CALLERS_KEY}"}
        answer = client.post(f"{gateway.gateway.v1}/chat/completions", json=body, headers=key)
        assert answer.headers["x-gateway-served-by"] == "fallback"
        explained = f'gateway_route_fallback_active{{route="{route}",reason="gone"}} 1.0'
        admin = {"authorization": f"Bearer {ADMIN_KEY}"}
        deadline = time.monotonic() + PATIENCE_S
        while explained not in client.get(f"{gateway.url}/metrics", headers=admin).text:
            assert time.monotonic() < deadline, f"{route} is not known to be gone"
            time.sleep(0.05)


def heights_of_rows(page: Page) -> dict[str, float]:
    found: dict[str, float] = page.evaluate(
        "() => Object.fromEntries([...document.querySelectorAll('tbody tr')].map(row => [row.id, row.offsetHeight]))"
    )
    return found


def names_of_rows(page: Page) -> list[str]:
    found: list[str] = page.locator("tbody tr").evaluate_all("rows => rows.map(row => row.id.slice(6))")
    return found


def focused(page: Page) -> str:
    """Return the words of what has the focus, or its name."""
    found: str = page.evaluate("() => document.activeElement.name || document.activeElement.innerText.trim()")
    return found
