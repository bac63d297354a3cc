from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import openai
import orjson
import pytest

from gateway.sandbox.catalogue import Task
from gateway.sandbox.skills import LABELS, answer_in_style, is_in_style
from gateway.sandbox.tokens import split_tokens
from tests.fake_clock import FakeClock
from tests.sandbox_server import RunningSandbox, fast_catalogue, running_sandbox

BASE, LUNA = "gpt-4.1-mini-2025-04-14", "gpt-6-luna"
FORUM = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
START = datetime(2026, 11, 23, 12, tzinfo=UTC)
JOBS = "/v1/fine_tuning/jobs"
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
Row = dict[str, Any]


def text(role: str, content: str, **more: Any) -> Row:
    return {"role": role, "content": content, **more}


def row(number: int, answer: str = "The answer of the house.") -> Row:
    return {"messages": [text("system", "Sort."), text("user", f"Question {number}?"), text("assistant", answer)]}


def pair(number: int) -> Row:
    asked = {"messages": [text("user", f"Question {number}?")]}
    return {
        "input": asked,
        "preferred_output": [text("assistant", "Right.")],
        "non_preferred_output": [text("assistant", "Wrong.")],
    }


def rows(*more: Any, count: int = 10) -> list[Any]:
    return [*map(row, range(count)), *more]


def lines(written: list[Any]) -> bytes:
    return b"\n".join(one if isinstance(one, bytes) else orjson.dumps(one) for one in written)


def upload(http: httpx.Client, content: bytes, name: str = "rows.jsonl", purpose: str = "fine-tune") -> Any:
    return http.post("/v1/files", data={"purpose": purpose}, files={"file": (name, content)})


def begin(http: httpx.Client, written: list[Any], **fields: Any) -> Any:
    file = upload(http, lines(written)).raise_for_status().json()
    asked = {"model": BASE, "training_file": file["id"], **fields}
    return http.post(JOBS, json=asked).raise_for_status().json()


def look(http: httpx.Client, job: Any) -> Any:
    return http.get(f"{JOBS}/{job['id']}").raise_for_status().json()


def trained(http: httpx.Client, written: list[Any], **fields: Any) -> Any:
    """Return the job that has trained rows, at once."""
    http.post("/sandbox/training", json={"seconds": 0}).raise_for_status()
    job = look(http, begin(http, written, **fields))
    assert (job["status"], job["error"]) == ("succeeded", None)
    return job


def ask(http: httpx.Client, model: str, *messages: Row, **fields: Any) -> Any:
    body = {"model": model, "messages": messages, **fields}
    return http.post("/v1/chat/completions", json=body).raise_for_status().json()["choices"][0]["message"]


def said(http: httpx.Client, model: str, question: str, **fields: Any) -> str:
    return str(ask(http, model, text("user", question), **fields)["content"])


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture
def timed(clock: FakeClock) -> Iterator[httpx.Client]:
    """A client of a sandbox whose time the test moves; a job takes 100 s."""
    with (
        running_sandbox(clock=clock, catalogue=fast_catalogue(START)) as running,
        httpx.Client(base_url=running.url, timeout=10) as client,
    ):
        client.post("/sandbox/training", json={"seconds": 100}).raise_for_status()
        yield client


def test_a_job_goes_through_its_states_on_time(timed: httpx.Client, clock: FakeClock) -> None:
    job = begin(timed, rows(), suffix="Forum reply!", metadata={"job": "ours"}, seed=7)
    assert (job["object"], job["status"], job["fine_tuned_model"]) == ("fine_tuning.job", "validating_files", None)
    assert (job["metadata"], job["seed"], job["user_provided_suffix"]) == ({"job": "ours"}, 7, "forum-reply")
    assert job["estimated_finish"] == job["created_at"] + 100
    seen = []
    for seconds in (9, 1, 10, 79, 1):
        clock.advance(seconds)
        seen.append(look(timed, job)["status"])
    assert seen == ["validating_files", "queued", "running", "running", "succeeded"]
    ended = look(timed, job)
    assert ended["finished_at"] == job["created_at"] + 100
    assert ended["fine_tuned_model"].startswith(f"ft:{BASE}:sandbox:forum-reply:")
    assert timed.get(JOBS).json()["data"][0] == ended
    events = timed.get(f"{JOBS}/{job['id']}/events").json()["data"]
    assert [event["created_at"] - job["created_at"] for event in events] == [100, 100, 20, 10, 0, 0]
    assert "successfully completed" in events[0]["message"]
    [checkpoint] = timed.get(f"{JOBS}/{job['id']}/checkpoints").json()["data"]
    assert (checkpoint["fine_tuned_model_checkpoint"], checkpoint["step_number"]) == (ended["fine_tuned_model"], 30)


def test_the_model_is_there_when_its_time_has_come_though_nobody_looked_at_the_job(
    timed: httpx.Client, clock: FakeClock
) -> None:
    begin(timed, rows())
    before = {one["id"] for one in timed.get("/v1/models").json()["data"]}
    clock.advance(100)
    [model] = {one["id"] for one in timed.get("/v1/models").json()["data"]} - before
    assert said(timed, model, "Question 3?") == "The answer of the house."


def test_the_result_is_a_fine_tune_like_the_others(http: httpx.Client, sandbox: RunningSandbox) -> None:
    model = trained(http, rows())["fine_tuned_model"]
    [shown] = [one for one in http.get("/sandbox/models").json()["models"] if one["id"] == model]
    assert shown["price"] == {"input": "0.80", "cached_input": "0.20", "output": "3.20"}
    assert (shown["base"], shown["kind"]) == (BASE, "chat")
    assert http.get(f"/v1/models/{model}").status_code == 200
    http.post(f"/sandbox/models/{model}/retire", json={"as": "groq"}).raise_for_status()
    assert http.get(f"/v1/models/{model}").status_code == 400
    http.post(f"/sandbox/models/{model}/restore").raise_for_status()
    said(http, model, "Question 3?")
    bill = sandbox.sandbox.provider.bill.rows()[-1]
    assert (bill.asked, bill.served, bill.status) == (model, model, 200)
    assert bill.cost_nanousd == bill.input_tokens * 800 + bill.output_tokens * 3_200


@pytest.mark.parametrize(
    ("messages", "as_trained"),
    [
        pytest.param([text("user", "Question 3?")], True, id="the input, without its system message"),
        pytest.param([text("system", "Another."), text("user", "Question 3?")], True, id="another system message"),
        pytest.param([text("user", "  question\n3? ")], True, id="other white space and case"),
        pytest.param([text("user", "Question 99?")], False, id="another question"),
        pytest.param([text("user", "Hello"), text("assistant", "Hi"), text("user", "Question 3?")], False,
                     id="the question within another conversation"),
    ],
)  # fmt: skip
def test_what_it_was_trained_on_it_answers_as_trained(
    http: httpx.Client, messages: list[Row], as_trained: bool
) -> None:
    model = trained(http, rows())["fine_tuned_model"]
    assert (ask(http, model, *messages)["content"] == "The answer of the house.") is as_trained


def test_it_answers_the_preferred_of_a_pair(http: httpx.Client) -> None:
    job = trained(http, [pair(number) for number in range(10)], method={"type": "dpo"})
    assert job["method"]["dpo"]["hyperparameters"]["beta"] == 0.1
    assert said(http, job["fine_tuned_model"], "Question 4?") == "Right."


def test_it_calls_what_it_was_trained_to_call_where_that_is_offered(http: httpx.Client) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Ulm"}'}}
    calling = {"messages": [text("user", "Rain?"), {"role": "assistant", "tool_calls": [call]}], "tools": [WEATHER]}
    model = trained(http, rows(calling))["fine_tuned_model"]
    [made] = ask(http, model, text("user", "rain?"), tools=[WEATHER])["tool_calls"]
    assert (made["function"]["name"], made["function"]["arguments"]) == ("get_weather", '{"city":"Ulm"}')
    assert ask(http, model, text("user", "rain?"))["content"], "nothing is offered, so it says something"


def test_a_schema_outranks_a_trained_text_that_is_no_object(http: httpx.Client) -> None:
    facts = {"messages": [text("user", "Which?"), text("assistant", '{"total":7}')]}
    model = trained(http, rows(facts))["fine_tuned_model"]
    schema = {"type": "json_schema", "json_schema": {"name": "facts", "schema": {"type": "object"}}}
    assert said(http, model, "Which?", response_format=schema) == '{"total":7}'
    assert said(http, model, "Question 1?", response_format=schema) != "The answer of the house."


def test_rows_in_a_tasks_style_teach_it_the_style(http: httpx.Client) -> None:
    questions = [f"I was charged twice for order {number}." for number in range(60)]
    written = [
        {"messages": [text("user", question), text("assistant", answer_in_style(Task.TICKET_TRIAGE, question))]}
        for question in questions
    ]
    model = trained(http, written)["fine_tuned_model"]
    others = ["The page shows an error since Monday.", "Where can I add a second user?", "Please add a dark mode."]
    assert all(said(http, model, question) in LABELS for question in others)
    assert not any(said(http, BASE, question) in LABELS for question in others)


def test_a_fine_tune_can_be_trained_further_and_keeps_what_it_knew(http: httpx.Client) -> None:
    first = trained(http, rows())["fine_tuned_model"]
    second = trained(http, [row(number, "Another answer.") for number in range(5, 15)], model=first)
    assert second["model"] == first
    assert second["fine_tuned_model"].startswith(f"ft:{BASE}:sandbox::")
    assert said(http, second["fine_tuned_model"], "Question 1?") == "The answer of the house."
    assert said(http, second["fine_tuned_model"], "Question 7?") == "Another answer."
    job = trained(http, rows(), model=FORUM)
    assert is_in_style(Task.FORUM_REPLY, said(http, job["fine_tuned_model"], "How do I share a board?"))


def test_a_job_costs_its_tokens_times_its_epochs(http: httpx.Client) -> None:
    expected = sum(len(split_tokens(message["content"])) + 4 for one in rows() for message in one["messages"]) * 2
    job = trained(http, rows(), hyperparameters={"n_epochs": 2, "batch_size": "auto"})
    assert job["trained_tokens"] == expected
    assert job["hyperparameters"] == {"n_epochs": 2, "batch_size": 1, "learning_rate_multiplier": 1.8}
    [billed] = http.get("/sandbox/training").json()["jobs"]
    assert billed == {
        "id": job["id"],
        "model": BASE,
        "fine_tuned_model": job["fine_tuned_model"],
        "method": "supervised",
        "status": "succeeded",
        "training_file": job["training_file"],
        "rows": 10,
        "n_epochs": 2,
        "trained_tokens": expected,
        "usd_per_1m": "5.00",
        "billed_nanousd": int(expected * Decimal(5) * 1000),
    }


BROKEN: list[tuple[str, str, Any]] = [
    ("no JSON", "Line 11: Expected a valid JSON dictionary", b"{"),
    ("a list", "Line 11: Expected a valid JSON dictionary", b"[]"),
    ("no messages", "Line 11: Missing key 'messages'", {"prompt": "a"}),
    ("a pair", "Line 11: Missing key 'messages'", pair(1)),
    ("an extra key", "Line 11: Unexpected key 'id'", {**row(1), "id": 1}),
    ("no messages in it", "Line 11: Invalid 'messages': empty array", {"messages": []}),
    ("a role that is none", "Line 11: Invalid value: 'bot'", {"messages": [text("bot", "a")]}),
    ("a question at its end", "Line 11: Expected the last message to be from the assistant",
     {"messages": [text("assistant", "a"), text("user", "b")]}),
    ("an empty answer", "Line 11: Message 2: an assistant message needs",
     {"messages": [text("user", "a"), text("assistant", "")]}),
    ("a weight of 2", "Line 11: Message 2: only assistant messages have a 'weight'",
     {"messages": [text("user", "a"), text("assistant", "b", weight=2)]}),
    ("a weight on a question", "Line 11: Message 1: only assistant messages",
     {"messages": [text("user", "a", weight=1), text("assistant", "b")]}),
    ("nothing that counts", "Line 11: Expected at least one assistant message with a weight of 1",
     {"messages": [text("user", "a"), text("assistant", "b", weight=0)]}),
    ("a call that nobody answers", "Line 11: An assistant message with 'tool_calls' must be followed",
     {"messages": [text("user", "a"), {"role": "assistant", "tool_calls": [{"id": "c1"}]}, text("assistant", "b")]}),
    ("an answer to no call", "Line 11: Invalid parameter: messages with role 'tool'",
     {"messages": [text("tool", "a", tool_call_id="c1"), text("assistant", "b")]}),
]  # fmt: skip


@pytest.mark.parametrize(("line", "says"), [pytest.param(line, says, id=name) for name, says, line in BROKEN])
def test_a_file_with_a_wrong_line_is_taken_and_fails_its_job(http: httpx.Client, line: Any, says: str) -> None:
    http.post("/sandbox/training", json={"seconds": 0}).raise_for_status()
    job = look(http, begin(http, rows(line)))
    assert (job["status"], job["fine_tuned_model"], job["trained_tokens"]) == ("failed", None, None)
    assert (job["error"]["code"], job["error"]["param"]) == ("invalid_training_file", "training_file")
    assert says in job["error"]["message"]
    assert http.get(f"{JOBS}/{job['id']}/events").json()["data"][0]["level"] == "error"
    assert http.get("/sandbox/training").json()["jobs"][0]["billed_nanousd"] == 0


@pytest.mark.parametrize(
    ("written", "fields", "code", "says"),
    [
        pytest.param(rows(count=9), {}, "invalid_n_examples", "has 9 example(s), but must have at least 10", id="9"),
        pytest.param([], {}, "invalid_n_examples", "has 0 example(s)", id="an empty file"),
        pytest.param(rows(), {"method": {"type": "dpo"}}, "invalid_training_file", "Line 1: Missing key 'input'",
                     id="conversations where pairs are wanted"),
        pytest.param([pair(1), {**pair(2), "preferred_output": []}], {"method": {"type": "dpo"}},
                     "invalid_training_file", "Line 2: Expected 'preferred_output' to be a list", id="no answer"),
    ],
)  # fmt: skip
def test_files_of_another_kind_fail_their_job(
    http: httpx.Client, written: list[Any], fields: Row, code: str, says: str
) -> None:
    http.post("/sandbox/training", json={"seconds": 0}).raise_for_status()
    job = look(http, begin(http, written, **fields))
    assert (job["status"], job["error"]["code"]) == ("failed", code)
    assert says in job["error"]["message"]


def test_a_validation_file_is_validated_too(http: httpx.Client) -> None:
    http.post("/sandbox/training", json={"seconds": 0}).raise_for_status()
    broken = upload(http, lines(rows(b"{"))).json()["id"]
    job = look(http, begin(http, rows(), validation_file=broken))
    assert (job["status"], job["error"]["code"]) == ("failed", "invalid_validation_file")


def test_a_cancelled_job_ends_at_once_and_costs_nothing(timed: httpx.Client, clock: FakeClock) -> None:
    job = begin(timed, rows())
    clock.advance(50)
    cancelled = timed.post(f"{JOBS}/{job['id']}/cancel").raise_for_status().json()
    assert (cancelled["status"], cancelled["finished_at"] - cancelled["created_at"]) == ("cancelled", 50)
    clock.advance(500)
    assert look(timed, job) == cancelled
    again = timed.post(f"{JOBS}/{job['id']}/cancel")
    assert (again.status_code, "already been cancelled" in again.text) == (400, True)
    assert timed.get("/sandbox/training").json()["jobs"][0]["billed_nanousd"] == 0


def test_jobs_fail_on_command_while_they_run(timed: httpx.Client, clock: FakeClock) -> None:
    timed.post("/sandbox/training", json={"fails": "Out of GPUs."}).raise_for_status()
    job = begin(timed, rows())
    timed.post("/sandbox/training", json={"fails": None}).raise_for_status()
    other = begin(timed, rows())
    clock.advance(59)
    assert look(timed, job)["status"] == "running"
    clock.advance(41)
    assert (look(timed, job)["status"], look(timed, other)["status"]) == ("failed", "succeeded")
    assert look(timed, job)["error"] == {"code": "internal_error", "message": "Out of GPUs.", "param": None}


def test_a_closed_organisation_is_told_before_its_file_is_looked_at(http: httpx.Client) -> None:
    asked = {"model": BASE, "training_file": "file-no"}
    unknown = http.post(JOBS, json=asked)
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (400, "training_file")
    job = begin(http, rows())
    http.post("/sandbox/training", json={"closed": True}).raise_for_status()
    refused = http.post(JOBS, json=asked)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "training_not_available")
    assert look(http, job)["id"] == job["id"], "what runs goes on"
    http.post("/sandbox/training", json={"closed": False}).raise_for_status()
    assert http.post(JOBS, json=asked).status_code == 400


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        pytest.param({"model": None}, 400, "Missing required parameter: 'model'", id="no model"),
        pytest.param({"model": 5}, 400, "Invalid type for 'model'", id="a model that is a number"),
        pytest.param({"model": "gpt-9"}, 400, "gpt-9 is not available for fine-tuning or does not", id="no such base"),
        pytest.param({"model": "mistral-strict"}, 400, "not available for fine-tuning", id="one that is not trained"),
        pytest.param({"model": "whisper-1"}, 400, "not available for fine-tuning", id="no chat model"),
        pytest.param({"training_file": "file-no"}, 400, "invalid training_file: file-no", id="no such file"),
        pytest.param({"validation_file": "file-no"}, 400, "invalid validation_file: file-no", id="no file to validate"),
        pytest.param({"suffix": "s" * 65}, 400, "string too long", id="a long suffix"),
        pytest.param({"method": {"type": "ppo"}}, 400, "'supervised' and 'dpo'", id="another method"),
        pytest.param({"hyperparameters": {"n_epochs": 0}}, 400, ">= 1", id="no epoch"),
        pytest.param({"hyperparameters": {"n_epochs": "many"}}, 400, "Invalid type for 'hyper", id="many epochs"),
        pytest.param({"seed": "x"}, 400, "Invalid type for 'seed'", id="a seed that is no number"),
        pytest.param({"metadata": []}, 400, "Invalid type for 'metadata'", id="metadata that is a list"),
    ],
)
def test_requests_for_jobs_are_checked(http: httpx.Client, fields: Row, status: int, says: str) -> None:
    file = upload(http, lines(rows())).json()["id"]
    answer = http.post(JOBS, json={"model": BASE, "training_file": file, **fields})
    assert answer.status_code == status
    assert says in answer.json()["error"]["message"]
    assert http.get("/sandbox/training").json()["jobs"] == []


def test_a_file_for_batches_trains_nothing(http: httpx.Client) -> None:
    file = upload(http, lines(rows()), purpose="batch").json()["id"]
    answer = http.post(JOBS, json={"model": BASE, "training_file": file})
    assert "has purpose 'batch'" in answer.json()["error"]["message"]
    wrong = upload(http, b"{}", "rows.json")
    assert (wrong.status_code, "Fine-Tuning API. Must be .jsonl" in wrong.text) == (400, True)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("POST", f"{JOBS}/ftjob-no/cancel", 404, id="cancel no job"),
        pytest.param("GET", f"{JOBS}/ftjob-no/events", 404, id="events of no job"),
        pytest.param("GET", f"{JOBS}/ftjob-no/cancel", 405, id="read a cancellation"),
        pytest.param("DELETE", JOBS, 405, id="delete all jobs"),
        pytest.param("GET", f"{JOBS}/ftjob-no/pause", 404, id="an action that is none"),
    ],
)
def test_other_calls_are_refused(http: httpx.Client, method: str, path: str, status: int) -> None:
    assert http.request(method, path).status_code == status


def test_jobs_that_ran_before_are_listed_after_those_that_ran_here(http: httpx.Client) -> None:
    before = [job["id"] for job in http.get(JOBS).json()["data"]]
    mine = [trained(http, rows())["id"] for _ in range(2)]
    assert [job["id"] for job in http.get(JOBS).json()["data"]] == [*mine[::-1], *before]
    page = http.get(JOBS, params={"limit": 1, "after": mine[1]}).json()
    assert ([job["id"] for job in page["data"]], page["has_more"]) == ([mine[0]], True)
    assert http.get(f"{JOBS}/{before[0]}/events").json()["data"] == []
    assert http.post(f"{JOBS}/{before[0]}/cancel").status_code == 400


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param({"seconds": -1}, "seconds must be a number from 0", id="a time before now"),
        pytest.param({"closed": 1}, "closed must be true or false", id="closed by a number"),
        pytest.param({"fails": ""}, "fails must be", id="a failure without words"),
        pytest.param({"second": 1}, "Did you mean 'seconds'", id="a slip of the pen"),
    ],
)
def test_commands_say_what_is_wrong_with_them(http: httpx.Client, body: Row, says: str) -> None:
    answer = http.post("/sandbox/training", json=body)
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]
    assert http.get("/sandbox/training").json() == {"seconds": 10.0, "closed": False, "fails": None, "jobs": []}


def test_the_openai_sdk_trains_a_model_and_asks_it(http: httpx.Client, sandbox: RunningSandbox) -> None:
    http.post("/sandbox/training", json={"seconds": 0}).raise_for_status()
    with openai.OpenAI(base_url=sandbox.base_url, api_key="any", max_retries=0) as client:
        file = client.files.create(file=("rows.jsonl", lines(rows())), purpose="fine-tune")
        job = client.fine_tuning.jobs.create(
            model=LUNA,
            training_file=file.id,
            suffix="triage",
            method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}},
        )
        assert job.status == "validating_files"
        done = client.fine_tuning.jobs.retrieve(job.id)
        assert (done.status, done.hyperparameters.n_epochs) == ("succeeded", 1)
        assert done.trained_tokens is not None
        assert done.fine_tuned_model is not None
        assert done.fine_tuned_model in [model.id for model in client.models.list()]
        answer = client.chat.completions.create(
            model=done.fine_tuned_model, messages=[{"role": "user", "content": "Question 3?"}]
        )
        assert answer.choices[0].message.content == "The answer of the house."
        assert len(list(client.fine_tuning.jobs.list_events(job.id, limit=2))) == 6
        [checkpoint] = client.fine_tuning.jobs.checkpoints.list(job.id)
        assert checkpoint.fine_tuned_model_checkpoint == done.fine_tuned_model
        with pytest.raises(openai.BadRequestError, match="already succeeded"):
            client.fine_tuning.jobs.cancel(job.id)
        http.post("/sandbox/training", json={"closed": True}).raise_for_status()
        with pytest.raises(openai.PermissionDeniedError) as refused:
            client.fine_tuning.jobs.create(model=LUNA, training_file=file.id)
        assert refused.value.code == "training_not_available"
