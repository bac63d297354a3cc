"""Every rule that files of rows are held to: how bad it is when one is broken, and what it is about."""

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; its name is how findings, JSON and documents call it."""

    name: str
    severity: Severity
    about: str
    """What it asks for, as a sentence of the documents."""


def _rules(severity: Severity, *rows: tuple[str, str]) -> dict[str, Rule]:
    return {name: Rule(name, severity, about) for name, about in rows}


RULES: Final = _rules(
    "error",
    ("json", "Each line is one JSON object, without doubled keys, NaN, numbers that change, or half characters."),
    ("line-too-long", "A line has 16 MiB at most."),
    ("shape", "A row has the keys of its format, each of its kind; a file keeps to one format."),
    ("unknown-key", "A row has no key that the trainer does not take."),
    ("message-key", "A message has no key that the trainer does not take of its role."),
    ("message", "A message is one: text or parts, calls with a name and arguments, no `function_call`."),
    ("role", "Roles are those that the trainer takes."),
    ("parts", "Content has only parts that the trainer takes."),
    ("weight", "A weight is 0 or 1."),
    ("weights", "Not every answer of a row has weight 0."),
    ("system-place", "There is one system message at most, and it is the first."),
    ("no-user", "Somebody asks something."),
    ("alternation", "User and assistant take turns, where the trainer wants that."),
    ("assistant-last", "The last message is the assistant's; of a pair, each answer is one message of it."),
    ("prompt-end", "What a pair is about ends with the user's message, or a tool's."),
    ("empty-answer", "An answer has text, or calls."),
    ("tools", "Tools are functions with names of their own, and parameters that are JSON Schema."),
    ("tool-call", "Each call of a message has an id of its own."),
    ("tool-unknown", "What is called is defined in the row's tools."),
    ("tool-arguments", "Arguments are a JSON object."),
    ("tool-schema", "Arguments keep their tool's schema."),
    ("tool-unanswered", "Each call before the last message has its result."),
    ("tool-orphan", "Each result is of a call that the message before it made."),
    ("tool-twice", "No call is answered twice."),
    ("tokens-refused", "A row is no longer than the trainer takes."),
    ("fewest-rows", "There are as many rows as the trainer wants."),
    ("most-rows", "There are no more rows than the trainer takes."),
    ("file-size", "The file is no larger than the trainer takes."),
    ("pair-equal", "The better answer of a pair is not the worse one."),
    ("one-class", "KTO's rows have right answers, and wrong ones."),
    ("overlap-input", "No training row asks what an evaluation row asks."),
    ("answer-told", "No training row holds the answer of an evaluation row."),
    ("overlap-conversation", "No training row is of an evaluation row's conversation."),
    ("secret", "Nothing that looks like a key or a password of a service is in a row."),
    ("manifest", "Files are as their manifest says."),
) | _rules(
    "warning",
    ("bom", "The file has no byte order mark."),
    ("crlf", "Lines end with a line feed alone."),
    ("blank-line", "There are no blank lines."),
    ("empty-message", "No question and no system message is empty."),
    ("tokens-cut", "A row is no longer than what is trained on: trainers that cut it cut the answer."),
    ("control-token", "No text holds control tokens of chat templates."),
    ("duplicate", "No row is there twice."),
    ("conflict", "The same input has the same answer, and a pair is not contradicted by another."),
    ("several-systems", "Rows have the same system message, the one that live requests have."),
    ("row-order", "Rows are not sorted by their answers."),
    ("personal-data", "Nothing that redaction finds is left."),
)
"""By name."""


@dataclass(frozen=True, slots=True)
class RowFinding:
    """One broken rule, at one place."""

    rule: str
    file: str
    line: int
    message: str

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return RULES[self.rule].severity

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"
