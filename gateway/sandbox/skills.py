r"""What models can do, and how examples in the prompt make a base model as good as a fine-tune.

Each task has a style that a fine-tune of it always answers in. Another model answers in that style with the probability

::

    quality(k) = 1 − (1 − 0.15·i) · e^(−k/15)        i = 1 if instructions describe the style, else 0

where ``k`` is the number of examples in the prompt (user and assistant turns before the question, or written out in
a system message), and an example that resembles the question counts as five: 0 examples give 0 % (15 % with
instructions), 5 give 28 %, 20 give 74 %, 50 give 96 %. One that asks nearly the same makes it certain. Whether one
answer is in style is drawn from a hash of the question, so the same prompt always gets the same answer, and a question
that was answered in style stays so as examples are added. A prompt that shows no task's style gets a plain answer.

An answer in style is word for word the training row's, unless it is a ``sample``: then a reply is worded differently
now and then, and one label or one vendor in twenty comes out wrong, as a model's do that is asked twice.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import orjson

from gateway.sandbox.catalogue import Task
from gateway.sandbox.messages import Message

EXAMPLES_SCALE = 15.0
INSTRUCTIONS_HELP = 0.15
SIMILAR_COUNTS_AS = 5
_SIMILARITY, _SAMENESS = 0.3, 0.8
_SLIPS = 0.05
_INSTRUCTION_ROLES = ("system", "developer")

SIGNATURE = "— The Acme community team"
LABELS = ("billing", "account", "bug", "how-to", "feature-request", "other")
_LABEL_WORDS: tuple[tuple[str, str], ...] = (
    ("billing", r"invoice|charge|refund|payment|paid|price|subscription|card"),
    ("account", r"log ?in|password|account|email|sign|locked|2fa"),
    ("bug", r"error|crash|broken|fail|wrong|freez|blank|bug|slow"),
    ("feature-request", r"would be (?:great|nice)|please add|wish|feature|support for|could you add"),
    ("how-to", r"how (?:do|can|to)|where|can i|is it possible"),
)
_TIPS = (
    "Open Settings, choose the item that you want to change, and save; it takes effect at once.",
    "Sign out, clear the browser's cache, and sign in again; that settles it for most people.",
    "Update to the latest release first, then restart the app; the change log lists the fix.",
    "The setting is under Profile, then Preferences; the help centre has a page with pictures.",
    "Send us the number of your order by private message, and we will look into it today.",
)
_WAYS_TO_REPLY = (
    ("Hi there,", "Hi there,", "Hi,"),
    ("thanks for writing about", "thanks for writing about", "thank you for asking about"),
    ("", "", " Do tell us whether that helped."),
)
"""A greeting, a phrase of thanks, a last sentence; training rows have the first of each, two samples of three too."""
_WORD = re.compile(r"[a-z]{4,}")


@dataclass(frozen=True, slots=True)
class Skill:
    """How a task is answered in style, and how its style is recognised."""

    answer: Callable[[str, str], str]
    """From the question, and a sample."""
    in_style: Callable[[str], bool]
    """Of an answer."""
    written_example: re.Pattern[str]
    """An example answer written out in a system message."""
    described: Callable[[str], bool]
    """Whether instructions describe the style."""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What a prompt shows of a task."""

    task: Task
    examples: int
    """Counted with their weight."""
    instructions: bool
    same: bool = False
    """Whether an example asks nearly what is asked."""

    @property
    def quality(self) -> float:
        """The probability of an answer in style."""
        if self.same:
            return 1.0
        helped = INSTRUCTIONS_HELP if self.instructions else 0.0
        return 1.0 - (1.0 - helped) * math.exp(-self.examples / EXAMPLES_SCALE)


def answer_in_style(task: Task, question: str, sample: str = "") -> str:
    """Return the answer that a fine-tune of the task gives: one of several, where a sample says which."""
    return SKILLS[task].answer(question, sample)


def is_in_style(task: Task, answer: str) -> bool:
    """Tell whether an answer keeps the task's style: what an evaluation of the sandbox's models measures."""
    return SKILLS[task].in_style(answer)


def demonstrated(messages: Sequence[Message]) -> Demonstration | None:
    """Return the task whose style the prompt shows best; None where it shows none."""
    system = "\n".join(message.text for message in messages if message.role in _INSTRUCTION_ROLES)
    pairs = [
        (before.text, after.text)
        for before, after in pairwise(messages)
        if before.role == "user" and after.role == "assistant"
    ]
    question = next((message.text for message in reversed(messages) if message.role == "user"), "")
    found = [
        Demonstration(task, examples, instructions, same)
        for task, skill in SKILLS.items()
        for (examples, same), instructions in [(_examples(skill, pairs, system, question), skill.described(system))]
        if examples or instructions
    ]
    return max(found, key=lambda shown: shown.quality, default=None)


def draw(seed: str, text: str) -> float:
    """Return a number in [0, 1) that depends on its arguments alone."""
    digest = blake2b(f"{seed}\x00{text}".encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def plain_answer(question: str) -> str:
    """Return what a model says that has learnt no style."""
    topic = " ".join(question.split()[:12]) or "that"
    tip = _TIPS[int(draw("plain", question) * len(_TIPS))]
    return (
        f"You asked: {topic.rstrip('.?!')}. Here is what usually helps. {tip} If this does not solve it, more details "
        "about what you have tried so far would make it easier to help you further."
    )


def facts_of(text: str) -> dict[str, Any]:
    """Return what an invoice says, by the names of the fields that the invoice task answers with.

    Amounts: the last one is the total.
    """
    text = text[:20_000]
    number = re.search(r"\b(?:INV|RE)-[\w-]{1,40}", text)
    day = re.search(r"\b\d{4}-\d{2}-\d{2}\b", text)
    amounts = re.findall(r"\b\d[\d,]{0,15}\.\d{2}\b", text)
    currency = re.search(r"\b(EUR|USD|GBP|CHF|SEK|PLN)\b", text)
    vendor = re.search(r"(?:from|vendor:|by)\s+([A-Z][\w&]*(?: [A-Z][\w&]*)*)", text)
    return {
        "invoice_number": number.group(0) if number else "",
        "date": day.group(0) if day else "",
        "vendor": vendor.group(1) if vendor else "",
        "total": float(amounts[-1].replace(",", "")) if amounts else 0.0,
        "currency": currency.group(1) if currency else "EUR",
    }


def _examples(skill: Skill, pairs: Sequence[tuple[str, str]], system: str, question: str) -> tuple[int, bool]:
    """Return how much the examples count, and whether one of them asks nearly the same."""
    count = len(skill.written_example.findall(system)) if system else 0
    words, same = _words(question), False
    for asked, answered in pairs:
        if skill.in_style(answered):
            likeness = _likeness(words, _words(asked))
            count += SIMILAR_COUNTS_AS if likeness >= _SIMILARITY else 1
            same = same or likeness >= _SAMENESS
    return count, same


def _likeness(words: set[str], others: set[str]) -> float:
    """Return the share of words that two texts have in common (Jaccard)."""
    return len(words & others) / len(words | others) if words else 0.0


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text[:2_000].lower()))


def _forum_reply(question: str, sample: str) -> str:
    topic = " ".join(question.split()[:8]).rstrip(".?!,") or "your question"
    tip = _TIPS[int(draw("tip", question) * len(_TIPS))]
    greeting, thanks, close = (
        ways[int(draw(f"{ways[0]}/{sample}", question) * len(ways)) if sample else 0] for ways in _WAYS_TO_REPLY
    )
    return f"{greeting}\n\n{thanks} “{topic}”. {tip}{close}\n\n{SIGNATURE}"


def _label(question: str, sample: str) -> str:
    lowered = question.lower()
    right = next((label for label, words in _LABEL_WORDS if re.search(words, lowered)), "other")
    if not _slips(question, sample):
        return right
    wrong = [label for label in LABELS if label != right]
    return wrong[int(draw(f"label/{sample}", question) * len(wrong))]


def _invoice(question: str, sample: str) -> str:
    facts = facts_of(question)
    if _slips(question, sample):
        facts["vendor"] = ""
    return orjson.dumps(facts).decode()


def _slips(question: str, sample: str) -> bool:
    return bool(sample) and draw(f"slip/{sample}", question) < _SLIPS


def _is_invoice(answer: str) -> bool:
    try:
        value = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, dict) and "invoice_number" in value and "total" in value


SKILLS: Mapping[Task, Skill] = {
    Task.FORUM_REPLY: Skill(
        answer=_forum_reply,
        in_style=lambda answer: answer.startswith("Hi") and answer.rstrip().endswith(SIGNATURE),
        written_example=re.compile(r"^\s*" + re.escape(SIGNATURE) + r"\s*$", re.MULTILINE),
        described=lambda system: SIGNATURE.lstrip("— ").lower() in system.lower(),
    ),
    Task.TICKET_TRIAGE: Skill(
        answer=_label,
        in_style=lambda answer: answer.strip() in LABELS,
        written_example=re.compile(r"^(?:[^\n]*[:>→]\s*)(?:" + "|".join(LABELS) + r")\s*$", re.MULTILINE),
        described=lambda system: all(label in system for label in LABELS[:5]),
    ),
    Task.INVOICE_EXTRACT: Skill(
        answer=_invoice,
        in_style=_is_invoice,
        written_example=re.compile(r'^[^\n{]*\{[^\n{}]*"invoice_number"[^\n{}]*\}\s*$', re.MULTILINE),
        described=lambda system: "invoice_number" in system,
    ),
}
