"""Delivers webhook messages: each by one replica, tried again until it arrives or nobody waits for it any more."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

import structlog

from gateway.clock import Clock
from gateway.config.routes import Webhook
from gateway.metrics import OTHER, Metrics
from gateway.policy.announcements import Notice
from gateway.providers.http_client import HttpClient
from gateway.providers.webhooks import TIMEOUT_S, NotDelivered, WebhookSender
from gateway.store.database import DatabaseUnavailable
from gateway.store.outbox import Outbox

log = structlog.get_logger()
TICK_S = 1.0
AT_ONCE = 4
# Longer than it takes to deliver all that one claim may take, each up to its timeout.
LEASE_S = 60.0
RETRY_S = (5.0, 30.0, 120.0, 600.0, 3600.0)
GIVE_UP_AFTER = timedelta(days=3)
# Another replica may know a webhook that this one's configuration does not have yet.
GIVE_UP_UNKNOWN_AFTER = timedelta(minutes=10)


class Herald:
    """Looks for messages that are due every second, and delivers them: up to four webhooks at once, each in order.

    Delivery is at least once: a crash between a message's arrival and its record repeats it, with the same id.
    """

    def __init__(
        self,
        *,
        outbox: Callable[[], Outbox | None],
        webhooks: Callable[[], Mapping[str, Webhook]],
        client: HttpClient,
        environ: Mapping[str, str],
        clock: Clock,
        metrics: Metrics,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._outbox = outbox
        self._webhooks = webhooks
        self._client = client
        self._environ = environ
        self._clock = clock
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._senders: dict[Webhook, WebhookSender] = {}
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._waits_for_database = False

    async def run(self) -> None:
        """Deliver until cancelled; what was under way then is delivered again when its lease is over."""
        try:
            while True:
                try:
                    await self._tick()
                except DatabaseUnavailable as error:
                    self._say_once(str(error))
                except Exception:
                    # Nobody else waits for this task: what it does not say is never heard of.
                    log.exception("webhooks_not_looked_at")
                await self._clock.sleep(TICK_S)
        finally:
            tasks = list(self._busy.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _tick(self) -> None:
        outbox = self._outbox()
        free = AT_ONCE - len(self._busy)
        if outbox is None or free <= 0:
            return
        claimed = await outbox.claim(self._clock.now(), lease_s=LEASE_S, limit=free, busy=tuple(self._busy))
        self._waits_for_database = False
        by_webhook: dict[str, list[Notice]] = {}
        for notice in claimed:
            by_webhook.setdefault(notice.webhook, []).append(notice)
        for name, notices in by_webhook.items():
            self._busy[name] = asyncio.create_task(self._deliver_all(outbox, name, notices), name=f"webhook-{name}")

    async def _deliver_all(self, outbox: Outbox, webhook: str, notices: list[Notice]) -> None:
        try:
            for notice in notices:
                await self._deliver(outbox, notice)
        except Exception:
            # The lease ends, and then they are tried again.
            log.exception("webhook_broke", webhook=webhook)
        finally:
            self._busy.pop(webhook, None)

    async def _deliver(self, outbox: Outbox, notice: Notice) -> None:
        webhook = self._webhooks().get(notice.webhook)
        if webhook is None:
            why = NotDelivered("no webhook of this name is configured any more")
            await self._failed(outbox, notice, why, OTHER, GIVE_UP_UNKNOWN_AFTER)
            return
        try:
            await self._sender(webhook).send(notice)
        except NotDelivered as error:
            await self._failed(outbox, notice, error, webhook.name, GIVE_UP_AFTER)
        else:
            self._metrics.webhooks.labels(webhook.name, "delivered").inc()
            at = self._clock.now()
            await self._record(lambda: outbox.delivered(notice, at))

    async def _failed(
        self, outbox: Outbox, notice: Notice, error: NotDelivered, label: str, patience: timedelta
    ) -> None:
        again_at = None if error.final else _again_at(notice, self._clock.now(), patience)
        known = {"webhook": notice.webhook, "notice": notice.notice_id, "tries": notice.tries, "error": str(error)}
        if again_at is None:
            log.error("webhook_given_up", **known)
        else:
            log.warning("webhook_failed", **known, again_at=again_at.isoformat())
        self._metrics.webhooks.labels(label, "given_up" if again_at is None else "failed").inc()
        await self._record(lambda: outbox.failed(notice, str(error), again_at))

    async def _record(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write what became of a message; a database that is away is waited for, or receivers would hear it twice."""
        while True:
            try:
                await write()
                return
            except DatabaseUnavailable as error:
                self._say_once(str(error))
                await self._clock.sleep(TICK_S)

    def _sender(self, webhook: Webhook) -> WebhookSender:
        sender = self._senders.get(webhook)
        if sender is None:
            current = set(self._webhooks().values())
            self._senders = {known: kept for known, kept in self._senders.items() if known in current}
            sender = WebhookSender(webhook, self._client, self._environ, self._clock, self._timeout_s)
            self._senders[webhook] = sender
        return sender

    def _say_once(self, error: str) -> None:
        if not self._waits_for_database:
            log.warning("webhooks_wait_for_database", error=error)
        self._waits_for_database = True


def _again_at(notice: Notice, now: datetime, patience: timedelta) -> datetime | None:
    """Return when to try a message again after its latest try failed; None: it is given up."""
    again_at = now + timedelta(seconds=RETRY_S[min(notice.tries, len(RETRY_S)) - 1])
    return again_at if again_at <= notice.created_at + patience else None
