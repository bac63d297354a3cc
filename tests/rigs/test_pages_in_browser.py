"""The pages as a person meets them: in a real browser, in light and dark, on a desk and on a phone, with and without
JavaScript, by mouse and by keyboard; against a real gateway with something to watch.
"""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from browser import Account, browsing, running_browser, watched_page
from pages_looked_at import (
    focused,
    heard_of,
    heights_of_rows,
    hold_in_every_size,
    hold_sound,
    kill,
    log_in,
    names_of_rows,
    retire,
    row_that_says,
    shown_within,
)
from playwright.sync_api import Browser, BrowserContext, Page, expect
from watched_gateway import ADMIN_KEY, WatchedGateway, watched
from watched_history import SEVERAL_ATTEMPTS
from watched_review import ANSWER_WITH_CALLS, LATEST_ANSWER
from watched_routes import BY_NAME

pytestmark = pytest.mark.rig

WHY = "<b>incident</b> of 9 o'clock & INC-1"
RENEWED_MS = 5_100
"""After so long a page that is looked at has asked for itself again."""
TIMES = re.compile(r"\d+ (?:s|min|h|d) ago|in \d+ (?:s|min|h|d)|as of .*|\d\d:\d\d(?::\d\d)?")
SEEN_FOCUS = """() => {
    const style = getComputedStyle(document.activeElement);
    return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
}"""
VIEWS = {
    "routes": "/ui",
    "a route on its fallback": "/ui/routes/forum-reply",
    "a route that nobody answers": "/ui/routes/call-summary",
    "a route on another day": "/ui/routes/refund-reason?at={later}",
    "calendar": "/ui/calendar",
    "cost": "/ui/cost",
    "requests": "/ui/requests",
    "a request": f"/ui/requests/{SEVERAL_ATTEMPTS}",
    "review": "/ui/review",
    "an answer": f"/ui/review/{LATEST_ANSWER}",
    "an answer that calls tools": f"/ui/review/{ANSWER_WITH_CALLS}",
    "keys": "/ui/keys",
    "a key": "/ui/keys/key_forumapp",
    "a new key": "/ui/keys/new",
}
Seen = tuple[Page, Account]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedGateway]:
    """Fourteen routes in every state, behind keys, whose pages may act."""
    with watched(tmp_path_factory.mktemp("busy"), actions=True) as running:
        yield running


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedGateway]:
    """Four routes to which nothing has happened yet, open to this machine."""
    with watched(tmp_path_factory.mktemp("fresh"), kind="empty") as running:
        yield running


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedGateway]:
    """Forty routes, two of them in trouble."""
    with watched(tmp_path_factory.mktemp("forty"), kind="forty") as running:
        yield running


@pytest.fixture
def visitor(browser: Browser, busy: WatchedGateway) -> Iterator[BrowserContext]:
    """Whoever has logged in."""
    with browsing(browser, busy.url) as context:
        log_in(context, busy)
        yield context


@pytest.fixture
def seen(visitor: BrowserContext) -> Iterator[Seen]:
    """A page of whoever has logged in, and the account of it."""
    with watched_page(visitor) as opened:
        yield opened


def path_of(name: str, gateway: WatchedGateway) -> str:
    """Return where a view is."""
    return VIEWS[name].format(later=(gateway.now + timedelta(days=3)).date())


# The door


def test_who_has_no_login_is_asked_for_one_and_led_back(browser: Browser, busy: WatchedGateway) -> None:
    with browsing(browser, busy.url) as context, watched_page(context) as (page, account):
        page.goto("/ui/calendar")
        assert page.url == f"{busy.url}/ui/login?next=%2Fui%2Fcalendar"
        page.get_by_label("Key", exact=True).fill("not it")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("That key opens no page of this gateway.")
        assert page.evaluate("document.activeElement.name") == "key"
        assert [fault for fault in account.errors if "401" not in fault] == []
        page.get_by_label("Key", exact=True).fill(ADMIN_KEY)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{busy.url}/ui/calendar")
        (cookie,) = context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/ui")
        assert ADMIN_KEY not in str(cookie)
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url(f"{busy.url}/ui/login")
        assert not context.cookies()
        page.goto("/ui")
        assert page.url == f"{busy.url}/ui/login"


def test_a_login_that_is_over_is_asked_for_again(browser: Browser, busy: WatchedGateway) -> None:
    with browsing(browser, busy.url) as context:
        log_in(context, busy, ago=timedelta(hours=12, minutes=1))
        page = context.new_page()
        page.goto("/ui/cost")
        assert page.url == f"{busy.url}/ui/login?next=%2Fui%2Fcost"


def test_the_door_is_sound(browser: Browser, busy: WatchedGateway) -> None:
    with browsing(browser, busy.url) as context, watched_page(context) as (page, account):
        page.goto("/ui/login")
        hold_in_every_size(page)
        assert not account.faults


# Every view


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_sound(name: str, visitor: BrowserContext, busy: WatchedGateway) -> None:
    hold_sound(visitor, path_of(name, busy), name)


@pytest.mark.parametrize("name", ["routes", "a route", "calendar", "cost", "requests", "review", "keys"])
def test_a_view_of_a_gateway_to_which_nothing_happened_is_sound(
    name: str, browser: Browser, fresh: WatchedGateway
) -> None:
    path = "/ui/routes/ticket-triage" if name == "a route" else path_of(name, fresh)
    with browsing(browser, fresh.url) as context:
        hold_sound(context, path, f"{name}, of nothing", ["light"])


@pytest.mark.parametrize("name", ["routes", "calendar", "cost"])
def test_a_view_of_forty_routes_is_sound(name: str, browser: Browser, forty: WatchedGateway) -> None:
    with browsing(browser, forty.url) as context:
        hold_sound(context, path_of(name, forty), f"{name}, of forty", ["light"])


@pytest.mark.parametrize(
    ("what", "blocked"),
    [
        pytest.param("document.body.setAttribute('style', 'color: red')", "style-src-attr", id="a style of its own"),
        pytest.param("document.body.append(Object.assign(document.createElement('script'), {text: '1'}))",
                     "script-src-elem", id="a script in the page"),
        pytest.param("fetch('http://127.0.0.1:9/').catch(() => 0)", "connect-src", id="a request to elsewhere"),
    ],
)  # fmt: skip
def test_what_the_policy_forbids_is_blocked_and_heard_of(what: str, blocked: str, seen: Seen) -> None:
    page, account = seen
    page.goto("/ui")
    page.evaluate(what)
    heard_of(page, account, f"CSP: {blocked} blocked")


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_says_the_same_without_javascript(name: str, browser: Browser, busy: WatchedGateway) -> None:
    said = []
    for enabled in (True, False):
        with browsing(browser, busy.url, java_script_enabled=enabled) as context:
            log_in(context, busy)
            page = context.new_page()
            page.goto(path_of(name, busy))
            said.append(TIMES.sub("", page.locator("main").inner_text()))
    assert len(said[0]) > 200
    assert said[0] == said[1]


# The routes


def test_forty_routes_are_rows_of_one_height(browser: Browser, forty: WatchedGateway) -> None:
    with browsing(browser, forty.url) as context:
        page = context.new_page()
        page.goto("/ui")
        heights = heights_of_rows(page)
        assert len(heights) == 40
        assert len(set(heights.values())) == 1, heights


def test_routes_are_found_and_sorted_without_javascript(browser: Browser, busy: WatchedGateway) -> None:
    with browsing(browser, busy.url, java_script_enabled=False) as context:
        log_in(context, busy)
        page = context.new_page()
        page.goto("/ui")
        assert page.locator("tbody tr").first.get_attribute("id") == "route-call-summary"
        page.get_by_role("columnheader").get_by_role("link", name="Route").click()
        page.wait_for_url("**/ui?sort=name")
        assert names_of_rows(page) == sorted(BY_NAME)
        page.get_by_role("searchbox").fill("marketing")
        page.keyboard.press("Enter")
        page.wait_for_url("**/ui?*q=marketing")
        assert names_of_rows(page) == sorted(name for name, route in BY_NAME.items() if route.owner == "marketing")
        page.get_by_role("columnheader").get_by_role("link", name="Per 1,000").click()
        page.wait_for_url("**/ui?*sort=-cost*")
        assert names_of_rows(page)[0] == "tone-rewrite"
        assert "q=marketing" in page.url


def test_everything_is_reached_by_the_keyboard_in_order_and_seen_to_be(seen: Seen) -> None:
    page, _ = seen
    page.goto("/ui")
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.goto("/ui")
    reached = []
    for _ in range(120):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        assert page.evaluate(SEEN_FOCUS), focused(page)
        reached.append(focused(page))
    in_order = [
        "Skip to the content",
        "Understudy",
        "Routes",
        "Calendar",
        "Cost",
        "Requests",
        "Review",
        "Keys",
        "Log out",
    ]
    assert reached[: len(in_order)] == in_order
    rest = [name for name in reached if name in ("q", "Find", "Route", *BY_NAME)]
    table = rest[rest.index("Route") :]
    assert rest.index("q") < rest.index("Find") < rest.index("Route")
    assert set(table[1:]) == set(BY_NAME)


# What changes while somebody looks


def test_a_row_changes_in_its_place_when_a_model_dies(seen: Seen, busy: WatchedGateway) -> None:
    page, account = seen
    page.set_viewport_size({"width": 1280, "height": 500})
    page.clock.install()
    page.goto("/ui?sort=name")
    row, box = page.locator("#route-product-title"), page.get_by_role("searchbox")
    expect(row).to_contain_text("primary")
    box.fill("half a thou")
    page.locator("#route-survey-coding a").focus()
    page.evaluate("scrollTo(0, 240)")
    before, place = heights_of_rows(page), row.bounding_box()
    kill(busy, "product-title")
    page.clock.run_for(RENEWED_MS)
    expect(row).to_contain_text("fallback")
    assert heights_of_rows(page) == before
    assert row.bounding_box() == place
    assert focused(page) == "survey-coding"
    assert box.input_value() == "half a thou"
    assert not account.faults


def test_nothing_is_asked_while_nobody_looks_or_somebody_types(seen: Seen) -> None:
    page, account = seen
    page.add_init_script("Object.defineProperty(document, 'hidden', {get: () => window.away === true})")
    page.clock.install()
    page.goto("/ui", wait_until="networkidle")
    account.clear()
    page.evaluate("window.away = true")
    page.clock.run_for(10 * RENEWED_MS)
    assert not account.requested
    page.evaluate("window.away = false")
    with page.expect_request_finished():
        page.clock.run_for(RENEWED_MS)
    page.get_by_role("searchbox").focus()
    account.clear()
    page.clock.run_for(10 * RENEWED_MS)
    assert not account.requested


def test_a_page_says_that_it_is_not_renewed_while_the_gateway_is_away(seen: Seen) -> None:
    page, _ = seen
    page.clock.install()
    page.goto("/ui")
    page.route("**/ui", lambda route: route.abort())
    page.clock.run_for(RENEWED_MS)
    expect(page.get_by_text("not renewed: the gateway does not answer")).to_be_visible()
    page.unroute("**/ui")
    page.clock.run_for(4 * RENEWED_MS)
    expect(page.get_by_text("not renewed: the gateway does not answer")).to_be_hidden()


# What is asked, found and done


def test_a_request_is_found_by_its_id_and_told_attempt_by_attempt(seen: Seen) -> None:
    page, account = seen
    page.goto("/ui/requests")
    page.get_by_label("Request id").fill(SEVERAL_ATTEMPTS)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/ui/requests/{SEVERAL_ATTEMPTS}")
    told = page.locator("main").inner_text()
    assert [word for word in ("timeout", "overloaded", "answered") if word not in told] == []
    assert told.index("comet-2") < told.index("gpt-6-luna")
    page.goto("/ui/requests?route=ticket-triage&outcome=failed")
    lines = page.locator("tbody tr")
    assert lines.count() > 2
    assert all("ticket-triage" in line and "fail" in line for line in lines.all_inner_texts())
    lines.first.get_by_role("link").first.click()
    page.wait_for_url(re.compile("/ui/requests/req_"))
    assert not account.faults


def test_the_plan_of_another_day_has_an_address(seen: Seen, busy: WatchedGateway) -> None:
    page, account = seen
    page.goto("/ui/routes/refund-reason")
    day = (busy.now + timedelta(days=20)).date()
    page.get_by_label("On", exact=True).fill(day.isoformat())
    page.get_by_role("button", name="Plan").click()
    page.wait_for_url(f"**/ui/routes/refund-reason?at={day}")
    then = page.locator("section", has=page.get_by_role("heading", name="The plan of"))
    expect(then.get_by_role("heading")).to_contain_text(f"The plan of {day.day} {day:%B %Y}")
    expect(then.get_by_role("listitem").first).to_contain_text("luna")
    expect(then).to_contain_text("not primary")
    assert not account.faults
    page.goto("/ui/routes/refund-reason?at=someday")
    expect(page.get_by_role("alert")).to_be_visible()


def test_a_route_is_moved_by_hand_and_given_back(seen: Seen) -> None:
    page, account = seen
    page.goto("/ui/routes/ticket-triage")
    form = page.get_by_role("group", name="Cut over")
    form.locator("[name=to]").select_option("luna")
    form.locator("[name=lasts]").select_option("1h")
    form.get_by_label("Reason").fill(WHY)
    form.get_by_role("checkbox").check()
    form.get_by_role("button", name="Cut over").click()
    page.wait_for_url("**/ui/routes/ticket-triage?did=moved#actions")
    expect(page.get_by_text("It is moved by hand; every replica follows within seconds.")).to_be_visible()
    row = row_that_says(page, "ticket-triage", "fallback")
    assert "admin" in row
    page.goto("/ui/routes/ticket-triage")
    shown_within(page, "#happened ~ ol", f"moved ticket-triage to gpt-6-luna by hand until .*: {re.escape(WHY)}")
    expect(page.locator("#actions")).to_contain_text(WHY)
    assert page.locator("main b", has_text="incident").count() == 0
    page.get_by_role("button", name="Return to the rules").click()
    page.wait_for_url("**/ui/routes/ticket-triage?did=released#actions")
    row_that_says(page, "ticket-triage", "primary")
    assert not account.faults


def test_a_model_that_died_is_found_out_by_a_click(seen: Seen, busy: WatchedGateway) -> None:
    page, account = seen
    retire(busy, "survey-coding")
    page.goto("/ui/routes/survey-coding")
    form = page.get_by_role("group", name="Verify a model now")
    form.locator("[name=target]").select_option("primary")
    form.get_by_role("button", name="Verify now").click()
    page.wait_for_url("**/ui/routes/survey-coding?did=verifying#actions")
    row_that_says(page, "survey-coding", "fallback")
    assert not account.faults


def test_where_actions_are_off_the_forms_say_what_to_type_and_are_not_obeyed(
    browser: Browser, fresh: WatchedGateway
) -> None:
    with browsing(browser, fresh.url) as context:
        page = context.new_page()
        page.goto("/ui/routes/ticket-triage")
        expect(page.locator("#actions")).to_contain_text("GATEWAY_UI_ACTIONS=true")
        expect(page.locator("#actions")).to_contain_text("gateway cutover ticket-triage --to luna")
        page.locator("#actions summary").click()
        expect(page.get_by_role("button", name="Cut over")).to_be_disabled()
        page.evaluate("document.querySelectorAll('fieldset').forEach(set => set.disabled = false)")
        form = page.get_by_role("group", name="Cut over")
        form.get_by_label("Reason").fill(WHY)
        form.get_by_role("checkbox").check()
        with page.expect_navigation() as led:
            form.get_by_role("button", name="Cut over").click()
        assert led.value is not None
        assert led.value.status == 403
        page.goto("/ui")
        expect(page.locator("#route-ticket-triage")).to_contain_text("primary")
