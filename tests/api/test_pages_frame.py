"""The frame around every page: logging in, forms, headers, files, and that nothing anybody wrote becomes markup."""

import asyncio
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Message
from viewed_gateway import ADMIN_KEY, HOSTILE, ROUTES, viewed

from gateway.api.pages.access import COOKIE
from gateway.api.pages.frame import MOST_FORM_BYTES, PLACES, PageError, read_form
from gateway.api.pages.static_files import static_files

DOCS = Path(__file__).parent.parent.parent / "docs"
HOST = {"sec-fetch-site": "same-origin"}


def csrf_of(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page.text)
    assert found is not None
    return found[1]


async def logged_in(client: httpx.AsyncClient) -> httpx.Response:
    return await client.post("/ui/login", data={"key": ADMIN_KEY, "next": "/ui/cost"}, headers=HOST)


async def test_a_login_from_the_first_look_to_the_last(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, keyed=True) as gateway:
        client = gateway.served.client
        first = await client.get("/ui/routes/reply?at=2027-01-14")
        assert first.status_code == 303
        assert parse_qs(urlsplit(first.headers["location"]).query) == {"next": ["/ui/routes/reply?at=2027-01-14"]}
        form = await client.get(first.headers["location"])
        assert 'name="next" value="/ui/routes/reply?at=2027-01-14"' in form.text
        assert "reply" not in form.text.partition("<main")[0], "nothing of the gateway is told before"
        assert gateway.served.clock.now().isoformat()[:10] in form.text

        wrong = await client.post("/ui/login", data={"key": "sk-caller"}, headers=HOST)
        assert wrong.status_code == 401
        assert "sk-caller" not in wrong.text

        right = await logged_in(client)
        assert (right.status_code, right.headers["location"]) == (303, "/ui/cost")
        set_cookie = right.headers["set-cookie"].lower()
        assert all(word in set_cookie for word in ("httponly", "samesite=strict", "path=/ui", "max-age=43200"))
        assert "secure" not in set_cookie
        page = await client.get("/ui")
        assert page.status_code == 200
        assert (await client.get("/ui/login?next=/ui/calendar")).headers["location"] == "/ui/calendar"

        out = await client.post("/ui/logout", data={"csrf": csrf_of(page)}, headers=HOST)
        assert (out.status_code, out.headers["location"]) == (303, "/ui/login")
        assert (await client.get("/ui")).status_code == 303


async def test_over_https_the_cookie_stays_there(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, keyed=True) as gateway:
        client = gateway.served.client
        answer = await client.post("/ui/login", data={"key": ADMIN_KEY}, headers=HOST | {"x-forwarded-proto": "https"})
        assert "secure" in answer.headers["set-cookie"].lower()


async def test_who_may_look_and_whose_forms_are_obeyed(tmp_path: Path, empty_ledger: Path) -> None:
    """One gateway with keys, and every way in."""
    async with viewed(tmp_path, empty_ledger, keyed=True) as gateway:
        client = gateway.served.client
        as_admin = {"authorization": f"Bearer {ADMIN_KEY}"}
        assert (await client.get("/ui", headers=as_admin)).status_code == 200
        for headers in ({"authorization": "Bearer sk-caller"}, {"authorization": "Basic eDp5"}):
            refused = await client.get("/ui", headers=headers)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
            assert "reply" not in refused.text
        tampered = await client.get("/ui", headers={"cookie": f"{COOKIE}=AAAA"})
        assert tampered.status_code == 303
        assert await _failures(gateway.served.client) == 3, "each wrong credential is counted"

        assert (await client.post("/ui/logout", data={"any": "x"}, headers=as_admin)).status_code == 303, (
            "no browser sends it"
        )
        await logged_in(client)
        word = csrf_of(await client.get("/ui"))
        other = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
        table = [
            ({"any": "x"}, HOST, 403, "without its word"),
            ({"csrf": word[:-1] + ("0" if word[-1] != "0" else "1")}, HOST, 403, "with another word"),
            ({"csrf": ""}, HOST, 403, "with an empty one"),
            ({"csrf": word}, other, 403, "from another page"),
            ({"csrf": word}, {"origin": "null"}, 403, "from nowhere"),
            ({"csrf": word}, {}, 403, "from no page"),
            ({"csrf": word, "long": "x" * MOST_FORM_BYTES}, HOST, 413, "too long"),
            ({str(n): "x" for n in range(60)} | {"csrf": word}, HOST, 400, "of too many fields"),
        ]
        for data, headers, status, what in table:
            answer = await client.post("/ui/logout", data=data, headers=headers)
            assert answer.status_code == status, what
        no_form = await client.post("/ui/logout", json={"csrf": word}, headers=HOST)
        assert no_form.status_code == 415
        assert (await client.get("/ui")).status_code == 200, "none of them has logged anybody out"
        by_origin = {"origin": str(client.base_url).rstrip("/")}
        assert (await client.post("/ui/logout", data={"csrf": word}, headers=by_origin)).status_code == 303


async def test_a_form_that_never_arrives_is_given_up() -> None:
    async def receive() -> Message:
        return await asyncio.get_running_loop().create_future()

    headers = [(b"content-type", b"application/x-www-form-urlencoded")]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    with pytest.raises(PageError) as refused:
        await read_form(request, 0.01)
    assert refused.value.status == 408


async def _failures(client: httpx.AsyncClient) -> float:
    page = await client.get("/metrics", headers={"authorization": f"Bearer {ADMIN_KEY}"})
    found = re.search(r"^gateway_auth_failures_total (\S+)", page.text, re.MULTILINE)
    return float(found[1]) if found else 0.0


async def test_guessing_is_limited_and_ends_by_itself(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, keyed=True) as gateway:
        client = gateway.served.client
        forged = await client.post("/ui/login", data={"key": ADMIN_KEY}, headers={"sec-fetch-site": "cross-site"})
        assert forged.status_code == 403
        for _ in range(10):
            assert (await client.post("/ui/login", data={"key": "guess"}, headers=HOST)).status_code == 401
        limited = await logged_in(client)
        assert (limited.status_code, limited.headers["retry-after"]) == (429, "60")
        assert "set-cookie" not in limited.headers
        gateway.served.clock.advance(61)
        assert (await logged_in(client)).status_code == 303
        gateway.served.clock.advance(12 * 3600)
        assert (await client.get("/ui/calendar")).headers["location"] == "/ui/login?next=%2Fui%2Fcalendar"


async def test_no_login_leads_away(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, keyed=True) as gateway:
        for hop in (
            "https://evil.example/ui",
            "//evil.example",
            "/\\evil.example",
            "/v1/models",
            "/ui/../x",
            "/ui/login",
        ):
            answer = await gateway.served.client.post("/ui/login", data={"key": ADMIN_KEY, "next": hop}, headers=HOST)
            assert answer.headers["location"] == "/ui", hop


async def test_who_comes_from_a_chat_is_asked_once_more_for_the_cookie(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, keyed=True) as gateway:
        client = gateway.served.client
        came = await client.get("/ui/routes/reply", headers={"sec-fetch-site": "cross-site"})
        assert came.status_code == 200
        assert '<meta http-equiv="refresh" content="0;url=/ui/routes/reply">' in came.text
        assert (await client.get("/ui/routes/reply", headers=HOST)).status_code == 303


async def test_without_an_admins_key_the_pages_stay_closed(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, key="sk-caller") as gateway:
        for headers in ({}, {"authorization": "Bearer sk-caller"}):
            answer = await gateway.served.client.get("/ui", headers=headers)
            assert answer.status_code == 403
            assert "GATEWAY_ADMIN_KEY" in answer.text


async def test_an_open_gateway_shows_its_pages_to_this_machine_alone(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger) as gateway:
        client = gateway.served.client
        page = await client.get("/ui")
        assert page.status_code == 200
        assert "Log out" not in page.text
        assert (await client.get("/ui", headers={"host": "rebound.example"})).status_code == 403
        assert (await client.get("/ui/static/style.css", headers={"host": "rebound.example"})).status_code == 403
        assert (await client.get("/ui/")).headers["location"] == "/ui"
        other = {"origin": "http://evil.example", "content-type": "application/x-www-form-urlencoded"}
        assert (await client.post("/ui/actions/release", headers=other)).status_code == 403


async def test_every_answer_has_its_headers_and_no_page_an_inline_script(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger) as gateway:
        client = gateway.served.client
        views = ("/ui", "/ui/routes/reply", "/ui/calendar", "/ui/cost", "/ui/requests", "/ui/review")
        for path in (*views, "/ui/routes/none", "/ui/nowhere/at/all"):
            page = await client.get(path)
            assert page.status_code == (200 if path in views else 404), path
            policy = page.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert page.headers["x-content-type-options"] == "nosniff"
            assert page.headers["referrer-policy"] == "same-origin"
            assert page.headers["cache-control"] == "no-store"
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            assert "style=" not in page.text
            assert "<style" not in page.text
            assert not re.search(r"\son\w+=", page.text)
            assert not re.search(r"<script(?![^>]* src=)", page.text)
            assert not re.search(r'(?:src|href)="(?!/ui|\?|#)', page.text), "nothing is asked for elsewhere"
            assert '<a class="skip" href="#main">' in page.text
            assert page.text.count("<h1") == 1


async def test_files_are_kept_for_ever_by_their_version_and_only_those_are_served(
    tmp_path: Path, empty_ledger: Path
) -> None:
    async with viewed(tmp_path, empty_ledger, keyed=True) as gateway:
        client = gateway.served.client
        login = (await client.get("/ui/login")).text
        named = re.findall(r'(?:src|href)="(/ui/static/[^"]+)"', login)
        assert any("style.css?v=" in path for path in named)
        for path in named:
            file = await client.get(path)
            assert file.status_code == 200
            assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert file.headers["x-content-type-options"] == "nosniff"
        etag = (await client.get("/ui/static/style.css?v=old")).headers
        assert etag["cache-control"] == "no-cache"
        again = await client.get("/ui/static/style.css", headers={"if-none-match": etag["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        for path in ("../frame.py", "%2e%2e/frame.py", "none.css", "..%2fframe.py", "style.css/"):
            assert (await client.get(f"/ui/static/{path}")).status_code in (303, 404), path


def test_the_documentation_names_every_view_and_none_that_is_not_there() -> None:
    told = set(re.findall(r"^\| \w+ \| `(/ui[^`]*)` \|", (DOCS / "pages.md").read_text(), re.MULTILINE))
    assert {place.path for place in PLACES} | {"/ui/routes/NAME"} == told


def test_all_files_together_weigh_little() -> None:
    sizes = {name: len(file.body) for name, file in static_files().items()}
    assert sum(sizes.values()) - sizes["idiomorph.LICENSE.txt"] < 56 * 1024, sizes


async def test_what_anybody_wrote_is_shown_and_never_run(tmp_path: Path, empty_ledger: Path) -> None:
    name = "x<img/src=x/onerror=alert(1)>"
    routes = ROUTES | {
        "routes": {name: {"primary": {"model": f"ft:{HOSTILE}", "base": HOSTILE}, "owner": HOSTILE}},
        "lifecycle": {"acme": {HOSTILE: {"shutdown": "2027-01-14", "source": HOSTILE}}},
        "prices": {},
    }
    async with viewed(tmp_path, empty_ledger, (), routes) as gateway:
        client = gateway.served.client
        listed = (await client.get("/ui", params={"q": HOSTILE, "sort": HOSTILE})).text
        all_ = (await client.get("/ui")).text
        link = re.search(r'href="(/ui/routes/[^"]+)"', all_)
        assert link is not None
        detail = await client.get(link[1])
        wrong_day = (await client.get(link[1], params={"at": HOSTILE})).text
        unknown = (await client.get(f"/ui/routes/{HOSTILE}")).text
        assert detail.status_code == 200
        for page in (listed, all_, detail.text, wrong_day, unknown):
            assert "<script>alert" not in page
            assert "<img" not in page
            assert "&lt;img" in page
