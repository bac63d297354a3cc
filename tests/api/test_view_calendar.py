"""The calendar says what stops, who answers then, and whether that is ready."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from viewed_gateway import HOSTILE, NOW, ROUTES, STOPS, a_row, on_luna, viewed

from gateway.config.loader import load
from gateway.ledger.entry import new_attempt_id
from gateway.store.database import Database
from gateway.store.evaluations import EvaluationStore
from tests.kept_verdicts import a_verdict, write_routes

DAY = timedelta(days=1)
STOPPING = ROUTES | {"lifecycle": STOPS}


async def test_a_base_that_stops_is_shown_with_who_is_ready_and_what_to_do(tmp_path: Path, empty_ledger: Path) -> None:
    rows = [a_row(hour * timedelta(hours=3)) for hour in range(30)]
    async with viewed(tmp_path, empty_ledger, rows, STOPPING) as gateway:
        page = await gateway.get("/ui/calendar")
    assert page.status == 200
    assert "2 of 3 routes lose their primary within 90 days, all on 14 Jan 2027, in 46 days." in page.text
    assert "Nobody takes over for alone." in page.text
    assert "14 January 2027 in 46 days base-1 at acme · none of 2 routes is ready" in page.text
    assert "announced 14 Oct 2026" in page.text
    assert "Source: a mail" in page.text
    assert page.row("alone") == "alone nobody not ready nobody answers – –"
    assert page.row("reply").startswith("reply support luna (luna-1) unproven never exercised, no evidence $0.50 → ~$")
    assert "/ui/routes/reply?at=2027-01-14" in page.links("/ui/routes/reply")
    assert "gateway try reply@fallback" in page.text
    assert "gateway evaluate reply" in page.text
    assert "1 route has no known date: lasting." in page.text


async def test_the_horizon_has_an_address(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, (), STOPPING) as gateway:
        page = await gateway.get("/ui/calendar?until=2026-12-29")
        assert "Nothing stops by 29 December 2026." in page.text
        assert page.row("base-1 at acme").startswith("base-1 at acme 14 Jan 2027 46 planned; routes.yaml")
        assert page.links("/ui/calendar?until=2027-01-14")
        assert "until=" not in page.links("/ui/calendar")[1], "what is usual is left out of the address"


async def test_a_day_that_cannot_be_meant_is_refused(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger) as gateway:
        for until in ("soon", "2026-11-28", "2099-01-01", "2027-02-30", HOSTILE):
            answer = await gateway.served.client.get("/ui/calendar", params={"until": until})
            assert answer.status_code == 400, until
            assert "such as 2027-01-14" in answer.text
            assert HOSTILE not in answer.text


async def test_where_no_date_is_known_the_page_says_what_to_type(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger) as gateway:
        page = await gateway.get("/ui/calendar")
    assert "nobody can say what stops within 90 days" in page.text.lower()
    assert "gateway lifecycle refresh" in page.text


async def test_sources_that_disagree_are_shown(tmp_path: Path, empty_ledger: Path) -> None:
    routes = STOPPING | {
        "providers": ROUTES["providers"] | {"acme": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}},
        "routes": {"reply": {"primary": "ft:gpt-4o-mini-2024-07-18:acme:reply:A1"}},
        "lifecycle": {"acme": {"gpt-4o-mini-2024-07-18": {"shutdown": "2027-02-01", "source": "a mail"}}},
        "prices": {},
    }
    async with viewed(tmp_path, empty_ledger, (), routes) as gateway:
        page = await gateway.get("/ui/calendar")
    assert "1 February 2027 in 64 days · sources disagree" in page.text
    assert "curated says 14 Jan 2027" in page.text
    assert '<line class="disputed"' in page.main
    assert 'class="hatched"' in page.main


async def test_a_fallback_that_was_exercised_and_accepted_is_ready(tmp_path: Path, empty_ledger: Path) -> None:
    directory = tmp_path / "verdicts"
    directory.mkdir()
    routes = orjson.loads(orjson.dumps(STOPPING))
    async with viewed(tmp_path, empty_ledger, [a_row(DAY), on_luna(DAY / 2)], routes) as gateway:
        await accept(gateway.served.database, tmp_path / "config" / "routes.yaml", directory)
        page = await gateway.get("/ui/calendar")
    assert "1 of 2 routes is ready" in page.text
    assert page.row("reply").startswith("reply support luna (luna-1) ready fallback accepted on 412 rows")


async def accept(ledger: Path, routes: Path, directory: Path) -> None:
    from gateway.policy.evidence import evidence_key

    key = evidence_key(load(routes, environ={}).routes.routes["reply"])
    assert key is not None
    like = a_verdict(write_routes(directory))
    names = ("route", "provider", "model", "prompt_version", "terms")
    verdict = replace(like, evaluation_id=new_attempt_id(NOW - DAY), **dict(zip(names, key, strict=True)))
    database = await Database.open(f"sqlite:///{ledger}")
    await EvaluationStore(database).conclude(verdict)
    await database.close()


async def test_words_of_the_configuration_do_no_harm(tmp_path: Path, empty_ledger: Path) -> None:
    hostile = {
        "reply": {"primary": {"model": f"m{HOSTILE}", "base": f"b{HOSTILE}"}, "owner": HOSTILE},
        "second": {"primary": {"model": f"n{HOSTILE}", "base": f"c{HOSTILE}"}, "owner": HOSTILE},
    }
    dates = {f"b{HOSTILE}": dated("2027-01-14"), f"c{HOSTILE}": dated("2028-01-14")}
    routes: Mapping[str, Any] = ROUTES | {"routes": hostile, "lifecycle": {"acme": dates}, "prices": {}}
    async with viewed(tmp_path, empty_ledger, (), routes) as gateway:
        page = await gateway.get("/ui/calendar")
    assert page.status == 200
    assert HOSTILE in page.text
    assert "<script>alert" not in page.html
    assert "<img" not in page.html
    assert " style=" not in page.html


def dated(day: str) -> dict[str, Any]:
    return {"shutdown": day, "source": HOSTILE, "replacement": HOSTILE}


async def test_without_the_database_the_page_says_so_and_shows_the_dates(tmp_path: Path, empty_ledger: Path) -> None:
    async with viewed(tmp_path, empty_ledger, (), STOPPING) as gateway:
        gateway.away()
        page = await gateway.get("/ui/calendar")
    assert page.status == 200
    assert "The database is away." in page.text
    assert "14 January 2027 in 46 days" in page.text
