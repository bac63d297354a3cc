"""Versions of a route's model on its page, and on the page of all routes while one answers."""

import asyncio
import shutil
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from example_promotions import a_canary
from viewed_gateway import HOSTILE, NOW, ROUTES, STOPS, TUNED, Shown, ViewedGateway, a_row, viewed

from gateway.clock import time_ordered_id
from gateway.config.routes import Route
from gateway.policy.promotion import Ending, Promotion, PromotionState
from gateway.reasons import Outcome, Reason
from gateway.store.database import Database
from gateway.store.evaluations import Evaluation, EvaluationStore
from gateway.store.promotions import PromotionStore
from gateway.store.versions import Registered, VersionStore
from tests.store.rows import START

NEXT = "ft:base-2:acme:reply:B2"
DAY = timedelta(days=1)


def a_route(**fields: Any) -> Route:
    """Return ``reply`` as routes.yaml has it, for the stores."""
    from example_routes import a_primary, a_provider
    from example_routes import a_route as example

    primary = a_primary(provider=a_provider(name="acme"), model=TUNED, base="base-1")
    return example(**{"name": "reply", "primary": primary} | fields)


def a_promotion(**fields: Any) -> Promotion:
    models = {"model": NEXT, "base": "base-2", "incumbent_model": TUNED, "incumbent_base": "base-1"}
    ours = {"route": "reply", "provider": "acme", "incumbent_provider": "acme"}
    words = {"by": "kim", "reason": f"a trial {HOSTILE}", "expires_at": NOW + 3.5 * DAY}
    return a_canary(NOW - DAY, **models | ours | words | fields)


def an_evaluation() -> Evaluation:
    return Evaluation(
        evaluation_id=time_ordered_id(START),
        route="reply",
        target="v2",
        provider="acme",
        model=NEXT,
        prompt_version="",
        terms="",
        verdict="accept",
        looks="many",
        measure="similarity",
        margin=0.05,
        rows=412,
        difference=0.01,
        difference_low=-0.02,
        difference_high=0.04,
        retained=None,
        retained_low=None,
        retained_high=None,
        cost_change=None,
        first_token_change=None,
        report="{}",
        evaluated_at=NOW - DAY,
    )


async def filled(template: Path, directory: Path, promotions: Sequence[Promotion] = (), model: str = NEXT) -> Path:
    """Return a database with two versions of ``reply``, the second evaluated, and these promotions."""
    path = Path(shutil.copy(template, directory / "filled.db"))
    database = await Database.open(f"sqlite:///{path}")
    store, evaluation = VersionStore(database), an_evaluation()
    said = Registered(
        provider="acme", model=model, base="base-2", origin="job", by="kim", dataset_hash="sha256:" + "d" * 64
    )
    await store.register(a_route(), said, NOW - 2 * DAY)
    await EvaluationStore(database).conclude(evaluation)
    await store.attach("reply", 2, evaluation_id=evaluation.evaluation_id)
    for promotion in promotions:
        assert await PromotionStore(database).begin(promotion)
    await database.close()
    return path


async def _until(gateway: ViewedGateway, path: str, text: str) -> Shown:
    """Look at a page until it says something: a replica follows within seconds."""
    deadline = time.monotonic() + 20
    while True:
        page = await gateway.get(path)
        if text in page.text:
            return page
        assert time.monotonic() < deadline, page.text[:3000]
        await asyncio.sleep(0.1)


async def test_a_route_without_versions_is_taught_how_they_begin(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger) as gateway:
        page, routes = await gateway.get("/ui/routes/reply"), await gateway.get("/ui")
    assert page.status == 200
    assert "No versions yet.Versions begin with what routes.yaml names." in page.text
    assert "gateway tune reply --on PROVIDER" in page.text
    assert "gateway promote reply --model ID" in page.text
    assert "does not name" not in routes.text


async def test_versions_are_listed_with_what_is_known_of_them(tmp_path: Path, empty_ledger: Path) -> None:
    routes = ROUTES | {"lifecycle": STOPS}
    async with viewed(tmp_path, await filled(empty_ledger, tmp_path), routes=routes) as gateway:
        page = await gateway.get("/ui/routes/reply")
    first, second = page.row("v1"), page.row("v2")
    assert first.startswith(f"v1 serving in routes.yaml {TUNED} at acme named by routes.yaml – –")
    assert "in 46 d" in first or "14 Jan" in first, first
    assert second.startswith(
        f"v2 candidate {NEXT} at acme trained by a job sha256:dddddddd… accept, 412 rows, 24 h ago – 2 d ago"
    )
    assert page.text.index("v2 candidate") < page.text.index("v1 serving"), "the latest first"
    assert "gateway promote reply v2 --canary 5%" in page.text
    assert "gateway evaluate reply --version v2" not in page.text, "it was evaluated"
    assert "gateway promote reply --rollback" not in page.text, "nothing is in force"


async def test_a_canary_is_told_with_its_evidence_and_how_to_end_it(tmp_path: Path, empty_ledger: Path) -> None:
    template = await filled(empty_ledger, tmp_path, [a_promotion()])
    async with viewed(tmp_path, template) as gateway:
        page = await _until(gateway, "/ui/routes/reply", "v2 answers 5% of conversations")
        routes = await _until(gateway, "/ui", "does not name")
    assert "since 24 h ago, until in 3 d, by kim: a trial <script>alert(1)" in page.text
    assert "<script>alert" not in page.html
    assert "On live traffic: there is nothing to compare yet" in page.text
    assert "attempts" not in page.text
    assert page.row("v2 canary").startswith(f"v2 canary {NEXT}")
    assert "gateway promote reply --rollback --reason …" in page.text
    assert "Versions that routes.yaml does not name answer: reply (v2, 5%)." in routes.text


async def test_a_canary_is_compared_on_live_traffic(tmp_path: Path, empty_ledger: Path) -> None:
    hour = timedelta(hours=1)
    rows = [a_row(hour * number, request_id=f"theirs-{number}") for number in range(1, 5)]
    by_canary = {"target": "canary", "reason": Reason.CANARY, "model_asked": NEXT}
    rows += [a_row(hour * number, model_answered=NEXT, **by_canary) for number in range(1, 3)]
    rows.append(a_row(3 * hour, model_answered=None, outcome=Outcome.FAILED, **by_canary))
    template = await filled(empty_ledger, tmp_path, [a_promotion()])
    async with viewed(tmp_path, template, rows) as gateway:
        page = await _until(gateway, "/ui/routes/reply", "V2: 3 attempts, 1 failed, 0 marked by people.")
    assert "The incumbent: 4 attempts, 0 failed, 0 marked by people." in page.text
    assert "On live traffic: not enough evidence: answers that came" in page.text


async def test_what_broke_the_contract_is_counted_where_the_route_has_one(tmp_path: Path, empty_ledger: Path) -> None:
    hour = timedelta(hours=1)
    by_canary = {"target": "canary", "reason": Reason.CANARY, "model_asked": NEXT, "model_answered": NEXT}
    rows = [a_row(hour * number, request_id=f"theirs-{number}", contract_broken=False) for number in range(1, 4)]
    rows += [a_row(hour * number, contract_broken=number < 3, **by_canary) for number in range(1, 4)]
    (tmp_path / "order.json").write_text('{"type": "object"}')
    reply = ROUTES["routes"]["reply"]
    reply = {"primary": reply} if isinstance(reply, str) else reply
    routes = ROUTES | {"routes": ROUTES["routes"] | {"reply": reply | {"contract": str(tmp_path / "order.json")}}}
    template = await filled(empty_ledger, tmp_path, [a_promotion()])
    async with viewed(tmp_path, template, rows, routes=routes) as gateway:
        page = await _until(gateway, "/ui/routes/reply", "V2: 3 attempts, 0 failed, 2 broke the contract, 0 marked")
    assert "The incumbent: 3 attempts, 0 failed, 0 broke the contract, 0 marked by people." in page.text
    assert "; 2 broke the contract, and 0 of the incumbent's." in page.text


async def test_an_override_is_told_and_the_primary_of_routes_yaml_stays_marked(
    tmp_path: Path, empty_ledger: Path
) -> None:
    serving = a_promotion(state=PromotionState.SERVING, share=1.0)
    async with viewed(tmp_path, await filled(empty_ledger, tmp_path, [serving])) as gateway:
        routes = await _until(gateway, "/ui", "does not name")
        page = await gateway.get("/ui/routes/reply")
    assert "answer: reply (v2 until 03 Dec 00:30 UTC)." in routes.text
    assert "v2 answers all conversations since 24 h ago" in page.text
    assert page.row("v1").startswith("v1 retired in routes.yaml")
    assert page.row("v2").startswith(f"v2 serving {NEXT}")


async def test_what_is_over_is_told_as_such(tmp_path: Path, empty_ledger: Path) -> None:
    template = await filled(empty_ledger, tmp_path, [a_promotion()])
    database = await Database.open(f"sqlite:///{template}")
    store = PromotionStore(database)
    (promotion,) = (await store.active()).values()
    assert await store.end(promotion, Ending.ROLLED_BACK, NOW - DAY / 2)
    await database.close()
    async with viewed(tmp_path, template) as gateway:
        page, routes = await gateway.get("/ui/routes/reply"), await gateway.get("/ui")
    assert "v2 answered 5% until 12 h ago: rolled back." in page.text
    assert "of conversations since" not in page.text
    assert "does not name" not in routes.text


async def test_a_model_of_any_name_is_escaped(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, await filled(empty_ledger, tmp_path, model=HOSTILE)) as gateway:
        page = await gateway.get("/ui/routes/reply")
    assert "<script>alert(1)" in page.text
    assert "<script>alert" not in page.html


@pytest.mark.parametrize("path", ["/ui/routes/reply", "/ui"])
async def test_with_the_database_away_pages_stand(path: str, tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, await filled(empty_ledger, tmp_path)) as gateway:
        gateway.away()
        page = await gateway.get(path)
    assert page.status == 200
    assert path == "/ui" or "Not known.They are in the database, which is away." in page.text
