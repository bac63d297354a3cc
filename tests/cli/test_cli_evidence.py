"""Verdicts are shown by ``check``: the latest on the very fallback that is configured."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from command_line import Run
from kept_verdicts import ACCEPTED, DAY, LOOKED, PACK, ROUTES, a_verdict, keep_in, too_few, write_routes

from gateway.config.packs import sealed
from gateway.store.database import Database
from gateway.store.packs import PackStore

Keep = Callable[..., str]


@pytest.fixture
def routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_routes(tmp_path)


@pytest.fixture
def keep(tmp_path: Path) -> Keep:
    """Keep verdicts in the order given; return the database's URL."""
    return partial(keep_in, tmp_path)


# The sentence


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        pytest.param([], "fallback never evaluated: gateway evaluate forum-reply", id="never"),
        pytest.param([{}], ACCEPTED, id="accepted"),
        pytest.param([{"rows": 1}], ACCEPTED.replace("412 rows", "1 row"), id="on one row"),
        pytest.param(
            [{"verdict": "reject", "retained": 0.41, "retained_low": -0.02, "retained_high": 0.6, "cost_change": 0.07}],
            "fallback rejected on 412 rows, retained 0.41 [−0.02, 0.60], +7 % cost, −12 % first token",
            id="rejected",
        ),
        pytest.param(
            [{"cost_change": None, "first_token_change": None}],
            "fallback accepted on 412 rows, retained 0.93 [0.88, 0.97]",
            id="without a price, never streamed",
        ),
        pytest.param(
            [{"retained": None, "retained_low": None, "retained_high": None}],
            "fallback accepted on 412 rows, token_f1 −0.01 [−0.03, 0.01] against the fine-tune, −38 % cost, "
            "−12 % first token",
            id="nothing that a prompt had to win back",
        ),
        pytest.param(
            [too_few(1230)],
            "not enough evidence on 50 rows; about 1,230 would decide: gateway evaluate forum-reply",
            id="too few rows",
        ),
        pytest.param(
            [too_few(None)],
            "not enough evidence on 50 rows: gateway evaluate forum-reply",
            id="no number of rows would decide",
        ),
        pytest.param(
            [{"prompt_version": "ba9876543210"}],
            "fallback accepted on 412 rows, but with another prompt: gateway evaluate forum-reply",
            id="another prompt",
        ),
        pytest.param(
            [{}, {"prompt_version": "ba9876543210", "verdict": "reject"}], ACCEPTED, id="another prompt was tried since"
        ),
        pytest.param(
            [{"model": "m0"}, {"provider": "elsewhere"}, {"route": "undated"}],
            "fallback never evaluated: gateway evaluate forum-reply",
            id="other models, providers and routes",
        ),
        pytest.param([{"verdict": "reject"}, too_few(60), {}], ACCEPTED, id="accepted at last"),
        pytest.param(
            [{}, {"verdict": "reject"}],
            ACCEPTED.replace("accepted", "rejected"),
            id="a rejection takes back what was accepted",
        ),
    ],
)
def test_the_latest_verdict_on_this_very_fallback_is_told(
    looks: list[dict[str, Any]], said: str, routes: Path, keep: Keep, run: Run
) -> None:
    url = keep(*(a_verdict(routes, **look) for look in looks))
    checked = run("check", routes, "--database", url)
    assert f"forum-reply, 14 January 2091: {said}\n" in checked.out
    assert (checked.code, checked.err) == (0, "")
    (row,) = (
        row
        for row in run("check", routes, "--database", url, "--json").json["evidence"]
        if row["route"] == "forum-reply"
    )
    assert row["sentence"] == said


# check


def evidence(run: Run, routes: Path, url: str) -> dict[str, Any]:
    return {row["route"]: row for row in run("check", routes, "--database", url, "--json").json["evidence"]}


def test_check_has_one_line_for_each_route_that_can_be_evaluated_and_stops(routes: Path, keep: Keep, run: Run) -> None:
    url = keep(a_verdict(routes, "packed"), a_verdict(routes, "careful"), a_verdict(routes, "undated"))
    out = run("check", routes, "--database", url).out
    assert [line for line in out.splitlines() if "evaluate" in line or "accepted" in line] == [
        "forum-reply, 14 January 2091: fallback never evaluated: gateway evaluate forum-reply",
        f"careful, 14 January 2091: {ACCEPTED}",
        f"packed, 14 January 2091: {ACCEPTED}",
    ]
    assert "waits" not in out
    assert list(evidence(run, routes, url)) == ["forum-reply", "careful", "packed"]


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        pytest.param(
            ("", ""),
            "it waits for evidence: nothing moves before 2091-01-14, everything does then "
            "(fallback never evaluated: gateway evaluate careful)",
            id="with a date",
        ),
        pytest.param(
            ("require_evidence: true", "require_evidence: true, at: gone"),
            "it waits for evidence: it moves when its primary is gone "
            "(fallback never evaluated: gateway evaluate careful)",
            id="whatever its date",
        ),
        pytest.param(
            ("careful: {primary: tuned", "careful: {primary: other"),
            "it waits for evidence: it moves when its primary is gone "
            "(fallback never evaluated: gateway evaluate careful)",
            id="without a date",
        ),
    ],
)
def test_a_route_without_the_evidence_that_it_asks_for_is_a_warning(
    change: tuple[str, str], warning: str, routes: Path, keep: Keep, run: Run
) -> None:
    routes.write_text(routes.read_text().replace(*change))
    url = keep()
    ran = run("check", routes, "--database", url)
    assert f"routes.yaml:11: warning: routes.careful: {warning}\n" in ran.out
    assert "\ncareful, " not in ran.out
    assert ran.code == 0
    assert run("check", routes, "--database", url, "--strict").code == 1
    assert evidence(run, routes, url)["careful"]["waits"] is True


def test_once_the_day_has_come_nothing_waits(routes: Path, keep: Keep, run: Run) -> None:
    routes.write_text(routes.read_text().replace(DAY, "2020-01-14"))
    url = keep()
    out = run("check", routes, "--database", url).out
    assert "careful, 14 January 2020: fallback never evaluated: gateway evaluate careful\n" in out
    assert "waits" not in out
    assert evidence(run, routes, url)["careful"]["waits"] is False


def test_without_a_database_check_says_nothing_of_evidence(routes: Path, run: Run) -> None:
    ran = run("check", routes)
    assert "evaluat" not in ran.out
    assert "evidence" not in ran.out
    assert ran.err == ""
    assert run("check", routes, "--json").json["evidence"] is None


def test_a_database_that_was_named_and_is_not_there_is_told(routes: Path, tmp_path: Path, run: Run) -> None:
    ran = run("check", routes, "--database", f"sqlite:///{tmp_path}/nowhere.db")
    assert ran.code == 0
    assert f"nothing is kept in {tmp_path}/nowhere.db yet" in ran.err
    assert not (tmp_path / "nowhere.db").exists()


def test_a_pack_that_the_database_lacks_is_told(routes: Path, keep: Keep, run: Run) -> None:
    url = keep(a_verdict(routes, "packed"), pack=False)
    said = "packed, 14 January 2091: the fallback's pack is not in this database: gateway pack push DIR\n"
    assert said in run("check", routes, "--database", url).out


def test_a_pack_of_another_tenant_is_an_error(routes: Path, keep: Keep, run: Run) -> None:
    manifest = orjson.loads(PACK["pack.json"]) | {"tenant": "globex"}
    url = keep(pack=False)

    async def push() -> str:
        database = await Database.open(url)
        pack = await PackStore(database).push(sealed(manifest, PACK), "me", LOOKED)
        await database.close()
        return pack.hash

    routes.write_text(ROUTES.replace("PACK", asyncio.run(push())))
    ran = run("check", routes, "--database", url)
    assert ran.code == 1
    assert "holds examples of tenant 'globex'" in ran.out
    assert "it can be served" not in ran.out
    assert run("check", routes, "--database", url, "--json").json["ok"] is False
