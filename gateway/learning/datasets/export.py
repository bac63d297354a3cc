"""A data set in a trainer's format: every row as the format has it, or left out, with its line and the reason."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import orjson

from gateway.learning.datasets.building import EVALUATION, EVALUATION_PAIRS, EXAMPLES, TERMS, TRAIN, TRAIN_PAIRS
from gateway.learning.datasets.directory import DataSet
from gateway.learning.datasets.formats import Format
from gateway.learning.datasets.manifest import Manifest, ManifestFile, ManifestRow, sha256_of
from gateway.learning.datasets.rows import APPROVED, CORRECTIONS, STORED
from gateway.policy.splits import Split

_PAIRS_BESIDE: Final = {TRAIN: TRAIN_PAIRS, EVALUATION: EVALUATION_PAIRS}
Row = dict[str, Any]


class Unfit(ValueError):
    """A format has no place for something of a row; the message ends a sentence that begins with the row."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that is not in the export."""

    file: str
    line: int
    """Of the data set's file."""
    reason: str


@dataclass(frozen=True, slots=True)
class Exported:
    """A data set in another format."""

    manifest: Manifest
    files: Mapping[str, bytes]
    """train.jsonl and evaluation.jsonl, as far as they have rows."""
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    """What the format changes in rows that are there."""

    def rows(self, name: str) -> int:
        """Return how many rows a file has."""
        return len(self.manifest.rows(name))


@dataclass(frozen=True, slots=True)
class _Written:
    """One row of an export, and what is to be said of it."""

    row: Row
    told: ManifestRow


def exported(
    dataset: DataSet,
    form: Format,
    *,
    splits: Sequence[Split] = tuple(Split),
    by: str | None = None,
    at: datetime | None = None,
) -> Exported:
    """Return a data set's rows in a format, those that it can hold as they are.

    Preference formats have the corrections whose answer is known; trl-kto has what people called right or wrong. ``by``
    and ``at``: who exports, and when; without them it is as the data set says.
    """
    files: dict[str, bytes] = {}
    told: dict[str, ManifestFile] = {}
    left_out: list[LeftOut] = []
    changed: Counter[str] = Counter()
    for split in splits:
        name = EXAMPLES[split]
        rows: list[_Written] = []
        for written in _ROWS[form.kind](dataset, name, form, changed):
            if isinstance(written, LeftOut):
                left_out.append(written)
            else:
                rows.append(written)
        if rows:
            rows = _fullest_first(rows)
            files[name] = b"".join(orjson.dumps(row.row, option=orjson.OPT_APPEND_NEWLINE) for row in rows)
            told[name] = ManifestFile(sha256_of(files[name]), tuple(row.told for row in rows))
    reasons = Counter(row.reason for row in left_out)
    manifest = replace(
        dataset.manifest,
        format=form.name,
        files=told,
        sources=dict(sorted(Counter(row.source for file in told.values() for row in file.rows).items())),
        left_out=dict(sorted(reasons.items())),
        systems={},
        tokens={},
        terms=_terms(told, form),
        built_at=at or dataset.manifest.built_at,
        by=by or dataset.manifest.by,
    )
    notes = tuple(f"{rows:,} × {change}" for change, rows in sorted(changed.items()))
    return Exported(manifest, files, tuple(left_out), notes)


def _terms(files: Mapping[str, ManifestFile], form: Format) -> str:
    """Say how many answers are models'; of a pair the worse one is always a model's."""
    rows = [row for file in files.values() for row in file.rows]
    worse = len(rows) if form.kind == "preference" else 0
    models = sum(row.origin == "model" for row in rows) + worse
    return TERMS.format(models=models, rows=len(rows) + worse) if models else ""


def _fullest_first(rows: Sequence[_Written]) -> list[_Written]:
    """Return rows so that the first few have every key that any has.

    Hugging Face's loader takes the types of all rows from those it reads first, and fails at a key that comes later.
    """
    seen: set[str] = set()
    first: list[_Written] = []
    others: list[_Written] = []
    for row in rows:
        paths = set(_paths(row.row, ""))
        (first if paths - seen else others).append(row)
        seen |= paths
    return first + others


def _paths(value: Any, at: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"{at}.{key}"
            yield from _paths(item, f"{at}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from _paths(item, f"{at}[]")


def _sft_rows(dataset: DataSet, name: str, form: Format, changed: Counter[str]) -> Iterator[_Written | LeftOut]:
    for line, row, told in _read(dataset, name):
        try:
            yield _Written(_sft_row(row, form, told, changed), told)
        except Unfit as unfit:
            yield LeftOut(name, line, str(unfit))


def _pair_rows(dataset: DataSet, name: str, form: Format, changed: Counter[str]) -> Iterator[_Written | LeftOut]:
    pairs = _PAIRS_BESIDE[name]
    paired = {told.feedback_id for told in dataset.manifest.rows(pairs)}
    for line, told in enumerate(dataset.manifest.rows(name), 1):
        if told.source != CORRECTIONS:
            yield LeftOut(name, line, "nobody has put another answer in the place of its own")
        elif told.feedback_id not in paired:
            yield LeftOut(name, line, "the answer that was corrected is not known, or says the same")
    for line, row, told in _read(dataset, pairs):
        try:
            asked, better, worse = row["input"], row["preferred_output"], row["non_preferred_output"]
            whole = {form.answers[0]: _fitted(better, form), form.answers[1]: _fitted(worse, form)}
            yield _Written({**_prompt(asked, form), **whole}, told)
        except Unfit as unfit:
            yield LeftOut(pairs, line, str(unfit))


def _kto_rows(dataset: DataSet, name: str, form: Format, changed: Counter[str]) -> Iterator[_Written | LeftOut]:
    """Yield what people judged: approved and corrected answers as right, those that were corrected as wrong."""
    judged: list[_Written | LeftOut] = []
    for line, row, told in _read(dataset, name):
        if told.source not in (APPROVED, CORRECTIONS):
            yield LeftOut(name, line, "nobody has said whether its answer is right")
            continue
        *asked, answer = row["messages"]
        judged.append(_judged(name, line, {**row, "messages": asked}, answer, told, form, is_right=True))
    pairs = _PAIRS_BESIDE[name]
    for line, row, told in _read(dataset, pairs):
        worse = row["non_preferred_output"][0]
        judged.append(_judged(pairs, line, row["input"], worse, replace(told, origin="model"), form, is_right=False))
    # Right and wrong among each other: some trainers take rows as they come.
    yield from sorted(judged, key=lambda one: one.told.input_id if isinstance(one, _Written) else "")


def _judged(
    name: str, line: int, asked: Row, answer: Row, told: ManifestRow, form: Format, *, is_right: bool
) -> _Written | LeftOut:
    try:
        return _Written({**_prompt(asked, form), "completion": _fitted([answer], form), "label": is_right}, told)
    except Unfit as unfit:
        return LeftOut(name, line, str(unfit))


_ROWS: Final[Mapping[str, Callable[[DataSet, str, Format, Counter[str]], Iterator[_Written | LeftOut]]]] = {
    "sft": _sft_rows,
    "preference": _pair_rows,
    "kto": _kto_rows,
}


def _read(dataset: DataSet, name: str) -> Iterator[tuple[int, Row, ManifestRow]]:
    told = dataset.manifest.rows(name)
    for line, (written, own) in enumerate(zip(dataset.lines(name), told, strict=True), 1):
        yield line, orjson.loads(written), own


def _sft_row(row: Row, form: Format, told: ManifestRow, changed: Counter[str]) -> Row:
    messages: list[Row] = row["messages"]
    loses_weights = not form.takes_weight and any(message.get("weight") == 0 for message in messages)
    if loses_weights and told.source not in STORED:
        raise Unfit(f"has answers of weight 0, which {form.name} would train on")
    asked = _prompt(row, form)
    if form.system == "field" and messages[0]["role"] == "system":
        messages = messages[1:]
    if form.alternates:
        _check_turns([message["role"] for message in messages if message["role"] != "system"])
    if loses_weights:
        changed["earlier answers of the conversation are trained on, too: the format has no weights"] += 1
    return asked


def _prompt(asked: Row, form: Format) -> Row:
    """Return what was asked as the format has it: messages, tools and system."""
    messages: list[Row] = asked["messages"]
    system: Row = {}
    if form.system == "field" and messages[0]["role"] == "system":
        system = {"system": _text(messages[0]["content"], form)}
        messages = messages[1:]
    options = _options(asked, form)
    fitted = _fitted(messages, form)
    if form.prompt == "input":
        return {"input": {"messages": fitted, **options}}
    return {**system, form.prompt: fitted, **options}


def _options(asked: Row, form: Format) -> Row:
    tools = asked.get("tools")
    if not tools:
        return {}
    if form.tools is None:
        raise Unfit(f"has tools, for which {form.name} has no place")
    options: Row = {"tools": tools if form.tools == "objects" else orjson.dumps(tools).decode()}
    parallel = asked.get("parallel_tool_calls")
    if parallel is not None and "parallel_tool_calls" in form.keys:
        options["parallel_tool_calls"] = parallel
    return options


def _fitted(messages: Sequence[Row], form: Format) -> list[Row]:
    return [_message(message, form) for message in messages]


def _message(message: Row, form: Format) -> Row:
    role = message["role"]
    if role not in form.roles:
        raise Unfit(f"has a message of the role {role}, which {form.name} does not know")
    # Weights that a format does not take are told of by whoever asks for the row.
    own = {key: value for key, value in message.items() if key != "weight" or form.takes_weight}
    if lacking := sorted(own.keys() - form.messages[role]):
        raise Unfit(f"has a message with {lacking[0]}, for which {form.name} has no place")
    if "content" in own:
        own["content"] = _text(own["content"], form)
    return own


def _text(content: Any, form: Format) -> Any:
    """Return a message's content; parts of text become a text where a format takes no parts."""
    if not isinstance(content, list):
        return content
    kinds = [part["type"] for part in content]
    if form.parts:
        if foreign := sorted(set(kinds) - form.parts):
            raise Unfit(f"has a part {foreign[0]!r}, for which {form.name} has no place")
        return content
    if foreign := sorted(set(kinds) - {"text"}):
        raise Unfit(f"has a part {foreign[0]!r}: messages of {form.name} are text alone")
    return "".join(part["text"] for part in content)


def _check_turns(roles: Sequence[str]) -> None:
    if roles[0] != "user":
        raise Unfit("does not begin with the user, where user and assistant have to take turns")
    for at in range(1, len(roles)):
        if roles[at] == roles[at - 1]:
            raise Unfit(f"has two messages of the {roles[at]} in a row, where user and assistant have to take turns")
