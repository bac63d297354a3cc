"""Training files read strictly: every row is used as it is written, or refused with its line.

One JSON object a line. Understood are the formats of OpenAI's fine-tuning and of its neighbours (``Format``); a file
keeps to one. Texts are data: template syntax and role markers stay as they are.
"""

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from gateway.config.findings import Finding, printable, quoted
from gateway.errors import ConfigError
from gateway.learning.packs.training_json import Refused, read_object
from gateway.learning.packs.training_messages import SYSTEM_ROLES, check_message, text_of

MAX_FILE_BYTES = 64 * 2**20
MAX_LINE_BYTES = 2**20
MAX_ROWS = 50_000
_SHOWN = 20

Format = Literal["messages", "input and preferred_output", "prompt and completion", "chosen"]
"""A format by the keys that tell it: OpenAI's, Bedrock's and Together's chats; OpenAI's preferences; pairs, also TRL's,
of texts or messages; TRL's preferences."""

_KEYS: dict[Format, tuple[str, ...]] = {
    "messages": ("messages",),
    "input and preferred_output": ("input", "preferred_output"),
    "prompt and completion": ("prompt", "completion"),
    "chosen": ("chosen",),
}
# Control tokens of the chat templates of ChatML, Llama, Mistral, Gemma, Phi and DeepSeek.
CONTROL = re.compile(r"<[|｜][\w▁]{2,40}[|｜]>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>|<bos>|<eos>")


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """One example: what was asked, and the answer that was trained."""

    line: int
    system: str | None
    """The text of the system or developer message; None where the row has none, or a blank one."""
    messages: tuple[dict[str, Any], ...]
    """Everything before the answer but the system message; ``weight``, which is training's alone, is left out."""
    answer: dict[str, Any]
    """The last assistant message."""
    tools: list[dict[str, Any]] | None = None
    parallel_tool_calls: bool | None = None
    untrained: frozenset[int] = frozenset()
    """Places in ``messages`` of assistant messages that had the weight 0."""


@dataclass(frozen=True, slots=True)
class TrainingFile:
    """A file without errors."""

    label: str
    format: Format
    rows: tuple[TrainingRow, ...]
    findings: tuple[Finding, ...] = ()
    """Warnings, by line: rows that are no examples, and rows with control tokens of a chat template."""


@dataclass(frozen=True, slots=True)
class Unique:
    """Rows of which no two are the same, and what was told on the way, by lines."""

    rows: tuple[TrainingRow, ...]
    repeated: tuple[tuple[int, int], ...]
    """Rows that were dropped: (its line, the line of the row that stays)."""
    conflicting: tuple[tuple[int, ...], ...]
    """Lines of rows that answer the same input differently; all of them stay."""


class InvalidTrainingFile(ConfigError):
    """A training file cannot be used; the message is a finding a line, twenty at most, and how many more there are."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        more = len(findings) - _SHOWN
        lines = [*map(str, findings[:_SHOWN]), *([f"and {more:,} more lines to mend"] if more > 0 else [])]
        super().__init__("\n".join(lines))
        self.findings = findings


@dataclass(slots=True)
class _Reading:
    """What is known of a file so far."""

    label: str
    rows: list[TrainingRow] = field(default_factory=list)
    errors: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    format: Format | None = None
    format_line: int = 0
    is_mixed: bool = False

    def error(self, line: int, message: str) -> None:
        self.errors.append(Finding(self.label, line, printable(message)))

    def warning(self, line: int, message: str) -> None:
        self.warnings.append(Finding(self.label, line, message, "warning"))

    def keep_to(self, form: Format, line: int) -> None:
        """Tell the first row of a second format; of one mistake, one finding."""
        if self.format is None:
            self.format, self.format_line = form, line
        elif form != self.format and not self.is_mixed:
            self.is_mixed = True
            self.error(
                line,
                f"has the format {form}, while line {self.format_line} has {self.format}: keep to one format in a file",
            )


def read_rows(content: bytes, label: str) -> TrainingFile:
    """Read a training file; ``label`` names it in findings.

    Blank lines, CRLF and one byte order mark are passed over. A row whose answer has ``weight: 0`` (or ``label: false``
    beside it, TRL's word for a bad answer) is no example: it is left out, and told.

    Raises:
        InvalidTrainingFile: rows cannot be used, none is there, or there are too many (50,000; 64 MiB; 1 MiB a line).
    """
    reading = _Reading(label)
    if len(content) > MAX_FILE_BYTES:
        reading.error(1, "is larger than 64 MiB: take a sample of its rows")
        raise InvalidTrainingFile(tuple(reading.errors))
    for count, (line, row) in enumerate(_rows_of(content), 1):
        if count > MAX_ROWS:
            reading.error(line, f"is row {count:,}: {MAX_ROWS:,} are read at most; take a sample of the rows")
            break
        try:
            _read_row(row, line, reading)
        except Refused as refused:
            reading.error(line, str(refused))
    if not reading.errors and not reading.rows:
        reading.error(1, "holds no row to learn from: one JSON object a line, with messages that end with an answer")
    if reading.errors or reading.format is None:
        raise InvalidTrainingFile(tuple(reading.errors))
    return TrainingFile(label, reading.format, tuple(reading.rows), tuple(reading.warnings))


def lines_of(content: bytes) -> Iterator[bytes]:
    """Yield a file's lines, each with its end."""
    # Not splitlines(), and not split(): a text may hold U+2028, and 64 MiB of line ends would be a list of 64 million.
    return iter(io.BytesIO(content))


def _rows_of(content: bytes) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(lines_of(content), 1):
        row = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if row := row.strip(b" \t\r\n"):
            yield number, row


def _read_row(written: bytes, line: int, reading: _Reading) -> None:
    if len(written) > MAX_LINE_BYTES:
        raise Refused("is longer than 1 MiB: shorten its messages, or leave the row out")
    row = read_object(written)
    form = _format_of(row)
    reading.keep_to(form, line)
    messages, options = _conversation(row, form)
    for at, message in enumerate(messages, 1):
        check_message(message, f"message {at}")
    example = _row(line, messages, options)
    if row.get("label") is False or messages[-1].get("weight") == 0:
        reading.warning(line, "its answer was not trained (weight 0 or label false): left out")
        return
    reading.rows.append(example)
    # Decoded, since JSON may spell a token with escapes.
    if token := CONTROL.search(orjson.dumps(messages).decode()):
        reading.warning(line, f"holds a control token of a chat template ({token.group()}): it stays as text")


def _format_of(row: dict[str, Any]) -> Format:
    for form, needed in _KEYS.items():
        if all(key in row for key in needed):
            return form
    keys = ", ".join(map(quoted, list(row)[:5])) or "none"
    raise Refused(f"is no training row (its keys: {keys}): the formats have {'; '.join(_KEYS)}")


def _conversation(row: dict[str, Any], form: Format) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return a row's messages, the answer last, and the object that holds its tools."""
    options = row
    if form == "messages":
        messages = _messages(row["messages"], "messages")
    elif form == "input and preferred_output":
        if not isinstance(options := row["input"], dict):
            raise Refused("its input is no object with messages")
        messages = _messages(options.get("messages"), "input.messages")
        messages += _messages(row["preferred_output"], "preferred_output")
    elif form == "prompt and completion":
        messages = _messages(row["prompt"], "prompt", "user") + _messages(row["completion"], "completion", "assistant")
    else:
        messages = _messages(row["prompt"], "prompt", "user") if "prompt" in row else []
        messages += _messages(row["chosen"], "chosen", "assistant" if "prompt" in row else None)
    if row.get("system") is not None:  # Bedrock's
        messages.insert(0, {"role": "system", "content": row["system"]})
    if not messages:
        raise Refused("has no messages")
    return messages, options


def _messages(value: Any, name: str, role_of_text: str | None = None) -> list[dict[str, Any]]:
    if role_of_text and isinstance(value, str):
        return [{"role": role_of_text, "content": value}]
    if not isinstance(value, list):
        raise Refused(f"its {name} is no list of messages{' and no text' if role_of_text else ''}")
    if not all(isinstance(message, dict) for message in value):
        raise Refused(f"its {name} holds something that is no object with role and content")
    return list(value)


def _row(line: int, messages: list[dict[str, Any]], options: dict[str, Any]) -> TrainingRow:
    systems = [at for at, message in enumerate(messages) if message["role"] in SYSTEM_ROLES]
    if len(systems) > 1:
        raise Refused(f"has {len(systems)} system messages: join them into one, at the beginning")
    if systems and systems[0] != 0:
        raise Refused("its system message is not the first message: move it to the beginning")
    if messages[-1]["role"] != "assistant":
        raise Refused(f"ends with a {messages[-1]['role']} message: the last one must be the assistant's answer")
    if not any(message["role"] == "user" for message in messages):
        raise Refused("has no user message: there is nothing that is answered")
    if not (messages[-1].get("tool_calls") or text_of(messages[-1].get("content")).strip()):
        raise Refused("its answer is empty: it needs text, or tool_calls")
    system = text_of(messages[0].get("content")) if systems else ""
    said = messages[len(systems) :]
    *before, answer = ({k: v for k, v in message.items() if k != "weight"} for message in said)
    untrained = frozenset(at for at, m in enumerate(said) if m.get("weight") == 0 and m["role"] == "assistant")
    parallel = options.get("parallel_tool_calls")
    if not (parallel is None or isinstance(parallel, bool)):
        raise Refused("its parallel_tool_calls is neither true nor false")
    own = system if system.strip() else None
    return TrainingRow(line, own, tuple(before), answer, _tools(options), parallel, untrained)


def _tools(options: dict[str, Any]) -> list[dict[str, Any]] | None:
    tools = options.get("tools")
    if options.get("functions"):
        raise Refused("has functions, which models no longer take: write them as tools")
    if isinstance(tools, str):  # TRL's
        try:
            tools = orjson.loads(tools)
        except orjson.JSONDecodeError:
            raise Refused("its tools are a text that is no JSON") from None
    if not (tools is None or (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools))):
        raise Refused("its tools are no list of objects")
    return tools or None


def systems(rows: Iterable[TrainingRow]) -> Counter[str | None]:
    """Count rows by their system message, equal up to white space; None counts those that have none."""
    return Counter(None if row.system is None else " ".join(row.system.split()) for row in rows)


def unique(rows: Iterable[TrainingRow]) -> Unique:
    """Return the rows, in order, without those whose input and answer are the same up to white space.

    The input is the system message, the messages and the tools; ids of tool calls, which are random, do not count.
    """
    answers: dict[bytes, dict[bytes, TrainingRow]] = {}
    kept: list[TrainingRow] = []
    repeated: list[tuple[int, int]] = []
    for row in rows:
        input_key = orjson.dumps([_normal(row.system), _normal(row.messages, no_ids=True), _normal(row.tools)])
        to_input = answers.setdefault(input_key, {})
        first = to_input.setdefault(orjson.dumps(_normal(row.answer, no_ids=True)), row)
        if first is row:
            kept.append(row)
        else:
            repeated.append((row.line, first.line))
    conflicting = tuple(tuple(row.line for row in same.values()) for same in answers.values() if len(same) > 1)
    return Unique(tuple(kept), tuple(repeated), conflicting)


def _normal(value: Any, *, no_ids: bool = False) -> Any:
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, list | tuple):
        return [_normal(item, no_ids=no_ids) for item in value]
    if isinstance(value, dict):
        kept = (key for key in sorted(value) if not (no_ids and key in ("id", "tool_call_id")))
        return {key: _normal(value[key], no_ids=no_ids) for key in kept}
    return value
