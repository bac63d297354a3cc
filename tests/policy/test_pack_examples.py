import time
from random import Random
from typing import Any

import pytest
from a_pack import FIXED_EXAMPLES, POOL_EXAMPLES, an_example, lines, pack_files

from gateway.config.packs import FIXED, POOL, PackExample, example_line, parse_pack
from gateway.policy.pack_examples import PackExamples, examples_of, in_words

LAMP = [{"role": "user", "content": "Where is my lamp?"}]


def _examples(*pool: PackExample, **manifest: Any) -> PackExamples:
    return PackExamples(parse_pack(pack_files({POOL: lines(*pool or POOL_EXAMPLES)}, **manifest)))


def _said(messages: list[Any]) -> list[Any]:
    return [message["content"] for message in messages]


def test_fixed_examples_come_in_the_order_of_the_pack() -> None:
    examples = _examples()
    assert list(examples.fixed) == [message for example in FIXED_EXAMPLES for message in example.messages]


def test_the_most_similar_example_comes_last_where_the_model_reads_it_best() -> None:
    assert _said(_examples().similar_to(LAMP)) == [
        "How do I return a lamp?",
        "Bring it back within 30 days.",
        "Where is my parcel with the lamp?",
        "Parcels are tracked in your account.",
    ]


@pytest.mark.parametrize(
    ("manifest", "count"),
    [
        pytest.param({"similar": 0}, 0, id="no similar ones are wanted"),
        pytest.param({"similar": 1}, 1, id="one"),
        pytest.param({"similar": 9}, 2, id="more than are like it"),
        pytest.param({"similar_tokens": 0}, 0, id="no room for any"),
        pytest.param({"similar_tokens": 19}, 0, id="not enough room for one"),
        pytest.param({"similar_tokens": 39}, 1, id="room for one"),
        pytest.param({"similar_tokens": 40}, 2, id="room for two, to the token"),
    ],
)
def test_as_many_are_sent_as_the_pack_says_and_its_budget_holds(manifest: dict[str, int], count: int) -> None:
    assert len(_examples(**manifest).similar_to(LAMP)) == 2 * count


def test_one_that_is_too_long_makes_room_for_the_next() -> None:
    long = an_example(7, "Where is my lamp?", "It is " + "very " * 30 + "far.", tokens=61)
    assert _said(_examples(long, POOL_EXAMPLES[0], similar=2).similar_to(LAMP)) == _said(
        list(POOL_EXAMPLES[0].messages)
    )


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([], id="no message"),
        pytest.param([{"role": "system", "content": "Where is my lamp?"}], id="a system message alone"),
        pytest.param([{"role": "user", "content": "zzz"}], id="a word that nobody said"),
        pytest.param([{"role": "user", "content": ""}], id="no words"),
        pytest.param([{"role": "user", "content": None}], id="no content"),
    ],
)
def test_where_nothing_is_asked_nothing_is_similar(messages: list[dict[str, Any]]) -> None:
    assert _examples().similar_to(messages) == []


def test_an_empty_pool_has_nothing_similar() -> None:
    pack = parse_pack(pack_files({POOL: b"", FIXED: b""}))
    assert PackExamples(pack).similar_to(LAMP) == []
    assert PackExamples(pack).fixed == ()


def test_examples_are_found_by_their_last_question_and_sent_whole() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "track", "arguments": "{}"}}
    messages = (
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": [{"type": "text", "text": "Where is my lamp?"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "in Oslo"},
        {"role": "assistant", "content": "In Oslo."},
    )
    found = _examples(an_example(9, "", "", messages=messages)).similar_to(LAMP)
    assert tuple(found) == messages


def test_the_same_pack_read_again_is_not_indexed_again() -> None:
    first, again = parse_pack(pack_files()), parse_pack(pack_files())
    assert examples_of(first) is examples_of(again)
    assert examples_of(first) is not examples_of(parse_pack(pack_files(similar=1)))


def test_finding_them_among_two_thousand_takes_about_a_millisecond() -> None:
    random = Random(3)
    words = [f"word{number}" for number in range(3000)]
    pool = [an_example(1000 + n, " ".join(random.choices(words, k=60)), "a") for n in range(2000)]
    files = pack_files({POOL: b"".join(map(example_line, pool))}, similar=8, similar_tokens=4000)
    examples = PackExamples(parse_pack(files))
    asked = [[{"role": "user", "content": " ".join(random.choices(words, k=60))}] for _ in range(50)]
    took = []
    for messages in asked:
        began = time.perf_counter()
        assert len(examples.similar_to(messages)) == 16
        took.append(time.perf_counter() - began)
    # One millisecond, and room for a machine that does something else beside it.
    assert sorted(took)[len(took) // 2] < 0.005


USER, ANSWER = {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}
CALLING = {"role": "assistant", "content": "I look.", "tool_calls": [{"id": "c"}]}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([{"role": "system", "content": "s"}, USER, ANSWER], [USER, ANSWER], id="a system message is none"),
        pytest.param([USER, ANSWER, USER, ANSWER], [USER, ANSWER, USER, ANSWER], id="text alone"),
        pytest.param([USER, USER, ANSWER], [USER, USER, ANSWER], id="two questions to one answer"),
        pytest.param(
            [USER, CALLING, {"role": "tool", "content": "t", "tool_call_id": "c"}, ANSWER, USER, ANSWER],
            [USER, ANSWER],
            id="one with tools is left out whole",
        ),
        pytest.param(
            [{"role": "user", "content": [{}]}, ANSWER, USER, ANSWER], [USER, ANSWER], id="one with a picture"
        ),
        pytest.param([USER, {"role": "assistant", "content": None}], [], id="one without an answer in words"),
    ],
)
def test_only_examples_in_words_can_be_carried_everywhere(
    messages: list[dict[str, Any]], expected: list[dict[str, Any]]
) -> None:
    assert list(in_words(messages)) == expected
