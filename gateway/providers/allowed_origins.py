"""Where a running gateway may connect to: what its configuration names, and nothing else, whoever asks."""

from collections.abc import Callable, Iterable, Mapping

import structlog

from gateway.clock import Clock
from gateway.config.routes import Routes
from gateway.providers.credentials import Secret
from gateway.providers.http_client import Origin

log = structlog.get_logger()


class AllowedOrigins:
    """Origins of providers, webhooks and litellm's worker. ``permits`` is for the client of connections.

    Requests in flight keep their configuration, so what a reload takes away is allowed for as long as one of them may
    still try: the longest attempt of the configuration before.
    """

    def __init__(self, clock: Clock, refused: Callable[[], None] = lambda: None) -> None:
        """``refused`` hears of each connection that was not allowed."""
        self._clock = clock
        self._refused = refused
        self._now: frozenset[Origin] = frozenset()
        self._webhooks: tuple[Secret, ...] = ()
        self._longest_s = 0.0
        self._before: dict[Origin, float] = {}
        """By origin: until when one that is configured no more is still allowed."""

    def replace(self, routes: Routes, environ: Mapping[str, str], worker_path: str | None = None) -> None:
        """Allow what this configuration names from now on."""
        urls = [provider.base_url for provider in routes.providers.values()]
        urls += [webhook.url for webhook in routes.webhooks.values() if webhook.url]
        urls += [f"unix:{worker_path}"] if worker_path else []
        named = _origins(urls)
        now, until = self._clock.monotonic(), self._clock.monotonic() + self._longest_s
        left = dict.fromkeys(self._now - named, until)
        self._before = {origin: end for origin, end in (self._before | left).items() if end > now}
        self._now = named
        self._webhooks = tuple(
            Secret(webhook.url_env, webhook.url_file, environ, self._clock)
            for webhook in routes.webhooks.values()
            if not webhook.url
        )
        self._longest_s = max((route.timeouts.total_s for route in routes.routes.values()), default=0.0)

    def permits(self, origin: Origin) -> bool:
        """Tell whether a new connection may go there; asked for each, not for each request on one."""
        if origin in self._now or self._before.get(origin, 0.0) > self._clock.monotonic():
            return True
        # A file with a webhook's URL may have changed since the configuration was read.
        if origin in _origins(secret.current() for secret in self._webhooks):
            return True
        log.error("connection_not_configured", host=origin.host, port=origin.port)
        self._refused()
        return False


def _origins(urls: Iterable[str]) -> frozenset[Origin]:
    found = set()
    for url in urls:
        try:
            found.add(Origin.of(url))
        except ValueError:
            # No URL: whoever uses it says so.
            continue
    return frozenset(found)
