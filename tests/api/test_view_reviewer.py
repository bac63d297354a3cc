"""The review as a reviewer sees it: their routes' and their tenant's answers, marks under their name, nothing else."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from test_view_review import CAPTURING, form_in, keep, marks, path, row
from viewed_gateway import ADMIN_KEY, Shown, ViewedGateway, viewed

from gateway.api.pages.access import COOKIE
from gateway.api.pages.frame import PLACES
from gateway.reasons import Label
from gateway.store.captured import Captured
from tests.faults.declared_keys import PEPPER, as_, declared, text_of

pytestmark = pytest.mark.rig

SHARED: dict[str, Any] = {
    "variant_by": "tenant",
    "primary": {"model": "own-model"},
    "variants": {"acme": "ft:acme", "hooli": "ft:hooli"},
}
ROUTES = {
    **CAPTURING,
    "routes": {**CAPTURING["routes"], "forum": SHARED},
    "keys": declared(
        mira={"role": "reviewer"},
        kim={"role": "reviewer", "routes": ["reply", "nothing-*"]},
        ivy={"role": "reviewer", "routes": ["for*"]},
        ann={"role": "reviewer", "tenant": "acme"},
        eve={"role": "reviewer", "tenant": "acme", "routes": ["reply"]},
        lou={"role": "reviewer", "routes": ["no-such-route"]},
        app={"capture": True},
    ),
}
SAME_ORIGIN = {"sec-fetch-site": "same-origin"}
ANSWERS = {
    "reply": row(1),
    "alone": row(2, route="alone"),
    "forum": row(3, route="forum"),
    "acme": row(4, route="forum:acme", tenant="acme"),
    "hooli": row(5, route="forum:hooli", tenant="hooli"),
    "removed": row(6, route="removed"),
}
# Whose answers each sees.
SEES = {
    "mira": {*ANSWERS},
    "kim": {"reply"},
    "ivy": {"forum", "acme", "hooli"},
    "ann": {"acme"},
    "eve": set(),
    "lou": set(),
}


@dataclass(frozen=True)
class Reviewing:
    """The gateway, and a browser at it that has logged in with a key."""

    gateway: ViewedGateway
    cookie: str = ""

    async def get(self, path: str) -> Shown:
        answer = await self.gateway.served.client.get(path, headers=self._headers)
        return Shown(answer.status_code, answer.headers, answer.text)

    async def send(self, path: str, form: Mapping[str, str]) -> httpx.Response:
        return await self.gateway.served.client.post(path, data=dict(form), headers=self._headers | SAME_ORIGIN)

    async def mark(self, kept: Captured, **typed: str) -> httpx.Response:
        page = await self.get(path(kept))
        return await self.send(path(kept), {**form_in(page), "do": "save", **typed})

    @property
    def _headers(self) -> dict[str, str]:
        return {"cookie": f"{COOKIE}={self.cookie}"} if self.cookie else {}


async def logged_in(gateway: ViewedGateway, key: str, **form: str) -> tuple[Reviewing, httpx.Response]:
    client = gateway.served.client
    answer = await client.post("/ui/login", data={"key": key, **form}, headers=SAME_ORIGIN)
    cookie = answer.cookies.get(COOKIE) or ""
    client.cookies.clear()
    return Reviewing(gateway, cookie), answer


async def as_reviewer(gateway: ViewedGateway, name: str) -> Reviewing:
    reviewing, answer = await logged_in(gateway, text_of(name))
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/review"), answer.text
    return reviewing


@pytest.fixture
async def gateway(tmp_path: Path, empty_ledger: Path) -> AsyncIterator[ViewedGateway]:
    """With keys, an administrator, and no leave for the pages to act."""
    async with AsyncExitStack() as stack:
        served = viewed(tmp_path, empty_ledger, routes=ROUTES, keyed=True, key_pepper=PEPPER)
        gateway = await stack.enter_async_context(served)
        await keep(gateway, *ANSWERS.values())
        yield gateway


# Getting in


async def test_the_login_takes_a_reviewers_key_and_gives_a_cookie_of_its_own(gateway: ViewedGateway) -> None:
    _, answer = await logged_in(gateway, text_of("mira"), next="/ui/keys")
    said = answer.headers["set-cookie"]
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/review")
    for word in ("HttpOnly", "Path=/ui", "SameSite=strict", "Max-Age=43200"):
        assert word in said
    assert text_of("mira") not in said
    onward = f"{path(ANSWERS['reply'])}?route=reply"
    assert (await logged_in(gateway, text_of("mira"), next=onward))[1].headers["location"] == onward
    for wrong in (text_of("app"), text_of("nobody"), "", "sk-caller"):
        refused, answer = await logged_in(gateway, wrong)
        assert (answer.status_code, refused.cookie) == (401, "")
        assert "That key opens no page of this gateway." in answer.text


async def test_wrong_keys_are_counted_and_end_in_a_wait_for_reviewers_too(gateway: ViewedGateway) -> None:
    for _ in range(10):
        assert (await logged_in(gateway, text_of("nobody")))[1].status_code == 401
    refused, answer = await logged_in(gateway, text_of("mira"))
    assert (answer.status_code, refused.cookie, answer.headers["retry-after"]) == (429, "", "60")


async def test_nothing_but_the_review_opens(gateway: ViewedGateway, subtests: pytest.Subtests) -> None:
    mira = await as_reviewer(gateway, "mira")
    home = await mira.get("/ui")
    assert (home.status, home.headers["location"]) == (303, "/ui/review")
    page = await mira.get("/ui/review")
    assert re.findall(r'<li><a href="(/ui[^"]*)" aria-current', page.html.partition("<main")[0]) == ["/ui/review"]
    assert page.html.partition("<main")[0].count("<li>") == 1
    assert "configuration" not in page.html.partition("<footer>")[2]
    for place in (*(place.path for place in PLACES), "/ui/routes/reply", "/ui/requests/req-1", "/ui/keys/new", "/ui/x"):
        if place not in ("/ui", "/ui/review"):
            with subtests.test(place):
                shown = await mira.get(place)
                assert (shown.status, "Not for this key" in shown.text) == (403, True)
    csrf = re.findall(r'name="csrf" value="(\w+)"', page.html)[0]
    for path_ in ("/ui/actions/cutover", "/ui/actions/verify", "/ui/keys/new", "/ui/keys/yaml:app/revoke"):
        with subtests.test(path_):
            assert (await mira.send(path_, {"csrf": csrf, "confirmed": "yes"})).status_code == 403
    client = gateway.served.client
    for elsewhere in ("/v1/models", "/metrics", "/admin/keys", "/openapi.json"):
        with subtests.test(elsewhere):
            assert (await client.get(elsewhere, headers=as_("mira"))).status_code == 403
            assert (await client.get(elsewhere, headers={"cookie": f"{COOKIE}={mira.cookie}"})).status_code == 401
    given = {"request_id": "req-1", "label": "right"}
    assert (await client.post("/v1/feedback", json=given, headers=as_("mira"))).status_code == 403
    assert (await client.get("/ui/review", headers=as_("mira"))).status_code == 200
    assert (await client.get("/ui/review", headers=as_("app"))).status_code == 401


async def test_logging_out_takes_the_cookie_back(gateway: ViewedGateway) -> None:
    mira = await as_reviewer(gateway, "mira")
    csrf = re.findall(r'name="csrf" value="(\w+)"', (await mira.get("/ui/review")).html)[0]
    assert (await mira.send("/ui/logout", {"csrf": "0" * 64})).status_code == 403
    answer = await mira.send("/ui/logout", {"csrf": csrf})
    assert (answer.status_code, "Max-Age=0" in answer.headers["set-cookie"]) == (303, True)


# What they see


@pytest.mark.parametrize(("name", "own"), SEES.items(), ids=SEES)
async def test_others_answers_are_as_if_they_were_not_there(
    name: str, own: set[str], gateway: ViewedGateway, subtests: pytest.Subtests
) -> None:
    admin = Reviewing(gateway, (await logged_in(gateway, ADMIN_KEY))[0].cookie)
    reviewing = await as_reviewer(gateway, name)
    assert "(6)" in (await admin.get("/ui/review")).text, "what the administrator counts is another's to see"
    page = await reviewing.get("/ui/review")
    shown = {which for which, kept in ANSWERS.items() if path(kept) in page.html}
    said = f"not marked ({len(own)})" if own else "No answer is kept to be reviewed."
    assert (shown, said in page.text) == (own, True)
    routes = {kept.route for kept in ANSWERS.values()} - {ANSWERS[which].route for which in own}
    assert not [route for route in routes if f"<option>{route}<" in page.html or f"route={route}" in page.html]
    nowhere = await reviewing.get(f"/ui/review/{UUID(int=7)}")
    empty = {name: await reviewing.get(f"/ui/review?route={name}&show=all") for name in ("nowhere", "no:where")}
    for which, kept in ANSWERS.items():
        with subtests.test(which):
            one = await reviewing.get(f"{path(kept)}?route={kept.route}&show=all")
            narrow = await reviewing.get(f"/ui/review?route={kept.route}&show=all")
            if which in own:
                assert (one.status, path(kept) in narrow.html) == (200, True)
                continue
            plain = await reviewing.get(path(kept))
            assert (plain.status, plain.text) == (404, nowhere.text)
            other = "no:where" if ":" in kept.route else "nowhere"
            assert narrow.text.replace(kept.route, other) == empty[other].text
            typed = await reviewing.send(path(kept), {"csrf": csrf_of(page), "label": "right", "seen": ""})
            assert typed.status_code == 404
            assert await marks(gateway, kept.route, kept.tenant) == []


def csrf_of(page: Shown) -> str:
    return re.findall(r'name="csrf" value="(\w+)"', page.html)[0]


async def test_one_is_led_on_to_own_answers_alone(gateway: ViewedGateway) -> None:
    kim = await as_reviewer(gateway, "kim")
    await keep(gateway, older := row(9))
    saved = await kim.mark(ANSWERS["reply"], label="right")
    assert saved.headers["location"].startswith(path(older))
    page = await kim.get(f"{path(older)}?show=all")
    assert "1 of 2 answers are marked." in page.text
    assert page.links("/ui/review/") == [f"{path(ANSWERS['reply'])}?show=all"]
    assert page.links("/ui/routes/") == page.links("/ui/requests/") == []
    last = await kim.mark(older, label="right")
    assert last.headers["location"].startswith("/ui/review?did=")
    assert "All 2 answers are marked." in (await kim.get("/ui/review")).text


# Marks


async def test_a_mark_is_the_reviewers_by_name_with_its_better_answer(gateway: ViewedGateway) -> None:
    mira, ann = await as_reviewer(gateway, "mira"), await as_reviewer(gateway, "ann")
    # One request of each: of a shared route, of a tenant's variant by who sees all, and by who sees that tenant.
    for reviewing, which in ((mira, "reply"), (mira, "hooli"), (ann, "acme")):
        answer = await reviewing.mark(ANSWERS[which], label="wrong", content="At sea.")
        assert answer.status_code == 303, answer.text
    for name, which in (("mira", "reply"), ("mira", "hooli"), ("ann", "acme")):
        kept = ANSWERS[which]
        (mark,) = await marks(gateway, kept.route, kept.tenant)
        assert (mark.by, mark.source, mark.label, mark.tenant) == (name, "review", Label.WRONG, kept.tenant)
        assert mark.correction is not None and "At sea." in mark.correction and mark.request is not None
    gateway.served.client.headers.update(gateway.headers)
    assert await gateway.served.metric("gateway_feedback_total") == 3
    del gateway.served.client.headers["authorization"]
    admin = Reviewing(gateway, (await logged_in(gateway, ADMIN_KEY))[0].cookie)
    page = await admin.get(path(ANSWERS["reply"]))
    assert "Said before 0 min ago mira wrong, corrected" in page.text or "mira ✗ wrong, corrected" in page.text
    assert "GATEWAY_UI_ACTIONS=true" in page.text, "the administrator's own are off as before"
    refused = await admin.mark(ANSWERS["alone"], label="right")
    assert refused.status_code == 403


async def test_a_form_of_another_origin_or_login_is_not_obeyed(gateway: ViewedGateway) -> None:
    mira, kim = await as_reviewer(gateway, "mira"), await as_reviewer(gateway, "kim")
    form = {**form_in(await kim.get(path(ANSWERS["reply"]))), "label": "right"}
    assert (await mira.send(path(ANSWERS["reply"]), form)).status_code == 403
    answer = await gateway.served.client.post(
        path(ANSWERS["reply"]), data=form, headers={"cookie": f"{COOKIE}={kim.cookie}", "sec-fetch-site": "cross-site"}
    )
    assert (answer.status_code, await marks(gateway)) == (403, [])


# The end


@pytest.mark.parametrize(
    ("method", "more", "change"),
    [
        pytest.param("DELETE", "", None, id="revoked"),
        pytest.param("PATCH", "", {"role": "caller"}, id="made an application's"),
        pytest.param("PATCH", "", {"expires_at": "2026-11-29T12:30:00Z"}, id="expired"),
        pytest.param("POST", "/rotate", {}, id="given another text"),
    ],
)
async def test_a_login_ends_with_its_key(method: str, more: str, change: Any, gateway: ViewedGateway) -> None:
    client, admin = gateway.served.client, dict(gateway.headers)
    made = await client.post("/admin/keys", json={"name": "zoe", "role": "reviewer"}, headers=admin)
    assert made.status_code == 201, made.text
    zoe, _ = await logged_in(gateway, made.json()["key"])
    assert (await zoe.get("/ui/review")).status == 200
    ended = await client.request(method, f"/admin/keys/{made.json()['id']}{more}", json=change, headers=admin)
    assert ended.status_code == 200, ended.text
    page = await zoe.get("/ui/review")
    assert (page.status, page.headers["location"]) == (303, "/ui/login?next=%2Fui%2Freview")
    assert (await zoe.send(path(ANSWERS["reply"]), {"label": "right"})).status_code == 303
    assert await marks(gateway) == []
    assert (await logged_in(gateway, made.json()["key"]))[1].status_code == 401


async def test_without_an_administrator_the_review_is_open_to_reviewers(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, routes=ROUTES, key="sk-caller", key_pepper=PEPPER) as gateway:
        await keep(gateway, ANSWERS["reply"])
        kim = await as_reviewer(gateway, "kim")
        assert (await kim.mark(ANSWERS["reply"], label="right")).status_code == 303
        assert (await kim.get("/ui/keys")).status == 403
        assert [mark.by for mark in await marks(gateway)] == ["kim"]
