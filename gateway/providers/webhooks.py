"""One message to one webhook: signed as Standard Webhooks has it, sent through the gateway's own client.

The URL may be a secret: neither errors nor logs hold more of it than its host.
"""

import asyncio
import hashlib
import hmac
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from gateway import __version__
from gateway.clock import Clock
from gateway.config.named_secrets import url_problem
from gateway.config.routes import Webhook
from gateway.config.webhook_entries import signing_key
from gateway.policy.announcements import Notice
from gateway.providers.connection import TransportError
from gateway.providers.credentials import Secret
from gateway.providers.http_client import HttpClient, Origin

TIMEOUT_S = 10.0
_GONE = 410


class NotDelivered(Exception):
    """The receiver did not take a message; ``final``: it wants none of this kind any more."""

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


class WebhookSender:
    """One webhook: where it is, and what its messages are signed with."""

    def __init__(
        self,
        webhook: Webhook,
        client: HttpClient,
        environ: Mapping[str, str],
        clock: Clock,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._name = webhook.name
        self._client = client
        self._clock = clock
        self._timeout_s = timeout_s
        self._written = webhook.url
        self._url = Secret(webhook.url_env, webhook.url_file, environ, clock)
        self._is_signed = webhook.secret_env is not None or webhook.secret_file is not None
        self._secret = Secret(webhook.secret_env, webhook.secret_file, environ, clock)

    async def send(self, notice: Notice) -> None:
        """Deliver a message.

        Raises:
            NotDelivered: it did not arrive, or nobody knows: the connection broke, or the answer was no 2xx in time.
        """
        url = self._written or self._url.current()
        if not url:
            raise NotDelivered("its URL is not set")
        if problem := url_problem(url, query_allowed=True):
            raise NotDelivered(f"its URL {problem}")
        host = urlsplit(url).hostname
        request = self._request(url, notice)
        try:
            async with asyncio.timeout(self._timeout_s):
                status = await self._status(url, request)
        except TransportError as error:
            raise NotDelivered(f"{host}: {error}") from None
        except TimeoutError:
            raise NotDelivered(f"{host} did not answer within {self._timeout_s:g} s") from None
        if not 200 <= status < 300:
            raise NotDelivered(f"{host} answered {status}", final=status == _GONE)

    async def _status(self, url: str, request: bytes) -> int:
        connection = await self._client.pool(Origin.of(url)).acquire()
        answered = False
        try:
            connection.start(request)
            await connection.wait_head()
            answered = True
            return connection.status
        finally:
            # Nobody reads the body: a short one ends in a moment, and the connection of a long one is closed.
            connection.finish(linger=answered)

    def _request(self, url: str, notice: Notice) -> bytes:
        parts = urlsplit(url)
        body = notice.body.encode()
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [
            f"POST {path} HTTP/1.1",
            f"host: {parts.netloc}",
            f"user-agent: understudy/{__version__}",
            "accept-encoding: identity",
            "content-type: application/json",
            f"content-length: {len(body)}",
            *(f"{name}: {value}" for name, value in self._signed(notice, body).items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def _signed(self, notice: Notice, body: bytes) -> dict[str, str]:
        at = self._clock.now()
        headers = {"webhook-id": message_id(notice), "webhook-timestamp": str(int(at.timestamp()))}
        if self._is_signed:
            key = signing_key(self._secret.current())
            if key is None:
                raise NotDelivered("its secret must be whsec_ and the base64 of 24 to 64 bytes")
            headers["webhook-signature"] = signature(key, headers["webhook-id"], at, body)
        return headers


def message_id(notice: Notice) -> str:
    """Return the id by which receivers know a message again: the same at every try."""
    return f"msg_{notice.notice_id}"


def signature(key: bytes, message: str, at: datetime, body: bytes) -> str:
    """Return the header ``webhook-signature`` of a message that is sent at this instant."""
    signed = hmac.new(key, f"{message}.{int(at.timestamp())}.".encode() + body, hashlib.sha256)
    return f"v1,{b64encode(signed.digest()).decode()}"
