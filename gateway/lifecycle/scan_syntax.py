"""Where a model's id stands in a source text: used as a value, or only mentioned in a comment or in prose.

What says so is near: no more than a few hundred characters around the id are looked at, so no text can make this slow.
"""

import re
from bisect import bisect_right
from typing import Final, Literal

from gateway.lifecycle.scan_languages import Syntax

Place = Literal["used", "mentioned"]

_AROUND: Final = 240
"""How many characters to each side of an id can say what it is."""
# Of a value in YAML: an anchor and a tag.
_PROPERTIES: Final = r"(?:[&!][\w!:-]{1,40}+[ \t]++){0,2}+"
_VALUE_BEFORE: Final = re.compile(
    r"""(?:^|[=:,(\[{|>?]|:-|\$\{\w+:?[-+]|^\s*-|^\s*(?:ENV|ARG)\s+\w+|=>)\s*"""
    rf"""{_PROPERTIES}[\\]*["'`]?$""",
    re.MULTILINE,
)
_VALUE_AFTER: Final = re.compile(r"""[\\]*["'`]{0,4}[ \t]*(?:$|[,;:)\]}|<&\n\r]|[ \t]#|//)""")
_OPTION_BEFORE: Final = re.compile(r"""(?:^|[\s"'])--?\w[\w-]{0,40}[ =]["']?$""")
# Tests of a name's beginning or part, and examples in prose.
_ASIDE_BEFORE: Final = re.compile(r"(?i)(?:starts_?with|has_?prefix)\b[^)\n]{0,80}$|\b(?:e\.g|i\.e)\.[,:]?\s*\S{0,2}$")
_ASIDE_AFTER: Final = re.compile(r"""["'] in\s""")
_MODEL_BEFORE: Final = re.compile(
    r"""(?ix)(?:model|engine|deployment|openai|llm) [\w.-]{0,40}+   # a name that speaks of models
        [\\"'`\])]{0,3}+ (?:\s*+:\s*+[\w.?<>\[\]]{1,30}+(?=\s*+=)|[ ]\w{1,20}+(?=\s*+=))?+   # its type
        \s*+(?:[:=!]?=>?=?|:-?|[(,>]|\|\||\?\?|\bor\b|\bin\b)\s*+   # is, equals, is called with
        (?:[&!][\w!:-]{1,40}+[ \t]++){0,2}+   # an anchor and a tag
        [\[({]{0,2}+\s*+(?:[\\"'`]?[\w.:/-]{1,80}+[\\"'`]{0,2}+\s*+[,|]\s*+){0,12}+   # a list's earlier items
        \\{0,2}+["'`]?$"""
)
_MODEL_DEFAULT_BEFORE: Final = re.compile(r"(?i)\$\{\w*(?:model|engine|deployment|llm)\w*:?[-+]$")
_MODEL_OPTION_BEFORE: Final = re.compile(r"""(?i)(?:^|\s)(?:--[\w-]{0,30}(?:model|engine)[\w-]{0,10}|-m)[ =]["']?$""")
_WHOLE_AFTER: Final = re.compile(r"""[\\]{0,2}["'`]|[ \t]*(?:$|[,;)\]}<\n\r]|[ \t]#)""")
_LIST_ITEM_BEFORE: Final = re.compile(rf"""^\s*(?:-\s+)?{_PROPERTIES}["'`]?$""")
_MODEL_NAME: Final = re.compile(r"(?i)(?:model|engine|deployment|llm)\w{0,20}[\"'\]]?\s*(?::=|[:=])")
_DIGIT_WORDS: Final = re.compile(r"[\s,;|]+")


class Text:
    """A text whose strings and comments are told apart, once, when first asked."""

    def __init__(self, text: str, syntax: Syntax) -> None:
        self.text = text
        self._syntax = syntax
        self._newlines = [found.start() for found in re.finditer("\n", text)]
        self._regions: list[tuple[int, int, bool]] | None = None

    def line_and_column(self, at: int) -> tuple[int, int]:
        """Return both, counted from 1; columns count characters."""
        before = bisect_right(self._newlines, at - 1)
        return before + 1, at - (self._newlines[before - 1] if before else -1)

    def is_comment(self, at: int) -> bool:
        """Tell whether a position lies in a comment."""
        return self._region(at)[2]

    def place(self, start: int, end: int, *, ambiguous: bool) -> Place | None:
        """Tell whether the id at [start, end) is used or mentioned; None: it is no id.

        An ambiguous id is also a plain word (``ada``, ``o1``): only a value that is given to a model counts.
        """
        before = self.text[max(start - _AROUND, self._line_start(start)) : start]
        after = self.text[end : end + _AROUND]
        if ambiguous and not self._names_a_model(before, after, start):
            return None
        first, last, comment = self._region(start)
        if comment or (last and self._is_docstring(first)):
            return None if ambiguous else "mentioned"
        if ambiguous:
            return "used" if last or self._syntax.bare else None
        if _ASIDE_BEFORE.search(before) or _ASIDE_AFTER.match(after):
            return "mentioned"
        used = (
            (last and self._is_value(first, last))
            or (_VALUE_BEFORE.search(before) and _VALUE_AFTER.match(after))
            or _OPTION_BEFORE.search(before)
            or (self._syntax.words and not last)
        )
        return "used" if used else "mentioned"

    def _line_start(self, at: int) -> int:
        before = bisect_right(self._newlines, at - 1)
        return self._newlines[before - 1] + 1 if before else 0

    def _region(self, at: int) -> tuple[int, int, bool]:
        """Return start, end and whether it is a comment; (0, 0, False): outside of strings and comments."""
        if self._regions is None:
            found = self._syntax.regions.finditer(self.text)
            self._regions = [(match.start(), match.end(), match.lastgroup == "comment") for match in found]
        index = bisect_right(self._regions, (at, len(self.text) + 1, True)) - 1
        if index >= 0 and self._regions[index][1] > at:
            return self._regions[index]
        return 0, 0, False

    def _is_docstring(self, start: int) -> bool:
        if not self._syntax.docstrings or self.text[start : start + 3] not in ('"""', "'''"):
            return False
        before = self.text[max(0, start - 1000) : start].rstrip("rRuUbBfF").rstrip(" \t")
        return before[-1:] in ("", "\n") and before.rstrip()[-1:] not in ("=", "(", ",", "[", "{", "+", "\\")

    def _is_value(self, start: int, end: int) -> bool:
        """Tell whether a string holds ids and nothing else: one, or a list of them."""
        if end - start > 2000:
            return False
        words = _DIGIT_WORDS.split(self.text[start:end].strip("\"'`@ \t\r\n"))
        return len(words) == 1 or all(any(c.isdigit() for c in word) for word in words)

    def _names_a_model(self, before: str, after: str, start: int) -> bool:
        if not _WHOLE_AFTER.match(after):
            return False
        if any(names.search(before) for names in (_MODEL_BEFORE, _MODEL_DEFAULT_BEFORE, _MODEL_OPTION_BEFORE)):
            return True
        return bool(_LIST_ITEM_BEFORE.match(before)) and self._is_item_of_models(start)

    def _is_item_of_models(self, start: int) -> bool:
        """Look for the line that begins the list: the nearest of the 30 above that is indented less."""
        index = bisect_right(self._newlines, start - 1)
        own = self.text[self._line_start(start) : start]
        for number in range(index - 1, max(-1, index - 31), -1):
            begin = self._newlines[number - 1] + 1 if number else 0
            line = self.text[begin : min(self._newlines[number], begin + _AROUND)]
            item = line.lstrip().startswith("-")
            if line.strip() and not item and len(line) - len(line.lstrip()) <= _indent(own):
                return bool(_MODEL_NAME.search(line))
        return False


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
