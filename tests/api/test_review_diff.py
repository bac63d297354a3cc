"""What was changed between two texts: whole words, both texts to the letter, and an end to what it may cost."""

import random
import time
from itertools import pairwise

import pytest

from gateway.api.pages.review_diff import AROUND, MOST_WEIGHT, Change, changes, shown
from gateway.api.pages.review_messages import weight_of

SIGNS = {"same": "{}", "del": "[-{}-]", "ins": "[+{}+]"}


def written(found: tuple[Change, ...]) -> str:
    return "".join(SIGNS[change.kind].format(change.text) for change in found)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        pytest.param("The cat sat.", "The dog sat.", "The [-cat-][+dog+] sat.", id="a word for another"),
        pytest.param("one two three", "one 2 3", "one [-two three-][+2 3+]", id="words side by side are one change"),
        pytest.param("a b c", "a c", "a [-b -]c", id="a word less"),
        pytest.param("Hello", "Hello world", "Hello[+ world+]", id="a word more"),
        pytest.param("", "new", "[+new+]", id="of nothing"),
        pytest.param("old", "", "[-old-]", id="to nothing"),
        pytest.param("a\n\nb", "a\nb", "a[-\n\n-][+\n+]b", id="lines"),
        pytest.param("same", "same", "", id="nothing changed"),
        pytest.param("9 W, E27", "8 W; E27", "[-9 W,-][+8 W;+] E27", id="little between two changes is a part of both"),
        pytest.param("9 watts, E27", "8 watts; E27", "[-9-][+8+] watts[-,-][+;+] E27", id="marks by themselves"),
        pytest.param("値段は百円", "値段は千円", "値段は[-百-][+千+]円", id="a script without blanks"),
        pytest.param("cafe\u0301 ici", "cafe ici", "[-cafe\u0301-][+cafe+] ici", id="a mark stays with its letter"),
    ],
)
def test_changes_are_told_by_words(before: str, after: str, said: str) -> None:
    assert written(changes(before, after)) == said


def test_both_texts_can_be_read_off_to_the_letter() -> None:
    # A fixed seed: the same texts on every run.
    chance = random.Random(4)
    for _ in range(2_000):
        before, after = ("".join(chance.choices("ab. \n", k=chance.randrange(24))) for _ in range(2))
        found = changes(before, after)
        if before != after:
            assert "".join(change.text for change in found if change.kind != "ins") == before
            assert "".join(change.text for change in found if change.kind != "del") == after
        kinds = [change.kind for change in found]
        assert all(one != other for one, other in pairwise(kinds))
        assert ("ins", "del") not in pairwise(kinds)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("a " * 16_000, "a b " * 8_000, id="one word over and over"),
        pytest.param("a " * 1_900 + "b " * 1_900, "b " * 1_900 + "a " * 1_900, id="two halves that change places"),
        pytest.param(" ".join(map(str, range(1_900))), " ".join(map(str, range(1_900, 0, -1))), id="all is another"),
        pytest.param("a b " * 1_900, "b a " * 1_900, id="alike everywhere and nowhere"),
    ],
)
def test_no_two_texts_take_long(before: str, after: str) -> None:
    begun = time.process_time()
    found = changes(before, after)
    assert time.process_time() - begun < 2
    assert "".join(change.text for change in found if change.kind != "ins") == before


def test_a_page_has_what_changed_with_a_little_around_it() -> None:
    before = "x " * 1_000 + "old" + " y" * 1_000
    found = shown(changes(before, before.replace("old", "new\u202e")))
    assert [change.kind for change in found] == ["same", "del", "ins", "same"]
    assert [change.text for change in found[1:3]] == ["old", "new\\u202e"]
    assert all(len(change.text) <= AROUND + 3 for change in found)


def test_a_page_never_has_more_than_it_has_room_for() -> None:
    found = shown(changes('"' * 9_000, "<" * 9_000))
    assert sum(weight_of(change.text) for change in found) <= MOST_WEIGHT + 100
    assert found[-1].text == " … and more"
