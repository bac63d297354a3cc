"""Promotions of the stories' route, made in a gateway's own database as ``gateway promote`` makes them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from example_promotions import a_canary
from served_gateway import ServedGateway, eventually

from gateway.policy.promotion import Ending, Promotion, PromotionState
from gateway.store.database import Database
from gateway.store.promotions import PromotionStore

WEEK = timedelta(days=7)


@asynccontextmanager
async def promotions_of(gateway: ServedGateway) -> AsyncIterator[PromotionStore]:
    database = await Database.open(f"sqlite:///{gateway.database}")
    try:
        yield PromotionStore(database)
    finally:
        await database.close()


def a_promotion(gateway: ServedGateway, **fields: Any) -> Promotion:
    """A canary of a twentieth: ``next`` beside ``tuned``."""
    ours = {"route": "reply", "provider": "first", "incumbent_provider": "first", "by": "ana@laptop"}
    return a_canary(gateway.clock.now(), **ours | fields)


async def begun(gateway: ServedGateway, **fields: Any) -> Promotion:
    """Begin a promotion, and wait until the gateway follows it."""
    promotion = a_promotion(gateway, **fields)
    async with promotions_of(gateway) as store:
        over = (await store.active()).get(promotion.route)
        assert await store.begin(promotion, over=over)
    await followed(gateway)
    return promotion


async def grown(gateway: ServedGateway, promotion: Promotion, *, state: PromotionState, share: float) -> Promotion:
    """Change a promotion, and wait until the gateway follows it."""
    async with promotions_of(gateway) as store:
        known = (await store.active())[promotion.route]
        now = gateway.clock.now()
        after = await store.change(
            known, state=state, share=share, expires_at=now + WEEK, now=now, by="ana", reason="it is good"
        )
    assert after is not None
    await followed(gateway)
    return after


async def rolled_back(gateway: ServedGateway, promotion: Promotion) -> None:
    async with promotions_of(gateway) as store:
        known = (await store.active())[promotion.route]
        assert await store.end(known, Ending.ROLLED_BACK, gateway.clock.now())
    await followed(gateway)


async def followed(gateway: ServedGateway) -> None:
    """Let two of the gateway's ticks pass."""
    async with promotions_of(gateway) as store:
        active = await store.active()

    async def is_so() -> bool:
        gateway.clock.advance(1)
        page = (await gateway.client.get("/v1/models", params={})).status_code
        assert page == 200
        share = await gateway.metric("gateway_canary_share", route="reply")
        until = await gateway.metric("gateway_promotion_expires_timestamp_seconds", route="reply")
        known = active.get("reply")
        if known is None:
            return share == 0 and until == 0
        if known.state is PromotionState.SERVING:
            return until == known.expires_at.timestamp() and share == 0
        return share == known.share

    await eventually(is_so, "the gateway follows the promotions")


async def ended(gateway: ServedGateway, because: Ending) -> Promotion:
    """Wait until the promotion of the route has ended for this reason; return it as it is kept."""

    async def found() -> Promotion | None:
        gateway.clock.advance(1)
        async with promotions_of(gateway) as store:
            latest = (await store.of_route("reply"))[0]
        return latest if latest.ended_at is not None else None

    latest: Promotion = await eventually(found, f"the promotion has ended as {because.value}")
    assert latest.ended_because is because
    await followed(gateway)
    return latest
