"""Draws every page of the watched gateway, in light and dark, into ``docs/images``: ``python tests/screenshots.py``."""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from browser import PHONE, THEMES, browsing, running_browser
from palette_png import with_palette
from playwright.sync_api import Browser
from watched_gateway import ADMIN_KEY, WatchedGateway, watched
from watched_history import SEVERAL_ATTEMPTS
from watched_review import CORRECTED_ANSWER

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
MOST_BYTES = 150 * 1024
DESKTOP = (1280, 840)


KEYS = {
    "review": "/ui/review",
    "answer": f"/ui/review/{CORRECTED_ANSWER}?show=all",
    "keys": "/ui/keys",
    "key": "/ui/keys/key_forumapp",
}
"""The pages of a gateway that asks for keys, and whose pages may act."""


def views(gateway: WatchedGateway) -> dict[str, str]:
    """Return the pages that are drawn, by the name of their picture."""
    later = (gateway.now + timedelta(days=50)).date()
    return {
        "routes": "/ui",
        "route": "/ui/routes/forum-reply",
        "route-on-a-day": f"/ui/routes/refund-reason?at={later}",
        "calendar": "/ui/calendar",
        "cost": "/ui/cost",
        "requests": "/ui/requests",
        "request": f"/ui/requests/{SEVERAL_ATTEMPTS}",
    }


def draw(
    browser: Browser, gateway: WatchedGateway, directory: Path, paths: Mapping[str, str], *, is_keyed: bool = False
) -> list[Path]:
    """Draw all of them; the routes also as a phone shows them."""
    sizes = [(name, path, "", DESKTOP) for name, path in paths.items()]
    sizes += [(name, path, "-phone", PHONE) for name, path in paths.items() if name == "routes"]
    told = {"extra_http_headers": {"authorization": f"Bearer {ADMIN_KEY}"}} if is_keyed else {}
    drawn = []
    for theme in THEMES:
        for name, path, suffix, size in sizes:
            # Without its script no page is renewed while it is drawn.
            with browsing(browser, gateway.url, size=size, theme=theme, java_script_enabled=False, **told) as context:
                page = context.new_page()
                page.goto(path, wait_until="networkidle")
                file = directory / f"{name}{suffix}-{theme}.png"
                file.write_bytes(with_palette(page.screenshot()))
                drawn.append(file)
    return drawn


def main() -> int:
    """Draw them, and say which are larger than they may be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, default=IMAGES)
    parser.add_argument("--only-keys", action="store_true", help="draw the pages of keys alone")
    given = parser.parse_args()
    given.into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as state, running_browser() as browser:
        drawn = []
        if not given.only_keys:
            with watched(Path(state) / "open") as gateway:
                drawn += draw(browser, gateway, given.into, views(gateway))
        with watched(Path(state) / "keyed", actions=True) as gateway:
            drawn += draw(browser, gateway, given.into, KEYS, is_keyed=True)
    large = [file for file in drawn if file.stat().st_size > MOST_BYTES]
    for file in drawn:
        print(f"{file.stat().st_size / 1024:6.0f} KiB  {file}{'  TOO LARGE' if file in large else ''}")
    return 1 if large else 0


if __name__ == "__main__":
    sys.exit(main())
