"""How alike are two texts? Each measure lies in [0, 1]; the first text is the reference. Pure."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from gateway.policy.unicode_forms import composed

_EDGES: Final = " .,;:!?…\"'`“”„‘’«»()[]*_。、！？"
"""What may surround an answer without changing it. No signs that do: −5, 5 %, C#."""
_IDEOGRAPHS: Final = "぀-ヿ㐀-䶿一-鿿豈-﫿"
_TOKEN: Final = re.compile(rf"[{_IDEOGRAPHS}]|[^\W{_IDEOGRAPHS}]+")
"""A word; of scripts that put no spaces between words, a character."""
_LONGEST_GRAM: Final = 6
_BETA_SQUARED: Final = 4


def text_of(message: Mapping[str, Any]) -> str:
    """Give the text of an assistant's message: its content, or that of its text parts; empty where there is none."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(part.get("text") or "") for part in parts if isinstance(part, Mapping))


def normalised(text: str) -> str:
    """Fold case, width, white space and surrounding punctuation, all of which leave a short answer what it is."""
    folded = " ".join(composed(text).casefold().split())
    return folded.strip(_EDGES) or folded


def exact_match(reference: str, answer: str) -> float:
    """Give 1 where the two are equal once they are normalised."""
    return float(normalised(reference) == normalised(answer))


def token_f1(reference: str, answer: str) -> float | None:
    """Give the F1 of the words, each as often as it occurs; order does not count. None: the reference has no word."""
    wanted, given = Counter(_tokens(reference)), Counter(_tokens(answer))
    return f1(wanted, given) if wanted else None


def chrf(reference: str, answer: str) -> float | None:
    """Give chrF: the F2 of character n-grams, n from 1 to 6, without white space. None: the reference is blank.

    Precision and recall are averaged over those n for which both texts have n-grams, so that short texts are not
    punished. Source: Popović, "chrF: character n-gram F-score for automatic MT evaluation", WMT 2015.
    """
    wanted, given = "".join(reference.split()), "".join(answer.split())
    if not wanted:
        return None
    precision = recall = 0.0
    orders = min(_LONGEST_GRAM, len(wanted), len(given))
    for length in range(1, orders + 1):
        common = (_grams(wanted, length) & _grams(given, length)).total()
        precision += common / (len(given) - length + 1)
        recall += common / (len(wanted) - length + 1)
    if not precision:
        return 0.0
    return (1 + _BETA_SQUARED) * precision * recall / (_BETA_SQUARED * precision + recall) / orders


def length_ratio(reference: str, answer: str) -> float | None:
    """Give the shorter length by the longer, in characters. None: the reference is blank."""
    wanted, given = len(reference.strip()), len(answer.strip())
    return min(wanted, given) / max(wanted, given) if wanted else None


def f1(wanted: Counter[Any], given: Counter[Any]) -> float:
    """Give 2 · common/(wanted + given), of multisets; 1 where both are empty."""
    both = wanted.total() + given.total()
    return 2 * (wanted & given).total() / both if both else 1.0


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(composed(text).casefold())


def _grams(text: str, length: int) -> Counter[str]:
    return Counter(text[start : start + length] for start in range(len(text) - length + 1))
