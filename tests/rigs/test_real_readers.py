"""What is exported is read by those who read it: OpenAI's published types, Hugging Face's loaders, TRL's functions."""

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NotRequired

import orjson
import pytest
from dataset_material import CALL, TOOL, a_file, a_mark, approved, assistant, built, chat, dumped, put, user
from openai.types.chat import (
    ChatCompletionAssistantMessageParam,
    ChatCompletionFunctionToolParam,
    ChatCompletionMessageParam,
    ChatCompletionSystemMessageParam,
    ChatCompletionToolMessageParam,
    ChatCompletionUserMessageParam,
)
from programs import readers_python
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from gateway.learning.datasets.directory import DataSet
from gateway.learning.datasets.export import exported
from gateway.learning.datasets.formats import FORMATS
from gateway.learning.datasets.sources import from_approved, from_corrections

pytestmark = pytest.mark.rig
READER = Path(__file__).with_name("dataset_reader.py")


class Trained(ChatCompletionAssistantMessageParam, total=False):
    """FineTuneChatCompletionRequestAssistantMessage of OpenAI's published schema."""

    weight: Literal[0, 1]


class Options(TypedDict, total=False):
    tools: list[ChatCompletionFunctionToolParam]
    parallel_tool_calls: bool


class ChatRow(Options):
    """FineTuneChatRequestInput."""

    messages: list[
        ChatCompletionSystemMessageParam | ChatCompletionUserMessageParam | Trained | ChatCompletionToolMessageParam
    ]


class Asked(Options):
    messages: list[ChatCompletionMessageParam]


class PairRow(TypedDict):
    """FineTunePreferenceRequestInput."""

    input: Asked
    preferred_output: list[ChatCompletionAssistantMessageParam]
    non_preferred_output: list[ChatCompletionAssistantMessageParam]


class BedrockMessage(TypedDict):
    role: Literal["user", "assistant"]
    content: str


class BedrockRow(TypedDict):
    system: NotRequired[str]
    messages: list[BedrockMessage]


class TrlMessage(TypedDict):
    role: Literal["system", "user", "assistant", "tool"]
    content: NotRequired[str]
    tool_calls: NotRequired[list[Any]]
    tool_call_id: NotRequired[str]


OPENAI: dict[str, Any] = {"openai-sft": ChatRow, "openai-dpo": PairRow, "together": ChatRow, "fireworks": ChatRow}
COLUMNS = {
    "openai-sft": ["messages", "parallel_tool_calls", "tools"],
    "openai-dpo": ["input", "non_preferred_output", "preferred_output"],
    "bedrock": ["messages", "system"],
    "together": ["messages"],
    "fireworks": ["messages"],
    "trl-sft": ["messages", "tools"],
    "trl-dpo": ["chosen", "prompt", "rejected", "tools"],
    "trl-kto": ["completion", "label", "prompt", "tools"],
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """Marks and a file: plain ones, conversations, tools called in different ways, scripts of the world, U+2028."""
    other = {**TOOL, "function": {"name": "cancel", "parameters": {"type": "object", "properties": {"why": {}}}}}
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    cancels = {**CALL, "id": "call_2", "function": {"name": "cancel", "arguments": '{"why": ["late", 2]}'}}
    result = {"role": "tool", "tool_call_id": "call_1", "content": "late"}
    marks = [a_mark(at, f"Ticket {at}: où est mon colis? \u2028 値段は{at}") for at in range(40)]
    for at in range(40, 60):
        talk = (
            [user(f"Ticket {at}"), called, result] if at % 2 else [user(f"Order {at}"), assistant("Hm?"), user("Yes.")]
        )
        answer = (
            {"role": "assistant", "content": None, "tool_calls": [cancels]} if at % 4 == 1 else assistant(f"ok {at}")
        )
        tools = {"tools": [TOOL, other]} if at % 2 else {}
        marks.append(a_mark(at, talk, correction=dumped(answer), **tools))
    rights = [approved(100 + at, f"Fine {at}", f"fine, {at}") for at in range(20)]
    file = [chat(user(f"Filed {at}"), assistant(f"from the file {at}")) for at in range(10)]
    file += [
        chat(user(f"Call {at}"), called, result, assistant("Late."), tools=[TOOL], parallel_tool_calls=False)
        for at in range(9)
    ]
    made = built(from_corrections(marks, None), from_approved(rights, None), a_file(file))
    return put(tmp_path_factory.mktemp("data") / "set", made)


def written(dataset: DataSet, name: str) -> dict[str, list[Any]]:
    files = exported(dataset, FORMATS[name]).files
    return {file: [orjson.loads(line) for line in content.split(b"\n")[:-1]] for file, content in files.items()}


def whole(value: Any) -> Any:
    """A validated value with its lazily validated parts read out."""
    if isinstance(value, Mapping):
        return {key: whole(item) for key, item in value.items()}
    return [whole(item) for item in value] if isinstance(value, Iterable) and not isinstance(value, str) else value


def filled(value: Any) -> Any:
    """A row as Arrow gives it back, without the keys that it fills with nothing."""
    if isinstance(value, dict):
        return {key: filled(item) for key, item in value.items() if item is not None}
    return [filled(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", [*OPENAI])
def test_rows_are_what_openais_published_types_say_and_nothing_more(name: str, dataset: DataSet) -> None:
    adapter = TypeAdapter(OPENAI[name])
    for rows in written(dataset, name).values():
        assert rows
        for row in rows:
            # Keys that the types do not have would be dropped, and the row be another.
            assert whole(adapter.validate_python(row)) == row


def test_bedrocks_rows_have_no_key_that_its_documentation_does_not_have(dataset: DataSet) -> None:
    for row in written(dataset, "bedrock")["train.jsonl"]:
        assert TypeAdapter(BedrockRow).validate_python(row) == row


@pytest.mark.parametrize("name", [name for name in FORMATS if name.startswith("trl")])
def test_messages_for_trl_are_what_chat_templates_take(name: str, dataset: DataSet) -> None:
    adapter = TypeAdapter(list[TrlMessage])
    for row in written(dataset, name)["train.jsonl"]:
        for key in {"messages", "prompt", "completion", "chosen", "rejected"} & row.keys():
            assert adapter.validate_python(row[key]) == row[key]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"messages": [{"role": "assistant", "content": "a", "weight": 2}]}, id="a weight of two"),
        pytest.param({"messages": [{"role": "robot", "content": "a"}]}, id="a role of its own"),
        pytest.param({"messages": [{"role": "tool", "content": "a"}]}, id="a result of no call"),
    ],
)
def test_the_types_refuse_what_is_no_row(row: Any) -> None:
    with pytest.raises(ValidationError):
        whole(TypeAdapter(ChatRow).validate_python(row))


@pytest.mark.parametrize("name", [*FORMATS])
def test_hugging_faces_loader_gives_back_every_row_as_it_was_written(
    name: str, dataset: DataSet, tmp_path: Path
) -> None:
    rows = written(dataset, name)
    for file, content in exported(dataset, FORMATS[name]).files.items():
        (tmp_path / file).write_bytes(content)
    read = loaded(name, tmp_path)
    assert read["columns"]["train"] == COLUMNS[name]
    for file, own in rows.items():
        split = file.removesuffix(".jsonl")
        assert [filled(row) for row in read["rows"][split]] == [filled(row) for row in own]
    if read["trl"] is not None:
        assert set(read["trl"]["conversational"]) <= {name.startswith("trl") or name not in ("openai-dpo",)}
        assert "unpaired" not in read["trl"] or {"prompt", "completion", "label"} <= set(read["trl"]["unpaired"])


def loaded(name: str, directory: Path) -> Any:
    """What the loader prints, in an environment that asks nobody on the network."""
    home = directory / "home"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(home), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    command = [readers_python(), READER, name, directory]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout)
