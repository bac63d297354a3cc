"""The same question and the same answer, written as differently as Unicode and clients write them."""

import time
import unicodedata
from collections.abc import Mapping
from typing import Any

import pytest

from gateway.policy.inputs import question_id
from gateway.policy.leaks import answered_in, conversation_id, last_answered

ASKED = "Où est né le coffret (№ 7)?"
TOLD = "It left Besançon on Monday and arrives tomorrow."


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: str | None, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def calls(arguments: str) -> dict[str, Any]:
    return assistant(
        None, tool_calls=[{"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}]
    )


WRITTEN = [
    pytest.param(unicodedata.normalize("NFD", ASKED), id="decomposed"),
    pytest.param(ASKED.replace("?", "\uff1f"), id="full width"),
    pytest.param(ASKED.replace("ff", "\ufb00"), id="a ligature"),
    pytest.param(ASKED.replace("coffret", "cof\u200bfret"), id="a space of no width"),
    pytest.param(ASKED.replace("coffret", "cof\u00adfret"), id="a soft hyphen"),
    pytest.param(f"\ufeff{ASKED}\u200e", id="a byte order mark, and one of direction"),
    pytest.param(ASKED.upper(), id="upper case"),
    pytest.param([{"type": "text", "text": ASKED, "cache_control": {"type": "ephemeral"}}], id="marked for a cache"),
]


@pytest.mark.parametrize("content", WRITTEN)
def test_a_question_that_reads_the_same_is_the_same_conversation(content: Any) -> None:
    assert conversation_id([user(content)]) == conversation_id([user(ASKED)])
    assert question_id([user(content)]) == question_id([user(ASKED)])


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param(
            assistant(TOLD),
            assistant(unicodedata.normalize("NFD", TOLD.replace("Monday", "Mon\u200bday"))),
            id="a text",
        ),
        pytest.param(calls('{"town": "Lyon", "day": 1}'), calls('{"town":"Lyon","day":1}'), id="a call"),
    ],
)
def test_an_answer_is_known_again_in_the_middle_of_another_conversation(
    answer: Mapping[str, Any], told: Mapping[str, Any]
) -> None:
    elsewhere = [user("hello"), assistant("Hello!"), user(ASKED), told, user("thanks"), assistant("You are welcome.")]
    assert last_answered([user(ASKED), answer]) in list(answered_in(elsewhere))


def test_other_arguments_are_another_answer() -> None:
    one, another = (last_answered([user(ASKED), calls(f'{{"town": "Lyon", "day": {day}}}')]) for day in (1, 2))
    assert one is not None and one != another


def test_every_round_of_tools_is_told_as_the_question_with_what_came_before() -> None:
    """In time that grows with the rounds: hashed anew for each, these took a minute."""
    talk = [user(ASKED)]
    for number in range(2_000):
        talk += [assistant(f"{TOLD} {number}"), {"role": "tool", "tool_call_id": "c", "content": f"{number}"}]
    begun = time.process_time()
    told = [*answered_in(talk)]
    assert time.process_time() - begun < 2
    assert [question for question, _ in told[:3]] == [question_id(talk[:at]) for at in (2, 4, 6)]
    assert len({question for question, _ in told}) == len(told) == 2_000


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([assistant(TOLD)], id="an answer alone"),
        pytest.param([{"role": "system", "content": ASKED}, assistant(TOLD)], id="an answer to a system message"),
        pytest.param([user(ASKED), assistant("Yes.")], id="an answer that tells nothing"),
    ],
)
def test_without_a_question_or_an_answer_nothing_is_told(messages: list[dict[str, Any]]) -> None:
    assert last_answered(messages) is None
