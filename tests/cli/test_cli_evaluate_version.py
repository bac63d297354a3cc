"""``gateway evaluate --version``, and the regression set beside every verdict."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import httpx
import orjson
import pytest
from command_line import Ran, Run
from evaluation_material import FINE_TUNE, ROUTE, billed, opened, training_rows, write_pack, write_routes
from sandbox_server import RunningSandbox, fast_catalogue, running_sandbox

from gateway.clock import SystemClock
from gateway.learning.datasets.directory import read
from gateway.learning.workbench import Workbench
from gateway.ledger.entry import new_attempt_id
from gateway.policy.promotion import Promotion, PromotionState, Version
from gateway.sandbox.catalogue import Task
from gateway.sandbox.skills import answer_in_style
from gateway.store.evaluations import Evaluation
from gateway.store.feedback import Feedback, FeedbackStore
from gateway.store.promotions import PromotionStore
from gateway.store.versions import Registered, VersionStore
from tests.corrections import correction_mark

pytestmark = pytest.mark.rig

T = TypeVar("T")
LUNA, SMALL = "gpt-6-luna", "gpt-4o-mini-2024-07-18"
PLAIN = "{caller_system: keep}"
"""A prompt of nothing: fallbacks are not what these tests are of."""


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox(catalogue=fast_catalogue(SystemClock().now())) as running:
        yield running


@dataclass(frozen=True)
class Place:
    """A route on a sandbox, and its database."""

    run: Run
    directory: Path
    sandbox: RunningSandbox

    @property
    def routes(self) -> Path:
        return self.directory / "routes.yaml"

    def command(self, *arguments: str | Path) -> Ran:
        return self.run(*arguments, "--routes", self.routes, "--database", f"sqlite:///{self.directory / 'g.db'}")

    def evaluate(self, *more: str | Path) -> Ran:
        return self.command("evaluate", ROUTE, "--rate", "10000", *more)

    def within(self, work: Callable[[Workbench], Awaitable[T]]) -> T:
        async def worked() -> T:
            async with opened(self.routes, self.directory / "g.db") as bench:
                return await work(bench)

        return asyncio.run(worked())

    def build(self, rows: bytes) -> str:
        """Build the route's data set of a file and what was marked; return its hash."""
        file = self.directory / "all.jsonl"
        file.write_bytes(rows)
        done = self.command("dataset", "build", ROUTE, "--from", file, "--from", "corrections")
        assert done.code == 0, done.err
        return read(self.directory / "datasets" / ROUTE).manifest.dataset_hash

    def train(self, base: str = LUNA) -> str:
        """Have the sandbox train a model of the data set; return its name."""
        content = (self.directory / "datasets" / ROUTE / "train.jsonl").read_bytes()
        with httpx.Client(base_url=self.sandbox.url) as http:
            http.post("/sandbox/training", json={"seconds": 0}).raise_for_status()
            sent = http.post("/v1/files", data={"purpose": "fine-tune"}, files={"file": ("train.jsonl", content)})
            asked = {"model": base, "training_file": sent.raise_for_status().json()["id"], "suffix": "triage"}
            job = http.post("/v1/fine_tuning/jobs", json=asked).raise_for_status().json()
            return str(http.get(f"/v1/fine_tuning/jobs/{job['id']}").json()["fine_tuned_model"])

    def register(self, model: str, dataset_hash: str | None = None, provider: str = "sandbox") -> Version:
        told = Registered(provider=provider, model=model, origin="job", by="ann", dataset_hash=dataset_hash)

        async def registered(bench: Workbench) -> Version:
            return await VersionStore(bench.database).register(bench.route(ROUTE), told, bench.clock.now())

        return self.within(registered)

    def trained(self, rows: int = 130, base: str = LUNA) -> Version:
        """Return v2: trained in the sandbox on a data set of its own."""
        dataset_hash = self.build(training_rows(rows))
        return self.register(self.train(base), dataset_hash)

    def version(self, number: int) -> Version | None:
        return self.within(lambda bench: VersionStore(bench.database).find(ROUTE, number))

    def verdicts(self) -> list[Evaluation]:
        return self.within(lambda bench: bench.evaluations.of_route(ROUTE))

    def mark(self, *marks: Feedback) -> None:
        async def added(bench: Workbench) -> None:
            assert [await FeedbackStore(bench.database).add(mark) for mark in marks] == ["kept"] * len(marks)

        self.within(added)


@pytest.fixture
def place(run: Run, tmp_path: Path, sandbox: RunningSandbox) -> Place:
    routes = write_routes(tmp_path, sandbox, prompt=PLAIN)
    cost = "{input_usd_per_1m: 2.00, output_usd_per_1m: 12.00, source: test}"
    priced = "".join(f"    {base}: {cost}\n" for base in ("ft:gpt-6-luna", "ft:gpt-4.1-mini-2025-04-14", SMALL))
    routes.write_text(routes.read_text() + priced)
    return Place(run, tmp_path, sandbox)


@pytest.fixture
def prompted(run: Run, tmp_path: Path, sandbox: RunningSandbox) -> Place:
    """The same with a fallback that has a pack."""
    write_pack(tmp_path / "packs" / ROUTE, training_rows(60))
    write_routes(tmp_path, sandbox)
    return Place(run, tmp_path, sandbox)


def corrections(count: int, answer: str | None = None, **how: str) -> list[Feedback]:
    """Return corrections to what the skill says, or to one answer that nobody gives."""
    asked = [f"I was charged twice for order {number}." for number in range(count)]
    return [correction_mark(one, answer or answer_in_style(Task.TICKET_TRIAGE, one), **how) for one in asked]


def unwrapped(done: Ran) -> str:
    return " ".join(done.out.split())


# A version against the primary.


def test_a_version_is_judged_on_the_rows_of_its_data_set_and_the_verdict_is_attached(
    place: Place, sandbox: RunningSandbox
) -> None:
    version = place.trained()
    assert (version.name, version.evaluation_id) == ("v2", None)
    held_out = len((place.directory / "datasets" / ROUTE / "evaluation.jsonl").read_bytes().splitlines())
    done = place.evaluate("--version", "v2", "--margin", "0.4", "--html", place.directory / "page.html")
    assert done.code == 0, done.out + done.err
    out = unwrapped(done)
    assert out.startswith(f"{ROUTE}: accepted on {held_out} rows: label_match 1.00, the incumbent's 1.00")
    assert f"v2 ({version.model}) in the place of {FINE_TUNE}" in out
    assert "floor" not in out and "No share of retained quality" not in out
    page = (place.directory / "page.html").read_text()
    assert "v2, as billed" in page and "floor</th>" not in page
    asked = billed(sandbox)
    assert (asked[version.model], asked[FINE_TUNE], asked[LUNA]) == (held_out, held_out, 0)
    [verdict] = place.verdicts()
    assert (verdict.target, verdict.model, verdict.prompt_version) == ("v2", version.model, "")
    attached = place.version(2)
    assert attached is not None and attached.evaluation_id == verdict.evaluation_id
    assert orjson.loads(verdict.report)["version"] == {
        "number": 2, "trained_on": 0, "is_training_known": True, "marked": 0, "marked_left_out": 0,
    }  # fmt: skip
    assert place.evaluate("--version", "2", "--margin", "0.4", "--json").json["verdict"] == "accept"
    assert billed(sandbox) == asked, "nothing is asked twice"


def test_a_version_that_learnt_another_task_is_rejected_with_exit_code_1(place: Place) -> None:
    place.build(training_rows(130))
    other = training_rows(60, seed=3, task=Task.FORUM_REPLY)
    with httpx.Client(base_url=place.sandbox.url) as http:
        http.post("/sandbox/training", json={"seconds": 0})
        file = http.post("/v1/files", data={"purpose": "fine-tune"}, files={"file": ("o.jsonl", other)}).json()["id"]
        job = http.post("/v1/fine_tuning/jobs", json={"model": LUNA, "training_file": file}).json()["id"]
        model = http.get(f"/v1/fine_tuning/jobs/{job}").json()["fine_tuned_model"]
    place.register(model)
    done = place.evaluate("--version", "v2")
    assert done.code == 1, done.out
    assert done.out.startswith(f"{ROUTE}: rejected on ")
    assert "What v2 was trained on is not known" in unwrapped(done)


def test_a_route_without_fallbacks_has_versions_that_are_evaluated(place: Place) -> None:
    place.routes.write_text(place.routes.read_text().replace("fallbacks: [luna]", "fallbacks: []"))
    place.trained()
    assert place.evaluate("--version", "v2", "--margin", "0.4").code == 0
    assert "has no fallback to evaluate" in place.evaluate().err


def test_rows_that_it_was_trained_on_are_left_out_and_alone_are_refused(place: Place, sandbox: RunningSandbox) -> None:
    place.trained()
    directory = place.directory / "datasets" / ROUTE
    done = place.evaluate("--version", "v2", "--rows", directory / "train.jsonl")
    assert done.code == 1
    assert "v2 was trained on all" in done.err and "they prove nothing of it" in done.err
    assert billed(sandbox).total() == 0
    both = place.directory / "both.jsonl"
    both.write_bytes((directory / "train.jsonl").read_bytes() + (directory / "evaluation.jsonl").read_bytes())
    told = place.evaluate("--version", "v2", "--rows", both, "--json").json
    seen = len((directory / "train.jsonl").read_bytes().splitlines())
    assert told["version"]["trained_on"] == seen
    assert f"{seen} rows left out: v2 was trained on them." in told["notes"]


def test_without_its_data_set_at_hand_the_split_tells_what_it_was_trained_on(place: Place) -> None:
    version = place.trained()
    directory = place.directory / "datasets" / ROUTE
    train, evaluation = ((directory / name).read_bytes() for name in ("train.jsonl", "evaluation.jsonl"))
    # Another data set is in its place.
    place.build(training_rows(40, seed=8))
    file = place.directory / "rows.jsonl"
    file.write_bytes(train + evaluation)
    told = place.evaluate("--version", version.name, "--rows", file, "--json").json
    assert told["version"]["trained_on"] == len(train.splitlines())
    assert told["rows"]["of"] == len(evaluation.splitlines())


def test_without_a_living_incumbent_its_own_quality_is_told(place: Place) -> None:
    place.trained()
    gone = f'lifecycle: {{sandbox: {{"{FINE_TUNE}": {{shutdown: 2020-01-01, source: a mail}}}}}}\n'
    place.routes.write_text(place.routes.read_text() + gone)
    done = place.evaluate("--version", "v2", "--json")
    assert done.code == 3
    assert "no row has both an answer of v2 and a ceiling" in done.json["sentence"]
    assert "the primary counts as gone: not asked" in done.json["sentence"]
    assert done.json["own_quality"]["estimate"] == 1.0


def test_what_a_promotion_serves_is_the_incumbent_and_is_itself_compared_with_routes_yaml(place: Place) -> None:
    second = place.trained()
    third = place.register(place.train("gpt-4.1-mini-2025-04-14"), second.dataset_hash)

    async def promote(bench: Workbench) -> None:
        now = bench.clock.now()
        promotion = Promotion(
            new_attempt_id(now), ROUTE, "", second.number, second.provider, second.model, None, "sandbox", FINE_TUNE,
            None, PromotionState.SERVING, 1.0, 0.05, "ann", "better", now, now, now + timedelta(days=1),
        )  # fmt: skip
        assert await PromotionStore(bench.database).begin(promotion)

    place.within(promote)
    place.routes.write_text(place.routes.read_text().replace(PLAIN, "{instructions: Be brief.}"))
    assert place.evaluate("--rows", place.directory / "all.jsonl", "--limit", "5", "--json").json["primary"] == (
        second.model
    ), "that of a fallback, too"
    assert place.evaluate("--version", third.name, "--limit", "10", "--json").json["primary"] == second.model
    assert place.evaluate("--version", second.name, "--limit", "10", "--json").json["primary"] == FINE_TUNE


def test_marked_rows_are_left_out_of_the_verdict_where_enough_others_remain(place: Place) -> None:
    place.mark(*corrections(40))
    place.register(LUNA, place.build(training_rows(130)))
    evaluated = place.evaluate("--version", "v2", "--json", "--no-corrections").json
    marked = evaluated["version"]["marked_left_out"]
    assert 0 < marked < 30
    assert evaluated["version"]["marked"] == 0
    assert evaluated["corrections"] is None
    assert any(note.startswith(f"{marked} rows left out that somebody marked") for note in evaluated["notes"])
    # Of hardly any others, they are all there is.
    place.register(SMALL, place.build(training_rows(12)))
    few = place.evaluate("--version", "v3", "--json").json
    assert (few["version"]["marked"], few["version"]["marked_left_out"]) == (marked, 0)
    assert any("in the verdict that somebody marked" in note for note in few["notes"])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param(("--version", "v7"), 2, "has no version v7; it has v1, v2", id="no such version"),
        pytest.param(("--version", "v1"), 1, "v1 is the primary of", id="the primary itself"),
        pytest.param(("--version", "v2"), 1, "gateway dataset build ticket-triage", id="no data set"),
        pytest.param(("--version", "v3"), 1, "no provider of routes.yaml", id="a provider that is not there"),
    ],
)
def test_what_cannot_be_evaluated_says_why(place: Place, arguments: tuple[str, ...], code: int, said: str) -> None:
    place.register(LUNA)
    place.register("ft:elsewhere", provider="elsewhere")
    done = place.evaluate(*arguments)
    assert done.code == code
    assert said in done.err
    assert billed(place.sandbox).total() == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("--version", "new"), "no version, such as v2", id="no number"),
        pytest.param(("--version", "v2", "--target", "luna"), "leave --target out", id="with a fallback"),
        pytest.param(("--version", "v2", "--sweep"), "leave --sweep and --curve out", id="with sizes"),
    ],
)
def test_misuse_is_refused(place: Place, arguments: tuple[str, ...], said: str) -> None:
    done = place.evaluate(*arguments)
    assert done.code == 2
    assert said in done.err


# Corrections beside every verdict.


def test_corrections_are_told_beside_the_verdict_and_are_no_part_of_it(
    prompted: Place, sandbox: RunningSandbox
) -> None:
    bare = prompted.evaluate("--json", "--no-corrections")
    asked = billed(sandbox)
    prompted.mark(*corrections(4, "refunds"), *corrections(9, tenant="acme"), *corrections(3, route="judge"))
    page = prompted.directory / "page.html"
    done = prompted.evaluate("--json", "--html", page)
    told = done.json["corrections"]
    assert [(one["target"], one["never_seen"]["rows"], one["trained_on"]) for one in told["targets"]] == [
        ("luna", 4, None), ("primary", 4, None),
    ]  # fmt: skip
    assert {**done.json, "corrections": None} == bare.json
    assert billed(sandbox) - asked == {LUNA: 4, FINE_TUNE: 4}
    assert "asks up to 8 questions" in done.err
    said = "primary answers 0 of 4 corrections as corrected (mean label_match 0.00)."
    assert said in page.read_text()
    again = prompted.evaluate()
    assert said in unwrapped(again) and "Corrections are told beside the verdict" in unwrapped(again)
    assert again.err == "", "nothing is asked twice"


def test_recorded_rows_whose_answer_was_corrected_are_left_out_and_told(prompted: Place) -> None:
    mark = correction_mark("The page is blank", "bug")
    asked = prompted.directory / "inputs.jsonl"
    asked.write_text('{"messages": [{"role": "user", "content": "The page is blank"}]}')
    recorded = prompted.command("record", ROUTE, "--inputs", asked, "--yes")
    assert recorded.code == 0, recorded.err
    before = prompted.evaluate("--json").json["rows"]
    prompted.mark(mark)
    told = prompted.evaluate("--json", "--no-corrections").json
    assert told["rows"]["of"] == before["of"] - 1
    assert "1 recorded row left out: what they would be measured against was corrected." in told["notes"]


def test_the_cap_holds_for_corrections_too_and_what_was_not_asked_is_told(
    prompted: Place, sandbox: RunningSandbox
) -> None:
    prompted.evaluate("--limit", "10")
    before = sandbox.sandbox.provider.bill.next_index
    prompted.mark(*corrections(30))
    done = prompted.evaluate("--limit", "100", "--max-usd", "0.003")
    spent = sum(row.cost_nanousd for row in sandbox.sandbox.provider.bill.rows(before))
    assert spent <= 3_000_000
    assert "stopped at the cost cap" in done.err
    assert "not answered yet" in unwrapped(done)


def test_a_primary_that_is_gone_or_not_to_be_asked_is_left_alone(prompted: Place, sandbox: RunningSandbox) -> None:
    prompted.mark(*corrections(3))
    done = prompted.evaluate("--no-ask-primary", "--limit", "10", "--json")
    assert [one["target"] for one in done.json["corrections"]["targets"]] == ["luna"]
    assert billed(sandbox)[FINE_TUNE] == 0


def test_of_a_version_the_corrections_that_it_was_trained_on_are_counted_apart(place: Place) -> None:
    earlier, later = corrections(30)[:20], corrections(30)[20:]
    place.mark(*earlier)
    version = place.trained()
    manifest = read(place.directory / "datasets" / ROUTE).manifest
    in_training = {row.input_id for row in manifest.rows("train.jsonl")}
    learnt = sum(mark.input_id in in_training for mark in earlier)
    place.mark(*(replace(mark, given_at=SystemClock().now()) for mark in later))
    done = place.evaluate("--version", version.name, "--json")
    challenger, primary = done.json["corrections"]["targets"]
    assert challenger["target"] == "v2"
    assert challenger["trained_on"] == {"rows": learnt, "answered": learnt, "as_corrected": learnt, "mean": 1.0}
    assert challenger["never_seen"]["rows"] == 30 - learnt
    assert (primary["trained_on"], primary["never_seen"]["rows"]) == (None, 30)
    assert f"and {learnt} of {learnt} that it was trained on" in unwrapped(place.evaluate("--version", "v2"))
