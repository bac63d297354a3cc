"""The door: logging in and out, and what may be had without: style sheets and scripts."""

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from gateway.api.deps import services_of
from gateway.api.pages.access import COOKIE, HOME, LASTS, REVIEW, is_https, own_view
from gateway.api.pages.frame import (
    HEADERS,
    Page,
    PageError,
    ReviewersPage,
    Said,
    access_of,
    read_form,
    redirect,
    render,
    require_same_origin,
    visitor_of,
)
from gateway.api.pages.reviewers import ends_of
from gateway.api.pages.static_files import static_files
from gateway.config.callers import Caller

door = APIRouter()
"""What nobody needs to have logged in for."""
inside = APIRouter(route_class=ReviewersPage)
FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class LoginView:
    """The form, and what was wrong with the last try."""

    next: str
    error: str = ""


@door.get("/login")
async def login_page(request: Request) -> Response:
    """Show the form; whoever is in already goes on."""
    onwards = own_view(request.query_params.get("next"))
    if visitor_of(request).standing.may_look:
        return redirect(onwards)
    return await render(request, "login.html", LoginView(onwards), "Log in", live=False)


@door.post("/login")
async def log_in(request: Request) -> Response:
    """Take the admin's key, or a reviewer's, and give a cookie for it."""
    services, access = services_of(request), access_of(request)
    try:
        form = await read_form(request)
        require_same_origin(request)
    except PageError as error:
        return await render(request, "said.html", error.said, error.said.title, status=error.status, live=False)
    onwards, now = own_view(form.get("next")), services.clock.monotonic()
    peer = request.client.host if request.client is not None else ""
    if access.failed_logins.are_too_many(peer, now):
        view = LoginView(onwards, "Too many logins have failed: wait a minute, then try again.")
        answer = await render(request, "login.html", view, "Log in", status=429, live=False)
        answer.headers["retry-after"] = "60"
        return answer
    shown = form.get("key", "")
    is_admin = access.is_admin_key(shown)
    reviewer = None if is_admin else access.reviewers.by_key(shown, services.clock.now())
    if reviewer is None and not is_admin:
        access.failed_logins.add(peer, now)
        services.metrics.auth_failures.inc()
        return await _not_let_in(request, onwards)
    return _with_cookie(request, onwards, reviewer, shown)


async def _not_let_in(request: Request, onwards: str) -> Response:
    if access_of(request).reviewers.are_all_known:
        view = LoginView(onwards, "That key opens no page of this gateway.")
        return await render(request, "login.html", view, "Log in", status=401, live=False)
    view = LoginView(onwards, "The keys are in a database that was not read yet: try again in some seconds.")
    answer = await render(request, "login.html", view, "Log in", status=503, live=False)
    answer.headers["retry-after"] = "5"
    return answer


def _with_cookie(request: Request, onwards: str, reviewer: Caller | None, shown: str) -> Response:
    """Send a browser that showed a right key on; ``reviewer``: whose it is, None: the admin's."""
    access, now = access_of(request), services_of(request).clock.now()
    if reviewer is None:
        cookie = access.new_cookie(now)
    else:
        cookie = access.reviewers.new_cookie(reviewer, shown, ends_of(reviewer, now, LASTS))
        onwards = onwards if onwards.startswith(REVIEW) else REVIEW
    answer = redirect(onwards)
    answer.set_cookie(
        COOKIE,
        cookie,
        max_age=int(LASTS.total_seconds()),
        path=HOME,
        secure=is_https(request.headers, request.url.scheme),
        httponly=True,
        samesite="strict",
    )
    return answer


@inside.post("/logout")
async def log_out(request: Request) -> Response:
    """Take the cookie back."""
    answer = redirect("/ui/login")
    answer.delete_cookie(COOKIE, path=HOME, httponly=True, samesite="strict")
    return answer


@door.get("/static/{name}")
async def static_file(name: str, request: Request) -> Response:
    """Return a file that pages name; by its version it may be kept for ever."""
    file = static_files().get(name)
    if file is None:
        return Response(None, 404, HEADERS)
    etag = f'"{file.version}"'
    kept = FOR_EVER if request.query_params.get("v") == file.version else "no-cache"
    headers = {**HEADERS, "cache-control": kept, "etag": etag}
    if request.headers.get("if-none-match") == etag:
        return Response(None, 304, headers)
    return Response(file.body, 200, headers, media_type=file.media_type)


@inside.get("/")
async def with_a_slash(request: Request) -> Response:
    """Know the same page by the address that people type."""
    return redirect(HOME)


nowhere = APIRouter(route_class=Page)
"""Behind all other pages."""


@nowhere.get("/{path:path}")
async def no_such_page(path: str, request: Request) -> Response:
    """Say that there is no such page, in the frame."""
    raise PageError(404, Said("No such page", ("There is nothing at this address.",)))
