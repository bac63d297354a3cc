"""Where a text holds card and phone numbers, told from dates, prices, IBANs and the numbers of orders."""

import re
from collections.abc import Iterator, Sequence

# Spaces and dashes of every kind that people and word processors write between groups of digits.
_CARD = re.compile(r"\d(?<!\d\d)(?<!\d\.\d)\d*+(?:[ \u00a0\u2009\u202f\u2010-\u2015\u2212-]\d++)*+(?!\.\d)")
# In print's groups alone also what lists and columns put between numbers: up to three of these, of one kind or several.
_LOOSE = r"[\s.,/_\u2010-\u2015\u2212-]{1,3}+"
_LOOSE_CARD = re.compile(
    rf"(?<!\d)(?<!\d[.,])(?:\d{{4}}(?:{_LOOSE}\d{{4}}){{3}}(?:{_LOOSE}\d{{2,3}}(?!\d))?+"
    rf"|\d{{4}}{_LOOSE}\d{{6}}{_LOOSE}\d{{4,5}})(?!\d)"
)
_GROUP = re.compile(r"\d+")
# How cards are printed: by groups, where more digits (a date of expiry, a check code) stand around them.
_PRINTED = ((4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 4, 4, 2), (6, 13), (8, 8), (4, 4, 5))
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?(?![A-Za-z0-9])")
_CURRENCY = "[€$£¥₹]|EUR|USD|GBP|CHF|JPY"
_DATE_OR_PRICE = re.compile(
    r"(?<![\d./+-])(?:\d{4}([-./])\d{1,2}\1\d{1,2}|\d{1,2}([-./])\d{1,2}\2(?:\d{4}|\d{2}))(?!\d|[-./]\d)"
    rf"|(?:{_CURRENCY})\s?\d[\d.,']*+"
    rf"|(?<![\d.,'+])\d[\d.,']*+\s?(?:{_CURRENCY})(?!\w)"
)
_BETWEEN = "\\-‐-―−ー－／ \u00a0\u00ad\u200b\u2060\u3000()（）［］.\\[\\]/~⁓∼～"
# Not longer: the library gives up on a run after 65,535 looks.
_CANDIDATE = re.compile(rf"(?<!\d)[+＋(（\[［]{{0,3}}\d[\d{_BETWEEN}+＋]{{5,4000}}+")
_TO_LAST_DIGIT = re.compile(r".*\d")
# An extension behind a number ("ext. 12") lies within this many characters.
_BEHIND = 24
_FEWEST_DIGITS = 7
_MOST_DIGITS = 20
# The library takes up to 100 µs for a character of such runs: no text may buy minutes of it.
_MOST_SHOWN = 16 * 1024
_UNGROUPED = re.compile(r"(?!\d{3}-\d{3}-\d{4}$)[\d/-]+")
# A number may go on in the next line, or the next cell of a table, where a + has said that it is one.
_BROKEN = re.compile(rf"[+＋][\d\s{_BETWEEN}]{{1,24}}")
_TO_SPACES = str.maketrans("\t\n\v\f\r\u2028\u2029", " " * 7)
_ORDER = re.compile(
    r"(?:[#№]|\b(?:order|invoice|ticket|case|reference|ref|booking|tracking|article|item|sku|serial|transaction"
    r"|(?:customer|client|account)(?:[ _-]?(?:number|no|nr|id))|bestell\w*|auftrag\w*|rechnung\w*|kundennummer"
    r"|vorgang\w*|commande|facture|pedido|factura|ordine|fattura|isbn|id)"
    r"(?:[ _-]?(?:number|no|nr|id|n°))?)[\s:.#=°-]*$",
    re.IGNORECASE,
)


def cards(text: str) -> Iterator[tuple[int, int]]:
    """Yield where card numbers are: 13 to 19 digits that begin with 2 to 6 and pass Luhn's check (ISO/IEC 7812-1)."""
    # Most texts hold no run that is long enough: they are done after one look.
    runs, loose = any(map(_holds_enough, _CARD.finditer(text))), _LOOSE_CARD.search(text)
    if not runs and not loose:
        return
    for offset, piece in _outside(list(_ibans(text)), text):
        found = [
            span
            for run in filter(_holds_enough, _CARD.finditer(piece))
            for span in _cards_of(piece, [match.span() for match in _GROUP.finditer(piece, *run.span())])
        ]
        # What a run holds comes first; what is left is for another round.
        if loose and not found:
            found = [
                span
                for run in _LOOSE_CARD.finditer(piece)
                for span in _cards_of(piece, [match.span() for match in _GROUP.finditer(piece, *run.span())])
            ]
        yield from ((offset + start, offset + end) for start, end in found)


def _holds_enough(run: re.Match[str]) -> bool:
    return run.end() - run.start() >= 13


def _cards_of(text: str, groups: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    if len(groups) <= 19 and _is_card(text, groups):
        yield groups[0][0], groups[-1][1]
        return
    lengths = [end - start for start, end in groups]
    at = 0
    while at < len(groups):
        printed = (len(form) for form in _PRINTED if tuple(lengths[at : at + len(form)]) == form)
        sizes = [1, *sorted(printed, reverse=True)]
        size = next((size for size in sizes if _is_card(text, groups[at : at + size])), 0)
        if size:
            yield groups[at][0], groups[at + size - 1][1]
        at += size or 1


def _is_card(text: str, groups: list[tuple[int, int]]) -> bool:
    count = sum(end - start for start, end in groups)
    if not 13 <= count <= 19:
        return False
    digits = [int(digit) for start, end in groups for digit in text[start:end]]
    doubled = (digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[-2::-2])
    return 2 <= digits[0] <= 6 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where account numbers are whose check digits are right (ISO 13616: 97 divides what is left with 1)."""
    for match in _IBAN.finditer(text):
        written = match.group()
        # Capital letters behind it may have been taken along.
        while written:
            compact = written.replace(" ", "")
            if len(compact) >= 15 and int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1:
                yield match.start(), match.start() + len(written)
                break
            written = written.rpartition(" ")[0]


def _outside(spans: Sequence[tuple[int, int]], text: str) -> Iterator[tuple[int, str]]:
    """Yield what is between the spans, with offsets."""
    done = 0
    for start, end in sorted(spans):
        if start >= done:
            yield done, text[done:start]
        done = max(done, end)
    yield done, text[done:]


class Phones:
    """Finds phone numbers that libphonenumber holds valid: with + everywhere, and as ``regions`` write them.

    Of a text with more than 16 KiB of digits that could be numbers, the others go unasked: rather too much goes than
    too little.

    Raises:
        ValueError: a region is none that the library knows.
    """

    def __init__(self, regions: Sequence[str] = ()) -> None:
        import phonenumbers  # a tenth of a second, which only who redacts phone numbers pays

        if unknown := [region for region in regions if region not in phonenumbers.SUPPORTED_REGIONS]:
            raise ValueError(f"'{unknown[0]}' is no region of phone numbers: use two letters, such as US or DE")
        self._matcher = phonenumbers.PhoneNumberMatcher
        self._regions = tuple(regions)

    def __call__(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where phone numbers are."""
        found = list(self._in_lines(text))
        if not found and ("+" in text or "＋" in text):
            joined = _BROKEN.sub(lambda match: match.group().translate(_TO_SPACES), text)
            found = [] if joined == text else list(self._in_lines(joined))
        yield from found

    def _in_lines(self, text: str) -> Iterator[tuple[int, int]]:
        # The library takes 100 µs and more for a run of digits: only what can be a number is shown to it.
        if not any(self._may_be_one(match.group()) for match in _CANDIDATE.finditer(text)):
            return
        others = [*_ibans(text), *(match.span() for match in _DATE_OR_PRICE.finditer(text))]
        shown = 0
        for offset, piece in _outside(others, text):
            done = 0
            for match in _CANDIDATE.finditer(piece):
                if match.start() < done or not self._may_be_one(match.group()):
                    continue
                shown += len(match.group())
                for start, end in self._in_candidate(piece, *match.span()) if shown <= _MOST_SHOWN else _whole(match):
                    yield offset + start, offset + end
                    done = end

    def _may_be_one(self, candidate: str) -> bool:
        if len(candidate) > _MOST_DIGITS and candidate.isdigit():
            return False
        enough = sum(map(str.isdigit, candidate)) >= _FEWEST_DIGITS
        return enough and (bool(self._regions) or "+" in candidate or "＋" in candidate)

    def _in_candidate(self, text: str, start: int, end: int) -> list[tuple[int, int]]:
        """Return where numbers begin in a candidate; the library also sees a little of what surrounds it."""
        first, last = max(0, start - 2), end + _BEHIND
        # A number that is cut here would be another number.
        while last < end + _BEHIND + _MOST_DIGITS and text[last - 1 : last + 1].isdigit():
            last += 1
        left = sum(map(str.isdigit, text[start:end]))
        found: list[tuple[int, int]] = []
        for region in self._regions or (None,):
            for match in self._matcher(text[first:last], region):
                at, until = first + match.start, first + match.end
                is_free = all(until <= start or at >= end for start, end in found)
                if at < end and is_free and not _is_something_else(text, at, match.raw_string):
                    found.append((at, until))
                    left -= sum(map(str.isdigit, match.raw_string))
            if left < _FEWEST_DIGITS:
                break
        return sorted(found)


def _whole(candidate: re.Match[str]) -> list[tuple[int, int]]:
    to_last = _TO_LAST_DIGIT.match(candidate.group())
    return [(candidate.start(), candidate.start() + to_last.end())] if to_last else []


def _is_something_else(text: str, at: int, written: str) -> bool:
    """Whether digits that could be a phone number are the end of a decimal number, or of an order's word and number."""
    if at >= 2 and text[at - 1] in ".," and text[at - 2].isdigit():
        return True
    return _UNGROUPED.fullmatch(written) is not None and _ORDER.search(text[max(0, at - 40) : at]) is not None
