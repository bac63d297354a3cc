"""What is wrong with a pack that can be read: held-out rows, addresses and numbers, counts of tokens, the window."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from gateway.config.findings import Finding
from gateway.config.packs import FIXED, INSTRUCTIONS, MANIFEST, POOL, Pack, PackExample
from gateway.learning.capture.redaction import Redactor
from gateway.learning.packs.tokens import tokens_of
from gateway.learning.packs.training_rows import TrainingRow
from gateway.policy.inputs import question_id, questions_of
from gateway.policy.leaks import answered_in, last_answered


def check_pack(
    pack: Pack, redactor: Redactor, window: int | None, held_out: Sequence[TrainingRow], held_out_label: str
) -> list[Finding]:
    """Return everything that is wrong, by file and line; a warning is what only a person can judge.

    ``parse_pack`` has held it against its hash, and its examples against the ids that were held out.

    Args:
        pack: to be checked.
        redactor: finds what should have been redacted.
        window: the target's, in tokens; None: not known, and not checked.
        held_out: rows of which none may be an example, redacted or not.
        held_out_label: the name of their file.
    """
    named = [(name, examples) for name, examples in ((FIXED, pack.fixed), (POOL, pack.pool))]
    places = [(name, line, example) for name, examples in named for line, example in enumerate(examples, 1)]
    return [
        *_personal(pack, redactor, places),
        *_held_out(places, redactor, held_out, held_out_label),
        *_tokens(pack, places),
        *_window(pack, window),
    ]


def _personal(pack: Pack, redactor: Redactor, places: Iterable[tuple[str, int, PackExample]]) -> Iterator[Finding]:
    if found := redactor.find(pack.instructions):
        yield Finding(INSTRUCTIONS, 1, f"the instructions hold {in_words(found)}: are they meant?", "warning")
    if found := redactor.value(list(pack.trained_system))[1]:
        yield Finding(MANIFEST, 1, f"trained_system holds {in_words(found)}")
    for name, line, example in places:
        if found := redactor.value(list(example.messages))[1]:
            yield Finding(name, line, f"the example holds {in_words(found)}: build the pack anew, it redacts them")


def _held_out(
    places: Sequence[tuple[str, int, PackExample]], redactor: Redactor, rows: Iterable[TrainingRow], label: str
) -> Iterator[Finding]:
    # Without tools, which examples do not carry; redacted, as examples are.
    clean = [(redactor.value([*row.messages, row.answer])[0], row.line) for row in rows]
    asked = {question_id(messages): line for messages, line in clean}
    told = {last_answered(messages): line for messages, line in clean}
    for name, line, example in places:
        if (row := asked.get(question_id(example.messages))) is not None:
            yield Finding(name, line, f"the example is row {row} of {label}, which was to be held out")
            continue
        earlier = (asked.get(question) for question in questions_of(example.messages))
        same = (told.get(pair) for pair in answered_in(example.messages))
        if (row := next((row for row in (*earlier, *same) if row is not None), None)) is not None:
            yield Finding(name, line, f"the example holds the answer of row {row} of {label}, which was to be held out")


def _tokens(pack: Pack, places: Iterable[tuple[str, int, PackExample]]) -> Iterator[Finding]:
    for name, line, example in places:
        if (tokens := tokens_of(example.messages)) != example.tokens:
            yield Finding(name, line, f"the example has {tokens:,} tokens, not {example.tokens:,}")
    own = tokens_of([{"content": pack.instructions}]) if pack.instructions else 0
    prefix = own + sum(example.tokens for example in pack.fixed)
    if prefix != pack.prefix_tokens:
        yield Finding(MANIFEST, 1, f"prefix_tokens is {pack.prefix_tokens:,}, and the prefix has {prefix:,} tokens")


def _window(pack: Pack, window: int | None) -> Iterator[Finding]:
    whole = pack.prefix_tokens + pack.similar_tokens
    kept = pack.manifest.get("tokens", {}).get("kept_for_request", 0)
    if window is not None and whole + kept > window:
        message = f"the pack takes up to {whole:,} tokens and a request {kept:,}: more than the window's {window:,}"
        yield Finding(MANIFEST, 1, message)


def in_words(found: Counter[str]) -> str:
    """Say how often each kind was found."""
    return ", ".join(f"{count:,} × {kind}" for kind, count in sorted(found.items()))
