import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest

from gateway.config.routes import Target
from gateway.lifecycle.probe_calls import ProbeCall, ProbeCalls
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream
from gateway.reasons import FailureKind
from tests.example_routes import a_primary, a_provider
from tests.fake_clock import FakeClock
from tests.providers.raw_upstream import RawUpstream, Reader, Talk, Writer, listening, whole

NO_CHAT = (404, {"error": {"message": "This is not a chat model and thus not supported in the v1/chat/completions"
                                      " endpoint. Did you mean to use v1/completions?"}})  # fmt: skip
NO_VECTORS = (400, {"error": {"message": "The model does not support Embeddings API"}})
GONE = (404, {"error": {"message": "The model `m` has been deprecated", "code": "model_not_found"}})
BAD = (400, {"error": {"message": "Unsupported parameter: 'max_tokens'", "param": "max_tokens"}})
BUSY = (503, {"error": {"message": "overloaded"}})
ABSENT = (404, {"detail": "Not Found"})
CHAT = (200, {"choices": []})
TEXT = (200, {"choices": []})
VECTOR = (200, {"data": [{"embedding": [0.1]}], "usage": {"prompt_tokens": 1}})

Said = tuple[int, Any]
Answers = dict[str, Said]


class Asked:
    """A provider that answers by path, and what it was asked."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.paths: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.records: list[ProbeCall] = []
        self.upstream: Upstream
        self.seen: set[str] = set()
        ids = map("attempt-{}".format, itertools.count())
        self.begun: list[ProbeCall] = []
        self.calls = ProbeCalls(
            FakeClock(), self.records.append, ids.__next__, lambda key: self.seen, self.begun.append
        )

    def talk(self, raw: RawUpstream) -> Talk:
        async def talk(reader: Reader, writer: Writer) -> None:
            while True:
                head, _, body = (await raw.request(reader)).partition(b"\r\n\r\n")
                self.paths.append(head.split(b" ")[1].decode().removeprefix("/v1/"))
                self.bodies.append(orjson.loads(body))
                status, answer = self.answers.get(self.paths[-1], ABSENT)
                writer.write(whole(orjson.dumps(answer), status=f"{status} x"))

        return talk

    async def ask(self, target: Target | None = None, **fields: Any) -> FailureKind | None:
        return await self.calls.ask(self.upstream, target or a_primary(**{"model": "m", "base": None} | fields))


Start = Callable[..., Any]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def start(answers: Answers, **fields: Any) -> Asked:
            asked, client = Asked(answers), HttpClient()
            raw = await stack.enter_async_context(listening(asked.talk))
            stack.callback(client.close)
            asked.upstream = Upstream(a_provider(**{"base_url": raw.url()} | fields), client, {}, FakeClock())
            return asked

        yield start
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("answers", "fields", "paths", "failure"),
    [
        pytest.param({"chat/completions": CHAT}, {}, ["chat/completions"], None, id="most models chat"),
        pytest.param(
            {"chat/completions": NO_CHAT, "embeddings": VECTOR},
            {},
            ["chat/completions", "embeddings"],
            None,
            id="one that makes vectors is not gone for not chatting",
        ),
        pytest.param(
            {"chat/completions": NO_CHAT, "embeddings": NO_VECTORS, "completions": TEXT},
            {},
            ["chat/completions", "embeddings", "completions"],
            None,
            id="nor is one that only completes",
        ),
        pytest.param({"embeddings": VECTOR}, {"model": "text-embedding-3-small"}, ["embeddings"], None, id="by name"),
        pytest.param({"embeddings": VECTOR}, {"model": "BAAI/bge-m3"}, ["embeddings"], None, id="by a family's name"),
        pytest.param({"embeddings": GONE}, {"model": "embed-v1"}, ["embeddings"], FailureKind.MODEL_GONE, id="gone"),
        pytest.param({"chat/completions": CHAT}, {"model": "bgeorge-ft"}, ["chat/completions"], None, id="no family"),
        pytest.param(
            {"embeddings": NO_VECTORS, "chat/completions": CHAT},
            {"model": "support-embedded-ft"},
            ["embeddings", "chat/completions"],
            None,
            id="a name that misleads",
        ),
        pytest.param(
            {"chat/completions": GONE, "embeddings": VECTOR},
            {},
            ["chat/completions"],
            FailureKind.MODEL_GONE,
            id="who is gone is asked nothing else",
        ),
        pytest.param(
            {"chat/completions": BUSY}, {}, ["chat/completions"], FailureKind.OVERLOADED, id="nor who is busy"
        ),
        pytest.param(
            {"chat/completions": BAD, "embeddings": GONE, "completions": GONE},
            {},
            ["chat/completions", "chat/completions", "embeddings"],
            FailureKind.BAD_REQUEST,
            id="what another endpoint says of a model that refused a parameter does not count",
        ),
        pytest.param({"embeddings": VECTOR}, {}, ["chat/completions", "embeddings"], None, id="a server without chat"),
    ],
)  # fmt: skip
async def test_the_calls_that_are_made(
    answers: Answers, fields: dict[str, Any], paths: list[str], failure: FailureKind | None, start: Start
) -> None:
    asked: Asked = await start(answers)
    assert await asked.ask(**fields) is failure
    assert asked.paths == paths
    assert len(asked.records) == len(paths)
    assert [record.endpoint for record in asked.records] == [path.replace("/", "_") for path in paths]


NOT_OFFERED = (
    400,
    {
        "error": {
            "code": "OperationNotSupported",
            "message": "The chatCompletion operation does not work with the specified model, m.",
        }
    },
)


@pytest.mark.parametrize(
    ("seen", "fields", "paths", "failure"),
    [
        pytest.param(
            {"/audio/transcriptions"},
            {},
            [],
            FailureKind.BAD_REQUEST,
            id="one that hears is asked nothing, and not condemned",
        ),
        pytest.param(set(), {"model": "whisper-1"}, [], FailureKind.BAD_REQUEST, id="nor one that is named so"),
        pytest.param(
            set(), {"model": "ours", "base": "gpt-image-1"}, [], FailureKind.BAD_REQUEST, id="or whose base is"
        ),
        pytest.param(
            set(),
            {},
            ["chat/completions", "chat/completions", "embeddings", "completions"],
            FailureKind.BAD_REQUEST,
            id="of whom nothing is known, and who takes none of them: nothing is found out",
        ),
        pytest.param(
            {"/chat/completions"},
            {},
            ["chat/completions"],
            FailureKind.MODEL_AMBIGUOUS,
            id="one that did chat may be gone",
        ),
        pytest.param({"/responses"}, {}, ["chat/completions"], FailureKind.MODEL_AMBIGUOUS, id="or did by responses"),
    ],
)
async def test_a_model_that_is_not_made_for_small_calls_is_not_taken_for_gone(
    seen: set[str], fields: dict[str, Any], paths: list[str], failure: FailureKind, start: Start
) -> None:
    everywhere = dict.fromkeys(("chat/completions", "embeddings", "completions"), NOT_OFFERED)
    asked: Asked = await start(everywhere, kind="azure")
    asked.seen |= seen
    assert await asked.ask(**fields) is failure
    assert [path.rpartition("/openai/")[2].removeprefix("v1/") for path in asked.paths] == paths


async def test_the_limit_has_one_of_two_names(start: Start) -> None:
    asked: Asked = await start({"chat/completions": BAD, "embeddings": GONE})
    await asked.ask()
    assert [sorted(body) for body in asked.bodies] == [
        ["max_tokens", "messages", "model"],
        ["max_completion_tokens", "messages", "model"],
        ["input", "model"],
    ]


async def test_what_a_model_answered_is_asked_first_the_next_time(start: Start) -> None:
    asked: Asked = await start({"chat/completions": NO_CHAT, "embeddings": VECTOR})
    await asked.ask()
    asked.paths.clear()
    assert await asked.ask() is None
    assert asked.paths == ["embeddings"]


async def test_a_base_tells_where_a_deployments_name_does_not(start: Start) -> None:
    asked: Asked = await start({"embeddings": VECTOR})
    target = a_primary(model="claims", base="text-embedding-3-large", provider=a_provider(kind="azure"))
    assert await asked.ask(target) is None
    assert asked.paths == ["embeddings"]


async def test_an_endpoint_that_a_provider_does_not_have_is_not_asked(start: Start) -> None:
    asked: Asked = await start({"chat/completions": NO_CHAT}, kind="cerebras")
    assert await asked.ask() is FailureKind.BAD_REQUEST
    assert set(asked.paths) == {"chat/completions", "completions"}


async def test_without_litellms_worker_there_is_no_connection(start: Start) -> None:
    asked: Asked = await start({}, kind="anthropic")
    assert await asked.ask() is FailureKind.CONNECTION
    assert (asked.paths, asked.records[0].status) == ([], 0)


async def test_each_call_begins_as_one_that_was_interrupted_and_ends_as_what_it_was(start: Start) -> None:
    asked: Asked = await start({"chat/completions": NO_CHAT, "embeddings": VECTOR})
    await asked.ask()
    assert {call.failure for call in asked.begun} == {FailureKind.INTERRUPTED}
    ids = [[call.attempt_id for call in calls] for calls in (asked.begun, asked.records)]
    assert ids[0] == ids[1]
    assert [call.endpoint for call in asked.begun] == [call.endpoint for call in asked.records]


async def test_a_call_that_is_called_off_ends_too(start: Start) -> None:
    asked: Asked = await start({"chat/completions": CHAT})
    asking = asyncio.create_task(asked.ask())
    await asyncio.sleep(0)
    assert asked.begun
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert [(call.attempt_id, call.failure) for call in asked.records] == [("attempt-0", FailureKind.INTERRUPTED)]
