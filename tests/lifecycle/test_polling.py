import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import httpx
import orjson
import pytest
from structlog.testing import capture_logs

from gateway.lifecycle import polling
from gateway.lifecycle.polling import ChangeKind, DateChange, Poller, changes, is_polled, merged
from gateway.metrics import Metrics
from gateway.policy.lifecycle import Dates, Published
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream
from gateway.providers.published import MAX_MODELS, Listing
from tests.example_routes import FINE_TUNE, a_provider
from tests.fake_clock import FakeClock
from tests.faults.fake_provider import FakeProvider, Script, hangs, in_turn, running_provider, says, writes
from tests.providers.raw_upstream import answering, listening, whole
from tests.sandbox_server import RunningSandbox, running_sandbox

JAN, FEB = date(2027, 1, 14), date(2027, 2, 1)
SOURCE = "GET http://here/v1/models"


def a_list(*rows: Any, **dated: str | None) -> dict[str, Any]:
    return {"data": [*({"id": name, "shutdown_date": day} for name, day in dated.items()), *rows]}


class WatchedClock(FakeClock):
    """Knows what was slept for last: the poller's own pauses have lengths that nothing else has."""

    def __init__(self) -> None:
        super().__init__()
        self.last_s = 0.0

    async def sleep(self, seconds: float) -> None:
        self.last_s = seconds
        await super().sleep(seconds)


@dataclass
class Bench:
    """A running poller whose clock the test moves; ``heard`` is what it reported."""

    clock: WatchedClock = field(default_factory=WatchedClock)
    metrics: Metrics = field(default_factory=Metrics)
    client: HttpClient = field(default_factory=HttpClient)
    upstreams: dict[str, Upstream] = field(default_factory=dict)
    heard: list[tuple[str, dict[str, date | None], tuple[DateChange, ...]]] = field(default_factory=list)
    left: list[tuple[str, ...]] = field(default_factory=list)
    broken: Exception | None = None
    chance: float = 0.5

    def __post_init__(self) -> None:
        self.poller = Poller(
            upstreams=lambda: self.upstreams,
            clock=self.clock,
            metrics=self.metrics,
            report=self._report,
            left=lambda provider, models: self.left.append((provider, *sorted(models))),
            chance=lambda: self.chance,
        )
        self.task = asyncio.get_running_loop().create_task(self.poller.run())

    def add(self, base_url: str, name: str = "here", **fields: Any) -> None:
        provider = a_provider(name=name, base_url=base_url, **fields)
        self.upstreams[name] = Upstream(provider, self.client, {}, self.clock)

    async def _report(self, provider: str, models: tuple[Published, ...], changed: tuple[DateChange, ...]) -> None:
        if self.broken is not None:
            raise self.broken
        self.heard.append((provider, {row.model: row.dates.shutdown for row in models}, changed))

    async def waits_for(self, *seconds: float) -> None:
        async with asyncio.timeout(10):
            while self.clock.last_s not in seconds or not self.clock.sleepers:  # noqa: ASYNC110 (nothing tells of it)
                await asyncio.sleep(0.001)

    async def passes(self, seconds: float) -> None:
        """Let so much time pass at once, then let it do what is due."""
        await self.waits_for(polling.FIRST_AFTER_S, polling.TICK_S)
        self.clock.advance(seconds)
        await self.waits_for(polling.TICK_S)

    async def polls(self, times: int = 1) -> None:
        """Let it poll each provider so many times."""
        for _ in range(times):
            await self.passes(polling.EVERY_S * 1.2)

    def counted(self) -> dict[tuple[str, str], float]:
        samples = [sample for family in self.metrics.calendar_polls.collect() for sample in family.samples]
        return {(s.labels["provider"], s.labels["outcome"]): s.value for s in samples}

    @property
    def known(self) -> dict[str, date | None]:
        return self.heard[-1][1]

    @property
    def changed(self) -> list[tuple[str, str, date | None, date | None]]:
        return [(c.model, c.kind.value, c.before, c.after) for c in self.heard[-1][2]]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    bench.task.cancel()
    await asyncio.gather(bench.task, return_exceptions=True)
    bench.client.close()
    await asyncio.sleep(0)


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with running_provider() as provider:
        yield provider
        assert provider.errors == []


@pytest.fixture
def sandbox() -> Any:
    with running_sandbox(clock=FakeClock()) as sandbox:
        yield sandbox


async def command(sandbox: RunningSandbox, model: str, action: str = "", **body: Any) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{sandbox.url}/sandbox/models/{model}{action}", json=body)
        assert answer.status_code == 200


async def test_a_date_that_the_sandbox_changes_is_known_within_five_seconds(
    bench: Bench, sandbox: RunningSandbox
) -> None:
    bench.add(sandbox.base_url, kind="sandbox")
    await bench.passes(polling.FIRST_AFTER_S)
    assert (bench.known[FINE_TUNE], bench.known["gpt-6-luna"]) == (JAN, None)
    assert bench.changed == []

    await command(sandbox, "gpt-6-luna", shutdown_date="2027-01-14")
    await command(sandbox, FINE_TUNE, shutdown_date="2027-02-01")
    await bench.passes(5)
    assert bench.changed == [(FINE_TUNE, "moved", JAN, FEB), ("gpt-6-luna", "announced", None, JAN)]

    await command(sandbox, FINE_TUNE, shutdown_date=None)
    await bench.passes(5)
    assert bench.changed == [(FINE_TUNE, "withdrawn", FEB, None)]

    await bench.passes(5)
    assert bench.changed == []
    assert bench.left == []


async def test_a_model_that_a_list_no_longer_names_keeps_its_dates_and_is_told_of_once(
    bench: Bench, sandbox: RunningSandbox
) -> None:
    bench.add(sandbox.base_url, kind="sandbox")
    await bench.passes(polling.FIRST_AFTER_S)
    await command(sandbox, FINE_TUNE, "/retire")
    for _ in range(3):
        await bench.passes(5)
    assert bench.left == [("here", FINE_TUNE)]
    assert bench.known[FINE_TUNE] == JAN
    assert bench.counted() == {("here", "ok"): 4}


async def test_a_model_that_left_the_list_keeps_its_date(bench: Bench, sandbox: RunningSandbox) -> None:
    bench.add(sandbox.base_url, kind="sandbox")
    await bench.passes(polling.FIRST_AFTER_S)
    await command(sandbox, FINE_TUNE, "/retire")
    await bench.passes(5)
    assert (bench.known[FINE_TUNE], bench.changed) == (JAN, [])


async def test_a_provider_is_polled_soon_after_the_start_and_then_every_ten_minutes_or_so(
    bench: Bench, provider: FakeProvider
) -> None:
    provider.listed = ["m"]
    bench.add(provider.base_url)
    asked_at = []
    bench.chance = 1.0
    for tick in (2.0, *[polling.TICK_S] * 250):
        before = len(provider.calls)
        await bench.passes(tick)
        if len(provider.calls) > before:
            asked_at.append(bench.clock.monotonic())
            bench.chance = 0.0
    # With the greatest chance after 660 s, with the least after 540 s, at the tick that follows.
    assert asked_at == [2.0, 662.0, 1202.0]


async def test_a_provider_that_a_reload_brings_is_polled_at_the_next_tick(bench: Bench, provider: FakeProvider) -> None:
    provider.listing = says(a_list(m="2027-01-14"))
    bench.add(provider.base_url)
    await bench.passes(polling.FIRST_AFTER_S)
    bench.add(provider.base_url, name="second")
    await bench.passes(polling.TICK_S)
    bench.add(provider.base_url.replace("127.0.0.1", "localhost"), name="second")
    await bench.passes(polling.TICK_S)
    assert [name for name, _, _ in bench.heard] == ["here", "second", "second"]
    assert bench.changed == []


BROKEN: list[tuple[str, Script, str, str]] = [
    ("the credential is refused", says({"error": {}}, 401), "refused", "status 401"),
    ("access is denied", says({"error": {}}, 403), "refused", "status 403"),
    ("there is no list", says({"error": {}}, 404), "failed", "status 404"),
    ("the server fails", says({"error": {}}, 503), "failed", "status 503"),
    ("it is sent elsewhere", says({}, 302, {"location": "/v2/models"}), "failed", "status 302"),
    ("the answer breaks off", writes(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"), "failed", "early"),
    ("the answer is too large", says(b" " * (polling.MAX_LIST_BYTES + 1)), "failed", "too large"),
    ("the answer is no JSON", says(b"<html>maintenance</html>"), "malformed", "not JSON"),
    ("the answer is JSON without end", says(b"[" * 100_000), "malformed", "not JSON"),
    ("the answer is no list", says({"error": {"message": "odd"}}), "malformed", "no list of models"),
    ("the list is null", says({"data": None}), "malformed", "no list of models"),
    ("every row is junk", says({"data": [None, 7, {"id": {}}]}), "malformed", "row 1 is null"),
    ("every date is junk", says(a_list(a="soon", b="9999-99-99", c="1970-01-01")), "malformed", "'soon'"),
]


@pytest.mark.parametrize(("script", "outcome", "says_so"), [pytest.param(*row[1:], id=row[0]) for row in BROKEN])
async def test_malformed_provider_answers_to_a_poll_change_nothing_and_are_reported(
    script: Script, outcome: str, says_so: str, bench: Bench, provider: FakeProvider
) -> None:
    good = a_list(a="2027-01-14", b="2027-02-01", c=None)
    provider.listing = in_turn(says(good), script, script, says(good))
    bench.add(provider.base_url)
    with capture_logs() as logs:
        await bench.polls(4)
    assert all(known == {"a": JAN, "b": FEB, "c": None} and not changed for _, known, changed in bench.heard)
    assert bench.counted() == {("here", "ok"): 2, ("here", outcome): 2}
    warning, recovery = (line for line in logs if line["event"] == "calendar_poll")
    assert (warning["log_level"], warning["provider"], warning["outcome"]) == ("warning", "here", outcome)
    assert says_so in " ".join(warning["problems"])
    assert (recovery["log_level"], recovery["outcome"]) == ("info", "ok")


async def test_good_rows_beside_malformed_ones_count(bench: Bench, provider: FakeProvider) -> None:
    provider.listing = in_turn(
        says(a_list(a="2027-01-14", b="2027-01-14")), says(a_list(None, a="soon", b="2027-02-01"))
    )
    bench.add(provider.base_url)
    await bench.polls(2)
    assert bench.known == {"a": JAN, "b": FEB}
    assert bench.changed == [("b", "moved", JAN, FEB)]
    assert bench.counted() == {("here", "ok"): 1, ("here", "malformed"): 1}


async def test_nobody_listens(bench: Bench) -> None:
    bench.add("http://127.0.0.1:1/v1")
    with capture_logs() as logs:
        await bench.polls(3)
    assert [line["log_level"] for line in logs] == ["warning"]
    assert bench.counted() == {("here", "failed"): 3}


async def test_another_problem_is_another_line(bench: Bench, provider: FakeProvider) -> None:
    provider.listing = in_turn(says({}, 503), says({}, 503), says({}, 401), says(a_list()))
    bench.add(provider.base_url)
    with capture_logs() as logs:
        await bench.polls(5)
    assert [(line["log_level"], line["outcome"]) for line in logs] == [
        ("warning", "failed"),
        ("warning", "refused"),
        ("info", "ok"),
    ]


async def test_where_no_dates_are_documented_a_failure_is_counted_quietly(bench: Bench, provider: FakeProvider) -> None:
    provider.listing = says({}, 404)
    bench.add(provider.base_url, kind="groq")
    with capture_logs() as logs:
        await bench.polls(2)
    assert {line["log_level"] for line in logs} == {"debug"}
    assert bench.counted() == {("here", "failed"): 2}


async def test_a_slow_provider_holds_the_next_one_up_for_its_timeout_and_no_longer(
    bench: Bench, provider: FakeProvider
) -> None:
    provider.listing = hangs
    async with running_provider() as second:
        second.listing = says(a_list(m="2027-01-14"))
        bench.add(provider.base_url, name="slow")
        bench.add(second.base_url, name="second")
        await bench.waits_for(polling.FIRST_AFTER_S)
        bench.clock.advance(polling.FIRST_AFTER_S)
        await bench.waits_for(polling.TIMEOUT_S)
        bench.clock.advance(polling.TIMEOUT_S - 1)
        await asyncio.sleep(0.05)
        assert second.calls == []
        bench.clock.advance(1)
        await bench.waits_for(polling.TICK_S)
    assert [name for name, _, _ in bench.heard] == ["second"]
    assert bench.counted() == {("slow", "failed"): 1, ("second", "ok"): 1}
    async with asyncio.timeout(5):
        await provider.calls[0].closed.wait()


async def test_a_report_that_fails_hears_of_the_same_changes_again(bench: Bench, provider: FakeProvider) -> None:
    provider.listing = in_turn(says(a_list(m="2027-01-14")), says(a_list(m="2027-02-01")))
    bench.add(provider.base_url)
    await bench.polls()
    bench.broken = RuntimeError("the database is away")
    with capture_logs() as logs:
        await bench.polls(2)
    assert [line["event"] for line in logs] == ["calendar_poll_not_taken"] * 2
    bench.broken = None
    await bench.polls(2)
    assert [changed for _, _, changed in bench.heard[1:]] == [
        (DateChange("m", ChangeKind.MOVED, "shutdown", JAN, FEB, "planned"),),
        (),
    ]


async def test_changes_are_told_against_what_an_earlier_process_kept(bench: Bench, provider: FakeProvider) -> None:
    provider.listing = says(a_list(m="2027-02-01", new="2027-02-01"))
    bench.add(provider.base_url)
    source = f"GET {provider.base_url}/models"
    kept = {"m": JAN, "left": JAN}
    bench.poller.remember({("here", name): published(name, end, source=source) for name, end in kept.items()})
    await bench.polls()
    assert bench.changed == [("m", "moved", JAN, FEB), ("new", "announced", None, FEB)]
    assert bench.known == {"m": FEB, "left": JAN, "new": FEB}


async def test_what_another_address_said_under_this_name_says_nothing(bench: Bench, provider: FakeProvider) -> None:
    provider.listing = says(a_list(m=None))
    bench.add(provider.base_url)
    bench.poller.remember({("here", name): published(name, JAN) for name in ("m", "other")})
    await bench.polls()
    assert (bench.known, bench.changed) == ({"m": None}, [])


async def test_a_provider_without_any_list_is_not_asked(bench: Bench, provider: FakeProvider) -> None:
    bench.add(provider.base_url, kind="databricks")
    await bench.polls()
    assert provider.calls == []


def published(model: str, end: date | None = None, certainty: str = "planned", source: str = SOURCE) -> Published:
    return Published(model, Dates(shutdown=end, certainty=certainty, source=source))


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        pytest.param(None, published("m", JAN), "announced", id="a model that was not known has a date"),
        pytest.param(None, published("m"), None, id="a model that was not known has none"),
        pytest.param(published("m"), published("m", JAN), "announced", id="there is a date now"),
        pytest.param(published("m", JAN), published("m", FEB), "moved", id="the date is another"),
        pytest.param(published("m", JAN), published("m"), "withdrawn", id="there is no date any more"),
        pytest.param(published("m", JAN), published("m", JAN), None, id="the date is the same"),
        pytest.param(
            published("m", JAN, "tentative"), published("m", JAN), "announced", id="what was tentative is fixed"
        ),
        pytest.param(published("m", JAN), published("m", JAN, "tentative"), "withdrawn", id="what was fixed may move"),
        pytest.param(published("m", JAN, "tentative"), published("m", FEB), "moved", id="moved and fixed is moved"),
    ],
)
def test_what_became_of_a_date(before: Published | None, after: Published, kind: str | None) -> None:
    found = changes({"m": before} if before else {}, {"m": after})
    assert [change.kind for change in found] == ([kind] if kind else [])


def test_the_last_day_of_training_is_a_date_as_well() -> None:
    before = Published("m", Dates(last_training_day=JAN, shutdown=FEB))
    after = Published("m", Dates(last_training_day=FEB, shutdown=FEB))
    assert changes({"m": before}, {"m": after}) == (
        DateChange("m", ChangeKind.MOVED, "last_training_day", JAN, FEB, "planned"),
    )


def test_of_models_that_a_list_does_not_name_what_was_known_is_kept() -> None:
    before = {"left": published("left", JAN), "stays": published("stays", JAN)}
    after = merged(before, Listing((published("stays", FEB), published("new")), ()))
    assert {name: row.dates.shutdown for name, row in after.items()} == {"stays": FEB, "new": None, "left": JAN}


def test_what_is_known_does_not_grow_without_end() -> None:
    before = {f"m{number}": published(f"m{number}", JAN) for number in range(MAX_MODELS)}
    after = merged(before, Listing((published("new"),), ()))
    assert len(after) == MAX_MODELS
    assert "new" in after


@pytest.mark.parametrize(
    ("fields", "body", "target", "known"),
    [
        pytest.param(
            {"kind": "anthropic"},
            {"data": [{"id": "claude-x", "lifecycle": "deprecated", "retires_at": "2027-02-01T00:00:00Z"}]},
            "/v1/models?limit=1000",
            {"claude-x": date(2027, 2, 1)},
            id="Anthropic's, for its dates",
        ),
        pytest.param(
            {"kind": "gemini"},
            {"models": [{"name": "models/gemini-x"}, {"name": "models/gemini-y"}]},
            "/models?pageSize=1000",
            {"gemini-x": None, "gemini-y": None},
            id="Gemini's, for what leaves it",
        ),
        pytest.param(
            {"kind": "cohere"},
            {"models": [{"name": "command-x"}]},
            "/v1/models?page_size=1000",
            {"command-x": None},
            id="Cohere's",
        ),
    ],
)
async def test_whom_litellm_calls_is_asked_for_its_list_without_it(
    fields: dict[str, Any], body: dict[str, Any], target: str, known: dict[str, date | None], bench: Bench
) -> None:
    async with listening(answering(whole(orjson.dumps(body)))) as raw:
        bench.add(f"http://127.0.0.1:{raw.port}", **fields)
        await bench.polls()
    assert bench.known == known
    assert raw.requests[0].startswith(f"GET {target} HTTP/1.1\r\n".encode())


@pytest.mark.parametrize("kind", ["bedrock", "vertex", "vertex-openai", "perplexity"])
def test_who_has_no_list_is_not_asked(kind: str) -> None:
    assert not is_polled(Upstream(a_provider(kind=kind), HttpClient(), {}, WatchedClock()))
