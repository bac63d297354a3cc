"""What a recording run asks, and what that may cost: known before it begins."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway.config.routes import Parameters, Target
from gateway.execution.endpoints import CHAT
from gateway.execution.endpoints.chat import produced_chars
from gateway.learning.asking import body_of
from gateway.learning.recordings.inputs_file import Input, Inputs
from gateway.policy.pricing import CHARS_PER_TOKEN, Price, Usage, cost_nanousd, estimate_usage
from gateway.store.recordings import Recording

FIRST, SECOND = 0, 1
USUAL_OUTPUT_TOKENS: Final = 300
"""Of an answer, where nothing tells how long they are."""
_BYTES_PER_TOKEN_AT_LEAST: Final = 2
_TOKENS_AROUND_A_MESSAGE: Final = 16
_TOKENS_OF_A_PICTURE: Final = 2_000
_TIMES_USUAL: Final = 4
_TIMES_LONGEST: Final = 2


def asked_with(primary: Target) -> str:
    """Return what recordings know a primary's parameters by, 8 hex digits: with others it answers otherwise.

    Empty where it sets, renames and drops none.
    """
    if primary.parameters == Parameters():
        return ""
    written = orjson.dumps(primary.parameters.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(written).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class Question:
    """One input, asked for its first or second sample."""

    input: Input
    sample: int

    @property
    def body(self) -> dict[str, Any]:
        """The request: the second sample's differs by its seed, lest a cache or a seed of the server's own answer."""
        seed = None if self.sample == FIRST else self.sample
        return body_of(list(self.input.messages), self.input.tools, seed=seed)


@dataclass(frozen=True, slots=True)
class RecordingPlan:
    """What is to be asked, in order, and what is there already."""

    questions: tuple[Question, ...]
    recorded: int
    """Inputs of the source whose answer is there."""
    pending: int
    """Answers that batches have promised."""

    @property
    def inputs(self) -> int:
        """Return how many inputs are asked."""
        return len({question.input.id for question in self.questions})

    @property
    def second_samples(self) -> int:
        """Return how many of the questions are second samples."""
        return sum(question.sample == SECOND for question in self.questions)


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long answers are, in tokens."""

    usual: int
    longest: int
    """At most, as far as anybody knows."""
    known: bool
    """Whether answers were seen, or all this is a guess."""


def plan(
    inputs: Inputs, recorded: Iterable[Recording], second_samples: float, limit: int | None = None
) -> RecordingPlan:
    """Choose what is asked: every sample that is not there, an input's second right after its first.

    So a run that ends early has its share of second samples. ``limit`` is how many inputs are looked at, from the
    first on, recorded or not: with the same one a second run asks nothing.
    """
    rows = inputs.rows if limit is None else inputs.rows[:limit]
    there = {(row.input_id, row.sample): row.answer is not None for row in recorded}
    questions: list[Question] = []
    for row in rows:
        samples = (FIRST, SECOND) if in_share(row.id, second_samples) else (FIRST,)
        questions += [Question(row, sample) for sample in samples if (row.id, sample) not in there]
    return RecordingPlan(
        tuple(questions),
        sum(there.get((row.id, FIRST), False) for row in rows),
        sum(not answered for answered in there.values()),
    )


def in_share(input_id: str, share: float) -> bool:
    """Tell whether an input is among this share of all: always the same ones, and a larger share holds a smaller."""
    digest = hashlib.sha256(f"second sample of {input_id}".encode()).digest()
    return int.from_bytes(digest[:8]) < share * 2**64


def lengths(inputs: Sequence[Input], recorded: Iterable[Recording]) -> Lengths:
    """Tell how long answers are: from what is recorded, else from what the inputs were answered with, else a guess."""
    seen = [row.output_tokens for row in recorded if row.output_tokens]
    chars = [row.answer_chars for row in inputs if row.answer_chars]
    found = seen or [-(-count // CHARS_PER_TOKEN) for count in chars]
    usual = round(sum(found) / len(found)) if found else USUAL_OUTPUT_TOKENS
    return Lengths(usual, longest(usual, max(found, default=0)), bool(found))


def longest(usual: int, seen: int) -> int:
    """Return how many tokens an answer takes at most, where the longest that was seen took so many."""
    return max(_TIMES_USUAL * usual, _TIMES_LONGEST * seen)


def estimated(questions: Iterable[Question], prefix_chars: int, output_tokens: int) -> Usage:
    """Estimate the tokens of all questions: four characters a token; ``prefix_chars`` are the target's own prompt's."""
    asked = [estimate_usage(prefix_chars + CHAT.input_chars(question.body), 0) for question in questions]
    return Usage(sum(usage.input_tokens for usage in asked), output_tokens=output_tokens * len(asked))


def cost_at_most(question: Question, price: Price | None, prefix_chars: int, output_tokens: int) -> int:
    """Return what a question costs at most, in nano-dollars; 0 where it is unpriced.

    Two bytes a token, which is twice the tokens of usual English; only an answer beyond ``output_tokens`` costs more.
    """
    if price is None:
        return 0
    messages = question.input.messages
    parts = [part for message in messages if isinstance(message.get("content"), list) for part in message["content"]]
    pictures = sum(part.get("type") not in ("text", "refusal") for part in parts)
    size = prefix_chars + len(orjson.dumps(question.body))
    tokens = size // _BYTES_PER_TOKEN_AT_LEAST + _TOKENS_AROUND_A_MESSAGE * (1 + len(messages))
    written = tokens if price.cache_write is not None and price.cache_write > price.input else 0
    usage = Usage(tokens + _TOKENS_OF_A_PICTURE * pictures, cache_write_tokens=written, output_tokens=output_tokens)
    return cost_nanousd(price, usage)


def prefix_chars(messages: Iterable[dict[str, object]]) -> int:
    """Return how many characters a target's own prompt adds to every question."""
    return sum(produced_chars(message) for message in messages)
