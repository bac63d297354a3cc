"""Files of training rows held to their format's rules: everything that is wrong, with its line.

A file is read once, a line at a time. Of each row some 200 bytes are kept, to tell repetitions and contradictions;
of findings no more than a hundred a rule, and the count of all.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.config.findings import printable
from gateway.learning.capture.redaction import Redactor
from gateway.learning.datasets.formats import FORMATS, Format
from gateway.learning.datasets.overlap import Evaluated
from gateway.learning.datasets.row_lines import MAX_LINE_BYTES, Advance, FileTraits, rows_of
from gateway.learning.datasets.row_rules import Example, read_row
from gateway.learning.datasets.rules import RULES, RowFinding
from gateway.learning.datasets.seen_rows import SeenRows, lines_in_words, systems_in_words
from gateway.learning.datasets.token_limits import limit_of
from gateway.learning.datasets.tool_call_rules import Told
from gateway.learning.packs.tokens import tokens_of, tokens_of_tools
from gateway.learning.packs.training_json import Refused, read_object
from gateway.learning.packs.training_messages import text_of
from gateway.learning.packs.training_rows import CONTROL

MOST_A_RULE: Final = 100
# By their beginnings, which their makers chose so that scanners find them.
_SECRET: Final = re.compile(
    rb"\b(?:sk-[\w-]{20,}|us_[a-z0-9]{8}_[\w-]{40,}|(?:AKIA|ASIA)[0-9A-Z]{16}|gh[opsur]_[A-Za-z0-9]{36}|"
    rb"github_pat_\w{30,}|xox[abeoprs]-[\w-]{20,}|AIza[\w-]{35}|hf_[A-Za-z0-9]{30,}|glpat-[\w-]{20,}|"
    rb"eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})|-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What files are held against beside their format."""

    base: str | None = None
    """The model that is trained from: some have limits of their own."""
    redactor: Redactor | None = None
    """Finds personal data; None: it is not looked for."""
    evaluated: Evaluated | None = None
    """What training rows must not tell."""
    is_training: bool = True
    """Rows that are kept to evaluate with may be few."""


@dataclass(slots=True)
class FileReport:
    """What was found in one file."""

    file: str
    format: str
    rows: int = 0
    size_bytes: int = 0
    findings: list[RowFinding] = field(default_factory=list)
    """By line; of each rule the first hundred."""
    counts: Counter[str] = field(default_factory=Counter)
    """All findings, by rule."""

    def add(self, rule: str, line: int, message: str) -> None:
        """Count a finding, and keep it while there are not too many of its rule."""
        self.counts[rule] += 1
        if self.counts[rule] <= MOST_A_RULE:
            self.findings.append(RowFinding(rule, self.file, line, printable(message)))

    @property
    def errors(self) -> int:
        """How many errors there are, shown or not."""
        return sum(count for rule, count in self.counts.items() if RULES[rule].severity == "error")

    @property
    def warnings(self) -> int:
        """How many warnings there are, shown or not."""
        return self.counts.total() - self.errors


def guess_format(row: Mapping[str, Any]) -> Format:
    """Return the format that a row's keys tell; OpenAI's chats where they tell none."""
    for name, keys in _TELLING:
        if row.keys() >= keys:
            return FORMATS[name]
    return FORMATS["openai-sft"]


_TELLING: Final = (
    ("openai-dpo", {"input", "preferred_output"}),
    ("trl-dpo", {"prompt", "chosen"}),
    ("trl-kto", {"prompt", "completion"}),
    ("bedrock", {"messages", "system"}),
)


def validate_file(
    path: Path, label: str, form: Format | None, wanted: Wanted, advance: Advance | None = None
) -> FileReport:
    """Return everything that is wrong with a file; without a format its first row tells it.

    Raises:
        OSError: it cannot be read.
    """
    return _Validation(label, form, wanted).run(path, advance)


def add_evaluated(evaluated: Evaluated, path: Path, label: str, advance: Advance | None = None) -> Evaluated:
    """Take what the rows of an evaluation file ask and answer, and return it; rows that are none are passed over.

    Raises:
        OSError: it cannot be read.
    """
    for line, content in rows_of(path, FileTraits(), advance):
        try:
            row = read_object(content)
        except Refused:
            continue
        example, _ = read_row(row, guess_format(row))
        if example is not None:
            evaluated.add(line, label, example.whole, is_right=example.label is not False)
    return evaluated


class _Validation:
    """One file being read."""

    def __init__(self, label: str, form: Format | None, wanted: Wanted) -> None:
        self._form, self._wanted = form, wanted
        self._report = FileReport(label, form.name if form else "")
        self._traits = FileTraits()
        self._seen = SeenRows()
        self._labels: Counter[bool] = Counter()

    def run(self, path: Path, advance: Advance | None) -> FileReport:
        """Read it to its end."""
        report = self._report
        for line, content in rows_of(path, self._traits, advance):
            report.rows += 1
            for rule, message in self._row(line, content):
                report.add(rule, line, message)
        report.size_bytes = self._traits.size_bytes
        for rule, line, message in (*self._of_file(), *self._of_format(), *self._of_rows()):
            report.add(rule, line, message)
        report.findings.sort(key=lambda finding: finding.line)
        return report

    def _row(self, line: int, content: bytes) -> Iterable[Told]:
        if _SECRET.search(content):
            yield "secret", "holds what looks like the key of a service: take it out, and have it revoked"
        try:
            row = read_object(content)
        except Refused as refused:
            yield "json", str(refused)
            return
        if self._form is None:
            self._form = guess_format(row)
            self._report.format = self._form.name
        example, told = read_row(row, self._form)
        yield from told
        if token := CONTROL.search(content.decode()):
            yield "control-token", f"holds a control token of a chat template ({token.group()}): is it meant?"
        if self._wanted.redactor is not None and (found := self._wanted.redactor.value(row)[1]):
            kinds = ", ".join(f"{count:,} × {kind}" for kind, count in sorted(found.items()))
            yield "personal-data", f"holds {kinds}: gateway dataset build takes that out"
        if example is not None:
            yield from self._example(line, example, len(content))

    def _example(self, line: int, example: Example, size_bytes: int) -> Iterable[Told]:
        yield from self._tokens(example, size_bytes)
        yield from self._see(line, example)
        if self._wanted.evaluated is not None:
            yield from self._wanted.evaluated.overlaps(example.whole)

    def _tokens(self, example: Example, size_bytes: int) -> Iterable[Told]:
        assert self._form is not None
        limit = limit_of(self._form, self._wanted.base)
        # No token is shorter than a byte, and a message adds four: most rows need not be counted.
        if limit is None or size_bytes <= limit.tokens:
            return
        said = tokens_of([{"content": example.system}, *example.messages]) + tokens_of_tools(example.tools)
        answer = max(tokens_of([answer]) for answer in example.answers)
        if said + answer <= limit.tokens:
            return
        whole = f"has {said + answer:,} tokens, and {limit.of} takes {limit.tokens:,} in a row"
        if limit.is_cut:
            lost = min(answer, said + answer - limit.tokens)
            yield "tokens-cut", f"{whole}: the last {lost:,} of its answer's {answer:,} are not trained on; shorten it"
        else:
            yield "tokens-refused", f"{whole}: shorten it"

    def _see(self, line: int, example: Example) -> Iterable[Told]:
        asked: list[Any] = [example.system, example.messages, example.tools]
        answers = [{"role": "assistant", **answer} for answer in example.answers]
        label: str | None = None
        if example.label is not None:
            self._labels[example.label] += 1
            yield from self._seen.see(
                line, [*asked, answers], example.label, example.system, "right" if example.label else "wrong"
            )
            return
        if len(answers) == 2:
            if _same(*answers):
                yield "pair-equal", "its better answer is the worse one: leave it out"
            # Of a pair, the contradiction is the same two answers the other way round.
            dumped = sorted(orjson.dumps(answer, option=orjson.OPT_SORT_KEYS).decode() for answer in answers)
            yield from self._seen.see(line, [*asked, dumped], answers[0], example.system, None)
            return
        if not answers[0].get("tool_calls"):
            label = " ".join(text_of(answers[0].get("content")).split())
        yield from self._seen.see(line, asked, answers, example.system, label)

    def _of_file(self) -> Iterable[tuple[str, int, str]]:
        traits = self._traits
        if traits.has_bom:
            yield "bom", 1, "the file begins with a byte order mark, which some trainers refuse: save it without"
        for line in traits.crlf:
            yield "crlf", line, f"{traits.crlf_lines:,} lines end with CR LF: save the file with line feeds alone"
        for line in traits.blank:
            yield "blank-line", line, f"{traits.blank_lines:,} lines are blank, the first here: take them out"
        for line in traits.too_long:
            yield "line-too-long", line, f"is longer than {MAX_LINE_BYTES // 2**20} MiB: shorten it, or leave it out"

    def _of_format(self) -> Iterable[tuple[str, int, str]]:
        form, rows = self._form or FORMATS["openai-sft"], self._report.rows
        if self._wanted.is_training and rows < form.fewest_rows:
            has = f"has {rows:,} {'row' if rows == 1 else 'rows'}"
            yield "fewest-rows", 1, f"{has}, and {form.trainer} wants {form.fewest_rows:,}: add more"
        if form.most_rows is not None and rows > form.most_rows:
            yield "most-rows", 1, f"has {rows:,} rows, and {form.trainer} takes {form.most_rows:,}: take a sample"
        if form.most_bytes is not None and self._traits.size_bytes > form.most_bytes:
            sizes = (
                f"{self._traits.size_bytes / 10**6:,.0f} MB, and {form.trainer} takes {form.most_bytes / 10**6:,.0f}"
            )
            yield "file-size", 1, f"has {sizes}: take a sample of its rows"
        if form.kind == "kto" and len(self._labels) == 1:
            only = "right" if True in self._labels else "wrong"
            yield "one-class", 1, f"every answer is labelled {only}: KTO needs right and wrong ones"

    def _of_rows(self) -> Iterable[tuple[str, int, str]]:
        seen = self._seen
        for lines in seen.conflicts():
            where = lines_in_words(lines)
            yield "conflict", lines[0], f"the same input is answered differently on lines {where}: which one is meant?"
        if len(seen.systems) > 1:
            kinds = f"{len(seen.systems) + (seen.other_systems > 0)}{'+' if seen.other_systems else ''}"
            said = systems_in_words(seen.systems, seen.other_systems)
            yield (
                "several-systems",
                1,
                f"rows have {kinds} system messages ({said}): requests should have the same ones",
            )
        if seen.is_sorted:
            yield "row-order", 1, "rows are sorted by their answers: shuffle them, some trainers take them as they come"


def _same(better: Mapping[str, Any], worse: Mapping[str, Any]) -> bool:
    """Tell whether two answers say the same, white space and the ids of calls aside."""
    return _said(better) == _said(worse)


def _said(answer: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in answer.get("tool_calls") or ()]
    return " ".join(text_of(answer.get("content")).split()), calls
