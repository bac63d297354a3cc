"""A real browser that looks at pages, and keeps an account of what went wrong: chromium, driven by Playwright."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, BrowserContext, Page, Request, Response, expect, sync_playwright
from programs import required

DESKTOP, PHONE = (1280, 800), (390, 844)
THEMES = ("light", "dark")
PATIENCE_MS = 15_000
_PAINT = "() => performance.getEntriesByType('paint').find(e => e.name === 'first-contentful-paint')?.startTime ?? null"
# Where axe finds a mistake it names a node; this is what a person needs to find it again.
_VIOLATIONS = """async only => (await axe.run(document, {resultTypes: ["violations"], ...only})).violations.map(
    v => `${v.id} (${v.impact}): ` + v.nodes.map(n => `${n.target.join(" ")} ${n.failureSummary}`).join("\\n    "))"""
_REPORTS = """addEventListener("securitypolicyviolation", event => console.error(
    `CSP: ${event.effectiveDirective} blocked ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`))"""


@dataclass
class Account:
    """What happened on a page since it was opened, or since ``clear``."""

    errors: list[str] = field(default_factory=list)
    """Console errors and warnings, reports of the content policy, exceptions."""
    failed: list[str] = field(default_factory=list)
    """Requests without an answer, or with one of 400 and above."""
    foreign: list[str] = field(default_factory=list)
    """Requests that went to another origin."""
    requested: list[str] = field(default_factory=list)
    """Paths, with their queries."""
    received_bytes: int = 0
    """Heads and bodies, as they came over the wire."""

    def clear(self) -> None:
        for kept in (self.errors, self.failed, self.foreign, self.requested):
            kept.clear()
        self.received_bytes = 0

    @property
    def faults(self) -> list[str]:
        return self.errors + self.failed + self.foreign


@contextlib.contextmanager
def running_browser() -> Iterator[Browser]:
    """Start chromium; everything that was opened in it is closed at the end."""
    path = required("chromium")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        # As root there is no sandbox of its own, and a container's /dev/shm is small.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def browsing(
    browser: Browser, url: str, *, size: tuple[int, int] = DESKTOP, theme: str = "light", **options: Any
) -> Iterator[BrowserContext]:
    """Open a browser's window of its own, with no cookies, for one gateway."""
    width, height = size
    context = browser.new_context(
        base_url=url,
        viewport={"width": width, "height": height},
        color_scheme=theme,
        reduced_motion="reduce",
        timezone_id="UTC",
        locale="en-GB",
        **options,
    )
    context.set_default_timeout(PATIENCE_MS)
    try:
        yield context
    finally:
        context.close()


@contextlib.contextmanager
def watched_page(context: BrowserContext) -> Iterator[tuple[Page, Account]]:
    """Open a page whose account is kept."""
    page, account = context.new_page(), Account()
    page.add_init_script(_REPORTS)
    page.on("console", lambda said: said.type in ("error", "warning") and account.errors.append(said.text))
    page.on("pageerror", lambda error: account.errors.append(str(error)))
    page.on("requestfailed", lambda request: _note_failed(account, request))
    page.on("request", lambda request: account.requested.append(_path_of(request.url)))
    page.on("response", lambda answer: _note(account, answer, page))
    session = context.new_cdp_session(page)
    session.send("Network.enable")

    def count(event: dict[str, Any]) -> None:
        account.received_bytes += int(event["encodedDataLength"])

    session.on("Network.loadingFinished", count)
    try:
        yield page, account
    finally:
        page.close()


def _note_failed(account: Account, request: Request) -> None:
    # What a page had not got yet when it was left, its browser gives up.
    if request.failure != "net::ERR_ABORTED":
        account.failed.append(f"{request.url}: {request.failure}")


def _note(account: Account, answer: Response, page: Page) -> None:
    parts = urlsplit(answer.url)
    if answer.status >= 400:
        account.failed.append(f"{answer.status} {answer.url}")
    if parts.netloc != urlsplit(page.url).netloc and page.url != "about:blank" and parts.scheme != "data":
        account.foreign.append(answer.url)


def _path_of(url: str) -> str:
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def axe_violations(page: Page, rules: Sequence[str] | None = None) -> list[str]:
    """Return what axe finds on the page as it is, each with where and why; by all of its rules, or by these.

    The script comes by the debugger's way in, which no content policy forbids.
    """
    if not page.evaluate("() => typeof axe !== 'undefined'"):
        page.evaluate(AXE_SCRIPT)
    found: list[str] = page.evaluate(_VIOLATIONS, {"runOnly": list(rules)} if rules else {})
    return found


def first_paint_ms(page: Page) -> float | None:
    """Return when the first content was painted, from the start of the navigation."""
    found: float | None = page.evaluate(_PAINT)
    return found


def overflowing(page: Page) -> list[str]:
    """Return what makes the page wider than its window; nothing where it is not."""
    found: list[str] = page.evaluate(
        """() => {
            const width = document.documentElement.clientWidth;
            if (document.documentElement.scrollWidth <= width) return [];
            return [...document.querySelectorAll("body *")]
                .filter(e => e.getBoundingClientRect().right > width + 1 && !e.closest(".scroll, pre"))
                .map(e => `${e.outerHTML.slice(0, 80)}: ${Math.round(e.getBoundingClientRect().right)}`)
                .concat(`scrollWidth ${document.documentElement.scrollWidth} of ${width}`).slice(-8);
        }"""
    )
    return found
