import sys
import time
from unicodedata import combining, normalize

import pytest

from gateway.policy.inputs import folded
from gateway.policy.unicode_forms import _BECOME_MARKS, _UNSEEN, MOST_MARKS, composed, without_unseen

JOINER = "\N{COMBINING GRAPHEME JOINER}"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Where is my order?", id="plain text"),
        pytest.param("Wo ist me\u0069\u0308n Paket, \ufb01nally \uff21\uff22 \u2460?", id="marks, ligatures, widths"),
        pytest.param("\u1112\u1161\u11ab\u1100\u1173\u11af " * 20, id="letters that are written together"),
        pytest.param("\uff76\uff9e\uff77\uff9f" * 40, id="half-width letters, each with its mark"),
        pytest.param("\U0001f469\u200d\U0001f469\u200d\U0001f467\U0001f3fd" * 40, id="forty families"),
        pytest.param("\u2014\u2026\u3002" * 40, id="a long run of signs that are no marks"),
        pytest.param("a" + "\u0300\u0316" * (MOST_MARKS // 2), id="as many marks as are put in order"),
        pytest.param("a" + "\u0300" * MOST_MARKS + "b" + "\u0316" * MOST_MARKS, id="two such runs"),
        pytest.param("\u0e01\u0e34\u0e48\u0e01\u0e37\u0e49" * 40, id="Thai"),
    ],
)
def test_what_people_write_is_composed_as_unicode_says(text: str) -> None:
    assert composed(text) == normalize("NFKC", text)


def test_a_longer_run_of_marks_is_put_in_order_in_pieces() -> None:
    marks = "\u0300\u0316" * MOST_MARKS
    composed_once = composed(f"x{marks}")
    assert composed_once.count(JOINER) == 1
    assert max(map(len, composed_once.split(JOINER))) <= MOST_MARKS + 1
    assert composed(f"x{marks}") != composed(f"x{marks}\u0300"), "what is written still tells two texts apart"


@pytest.mark.parametrize(
    "marks",
    [
        pytest.param("\u0300\u0316", id="marks above and below in turns"),
        pytest.param("\uff9e\u0300", id="a letter that becomes a mark"),
        pytest.param("\u0f73\u0f39", id="a sign that is made of marks"),
        pytest.param("\u0344\u0316", id="a mark that is made of two"),
    ],
)
def test_marks_take_time_that_grows_with_their_number(marks: str) -> None:
    # In Python's own time this takes a quarter of a minute.
    begun = time.process_time()
    folded("a" + marks * 40_000)
    assert time.process_time() - begun < 2


def test_every_character_that_becomes_a_mark_is_known() -> None:
    """Otherwise a run of it would be put in order as a whole."""
    every = (chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000)
    made = {one for one in every if not combining(one) and combining(normalize("NFKD", one)[0])}
    assert made == _BECOME_MARKS


@pytest.mark.parametrize(
    "unseen",
    [
        pytest.param("\u200b", id="a zero-width space"),
        pytest.param("\u2060", id="a word joiner"),
        pytest.param("\u034f", id="a grapheme joiner"),
        pytest.param("\u3164", id="a Hangul filler"),
        pytest.param("\U000e0041", id="a tag"),
        pytest.param("\U000e0101", id="a variation selector beyond the first sixteen"),
        pytest.param("\ufeff", id="a byte order mark"),
    ],
)
def test_what_nobody_sees_tells_no_texts_apart(unseen: str) -> None:
    assert folded(f"Where{unseen} is {unseen}my order?") == folded("Where is my order?")
    assert without_unseen(unseen * 3) == ""


def test_what_is_seen_stays() -> None:
    assert not _UNSEEN.search("a\u0300 \u00e9 \u4e00 \U0001f600 \u0644\u0627 \u1100\u1161 \t\n")
