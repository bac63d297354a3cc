"""Redaction: e-mail addresses, phone numbers, card numbers and the operator's own patterns become ``[kind]``.

What is built in takes time linear in a text's length. Operators' patterns run in Python's ``re``, which backtracks:
one like ``(a+)+b`` can take exponential time on a text made for it, and nothing but the end of its process interrupts
it, which is why captured rows are redacted in one of their own (``redaction_process``). They see pieces of at most
``LONGEST_PIECE`` characters, cut at white space, which bounds what a merely quadratic pattern costs; a match across a
cut is not found. Write patterns without a repetition inside a repetition, or with possessive ones (``a++``).
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from re import _parser  # type: ignore[attr-defined]  # no public function tells whether a pattern can match nothing
from typing import Any, Literal

from gateway.learning.capture.redaction_numbers import Phones, cards

LONGEST_PIECE = 64 * 1024
_MOST_ROUNDS = 8
_DEEPEST = 64
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
_BUILT_IN = ("email", "phone", "card")

Find = Callable[[str], Iterator[tuple[int, int]]]
"""Yields where a text holds what is to go: (start, end), in order, without overlaps, never empty."""

# Combining marks of Latin, Indic and Thai letters, and the joiners between them: letters of names, which \w leaves out.
_MARKS = "\u0300-\u036f\u0900-\u0e7f\u200c\u200d"
_IDEOGRAPH = re.compile(r".*[\u2e80-\u9fff\uac00-\ud7af]", re.DOTALL)
# What nobody sees: soft hyphens, zero-width spaces and joiners, marks of direction.
_INVISIBLE = re.compile("[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]+")
# An @, also as URLs, HTML and JSON write it.
_AT = r"(?:[@＠﹫]|%(?:25)*40|&#0*64;|&#[xX]0*40;|&commat;|\\{1,8}u0040)"
_DOT = r"(?:[.。．｡]|%(?:25)*2[eE])"
# Possessive, and begun only at the start of a run: linear on every text.
_LOCAL_CHARACTER = rf"[\w{_MARKS}.+'’!$~*^-]"
_LOCAL = rf"(?<!{_LOCAL_CHARACTER})(?:{_LOCAL_CHARACTER}|%(?!(?:25)*40))++[#&=?/|`{{}}]{{0,4}}"
_LABEL = rf"\w(?:\w|[{_MARKS}-]){{0,62}}"
_TOP_LABEL = rf"(?:xn--[a-z0-9-]{{2,59}}|[A-Za-z]{{2,63}}(?![A-Za-z0-9])|(?:[^\W\d_]|[{_MARKS}]){{2,63}})"
_DOMAIN = rf"(?:(?:{_LABEL}{_DOT})+{_TOP_LABEL}|\[(?:\d{{1,3}}(?:\.\d{{1,3}}){{3}}|IPv6:[0-9A-Fa-f:.]{{2,45}})\])"
_EMAIL = re.compile(rf"""(?P<local>{_LOCAL}|"[^"\\\n]{{1,64}}"|\{{[^{{}}\n@]{{1,200}}\}}){_AT}{_DOMAIN}""")
_MAY_HOLD_EMAIL = re.compile(_AT)
_DATA_URL = re.compile(r"data:[\w/+.;=-]{0,100};base64,[A-Za-z0-9+/_=-]*+")
# Where a JSON text holds values: strings (keys are told by the colon behind them) and numbers.
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"(?P<key>\s*:)?|-?\d++(?:\.\d++)?(?:[eE][+-]?\d++)?')


class Redactor:
    """Replaces what is found by ``[email]``, ``[phone]``, ``[card]`` or ``[name-of-pattern]``, and counts it by kind.

    E-mail addresses are those with a domain of two labels or more. Cards are 13 to 19 digits that pass Luhn's check
    and begin like a payment card (2 to 6). Phone numbers are those that libphonenumber holds valid: international ones
    with +, and ``regions``' own ways of writing (``US``, ``DE``), unless a word such as "order" stands before them.

    Raises:
        ValueError: a word, a region, a pattern or its name cannot be used; the message names it.
    """

    def __init__(
        self,
        words: Sequence[Literal["email", "phone", "card"]],
        patterns: Mapping[str, str],
        regions: Sequence[str] = (),
    ) -> None:
        if unknown := [word for word in words if word not in _BUILT_IN]:
            raise ValueError(f"'{unknown[0]}' is nothing that can be redacted: use email, phone, card, or a pattern")
        built_in: dict[str, Find] = {"email": _visible(_emails), "card": _visible(cards)}
        if "phone" in words:
            built_in["phone"] = _visible(Phones(regions))
        # The operator's first: they know best. Cards before phones: both are digits, and a card has a check digit.
        self._finders: dict[str, Find] = {name: _by_pattern(name, written) for name, written in patterns.items()}
        self._finders |= {word: find for word, find in built_in.items() if word in words}
        self._marker = re.compile(rf"(\[(?:{'|'.join(self._finders) or '(?!)'})\])")
        self._of_numbers = tuple(kind for kind in self._finders if kind not in ("email", "phone"))

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is redacted."""
        return tuple(self._finders)

    def text(self, text: str) -> tuple[str, Counter[str]]:
        """Return the text without what was found, and how often each kind was; redacting twice changes nothing more.

        A text that is JSON is redacted inside its strings, and stays JSON: keys and white space are as they were.
        """
        counts: Counter[str] = Counter()
        return self._text(text, counts, 0), counts

    def value(self, value: Any) -> tuple[Any, Counter[str]]:
        """Return a copy of a JSON value with every string redacted, also where a string is JSON (a tool's arguments).

        Keys stay, and so do a message's ``role`` and ``type``, images given as ``data:`` URLs, and numbers, but for
        whole ones of six digits or more (``1e15`` and ``123456.0``, too) that are a card or match a pattern.

        Raises:
            ValueError: it is nested deeper than 64 levels.
        """
        counts: Counter[str] = Counter()
        return self._value(value, counts, 0), counts

    def find(self, text: str) -> Counter[str]:
        """Return how often each kind is in a text."""
        return self.text(text)[1]

    def _value(self, value: Any, counts: Counter[str], depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError(f"the value is nested deeper than {_DEEPEST} levels")
        if isinstance(value, str):
            return self._text(value, counts, 0)
        if isinstance(value, list | tuple):
            return [self._value(item, counts, depth + 1) for item in value]
        if isinstance(value, dict):
            return {
                key: item if _is_structure(key, item) else self._value(item, counts, depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, int | float) and (written := _whole_number(value)):
            redacted = self._plain(written, counts, self._of_numbers)
            return value if redacted == written else redacted
        return value

    def _text(self, text: str, counts: Counter[str], depth: int) -> str:
        if text.startswith("data:") and _DATA_URL.fullmatch(text):
            return text
        # Each level of JSON in JSON doubles the backslashes: nobody writes four.
        if depth < 4 and _is_json(text):
            return self._json(text, counts, depth)
        return self._plain(text, counts, tuple(self._finders))

    def _json(self, text: str, counts: Counter[str], depth: int) -> str:
        def token(match: re.Match[str]) -> str:
            written = match.group()
            if match["key"] is not None:
                return written
            if not written.startswith('"'):
                number = _whole_number(json.loads(written))
                redacted = self._plain(number, counts, self._of_numbers)
                return written if redacted == number else json.dumps(redacted, ensure_ascii=False)
            content = json.loads(written, strict=False)
            redacted = self._text(content, counts, depth + 1)
            return written if redacted == content else json.dumps(redacted, ensure_ascii="\\u" in written)

        return _JSON_TOKEN.sub(token, text)

    def _plain(self, text: str, counts: Counter[str], kinds: tuple[str, ...]) -> str:
        # What goes may uncover something else (digits beside a card): look again until nothing is found.
        for _ in range(_MOST_ROUNDS):
            before = text
            for kind in kinds:
                text = self._without(kind, text, counts)
            if text == before:
                break
        return text

    def _without(self, kind: str, text: str, counts: Counter[str]) -> str:
        pieces = self._marker.split(text)
        # Every second piece is a marker, which stays.
        for index in range(0, len(pieces), 2):
            kept, done = [], 0
            for start, end in self._finders[kind](pieces[index]):
                kept.append(pieces[index][done:start])
                done = end
            if kept:
                counts[kind] += len(kept)
                pieces[index] = f"[{kind}]".join([*kept, pieces[index][done:]])
        return "".join(pieces)


def _is_structure(key: str, value: Any) -> bool:
    """Whether a value is a word of the format, which a pattern of the operator must not break."""
    return key in ("role", "type") and isinstance(value, str) and value.isascii() and value.replace("_", "").isalpha()


def _whole_number(number: float) -> str:
    """Return the digits of a whole number of six digits or more; of others nothing."""
    if abs(number) < 100_000 or (isinstance(number, float) and not (abs(number) < 1e20 and number.is_integer())):
        return ""
    return str(int(number))


def _is_json(text: str) -> bool:
    if text.lstrip()[:1] not in ("{", "[", '"') or text.rstrip()[-1:] not in ("}", "]", '"'):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _emails(text: str) -> Iterator[tuple[int, int]]:
    if not _MAY_HOLD_EMAIL.search(text):
        return
    for match in _EMAIL.finditer(text):
        local = match["local"]
        start = match.start() + len(local) - len(local.lstrip(".'’!$~*^"))
        # Chinese and its like have no spaces: what stands before jane@example.com is the sentence.
        if not _IDEOGRAPH.fullmatch(local) and (sentence := _IDEOGRAPH.match(local)):
            start = max(start, match.start() + sentence.end())
        yield start, match.end()


def _visible(find: Find) -> Find:
    """Find also what invisible characters are strewn into."""

    def found(text: str) -> Iterator[tuple[int, int]]:
        if _INVISIBLE.search(text):
            places = [at for at, character in enumerate(text) if not _INVISIBLE.match(character)]
            spans = [(places[start], places[end - 1] + 1) for start, end in find(_INVISIBLE.sub("", text))]
            if spans:
                yield from spans
                return
        yield from find(text)

    return found


def _by_pattern(name: str, written: str) -> Find:
    if not _NAME.fullmatch(name) or name in _BUILT_IN:
        raise ValueError(
            f"'{name}' cannot name a pattern: use up to 40 letters, digits, _ and -, and none of the built-in words"
        )
    try:
        pattern = re.compile(written)
        shortest = _parser.parse(written).getwidth()[0]
    except (re.error, OverflowError, RecursionError) as problem:
        raise ValueError(f"the pattern '{name}' is no regular expression: {problem}") from None
    if shortest == 0:
        raise ValueError(f"the pattern '{name}' can match the empty string: it would match everywhere")

    def find(text: str) -> Iterator[tuple[int, int]]:
        for offset, piece in _pieces(text):
            for match in pattern.finditer(piece):
                if match.end() > match.start():
                    yield offset + match.start(), offset + match.end()

    return find


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Yield a text in pieces with offsets: cut at the last line's end, else at the last white space, else hard."""
    offset = 0
    while len(text) - offset > LONGEST_PIECE:
        piece = text[offset : offset + LONGEST_PIECE]
        cut = piece.rfind("\n", LONGEST_PIECE // 2) + 1 or max(map(piece.rfind, " \t\n")) + 1
        yield offset, piece[: cut or LONGEST_PIECE]
        offset += cut or LONGEST_PIECE
    yield offset, text[offset:]
