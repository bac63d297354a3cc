import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from gateway.config.routes import Parameters, Target
from gateway.lifecycle.probe_calls import ProbeCall, TargetKey, parsed
from gateway.lifecycle.probes import Prober, escaped, model_ids
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream
from gateway.reasons import Availability, FailureKind
from tests.example_routes import FINE_TUNE, a_primary, a_provider
from tests.fake_clock import FakeClock
from tests.providers.raw_upstream import RawUpstream, Reader, Talk, Writer, listening, whole

KEY: TargetKey = ("here", FINE_TUNE)
ANSWER = (200, {"model": FINE_TUNE, "choices": [{"message": {"content": "Hi"}}], "usage": {"prompt_tokens": 8}})
GONE = (404, {"error": {"message": f"The model `{FINE_TUNE}` has been deprecated", "code": "model_not_found"}})
EITHER = (
    404,
    {
        "error": {
            "message": f"The model `{FINE_TUNE}` does not exist or you do not have access to it.",
            "code": "model_not_found",
        }
    },
)
NOT_OURS = (
    403,
    {"error": {"message": f"Project `p` does not have access to model `{FINE_TUNE}`", "code": "model_not_found"}},
)
BUSY = (503, {"error": {"message": "overloaded"}})

Said = tuple[int, Any]


class SleepingClock(FakeClock):
    """Remembers every pause."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await super().sleep(seconds)


@dataclass
class Provider:
    """What the provider says when it is asked, and what it was asked."""

    listed: list[str] | None = field(default_factory=lambda: ["gpt-6-luna"])
    """None: the list cannot be had."""
    list_status: int = 200
    by_id: dict[str, int] = field(default_factory=dict)
    """Statuses of look-ups; 404 for any other."""
    calls: list[Said] = field(default_factory=lambda: [ANSWER])
    """In turn, the last one again and again."""
    asked: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def lives(self) -> None:
        self.listed, self.calls = [FINE_TUNE], [ANSWER]

    def is_retired(self) -> None:
        self.listed, self.calls = ["gpt-6-luna"], [GONE]

    def talk(self, upstream: RawUpstream) -> Talk:
        async def talk(reader: Reader, writer: Writer) -> None:
            while True:
                request = await upstream.request(reader)
                method, path, _ = request.split(b"\r\n")[0].decode().split(" ")
                self.asked.append(f"{method} {path.removeprefix('/v1')}")
                status, body = self._answer(path.removeprefix("/v1"), request.partition(b"\r\n\r\n")[2])
                writer.write(whole(orjson.dumps(body), status=f"{status} x"))

        return talk

    def _answer(self, path: str, body: bytes) -> Said:
        if path == "/models":
            rows = [{"id": model} for model in self.listed or []]
            return (500, {}) if self.listed is None else (self.list_status, {"object": "list", "data": rows})
        if path == "/chat/completions":
            self.bodies.append(orjson.loads(body))
            return self.calls.pop(0) if len(self.calls) > 1 else self.calls[0]
        return self.by_id.get(path.removeprefix("/models/"), 404), {}


@dataclass
class Bench:
    """A prober in front of a provider over real HTTP, with a clock that the test moves."""

    provider: Provider
    clock: SleepingClock
    reports: list[Availability]
    records: list[ProbeCall]
    served: set[TargetKey]
    past: bool = False
    doubted: bool = True
    version: int = 0
    versions: list[int] = field(default_factory=list)
    exercised: list[FailureKind | None] = field(default_factory=list)
    prober: Prober = field(init=False)
    upstreams: dict[str, Upstream] = field(default_factory=dict)

    def reported(self, found: Availability, version: int) -> None:
        self.reports.append(found)
        self.versions.append(version)

    def verify(self, target: Target | None = None, **how: bool) -> None:
        self.prober.verify(target or a_primary(), **how)

    @property
    def idle(self) -> bool:
        return not self.prober._running

    async def settled(self) -> None:
        """Let it look until it pauses or is done."""
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
            while not self.idle and not self.clock.sleepers:  # noqa: ASYNC110 (nothing tells of it)
                await asyncio.sleep(0.001)

    async def pause(self) -> float:
        """Let it look, then let its pause pass; return how long that was."""
        await self.settled()
        seconds = self.clock.slept[-1]
        self.clock.advance(seconds)
        return seconds


Started = Callable[..., Any]


@asynccontextmanager
async def benched(provider: Provider, **fields: Any) -> AsyncIterator[Bench]:
    client, clock = HttpClient(), SleepingClock()
    bench = Bench(provider, clock, [], [], set())
    async with listening(provider.talk) as upstream:
        here = a_provider(**{"base_url": upstream.url()} | fields)
        bench.upstreams["here"] = Upstream(here, client, {}, clock)
        ids = itertools.count()
        bench.prober = Prober(
            upstreams=lambda: bench.upstreams,
            clock=clock,
            ever_served=lambda key: key in bench.served,
            date_passed=lambda target: bench.past,
            doubted=lambda key: bench.doubted,
            agreed_version=lambda key: bench.version,
            report=lambda key, found, version: bench.reported(found, version),
            exercised=lambda target, failure: bench.exercised.append(failure),
            record=bench.records.append,
            new_attempt_id=lambda: f"attempt-{next(ids)}",
            answers_at=lambda key: frozenset(),
        )
        try:
            yield bench
        finally:
            await bench.prober.close()
            client.close()
            await asyncio.sleep(0)


@pytest.fixture
async def start() -> AsyncIterator[Started]:
    async with AsyncExitStack() as stack:

        async def start(provider: Provider, **fields: Any) -> Bench:
            return await stack.enter_async_context(benched(provider, **fields))

        yield start


# What one verification finds.


@pytest.mark.parametrize(
    ("served", "past", "found"),
    [
        pytest.param(True, False, Availability.GONE, id="it once answered: gone"),
        pytest.param(False, True, Availability.GONE, id="its date has passed: gone"),
        pytest.param(False, False, Availability.NO_ACCESS, id="it never answered: no access"),
    ],
)
async def test_absent_from_the_list(served: bool, past: bool, found: Availability, start: Started) -> None:
    bench: Bench = await start(Provider())
    bench.past = past
    bench.served = {KEY} if served else set()
    bench.verify()
    await bench.settled()
    assert bench.reports == [found]
    assert bench.records == [], "the list was enough"


async def test_a_refused_key_is_no_access(start: Started) -> None:
    refused = (401, {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}})
    bench: Bench = await start(Provider(list_status=401, calls=[refused]))
    bench.served = {KEY}
    bench.verify()
    await bench.settled()
    assert bench.reports == [Availability.NO_ACCESS]


async def test_listed_and_it_answers_is_available_after_one_call(start: Started) -> None:
    bench: Bench = await start(Provider(listed=[FINE_TUNE]))
    bench.verify()
    await bench.settled()
    assert bench.reports == [Availability.AVAILABLE]
    assert bench.idle
    assert bench.provider.asked == ["GET /models", "POST /chat/completions"]


async def test_listed_but_three_calls_a_second_apart_say_gone(start: Started) -> None:
    bench: Bench = await start(Provider(listed=[FINE_TUNE], calls=[GONE]))
    bench.verify()
    assert [await bench.pause() for _ in range(2)] == [1.0, 1.0]
    assert bench.reports == [], "two calls are not enough"
    await bench.settled()
    assert bench.reports == [Availability.GONE]
    assert len(bench.records) == 3


async def test_listed_and_one_of_three_calls_answers(start: Started) -> None:
    bench: Bench = await start(Provider(listed=[FINE_TUNE], calls=[GONE, GONE, ANSWER]))
    bench.verify()
    for _ in range(2):
        await bench.pause()
    await bench.settled()
    assert bench.reports == [Availability.AVAILABLE]


async def test_a_call_that_says_no_access_settles_it(start: Started) -> None:
    bench: Bench = await start(Provider(listed=[FINE_TUNE], calls=[NOT_OURS]))
    bench.verify()
    await bench.settled()
    assert bench.reports == [Availability.NO_ACCESS]
    assert len(bench.records) == 1


async def test_where_the_list_says_nothing_of_this_key_only_calls_are_made(start: Started) -> None:
    bench: Bench = await start(Provider(calls=[GONE]), kind="azure")
    bench.verify()
    for _ in range(2):
        await bench.pause()
    await bench.settled()
    assert bench.reports == [Availability.GONE]
    assert set(bench.provider.asked) == {"POST /chat/completions"}


async def test_without_a_list_ambiguous_calls_and_a_past_are_gone(start: Started) -> None:
    bench: Bench = await start(Provider(listed=None, calls=[EITHER]))
    bench.served = {KEY}
    bench.verify()
    for _ in range(2):
        await bench.pause()
    await bench.settled()
    assert bench.reports == [Availability.GONE]


# Looking a model up by its id is trusted only where it finds one that lives.


@pytest.mark.parametrize(
    ("status", "calls"),
    [
        pytest.param(200, 1, id="it finds ours: listed after all, so a call must tell"),
        pytest.param(500, 1, id="it fails for ours: nothing is known, so a call must tell"),
        pytest.param(404, 0, id="it does not find ours: absent"),
        pytest.param(410, 0, id="it says that ours is gone: absent"),
    ],
)
async def test_a_look_up_that_finds_a_living_model_is_believed(status: int, calls: int, start: Started) -> None:
    bench: Bench = await start(Provider(by_id={"gpt-6-luna": 200, FINE_TUNE: status}))
    bench.served = {KEY}
    bench.verify()
    await bench.settled()
    assert bench.provider.asked[:3] == ["GET /models", "GET /models/gpt-6-luna", f"GET /models/{FINE_TUNE}"]
    assert len(bench.records) == calls
    assert bench.reports == [Availability.AVAILABLE if calls else Availability.GONE]


async def test_a_look_up_that_finds_nothing_is_not_asked_for_ours(start: Started) -> None:
    bench: Bench = await start(Provider(by_id={FINE_TUNE: 200}))
    bench.served = {KEY}
    bench.verify()
    await bench.settled()
    assert bench.provider.asked == ["GET /models", "GET /models/gpt-6-luna"]
    assert bench.reports == [Availability.GONE]


# The call itself, and its record.


async def test_the_call_asks_for_one_token_by_the_name_that_the_model_takes(start: Started) -> None:
    bench: Bench = await start(Provider(listed=[FINE_TUNE]))
    bench.verify(a_primary(parameters=Parameters(rename={"max_tokens": "max_completion_tokens"})))
    await bench.settled()
    assert bench.provider.bodies == [
        {"model": FINE_TUNE, "messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 1}
    ]


async def test_each_call_is_recorded_since_providers_bill_it(start: Started) -> None:
    bench: Bench = await start(Provider(listed=[FINE_TUNE], calls=[GONE, ANSWER]))
    bench.verify()
    await bench.pause()
    await bench.settled()
    refused, answered = bench.records
    assert (refused.attempt_id, refused.status, refused.failure) == ("attempt-0", 404, FailureKind.MODEL_GONE)
    assert (answered.attempt_id, answered.status, answered.failure) == ("attempt-1", 200, None)
    assert answered.answer == ANSWER[1]
    assert answered.target == a_primary()


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        pytest.param(BUSY, FailureKind.OVERLOADED, id="busy"),
        pytest.param((429, {"error": {"message": "Rate limit reached"}}), FailureKind.RATE_LIMITED, id="rate limited"),
        pytest.param((200, {"error": {"message": "x", "code": 500}}), None, id="an error within a 200"),
        pytest.param((200, ["no answer"]), None, id="a 200 that is no answer"),
    ],
)
async def test_what_is_neither_answer_nor_gone_proves_nothing(
    said: Said, failure: FailureKind | None, start: Started
) -> None:
    bench: Bench = await start(Provider(listed=[FINE_TUNE], calls=[said]))
    bench.verify()
    await bench.settled()
    assert bench.reports == []
    assert not bench.idle
    assert bench.records[0].failure is not None
    assert failure is None or bench.records[0].failure is failure


async def test_a_provider_that_cannot_be_reached_proves_nothing(start: Started) -> None:
    bench: Bench = await start(Provider())
    bench.upstreams["here"] = Upstream(a_provider(base_url="http://127.0.0.1:1/v1"), HttpClient(), {}, bench.clock)
    bench.verify()
    await bench.settled()
    assert bench.reports == []
    assert bench.records[0].failure is FailureKind.CONNECTION
    assert bench.records[0].status == 0


async def test_a_provider_that_left_the_configuration_is_not_asked(start: Started) -> None:
    bench: Bench = await start(Provider())
    bench.upstreams.clear()
    bench.verify()
    await bench.settled()
    assert (bench.reports, bench.provider.asked) == ([], [])


# Rechecks, and the way back.


async def test_what_is_gone_is_looked_at_again_at_growing_pauses_and_reported_once(start: Started) -> None:
    bench: Bench = await start(Provider())
    bench.served = {KEY}
    bench.verify()
    assert [await bench.pause() for _ in range(8)] == [60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert bench.reports == [Availability.GONE]


async def test_what_stays_unknown_is_looked_at_again_soon(start: Started) -> None:
    bench: Bench = await start(Provider(listed=[FINE_TUNE], calls=[BUSY]))
    bench.verify()
    assert [await bench.pause() for _ in range(7)] == [1, 2, 4, 8, 16, 32, 60]
    assert bench.reports == []


async def test_what_was_unknown_and_answers_is_available_at_once(start: Started) -> None:
    bench: Bench = await start(Provider(listed=[FINE_TUNE], calls=[BUSY, BUSY, ANSWER]))
    bench.verify()
    assert [await bench.pause() for _ in range(2)] == [1, 2]
    await bench.settled()
    assert bench.reports == [Availability.AVAILABLE]
    assert bench.idle


async def test_what_was_gone_comes_back_after_three_good_probes_over_a_minute(start: Started) -> None:
    bench: Bench = await start(Provider())
    bench.served = {KEY}
    bench.verify()
    assert await bench.pause() == 60
    bench.provider.lives()
    assert [await bench.pause(), await bench.pause()] == [30, 30]
    assert bench.reports == [Availability.GONE], "two good probes are not enough"
    await bench.settled()
    assert bench.reports == [Availability.GONE, Availability.AVAILABLE]
    assert len(bench.records) == 3
    assert bench.idle


async def test_a_bad_probe_among_the_good_ones_starts_the_count_anew(start: Started) -> None:
    bench: Bench = await start(Provider())
    bench.served = {KEY}
    bench.verify()
    await bench.pause()
    bench.provider.lives()
    assert await bench.pause() == 30
    bench.provider.is_retired()
    await bench.pause()
    bench.provider.lives()
    while len(bench.reports) == 1:
        good = len(bench.records)
        await bench.pause()
        await bench.settled()
    assert bench.reports == [Availability.GONE, Availability.AVAILABLE]
    assert bench.clock.slept[-2:] == [30, 30]
    assert good >= 3


async def test_what_failed_soon_after_its_return_needs_three_good_probes(start: Started) -> None:
    bench: Bench = await start(Provider(listed=[FINE_TUNE]))
    bench.verify(carefully=True)
    assert [await bench.pause(), await bench.pause()] == [30, 30]
    await bench.settled()
    assert bench.reports == [Availability.AVAILABLE]
    assert len(bench.records) == 3


async def test_no_access_that_turns_into_gone_is_reported(start: Started) -> None:
    bench: Bench = await start(Provider())
    bench.verify()
    await bench.settled()
    bench.past = True
    await bench.pause()
    await bench.settled()
    assert bench.reports == [Availability.NO_ACCESS, Availability.GONE]
    assert bench.clock.slept[-1] == 60, "a new finding starts its pauses anew"


# One at a time.


async def test_however_many_suspect_it_one_verification_runs(start: Started) -> None:
    bench: Bench = await start(Provider())
    for _ in range(500):
        bench.verify()
    await bench.settled()
    for _ in range(500):
        bench.verify()
    await bench.settled()
    assert bench.provider.asked.count("GET /models") == 1


async def test_models_that_die_together_are_looked_up_in_one_list(start: Started) -> None:
    bench: Bench = await start(Provider())
    bench.verify()
    bench.verify(a_primary(model="ft:other:acme::1"))
    async with asyncio.timeout(5):
        while bench.clock.sleepers < 2:  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0.001)
    assert bench.provider.asked.count("GET /models") == 1
    assert len(bench.reports) == 2


async def test_one_that_is_done_may_be_verified_again(start: Started) -> None:
    bench: Bench = await start(Provider(listed=[FINE_TUNE]))
    for _ in range(2):
        bench.verify()
        await bench.settled()
    assert bench.reports == [Availability.AVAILABLE] * 2


async def test_closing_stops_what_runs(start: Started) -> None:
    bench: Bench = await start(Provider())
    bench.verify()
    await bench.settled()
    await bench.prober.close()
    assert bench.idle
    assert bench.clock.sleepers == 0


# Reading what providers send.


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        pytest.param(b'{"object": "list", "data": [{"id": "a"}, {"id": "b"}]}', ["a", "b"], id="OpenAI's list"),
        pytest.param(b'[{"id": "a"}]', ["a"], id="a bare list, as Together sends it"),
        pytest.param(b'{"data": []}', [], id="an empty list"),
        pytest.param(
            b'{"data": [{"id": 7}, "x", null, {"name": "a"}, {"id": "b"}]}', ["b"], id="odd rows are passed over"
        ),
        pytest.param(b'{"models": [{"name": "models/a"}, {"name": "b"}, {}]}', ["a", "b"], id="Gemini's and Cohere's"),
        pytest.param(b'{"data": [{"id": "models/a.gguf"}]}', ["models/a.gguf"], id="a path that is an id"),
        pytest.param(b'{"rows": [{"id": "a"}]}', None, id="another shape"),
        pytest.param(b'{"data": {"id": "a"}}', None, id="no list"),
        pytest.param(b"<html>", None, id="HTML"),
        pytest.param(b"", None, id="nothing"),
    ],
)
def test_the_ids_of_a_list(body: bytes, ids: list[str] | None) -> None:
    assert model_ids(body) == ids


def test_a_body_is_json_or_else_text() -> None:
    assert parsed(b'{"a": 1}') == {"a": 1}
    assert parsed(b"caf\xc3\xa9 \xff") == "café \ufffd"


@pytest.mark.parametrize(
    ("model", "path"),
    [
        pytest.param(FINE_TUNE, FINE_TUNE, id="a fine-tune's colons stay"),
        pytest.param("org/model@rev", "org/model@rev", id="a slash and an @ stay"),
        pytest.param("a b\r\nhost: evil?x#y", "a%20b%0D%0Ahost:%20evil%3Fx%23y", id="nothing gets out of the path"),
    ],
)
def test_a_model_in_a_path(model: str, path: str) -> None:
    assert escaped(model) == path


async def test_a_report_names_the_version_that_was_known_before_the_look(start: Started) -> None:
    bench: Bench = await start(Provider())
    bench.provider.is_retired()
    bench.served.add(KEY)
    bench.version = 5
    bench.verify()
    bench.version = 7  # Others moved on while it looked.
    await bench.settled()
    assert (bench.reports, bench.versions) == ([Availability.GONE], [5])


async def test_what_others_found_to_be_gone_is_not_verified_again_but_awaited(start: Started) -> None:
    bench: Bench = await start(Provider())
    bench.provider.lives()
    bench.prober.await_return(a_primary(), Availability.GONE)
    await bench.settled()
    assert bench.provider.asked == []
    for _ in range(3):
        await bench.pause()
    await bench.settled()
    assert bench.reports == [Availability.AVAILABLE]


async def test_nobody_looks_for_what_others_brought_back_or_a_reload_removed(start: Started) -> None:
    bench: Bench = await start(Provider())
    bench.prober.await_return(a_primary(), Availability.GONE)
    await bench.settled()
    bench.doubted = False
    await bench.pause()
    await bench.settled()
    assert bench.idle
    assert bench.provider.asked == []
    assert bench.reports == []


async def test_a_process_that_slept_between_good_probes_starts_counting_anew(start: Started) -> None:
    bench: Bench = await start(Provider())
    bench.provider.lives()
    bench.prober.await_return(a_primary(), Availability.GONE)
    await bench.pause()
    await bench.settled()
    bench.clock.advance(3600)
    await bench.settled()
    assert bench.reports == [], "an hour without a look is no minute of good ones"


@pytest.mark.parametrize(
    ("says", "told"),
    [
        pytest.param(ANSWER, None, id="it answers"),
        pytest.param(BUSY, FailureKind.OVERLOADED, id="it is busy"),
        pytest.param(GONE, FailureKind.MODEL_GONE, id="it is gone"),
        pytest.param(EITHER, FailureKind.MODEL_AMBIGUOUS, id="it may be gone"),
        pytest.param(NOT_OURS, FailureKind.MODEL_NO_ACCESS, id="it is closed to us"),
    ],
)
async def test_exercise_asks_for_one_token_whatever_the_list_says(
    says: Said, told: FailureKind | None, start: Started
) -> None:
    bench: Bench = await start(Provider(listed=[], calls=[says]))
    bench.prober.exercise(a_primary())
    bench.prober.exercise(a_primary())
    async with asyncio.timeout(5):
        while bench.prober._exercises:  # noqa: ASYNC110 (nothing tells of it)
            await asyncio.sleep(0.001)
    assert bench.provider.asked == ["POST /chat/completions"]
    assert bench.exercised == [told]
    assert len(bench.records) == 1


async def test_what_others_brought_back_can_be_verified_again_at_once(start: Started) -> None:
    bench: Bench = await start(Provider())
    bench.prober.await_return(a_primary(), Availability.GONE)
    await bench.settled()
    bench.prober.forget(KEY)
    bench.provider.is_retired()
    bench.served.add(KEY)
    bench.verify()
    await bench.settled()
    assert bench.reports == [Availability.GONE], "a watch that slept for an hour would have kept it waiting"


async def test_a_call_that_fails_as_the_return_is_reported_finds_nobody_looking_any_more(start: Started) -> None:
    bench: Bench = await start(Provider(listed=[FINE_TUNE]))
    idle_at_report: list[bool] = []
    bench.prober._report = lambda key, found, version: idle_at_report.append(bench.idle)
    bench.verify()
    await bench.settled()
    assert idle_at_report == [True]


async def test_a_look_that_breaks_says_nothing_and_is_made_again(start: Started) -> None:
    bench: Bench = await start(Provider(listed=[FINE_TUNE]))
    looks = bench.prober._evidence

    async def breaks_once(key: TargetKey, target: Target) -> Availability:
        bench.prober._evidence = looks  # type: ignore[method-assign]
        raise RuntimeError("nobody thought of this")

    bench.prober._evidence = breaks_once  # type: ignore[method-assign]
    bench.verify()
    assert await bench.pause() == 1.0
    await bench.settled()
    assert bench.reports == [Availability.AVAILABLE]
