"""Answers reviewed in a real browser: by keyboard alone from login to saved correction, and without a script."""

import contextlib
import json
import re
import sqlite3
from collections.abc import Iterator
from html import escape

import httpx
import pytest
from browser import Account, browsing, running_browser, watched_page
from pages_looked_at import focused, hold_in_every_size, log_in
from playwright.sync_api import Browser, Page, expect
from watched_gateway import ADMIN_KEY, WatchedGateway, watched
from watched_review import ANSWER_WITH_CALLS, CORRECTED_ANSWER, LATEST_ANSWER, answer_id

from gateway.api.pages.review_diff import changes, shown

pytestmark = pytest.mark.rig

Seen = tuple[Page, Account]
SECOND, FIRST_TICKET, LAMP_IN_GREEN, ADDRESS = answer_id(1), answer_id(3), answer_id(7), answer_id(9)
TEXTS = (
    "Yes, a warm white E27 of 9 W is in the box. It dims with any dimmer.",
    "Yes: a warm-white E27 of 8 W is in the box.\n\nIt dims with any LED dimmer, from 5 W.",
    "No.",
    "",
    "Ja, ein warmes E27-Leuchtmittel (9 W) liegt bei – näheres auf Seite 3 ✓ 値段は別",
    "Yes, a warm white E27 of 9 W is in the box. It dims with any dimmer.\u202e\x07 \U0001f469\u200d\U0001f52c",
    "is in the box. It dims with any dimmer. Yes, a warm white E27 of 9 W " * 40,
    " ".join(str(number) for number in range(700)),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedGateway]:
    """Ten answers of three routes, four of them marked, behind keys, whose pages may act."""
    with watched(tmp_path_factory.mktemp("review"), actions=True) as running:
        yield running


@pytest.fixture
def seen(browser: Browser, gateway: WatchedGateway) -> Iterator[Seen]:
    """A page of whoever has logged in, and the account of it."""
    with browsing(browser, gateway.url) as context:
        log_in(context, gateway)
        with watched_page(context) as opened:
            yield opened


def marks(gateway: WatchedGateway, captured_id: str) -> list[tuple[str, str | None, str | None]]:
    """Label, correction and remark of each mark on an answer, in order."""
    with contextlib.closing(sqlite3.connect(f"file:{gateway.gateway.database}?mode=ro", uri=True)) as connection:
        query = "SELECT label, correction, comment FROM feedback WHERE request_id = ? ORDER BY feedback_id"
        return connection.execute(query, (f"req_{captured_id[-12:]}",)).fetchall()


def text_of(correction: str | None) -> str:
    assert correction is not None
    said: str = json.loads(correction)["content"]
    return said


def test_an_answer_is_corrected_by_keyboard_alone_from_the_login_on(browser: Browser, gateway: WatchedGateway) -> None:
    with browsing(browser, gateway.url) as context, watched_page(context) as (page, account):
        page.goto("/ui/review?route=forum-reply")
        page.keyboard.type(ADMIN_KEY)
        page.keyboard.press("Enter")
        page.wait_for_url("**/ui/review?route=forum-reply")
        account.clear()
        expect(page.locator("tbody tr")).to_have_count(2)
        for key, at in (("j", LATEST_ANSWER), ("ArrowDown", SECOND), ("j", SECOND), ("k", LATEST_ANSWER)):
            page.keyboard.press(key)
            assert page.evaluate("document.activeElement.id") == f"to-{at}"
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/ui/review/{LATEST_ANSWER}?route=forum-reply")
        page.keyboard.press("w")
        assert focused(page) == "content"
        expect(page.get_by_role("radio", name="Wrong")).to_be_checked()
        expect(page.locator("#told")).to_contain_text("Ctrl Enter saves it")
        # In the box these are letters, and nothing else.
        page.keyboard.type(" rwjku?")
        assert page.url.endswith(f"{LATEST_ANSWER}?route=forum-reply")
        expect(page.locator("#content-diff ins")).to_have_text("+ rwjku?")
        for _ in " rwjku?":
            page.keyboard.press("Backspace")
        page.keyboard.press("Control+Home")
        for _ in "It sounds like":
            page.keyboard.press("Delete")
        page.keyboard.type("That must be")
        expect(page.locator("#content-diff")).to_have_text(re.compile("^−It sounds like\\+That must be the driver in"))
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.id") == "save"
        page.keyboard.press("Shift+Tab")
        page.keyboard.type("the tone")
        page.keyboard.press("Control+Enter")
        page.wait_for_url(f"**/ui/review/{SECOND}?route=forum-reply&did=*")
        ((label, correction, remark),) = marks(gateway, LATEST_ANSWER)
        assert (label, remark) == ("wrong", "the tone")
        assert text_of(correction).startswith("That must be the driver in the lamp's foot.")
        expect(page.get_by_role("status").first).to_contain_text("Saved:")
        expect(page.locator("#told")).to_contain_text("Saved:")
        expect(page.get_by_text("2 of 3 answers are marked, 2 with a better answer.")).to_be_visible()
        page.keyboard.press("r")
        page.keyboard.press("Enter")
        page.wait_for_url("**/ui/review?route=forum-reply&did=*")
        assert [mark[0] for mark in marks(gateway, SECOND)] == ["right"]
        expect(page.get_by_text("Everything is looked at.")).to_be_visible()
        assert not account.faults


def test_keys_are_told_and_leave_those_of_the_browser_alone(seen: Seen) -> None:
    page, account = seen
    page.goto("/ui/review?show=all")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_be_visible()
    hold_in_every_size(page, ["light"])
    page.keyboard.press("j")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    for key in ("Control+j", "Alt+j", "Meta+k"):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement === document.body"), key
    page.get_by_label("Route").focus()
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.name") == "route"
    page.get_by_role("link", name="How long may I").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/ui/review/{CORRECTED_ANSWER}?show=all")
    page.keyboard.press("j")
    expect(page.locator("#told")).to_have_text("There is no older one.")
    page.keyboard.press("Alt+w")
    assert page.evaluate("document.activeElement === document.body")
    page.keyboard.press("k")
    page.wait_for_url(f"**/ui/review/{ADDRESS}?show=all")
    page.keyboard.press("u")
    page.wait_for_url(f"**/ui/review?show=all#to-{ADDRESS}")
    assert page.evaluate("document.activeElement.id") == f"to-{ADDRESS}"
    assert not account.faults


def test_tool_calls_are_corrected_where_a_mistake_in_their_json_is_told(seen: Seen, gateway: WatchedGateway) -> None:
    page, account = seen
    page.goto(f"/ui/review/{ANSWER_WITH_CALLS}")
    page.keyboard.press("w")
    assert focused(page) == "calls"
    box = page.locator("#calls")
    written = box.input_value()
    box.fill(written.replace('"days_before": 0', '"days_before": 31,'))
    expect(page.locator("#calls-diff")).to_contain_text('"days_before": −0+31,')
    page.keyboard.press("Control+Enter")
    expect(page.locator("#e-calls")).to_contain_text("It is no JSON")
    assert focused(page) == "calls"
    assert '"days_before": 31,' in box.input_value()
    hold_in_every_size(page)
    assert [fault for fault in account.faults if "400" not in fault] == []
    box.fill(written.replace('"days_before": 0', '"days_before": 31'))
    page.keyboard.press("Meta+Enter")
    page.wait_for_url(f"**/ui/review/{FIRST_TICKET}?did=*")
    ((label, correction, _),) = marks(gateway, ANSWER_WITH_CALLS)
    (call,) = json.loads(correction or "")["tool_calls"]
    assert (label, json.loads(call["function"]["arguments"])["days_before"]) == ("wrong", 31)


def test_the_script_finds_the_changes_that_the_server_finds(seen: Seen) -> None:
    page, account = seen
    page.goto(f"/ui/review/{FIRST_TICKET}")
    box = page.locator("#content")
    for given in TEXTS[:2]:
        # Without a page for each: what the script compares with is what the box came with.
        box.evaluate("(box, given) => { box.defaultValue = given; }", given)
        page.evaluate("""() => {
            const [old, path] = [document.querySelector("script[src*=review]"), document.createElement("script")];
            const fresh = document.querySelector("#content").cloneNode(true);
            document.querySelector("#content").replaceWith(fresh);
            path.src = old.src + "&again=" + Math.random();
            return new Promise(done => { path.onload = done; document.head.append(path); });
        }""")
        for text in TEXTS:
            box.fill(text)
            found = shown(changes(given, box.input_value()))
            signs = {"del": '<del><span class="sign">−</span>', "ins": '<ins><span class="sign">+</span>', "same": ""}
            ends = {"del": "</del>", "ins": "</ins>", "same": ""}
            expected = "".join(signs[c.kind] + escape(c.text, quote=False) + ends[c.kind] for c in found)
            page.wait_for_function("() => new Promise(done => requestAnimationFrame(() => done(true)))")
            assert page.locator("#content-diff").inner_html() == expected, (given, text)
    assert not account.faults


def test_two_who_review_the_same_answer_hear_of_each_other(browser: Browser, gateway: WatchedGateway) -> None:
    with browsing(browser, gateway.url) as context:
        log_in(context, gateway)
        with watched_page(context) as (one, _), watched_page(context) as (two, account):
            for page in (one, two):
                page.goto(f"/ui/review/{LAMP_IN_GREEN}")
            for page, better, leads_to in ((one, "other", "**did=*"), (two, "delivery", f"**/{LAMP_IN_GREEN}")):
                page.keyboard.press("w")
                page.keyboard.press("Control+A")
                page.keyboard.type(better)
                page.keyboard.press("Control+Enter")
                page.wait_for_url(leads_to)
            alert = two.get_by_role("alert")
            expect(alert).to_contain_text("it was marked meanwhile")
            expect(alert).to_contain_text("with the better answer “other”")
            assert two.locator("#content").input_value() == "delivery"
            expect(two.locator("#content-diff")).to_have_text("−defect+delivery")
            hold_in_every_size(two)
            two.keyboard.press("Control+Enter")
            two.wait_for_url("**did=*")
            assert [text_of(mark[1]) for mark in marks(gateway, LAMP_IN_GREEN)] == ["other", "delivery"]
            assert [fault for fault in account.faults if "409" not in fault] == []


def test_without_a_script_it_is_links_and_forms(browser: Browser, gateway: WatchedGateway) -> None:
    with browsing(browser, gateway.url, java_script_enabled=False) as context:
        log_in(context, gateway)
        with watched_page(context) as (page, account):
            page.goto("/ui/review?route=ticket-triage")
            page.get_by_role("link", name="Where do I change my address?").click()
            page.get_by_label("The better answer").fill("delivery")
            page.get_by_role("button", name="Show what is changed").click()
            expect(page.locator("#content-diff del")).to_have_text("−other")
            expect(page.locator("#content-diff ins")).to_have_text("+delivery")
            assert marks(gateway, ADDRESS) == []
            page.get_by_role("radio", name="Wrong").check()
            page.get_by_role("button", name="Save").click()
            expect(page.get_by_role("status").first).to_contain_text("Saved:")
            page.get_by_role("link", name="Change it").click()
            page.wait_for_url(f"**/ui/review/{ADDRESS}?route=ticket-triage")
            assert page.get_by_label("The better answer").input_value() == "delivery"
            page.get_by_role("radio", name="Right").check()
            page.get_by_role("button", name="Save").click()
            page.wait_for_url("**did=*")
            assert [mark[0] for mark in marks(gateway, ADDRESS)] == ["wrong", "right"]
            assert not account.faults


def test_a_reviewer_logs_in_with_a_key_and_finds_the_review_and_nothing_else(
    browser: Browser, gateway: WatchedGateway
) -> None:
    wanted = {"name": "mira", "role": "reviewer", "routes": ["contract-*"]}
    admin = {"Authorization": f"Bearer {ADMIN_KEY}"}
    made = httpx.post(f"{gateway.url}/admin/keys", json=wanted, headers=admin, trust_env=False)
    assert made.status_code == 201, made.text
    with browsing(browser, gateway.url) as context, watched_page(context) as (page, account):
        page.goto("/ui")
        page.get_by_label("Key", exact=True).fill(made.json()["key"])
        page.keyboard.press("Enter")
        page.wait_for_url("**/ui/review")
        expect(page.get_by_role("navigation").get_by_role("link")).to_have_text(["Review"])
        page.goto("/ui/review?show=all")
        expect(page.locator("tbody tr")).to_have_count(1)
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/ui/review/{ANSWER_WITH_CALLS}?show=all")
        hold_in_every_size(page)
        page.keyboard.press("r")
        page.keyboard.press("Control+Enter")
        page.wait_for_url("**/ui/review?did=*")
        account.clear()
        page.goto(f"/ui/review/{LATEST_ANSWER}")
        expect(page.get_by_role("heading", level=1)).to_have_text("This answer is not kept any more")
        page.goto("/ui/keys")
        expect(page.get_by_role("heading", level=1)).to_have_text("Not for this key")
        hold_in_every_size(page)
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url("**/ui/login")
        hold_in_every_size(page)
        assert [fault for fault in account.faults if "404" not in fault and "403" not in fault] == []
    with contextlib.closing(sqlite3.connect(f"file:{gateway.gateway.database}?mode=ro", uri=True)) as connection:
        query = 'SELECT "by", source, label FROM feedback ORDER BY feedback_id DESC LIMIT 1'
        assert connection.execute(query).fetchall() == [("mira", "review", "right")]
