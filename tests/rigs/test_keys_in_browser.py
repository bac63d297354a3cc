"""A key from its making to its end, as a person does it in a real browser and an application feels it."""

import re
from collections.abc import Iterator

import httpx
import pytest
from browser import Account, browsing, running_browser, watched_page
from pages_looked_at import hold_in_every_size, log_in
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect
from watched_gateway import WatchedGateway, watched

pytestmark = pytest.mark.rig
KEY_TEXT = re.compile(r"us_[a-z0-9]{8}_[A-Za-z0-9_-]{43}")
Seen = tuple[Page, Account]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedGateway]:
    """Four routes, behind keys, whose pages may act."""
    with watched(tmp_path_factory.mktemp("keys"), kind="empty", actions=True) as running:
        yield running


@pytest.fixture(params=[True, False], ids=["with JavaScript", "without"])
def visitor(request: pytest.FixtureRequest, browser: Browser, gateway: WatchedGateway) -> Iterator[BrowserContext]:
    with browsing(browser, gateway.url, java_script_enabled=request.param) as context:
        log_in(context, gateway)
        yield context


def asks(gateway: WatchedGateway, text: str) -> httpx.Response:
    """Ask a model with a key, as an application does."""
    body = {"model": "ticket-triage", "messages": [{"role": "user", "content": "A lamp, for a desk."}]}
    bearer = {"authorization": f"Bearer {text}"}
    return httpx.post(f"{gateway.gateway.v1}/chat/completions", json=body, headers=bearer, trust_env=False, timeout=30)


def make(page: Page, name: str) -> str:
    """Make a key by the form; return its text, as it is copied from the page."""
    page.goto("/ui/keys")
    page.get_by_role("link", name="New key").click()
    page.get_by_label("Name").fill(name)
    page.get_by_label("Owner").fill("forum-team")
    page.get_by_label("Routes that it may call").fill("ticket-*")
    page.get_by_label("Requests a minute").fill("600")
    page.get_by_role("button", name="Make the key").click()
    shown = page.locator("#text")
    expect(shown).to_be_visible()
    text = shown.inner_text()
    assert KEY_TEXT.fullmatch(text)
    return text


def test_a_key_is_made_copied_used_replaced_and_revoked(visitor: BrowserContext, gateway: WatchedGateway) -> None:
    with watched_page(visitor) as (page, account):
        name = f"forum-app-{gateway.now:%H%M%S}-{id(visitor)}"
        text = make(page, name)
        assert text not in page.url
        assert all(text not in str(cookie) for cookie in visitor.cookies())
        answer = asks(gateway, text)
        assert answer.status_code == 200, answer.text
        page.get_by_role("link", name="What it may do").click()
        page.wait_for_url(re.compile(f"/ui/keys/key_{text[3:11]}$"))
        said = page.locator("main").inner_text()
        assert "It may call ticket-*" in said
        assert text not in page.content()
        form = page.get_by_role("group", name="Replace its text")
        form.locator("[name=grace]").select_option("0")
        form.get_by_role("checkbox").check()
        form.get_by_role("button", name="Replace").click()
        another = page.locator("#text").inner_text()
        assert KEY_TEXT.fullmatch(another)
        assert [asks(gateway, each).status_code for each in (text, another)] == [401, 200]
        page.go_back()
        page.reload()
        form = page.get_by_role("group", name="Revoke")
        form.get_by_role("checkbox").check()
        form.get_by_role("button", name="Revoke").click()
        page.wait_for_url("**?did=revoked#actions")
        expect(page.get_by_text("It is revoked: refused here from now on")).to_be_visible()
        refused = asks(gateway, another)
        assert (refused.status_code, refused.json()["error"]["code"]) == (
            401,
            asks(gateway, "none").json()["error"]["code"],
        )
        page.goto("/ui/keys?show=revoked")
        expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
        assert not account.faults


def test_the_page_with_the_text_is_sound_and_is_not_renewed_by_a_script(
    browser: Browser, gateway: WatchedGateway
) -> None:
    with browsing(browser, gateway.url) as context:
        log_in(context, gateway)
        with watched_page(context) as (page, account):
            text = make(page, "sound")
            hold_in_every_size(page)
            assert page.locator("script").count() == 0
            assert not account.faults
            page.goto("/ui/keys")
            # Nothing of it was kept: the browser would have to send the form again, and does not do so unasked.
            with pytest.raises(Error, match="ERR_CACHE_MISS"):
                page.go_back()
            page.wait_for_url("chrome-error://**")
            assert text not in page.content()


def test_a_form_that_makes_no_key_says_so_where_it_is_wrong(browser: Browser, gateway: WatchedGateway) -> None:
    with browsing(browser, gateway.url) as context:
        log_in(context, gateway)
        page = context.new_page()
        page.goto("/ui/keys/new")
        page.get_by_label("Name").fill("admin")
        page.get_by_label("$ a day").fill("lots")
        page.get_by_role("button", name="Make the key").click()
        expect(page.get_by_role("alert")).to_contain_text("2 fields need another look")
        assert page.get_by_label("Name").input_value() == "admin"
        assert page.get_by_label("Name").get_attribute("aria-describedby") == "e-name"
        expect(page.locator("#e-day_usd")).to_contain_text("must be a number")
        hold_in_every_size(page)
