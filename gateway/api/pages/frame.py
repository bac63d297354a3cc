"""What every page has around it: navigation, where its data come from, and headers that let nothing in.

A view is data and a template; ``render`` makes a response of them. ``Page`` is the kind of route that pages are: it
asks who is there before anything is read, and reads a form before it is obeyed.
"""

import asyncio
import hmac
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl, urlencode

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from gateway import __version__
from gateway.api.deps import services_of
from gateway.api.pages.access import COOKIE, HOME, REVIEW, Access, Standing, Visitor, is_same_origin, own_view
from gateway.api.pages.static_files import build
from gateway.api.pages.template_files import written

POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    # Not no-referrer: browsers then call the origin of our own forms "null", and nobody could tell them from others'.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-robots-tag": "noindex",
    "cache-control": "no-store",
}
MOST_FORM_BYTES: Final = 16_384
MOST_FIELDS: Final = 50
FORM_S: Final = 10.0
"""For a form to arrive: no stop waits for one that never does."""


@dataclass(frozen=True, slots=True)
class Place:
    """One entry of the navigation."""

    path: str
    word: str


PLACES: Final = (
    Place("/ui", "Routes"),
    Place("/ui/calendar", "Calendar"),
    Place("/ui/cost", "Cost"),
    Place("/ui/requests", "Requests"),
    Place("/ui/review", "Review"),
    Place("/ui/keys", "Keys"),
)
REVIEWERS_PLACES: Final = tuple(place for place in PLACES if place.path == REVIEW)


@dataclass(frozen=True, slots=True)
class Frame:
    """What a template needs beside its view."""

    title: str
    here: str
    """The path of the place that this page belongs to."""
    places: tuple[Place, ...]
    """Empty: nobody is logged in."""
    opens_all: bool
    """Whether other pages open to whoever looks: to reviewers they do not."""
    now: datetime
    built: str
    version: str
    config_hash: str
    """Empty: nobody is logged in, or a reviewer is."""
    instance: str
    csrf: str
    has_cookie: bool
    """Whether there is a login to end."""
    can_act: bool
    """Whether forms that change something are obeyed."""
    is_live: bool
    """Whether a script renews it."""


@dataclass(frozen=True, slots=True)
class Said:
    """A page of a few sentences: what is not there, what may not be done."""

    title: str
    sentences: tuple[str, ...] = ()
    near: tuple[Place, ...] = ()
    """What may have been meant."""
    command: str = ""


class PageError(Exception):
    """A page that is not what was asked for, and says why."""

    def __init__(self, status: int, said: Said) -> None:
        super().__init__(said.title)
        self.status = status
        self.said = said


async def render(
    request: Request, template: str, view: object, title: str, *, status: int = 200, live: bool = True
) -> Response:
    """Return a view as a page.

    ``template`` is a file of ``templates/`` that extends ``page.html``; it gets ``view`` and ``frame``. Where the view
    has a field ``away`` that is not empty, the page says that the database is away, and why. ``live``: a script renews
    it every few seconds.
    """
    frame = _frame(request, title, live=live)
    # Hundreds of rows take a while to write, and callers of models wait on this loop.
    text = await asyncio.to_thread(written, template, view, frame)
    return Response(text, status, HEADERS, media_type="text/html; charset=utf-8")


async def said(request: Request, status: int, what: Said) -> Response:
    """Return a page of a few sentences."""
    return await render(request, "said.html", what, what.title, status=status, live=False)


def redirect(path: str) -> Response:
    """Send a browser to another page of ours."""
    return Response(None, 303, {**HEADERS, "location": path})


def form_of(request: Request) -> Mapping[str, str]:
    """Return the fields of the form that was sent; ``Page`` has read it, and found it to be of our own making."""
    form: Mapping[str, str] = request.state.form
    return form


def can_act(request: Request) -> bool:
    """Tell whether this gateway lets pages change anything: it was allowed, and an admin asks."""
    is_admin = not access_of(request).is_open and visitor_of(request).reviewer is None
    return services_of(request).ui_actions and is_admin


def access_of(request: Request) -> Access:
    """Return what judges visitors of the app that serves this request."""
    access: Access = request.app.state.access
    return access


class Page(APIRoute):
    """A route of pages. ``APIRouter(route_class=Page)`` makes every route of a module one."""

    most_form_bytes: ClassVar[int] = MOST_FORM_BYTES
    opens_to_reviewers: ClassVar[bool] = False

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler behind everything that is asked first."""
        handle = super().get_route_handler()

        async def asked(request: Request) -> Response:
            try:
                if (refused := await _refused(request, self)) is not None:
                    return refused
                return await handle(request)
            except PageError as error:
                return await said(request, error.status, error.said)
            except ClientDisconnect:
                return Response(status_code=400)

        return asked


class ReviewersPage(Page):
    """A page that reviewers' keys open, too; what it shows them is its own to narrow."""

    opens_to_reviewers: ClassVar[bool] = True


def visitor_of(request: Request) -> Visitor:
    """Return who asks; judged once a request."""
    known: Visitor | None = getattr(request.state, "visitor", None)
    if known is None:
        now = services_of(request).clock.now()
        known = access_of(request).visitor(request.headers, request.cookies.get(COOKIE), now)
        request.state.visitor = known
    return known


async def read_form(request: Request, within_s: float = FORM_S, most_bytes: int = MOST_FORM_BYTES) -> Mapping[str, str]:
    """Read a form of a page.

    Raises:
        PageError: it is no form, a long one, or does not arrive in time.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise PageError(415, Said("Not a form", ("Send it as application/x-www-form-urlencoded, as browsers do.",)))
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            async for part in request.stream():
                body += part
                if len(body) > most_bytes:
                    raise PageError(413, Said("Too long", (f"A form has at most {most_bytes:,} bytes.",)))
    except TimeoutError:
        raise PageError(408, Said("Too slow", (f"A form arrives within {within_s:g} s.",))) from None
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        raise PageError(400, Said("Not a form", ("What was sent cannot be read as one.",))) from None


def require_same_origin(request: Request) -> None:
    """Refuse a form that a page of another origin sent.

    Raises:
        PageError: it did, or it does not say where it comes from.
    """
    if not is_same_origin(request.headers):
        raise PageError(403, Said("Not from here", ("This form was not sent by a page of this gateway.",)))


async def _refused(request: Request, page: Page) -> Response | None:
    """Return the answer for whoever may not look, or whose form is not obeyed; None: go on."""
    visitor = visitor_of(request)
    if visitor.standing is Standing.WRONG:
        services_of(request).metrics.auth_failures.inc()
    if not visitor.standing.may_look:
        return await _no_entry(request, visitor.standing)
    if visitor.reviewer is not None and not page.opens_to_reviewers:
        if request.method == "GET" and request.url.path == HOME:
            return redirect(REVIEW)
        why = "This key opens the review of answers, and nothing else."
        return await said(request, 403, Said("Not for this key", (why,), (Place(REVIEW, "the review"),)))
    if request.method not in ("GET", "HEAD"):
        form = await read_form(request, most_bytes=page.most_form_bytes)
        if visitor.standing is not Standing.BEARER:
            # No browser sends a bearer token by itself, so nobody is made to; a cookie it does.
            require_same_origin(request)
            if not _is_csrf(form.get("csrf", ""), visitor.csrf):
                why = "The page it was on is too old: go back, load it anew, and send the form again."
                raise PageError(403, Said("Not obeyed", (why,)))
        request.state.form = form
    return None


def _is_csrf(sent: str, expected: str) -> bool:
    return hmac.compare_digest(sent.encode("utf-8", "replace"), expected.encode())


async def _no_entry(request: Request, standing: Standing) -> Response:
    if standing is Standing.CLOSED:
        why = "Callers of this gateway have a key, but its operator has none: these pages stay closed."
        return await said(request, 403, Said("Closed", (why, "Set GATEWAY_ADMIN_KEY and start it again.")))
    if request.headers.get("authorization") is not None:
        why = "Send the gateway's admin key, or, for the review, a reviewer's, as 'Authorization: Bearer …'."
        what = Said("Not a key of these pages", (why,))
        answer = await said(request, 401, what)
        answer.headers["www-authenticate"] = "Bearer"
        return answer
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    target = own_view(path) if request.method == "GET" else HOME
    if request.method == "GET" and request.headers.get("sec-fetch-site") == "cross-site":
        # Who follows a link from a chat brings no cookie along, although there may be one: this page asks once more.
        return await render(request, "again.html", target, "One moment", live=False)
    return redirect("/ui/login" if target == HOME else f"/ui/login?{urlencode({'next': target})}")


def _frame(request: Request, title: str, *, live: bool) -> Frame:
    services, visitor = services_of(request), visitor_of(request)
    inside, path = visitor.standing.may_look, request.url.path
    opens_all = inside and visitor.reviewer is None
    here = max((place.path for place in PLACES if _is_in(path, place.path)), key=len, default="")
    return Frame(
        title,
        here,
        PLACES if opens_all else REVIEWERS_PLACES if inside else (),
        opens_all,
        services.clock.now(),
        build(),
        __version__,
        services.pipeline.snapshot.config_hash if opens_all else "",
        services.instance if opens_all else "",
        visitor.csrf,
        visitor.standing is Standing.COOKIE,
        can_act(request),
        live and inside,
    )


def _is_in(path: str, place: str) -> bool:
    """Tell whether a page belongs to a place: routes have their details beside it, not behind it."""
    if place == "/ui":
        return path == "/ui" or path.startswith("/ui/routes/")
    return path == place or path.startswith(f"{place}/")
