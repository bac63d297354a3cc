"""`gateway tune` killed at every step, and given again: one upload, one job, one bill, one version."""

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from failpoints import SIDES, TUNING_POINTS
from gateway_nursery import Nursery, nursery
from job_server import KEY
from sandbox_server import RunningSandbox, fast_catalogue, running_sandbox
from tuned_route import TunedRoute, tuned_route

from gateway.clock import SystemClock
from gateway.policy.promotion import VersionStatus
from gateway.policy.tuning import TuningJob, TuningState
from gateway.store.database import Database
from gateway.store.migrate import migrate
from gateway.store.tuning import TuningStore
from gateway.store.versions import VersionStore

pytestmark = pytest.mark.rig

AT_ONCE = 3
ROWS = 90
"""Enough for a second file, to validate with."""
ENDS_S = 60.0
LEASE_S = 0.5
CONSTANTS = {"gateway.learning.lease:LASTS_S": LEASE_S}
CASES = [
    (f"{side} {name}", count)
    for name, point in TUNING_POINTS.items()
    for count in range(1, point.most + 1)
    for side in SIDES
]
CANCEL_CASES = [
    *((f"{side} a step is written", count) for count in (1, 2) for side in SIDES),
    *((f"{side} a request is sent", count) for count in (1, 2) for side in SIDES),
]


@dataclass
class Case:
    """One command that dies once."""

    name: str
    made: TunedRoute
    suffix: str

    @property
    def reached(self) -> Path:
        return self.made.directory / "reached"

    @property
    def log(self) -> Path:
        return self.made.directory / "log"

    async def run(self, found: Nursery, *arguments: str, rig: dict[str, Any] | None = None) -> int:
        """Run the command to its end, or to its death."""
        options = ["--routes", str(self.made.routes), "--database", self.made.database]
        child = await found.start(
            argv=["tune", "reply", *arguments, *options],
            log=str(self.log),
            environ={"TUNING_KEY": KEY},
            rig={"constants": CONSTANTS, **(rig or {})},
        )
        return await child.end(ENDS_S)

    async def again(self, found: Nursery, *arguments: str) -> int:
        """Run it once more, as soon as the dead one's lease is over."""
        while True:
            start = self.log.stat().st_size
            code = await self.run(found, *arguments)
            if b"is at work" not in self.log.read_bytes()[start:]:
                return code
            await asyncio.sleep(LEASE_S / 4)

    async def kept(self) -> tuple[list[TuningJob], list[str]]:
        """Return the jobs, and the versions that came of them."""
        database = await Database.open(self.made.database)
        try:
            versions = await VersionStore(database).of_route("reply")
            return await TuningStore(database).of_route("reply"), [
                f"{version.name} {version.job_id}" for version in versions if version.status is VersionStatus.CANDIDATE
            ]
        finally:
            await database.close()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(catalogue=fast_catalogue(SystemClock().now())) as running:
        yield running


@pytest.fixture(scope="module")
def pattern(sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> TunedRoute:
    """A route with its data set and a migrated database, for every case to copy."""
    made = tuned_route(tmp_path_factory.mktemp("pattern"), sandbox.base_url, ROWS)
    migrate(made.database)
    return made


def cases_of(names: list[tuple[str, int]], directory: Path, pattern: TunedRoute) -> list[tuple[Case, dict[str, Any]]]:
    """Return the cases, each with a directory and a database of its own, and the order to die."""
    found = []
    for number, (name, count) in enumerate(names):
        place = directory / str(number)
        shutil.copytree(pattern.directory, place)
        case = Case(f"{name}, number {count}", TunedRoute(place), f"{directory.name[-8:]}-{number}")
        found.append((case, {"failpoint": name, "count": count, "reached": str(case.reached)}))
    return found


def jobs_of(sandbox: RunningSandbox, case: Case) -> list[Any]:
    return [job for job in sandbox.sandbox.provider.training.newest_first() if job.asked.suffix == case.suffix]


async def test_a_command_that_dies_anywhere_is_gone_on_with(
    sandbox: RunningSandbox, pattern: TunedRoute, tmp_path: Path
) -> None:
    sandbox.sandbox.provider.training.duration_s = 0.5
    cases = cases_of(CASES, tmp_path / "killed", pattern)
    gate = asyncio.Semaphore(AT_ONCE)
    async with nursery("gateway.cli.tune_run", "gateway.cli.dataset_work", "counted_tokens") as found:

        async def one(case: Case, rig: dict[str, Any]) -> str | None:
            async with gate:
                arguments = ("--on", "lab", "--yes", "--suffix", case.suffix)
                first = await case.run(found, *arguments, rig=rig)
                if not case.reached.exists():
                    # A job that has ended before the last of the looks: nothing more was there to die at.
                    return None if first == 0 else f"{case.name}: {case.log.read_text()}"
                assert first == -9, case.name
                second = await case.again(found, *arguments)
                return await _wrong(case, sandbox, second)

        wrong = [said for said in await asyncio.gather(*(one(*case) for case in cases)) if said]
    assert not wrong, "\n\n".join(wrong)
    reached = {case.name for case, _ in cases if case.reached.exists()}
    missed = {f"{name}, number {count}" for name, count in CASES} - reached
    # How often a job is looked at depends on time: of the last requests and steps some may not have been.
    assert all("a request is sent" in name or "a step is written" in name for name in missed), missed
    assert len(missed) <= 8, f"too many points were never reached: {sorted(missed)}"


async def _wrong(case: Case, sandbox: RunningSandbox, code: int) -> str | None:
    """Say what is wrong about a case that was gone on with; None: nothing."""
    jobs, versions = await case.kept()
    at_provider = jobs_of(sandbox, case)
    uploaded = [
        file.name
        for file in sandbox.sandbox.provider.files.newest_first()
        if any(job.job_id in file.name for job in jobs)
    ]
    expected = [f"gateway-{job.job_id}-{kind}.jsonl" for job in jobs for kind in ("validation", "train")]
    facts = {
        "exit code": code == 0,
        "one job of ours": [job.state for job in jobs] == [TuningState.SUCCEEDED],
        "one job there": len(at_provider) == 1,
        "one bill": [job.billed_nanousd for job in jobs] == [job.billed_nanousd for job in at_provider],
        "each file once": uploaded == expected,
        "one version": versions == [f"v2 {job.job_id}" for job in jobs],
    }
    wrong = [fact for fact, holds in facts.items() if not holds]
    return f"{case.name}: not {', '.join(wrong)} ({uploaded})\n{case.log.read_text()}" if wrong else None


async def test_a_wish_to_cancel_that_dies_anywhere_is_followed(
    sandbox: RunningSandbox, pattern: TunedRoute, tmp_path: Path
) -> None:
    sandbox.sandbox.provider.training.duration_s = 3_600
    cases = cases_of(CANCEL_CASES, tmp_path / "cancel", pattern)
    gate = asyncio.Semaphore(AT_ONCE)
    async with nursery("gateway.cli.tune_jobs", "counted_tokens") as found:

        async def one(case: Case, rig: dict[str, Any]) -> None:
            async with gate:
                begun = await case.run(found, "--on", "lab", "--yes", "--no-wait", "--suffix", case.suffix)
                assert begun == 0, case.log.read_text()
                assert await case.run(found, "--cancel", rig=rig) == -9, f"{case.name}: {case.log.read_text()}"
                # What was cancelled to its end already leaves nothing to cancel.
                assert await case.again(found, "--cancel") in (0, 2), f"{case.name}: {case.log.read_text()}"
                jobs, versions = await case.kept()
                assert [job.state for job in jobs] == [TuningState.CANCELLED], case.name
                assert [job.status for job in jobs_of(sandbox, case)] == ["cancelled"], case.name
                assert versions == []

        await asyncio.gather(*(one(*case) for case in cases))


def test_the_rig_dies_at_every_kind_of_step() -> None:
    assert {name.partition(" ")[2] for name, _ in CASES} == set(TUNING_POINTS)
