"""The formats of trainers' files: one row a format, with its rules, and where and when they were read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final, Literal

FormatName = Literal["openai-sft", "openai-dpo", "bedrock", "together", "fireworks", "trl-sft", "trl-dpo", "trl-kto"]
Kind = Literal["sft", "preference", "kto"]
"""sft: an answer to learn; preference: a better and a worse one; kto: an answer, and whether it is right."""

_PLAIN: Final = {role: frozenset({"role", "content"}) for role in ("system", "user", "assistant")}
_WEIGHED: Final = {**_PLAIN, "assistant": frozenset({"role", "content", "weight"})}
_CALLS: Final[Mapping[str, frozenset[str]]] = {
    "system": frozenset({"role", "content", "name"}),
    "user": frozenset({"role", "content", "name"}),
    "assistant": frozenset({"role", "content", "name", "refusal", "tool_calls"}),
    "tool": frozenset({"role", "content", "tool_call_id"}),
}
_TRAINED_CALLS: Final = {**_CALLS, "assistant": _CALLS["assistant"] | {"weight"}}
_TEMPLATED: Final = {
    **_PLAIN,
    "assistant": frozenset({"role", "content", "tool_calls"}),
    "tool": frozenset({"role", "content", "tool_call_id", "name"}),
}
_READ: Final = date(2026, 11, 29)
_OPENAI: Final = "https://github.com/openai/openai-openapi"
_TRL: Final = "https://huggingface.co/docs/trl/dataset_formats"


@dataclass(frozen=True, slots=True)
class Format:
    """What a trainer takes: one JSON object a line, and nothing that is not named here."""

    name: FormatName
    trainer: str
    """As people call it."""
    kind: Kind
    messages: Mapping[str, frozenset[str]]
    """Roles, and the keys that a message of each may have."""
    prompt: Literal["messages", "input", "prompt"]
    """The key of what was asked. ``messages`` holds the answer, too; ``input`` is an object with messages and tools."""
    answers: tuple[str, ...] = ()
    """The keys of answers beside the prompt, each a list of one assistant message; the better one first."""
    keys: frozenset[str] = field(default_factory=frozenset)
    """What a row may have beside these; of ``input``, what that object may have."""
    system: Literal["message", "field"] = "message"
    """field: a key of the row, and no message."""
    parts: frozenset[str] = frozenset()
    """Which parts a message's content may consist of; none: it is a text."""
    alternates: bool = False
    """Whether user and assistant take turns, the user first."""
    tools: Literal["objects", "text"] | None = None
    """How tools are written, text: as JSON in a string; None: it has no place for them."""
    fewest_rows: int = 1
    most_rows: int | None = None
    """None: no limit is published."""
    most_tokens: int | None = None
    """In a row."""
    most_bytes: int | None = None
    """Of a file."""
    source: str = ""
    """An address."""
    read_on: date = _READ

    @property
    def roles(self) -> frozenset[str]:
        """The roles that messages may have."""
        return frozenset(self.messages)

    @property
    def takes_weight(self) -> bool:
        """Whether an assistant's message may say that it is not trained on."""
        return "weight" in self.messages["assistant"]

    @property
    def row_keys(self) -> frozenset[str]:
        """Every key that a row may have at its top."""
        beside = frozenset({"label"}) if self.kind == "kto" else frozenset()
        at_top = frozenset() if self.prompt == "input" else self.keys
        return frozenset({self.prompt, *self.answers}) | at_top | beside


FORMATS: Final[Mapping[str, Format]] = {
    row.name: row
    for row in (
        Format(
            name="openai-sft",
            trainer="OpenAI, Azure",
            kind="sft",
            messages=_TRAINED_CALLS,
            prompt="messages",
            keys=frozenset({"tools", "parallel_tool_calls"}),
            parts=frozenset({"text", "refusal", "image_url"}),
            tools="objects",
            fewest_rows=10,
            most_tokens=65_536,
            most_bytes=512 * 10**6,
            source=f"{_OPENAI} (FineTuneChatRequestInput), https://developers.openai.com/api/docs/guides/supervised-fine-tuning",
        ),
        Format(
            name="openai-dpo",
            trainer="OpenAI, Azure, Together, Fireworks",
            kind="preference",
            messages=_CALLS,
            prompt="input",
            answers=("preferred_output", "non_preferred_output"),
            keys=frozenset({"messages", "tools", "parallel_tool_calls"}),
            parts=frozenset({"text", "refusal"}),
            tools="objects",
            fewest_rows=10,
            most_tokens=65_536,
            most_bytes=512 * 10**6,
            source=f"{_OPENAI} (FineTunePreferenceRequestInput), "
            "https://developers.openai.com/api/docs/guides/direct-preference-optimization",
        ),
        Format(
            name="bedrock",
            trainer="Amazon Bedrock (Anthropic)",
            kind="sft",
            messages={role: _PLAIN[role] for role in ("user", "assistant")},
            prompt="messages",
            keys=frozenset({"system"}),
            system="field",
            alternates=True,
            fewest_rows=32,
            most_rows=10_000,
            most_tokens=32_000,
            source="https://docs.aws.amazon.com/bedrock/latest/userguide/model-customization-prepare.html, "
            "https://platform.claude.com/cookbook/finetuning-finetuning-on-bedrock",
        ),
        Format(
            name="together",
            trainer="Together",
            kind="sft",
            messages=_WEIGHED,
            prompt="messages",
            alternates=True,
            source="https://docs.together.ai/docs/fine-tuning/data-preparation",
        ),
        Format(
            name="fireworks",
            trainer="Fireworks",
            kind="sft",
            messages=_WEIGHED,
            prompt="messages",
            fewest_rows=3,
            most_rows=3_000_000,
            source="https://docs.fireworks.ai/fine-tuning/fine-tuning-models",
        ),
        Format(
            name="trl-sft",
            trainer="TRL's SFTTrainer",
            kind="sft",
            messages=_TEMPLATED,
            prompt="messages",
            keys=frozenset({"tools"}),
            tools="text",
            source=_TRL,
        ),
        Format(
            name="trl-dpo",
            trainer="TRL's DPOTrainer",
            kind="preference",
            messages=_TEMPLATED,
            prompt="prompt",
            answers=("chosen", "rejected"),
            keys=frozenset({"tools"}),
            tools="text",
            source=_TRL,
        ),
        Format(
            name="trl-kto",
            trainer="TRL's KTOTrainer",
            kind="kto",
            messages=_TEMPLATED,
            prompt="prompt",
            answers=("completion",),
            keys=frozenset({"tools"}),
            tools="text",
            source=_TRL,
        ),
    )
}
