"""Which replica ends a promotion, when, and what versions say of routes.yaml's primary."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from example_promotions import a_canary
from migrated_database import migrated

from gateway.config.routes import ModelDates
from gateway.execution.prepared import Snapshot
from gateway.execution.promotion_keeper import PromotionKeeper
from gateway.metrics import Metrics
from gateway.policy.availability import TargetState
from gateway.policy.promotion import Ending, Promotion, PromotionState, promoted
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream
from gateway.reasons import Availability
from gateway.store.database import Database
from gateway.store.promotions import PromotionStore
from gateway.store.states import Shared
from gateway.store.versions import Registered, VersionStore
from tests.example_routes import BASE, FINE_TUNE, a_primary, a_provider, a_route, some_routes
from tests.fake_clock import FakeClock

SANDBOX = a_provider(kind="sandbox")
NEXT = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:B2c3D4e5"
OTHERS = "ba9876543210"


@dataclass
class Bench:
    """One replica's keeper, on a database of its own."""

    database: Database
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.store, self.versions = PromotionStore(self.database), VersionStore(self.database)
        self.loaded_at = self.clock.now()

    def promotion(self, **fields: Any) -> Promotion:
        serving = {"state": PromotionState.SERVING, "share": 1.0}
        models = {"model": NEXT, "base": BASE, "incumbent_model": FINE_TUNE, "incumbent_base": BASE}
        return a_canary(self.clock.now(), **serving | models | fields)

    async def keeper(self, primary: str = FINE_TUNE, *, lacks: str | None = None, **config: Any) -> PromotionKeeper:
        """The keeper of a replica whose routes.yaml names this primary; ``lacks``: why it can follow no promotion."""
        routes = some_routes(a_route(primary=a_primary(provider=SANDBOX, model=primary)), **config)
        client = HttpClient()
        upstreams = {name: Upstream(provider, client, {}, self.clock) for name, provider in routes.providers.items()}
        made = promoted(routes, await self.store.active(), self.clock.now(), unusable=lambda provider: lacks)
        snapshot = Snapshot(
            made.routes, upstreams, metrics=Metrics(), clock=self.clock, loaded_at=self.loaded_at, promoted=made
        )
        return PromotionKeeper(
            snapshot=lambda: snapshot,
            promotions=lambda: self.store,
            versions=lambda: self.versions,
            announce=lambda events: [],
            clock=self.clock,
            metrics=Metrics(),
            instance="one",
        )

    async def shared(self, *living: tuple[str, datetime], **fields: Any) -> Shared:
        return Shared({}, {}, {}, living=living, promotions=await self.store.active(), **fields)

    async def because(self) -> Ending | None:
        return (await self.store.of_route("forum-reply"))[0].ended_because


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    url = f"sqlite:///{tmp_path}/state.db"
    await asyncio.to_thread(migrated, url)
    database = await Database.open(url)
    yield Bench(database)
    await database.close()


async def test_a_promotion_in_force_is_left_alone(bench: Bench) -> None:
    await bench.store.begin(bench.promotion())
    await (await bench.keeper()).keep(await bench.shared(("0123456789ab", bench.loaded_at)))
    assert await bench.because() is None


async def test_what_routes_yaml_says_counts_once_every_replica_has_read_it(bench: Bench) -> None:
    await bench.store.begin(bench.promotion())
    keeper = await bench.keeper(primary=NEXT)
    mine, older = ("0123456789ab", bench.loaded_at), (OTHERS, bench.loaded_at - timedelta(minutes=1))
    await keeper.keep(await bench.shared(older, mine))
    assert await bench.because() is None, "who has the old file would go back to the incumbent"
    await keeper.keep(await bench.shared(mine))
    assert await bench.because() is Ending.IN_ROUTES


async def test_a_replica_with_an_older_configuration_ends_nothing(bench: Bench) -> None:
    await bench.store.begin(bench.promotion(expires_at=bench.clock.now()))
    keeper = await bench.keeper()
    await keeper.keep(await bench.shared((OTHERS, bench.loaded_at + timedelta(minutes=1))))
    assert await bench.because() is None


async def test_time_waits_for_no_rollout(bench: Bench) -> None:
    await bench.store.begin(bench.promotion(expires_at=bench.clock.now()))
    keeper = await bench.keeper()
    mine, older = ("0123456789ab", bench.loaded_at), (OTHERS, bench.loaded_at - timedelta(minutes=1))
    await keeper.keep(await bench.shared(older, mine))
    assert await bench.because() is Ending.EXPIRED


@pytest.mark.parametrize("lacks", [None, "no key"], ids=["followed here", "for which this replica lacks the key"])
@pytest.mark.parametrize("state", [PromotionState.CANARY, PromotionState.SERVING])
async def test_a_version_whose_date_has_come_is_over(bench: Bench, state: PromotionState, lacks: str | None) -> None:
    share = 0.05 if state is PromotionState.CANARY else 1.0
    await bench.store.begin(bench.promotion(state=state, share=share))
    dates = {"here": {NEXT: ModelDates(shutdown=bench.clock.now().date(), source="a test")}}
    await (await bench.keeper(lifecycle=dates, lacks=lacks)).keep(await bench.shared())
    assert await bench.because() is Ending.GONE


@pytest.mark.parametrize(
    ("seen", "because"),
    [(Availability.GONE, Ending.GONE), (Availability.NO_ACCESS, None)],
    ids=lambda value: str(value),
)
async def test_what_replicas_agree_on_of_its_model_counts(
    bench: Bench, seen: Availability, because: Ending | None
) -> None:
    await bench.store.begin(bench.promotion())
    shared = replace(await bench.shared(), targets={("here", NEXT): TargetState(seen, 1, bench.clock.now())})
    await (await bench.keeper()).keep(shared)
    assert await bench.because() is because


async def test_versions_follow_a_primary_that_somebody_wrote_into_routes_yaml(bench: Bench) -> None:
    said = Registered(provider="here", model=NEXT, origin="job", by="ana")
    before = a_route(primary=a_primary(provider=SANDBOX))
    await bench.versions.register(before, said, bench.clock.now())
    await (await bench.keeper(primary=NEXT)).keep(await bench.shared())
    assert [version.status for version in await bench.versions.of_route("forum-reply")] == ["retired", "serving"]


async def test_a_promotion_over_another_primary_leaves_no_second_version_that_serves(bench: Bench) -> None:
    """It was begun by another checkout, whose primary was written to serve: ours never changed."""
    here = a_route(primary=a_primary(provider=SANDBOX))
    await bench.versions.register(
        here, Registered(provider="here", model=NEXT, origin="job", by="ana"), bench.clock.now()
    )
    keeper, mine = await bench.keeper(), ("0123456789ab", bench.loaded_at)
    await keeper.keep(await bench.shared(mine))
    elsewhere = a_route(primary=a_primary(provider=SANDBOX, model="ft:third"))
    third = await bench.versions.register(
        elsewhere, Registered(provider="here", model="ft:third", origin="named", by="bo"), bench.clock.now()
    )
    over_it = bench.promotion(incumbent_model="ft:third", state=PromotionState.CANARY, share=0.1)
    assert await bench.store.begin(over_it)
    await keeper.keep(await bench.shared(mine))
    assert await bench.because() is Ending.SUPERSEDED
    await keeper.keep(await bench.shared(mine))
    serving = [each.model for each in await bench.versions.of_route("forum-reply") if each.status == "serving"]
    assert (third.number, serving) == (3, [FINE_TUNE])
