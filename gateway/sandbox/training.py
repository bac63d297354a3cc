"""What the sandbox's fine-tunes were trained on: made from the task's own skill, the same on every run."""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import orjson

from gateway.sandbox.catalogue import Model, Task
from gateway.sandbox.skills import answer_in_style, draw
from gateway.sandbox.tokens import split_tokens

EPOCHS = 3
MESSAGE_TOKENS = 4
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"

_SYSTEM = {
    Task.FORUM_REPLY: "You answer questions in Acme's public forum.",
    Task.TICKET_TRIAGE: "Sort the ticket.",
    Task.INVOICE_EXTRACT: "Read the invoice and return its facts as JSON.",
}
# {0} to {2} are drawn from the three lists beside it.
_QUESTIONS: dict[Task, tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]] = {
    Task.FORUM_REPLY: (
        ("How do I {0} {1}{2}?", "Is there a way to {0} {1}{2}?", "I cannot {0} {1}{2}. What am I missing?"),
        (
            ("change", "export", "share", "restore", "delete", "rename"),
            (
                "my board",
                "a project",
                "the weekly report",
                "my profile picture",
                "an old invoice",
                "my team's calendar",
            ),
            ("", " on my phone", " since the update", " without losing data", " for everybody"),
        ),
    ),
    Task.TICKET_TRIAGE: (
        ("{0}{1}{2}.", "Hello, {0}{1}{2}. Please look into it.", "{0}{1}{2}!!"),
        (
            (
                "I was charged twice",
                "I cannot log in",
                "the page shows an error",
                "it would be great to have dark mode",
                "where can I add a second user",
                "thank you for the quick help",
            ),
            ("", " again", " for our team", " in the app", " on the web"),
            ("", " since Monday", " after the last release", ", order 1188", ", ticket 20417"),
        ),
    ),
    Task.INVOICE_EXTRACT: (
        ("Invoice INV-2026-{0} from {1}, dated 2026-0{2}-17, total {0}.50 EUR.",),
        (
            ("1042", "2207", "3318", "4471", "5620", "6093", "7714", "8850"),
            ("Northwind Paper Ltd", "Baker Huber", "Acme Tools", "Bright Cleaning", "Lindqvist Freight", "Rossi Sons"),
            ("1", "2", "3", "4", "5", "6", "7", "8", "9"),
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class TrainingFile:
    """One training file as it was uploaded."""

    content: bytes
    """JSON Lines, each ``{"messages": [system, user, assistant]}``."""
    rows: int
    tokens: int
    """Of all rows, once."""

    @property
    def trained_tokens(self) -> int:
        """What the job was billed for."""
        return self.tokens * EPOCHS


def identifier(prefix: str, model_id: str, length: int = 24) -> str:
    """Return an id such as ``ftjob-…`` that belongs to a model."""
    digest = blake2b(f"{prefix}\x00{model_id}".encode(), digest_size=length).digest()
    return prefix + "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest)


@lru_cache(maxsize=256)
def training_file(model: Model) -> TrainingFile:
    """Return what a fine-tune was trained on; a fine-tune without a task counts as one that answers the forum."""
    task = model.task or Task.FORUM_REPLY
    rows, tokens, count = [], 0, _rows(model)
    for number in range(count):
        question = _question(task, f"{model.id}/{number}")
        texts = (("system", _SYSTEM[task]), ("user", question), ("assistant", answer_in_style(task, question)))
        rows.append(orjson.dumps({"messages": [{"role": role, "content": text} for role, text in texts]}))
        tokens += sum(len(split_tokens(text)) + MESSAGE_TOKENS for _, text in texts)
    return TrainingFile(b"\n".join(rows) + b"\n", count, tokens)


def checkpoint_step(model_id: str) -> int | None:
    """Return the step at which a checkpoint was taken; None where the id is not a checkpoint's."""
    _, found, step = model_id.rpartition(":ckpt-step-")
    return int(step) if found and step.isdigit() else None


def _rows(model: Model) -> int:
    # One row a step: a checkpoint is what stood after the second of three epochs.
    step = checkpoint_step(model.id)
    return step // 2 if step else 40 + int(draw("rows", model.id) * 160)


def _question(task: Task, seed: str) -> str:
    patterns, lists = _QUESTIONS[task]
    drawn = (choices[int(draw(str(place), seed) * len(choices))] for place, choices in enumerate(lists))
    return patterns[int(draw("pattern", seed) * len(patterns))].format(*drawn)
