from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.routes import Example, Prompt
from gateway.policy.pack_examples import in_words
from gateway.policy.prompts import prefix, text_of, with_instructions, with_prompt

OURS = {"role": "system", "content": "You are brief."}
THEIRS = {"role": "system", "content": "You are the forum's assistant."}
SPACED = {"role": "system", "content": "  You are the\n\nforum's   assistant. "}
DEVELOPER = {"role": "developer", "content": "You are the forum's assistant."}
PARTS = {
    "role": "system",
    "content": [{"type": "text", "text": "You are the "}, {"type": "text", "text": "forum's assistant."}],
}
OTHER = {"role": "system", "content": "Answer in French."}
USER = {"role": "user", "content": "You are the forum's assistant."}
TRAINED = ("You are the forum's assistant.",)


def a_prompt(**fields: Any) -> Prompt:
    return Prompt(**{"version": "0123456789ab", "instructions": "You are brief."} | fields)


@pytest.mark.parametrize(
    ("caller_system", "messages", "kept"),
    [
        pytest.param("keep", [THEIRS, USER], [THEIRS, USER], id="keep: theirs stays, behind ours"),
        pytest.param("replace", [THEIRS, USER], [USER], id="replace: theirs goes"),
        pytest.param("replace", [DEVELOPER, USER], [USER], id="replace: a developer message goes as well"),
        pytest.param("replace", [USER, OTHER, USER], [USER, USER], id="replace: wherever it stands"),
        pytest.param("replace_if_trained", [THEIRS, USER], [USER], id="replace_if_trained: the known one goes"),
        pytest.param("replace_if_trained", [SPACED, USER], [USER], id="replace_if_trained: white space aside"),
        pytest.param("replace_if_trained", [DEVELOPER, USER], [USER], id="replace_if_trained: as developer"),
        pytest.param("replace_if_trained", [PARTS, USER], [USER], id="replace_if_trained: in parts"),
        pytest.param("replace_if_trained", [OTHER, USER], [OTHER, USER], id="replace_if_trained: an unknown one stays"),
        pytest.param("replace_if_trained", [THEIRS, OTHER, USER], [OTHER, USER], id="replace_if_trained: one of two"),
    ],
)
def test_the_callers_system_messages(
    caller_system: str, messages: list[dict[str, Any]], kept: list[dict[str, Any]]
) -> None:
    prompt = a_prompt(caller_system=caller_system, trained_system=TRAINED)
    assert with_prompt(prompt, prefix(prompt), messages) == [OURS, *kept]


def test_without_instructions_there_is_nothing_to_replace_theirs_with() -> None:
    prompt = a_prompt(instructions=None, caller_system="replace", examples=(Example(user="u", assistant="a"),))
    shown = [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]
    assert with_prompt(prompt, prefix(prompt), [THEIRS, USER]) == [*shown, THEIRS, USER]


def test_instructions_come_first_then_the_examples_in_order() -> None:
    prompt = a_prompt(examples=(Example(user="u1", assistant="a1"), Example(user="u2", assistant="a2")))
    assert [(m["role"], m["content"]) for m in prefix(prompt)] == [
        ("system", "You are brief."),
        ("user", "u1"),
        ("assistant", "a1"),
        ("user", "u2"),
        ("assistant", "a2"),
    ]


def test_the_callers_list_is_left_as_it_was() -> None:
    messages = [THEIRS, USER]
    with_prompt(a_prompt(caller_system="replace"), prefix(a_prompt()), messages)
    assert messages == [THEIRS, USER]


MARKUP = st.lists(
    st.sampled_from(
        ("{{", "}}", "{%", "%}", "{route}", "{0}", "%s", "$x", "${x}", "<|im_start|>system", "\\n", "a", "\n")
    ),
    max_size=12,
).map("".join)


@given(MARKUP, MARKUP, MARKUP)
def test_what_looks_like_a_template_stays_literal(instructions: str, example: str, said: str) -> None:
    prompt = a_prompt(instructions=instructions or None, examples=(Example(user=example, assistant=example),))
    caller = {"role": "user", "content": said}
    sent = with_prompt(prompt, prefix(prompt), [caller])
    expected = [*([instructions] if instructions else []), example, example, said]
    assert [message["content"] for message in sent] == expected
    assert sent[-1] is caller


@pytest.mark.parametrize(
    ("message", "text"),
    [
        pytest.param({"role": "user", "content": "hi"}, "hi", id="a string"),
        pytest.param({"role": "user", "content": [{"type": "text", "text": "h"}, {"text": "i"}]}, "hi", id="parts"),
        pytest.param({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, "", id="an image has none"),
        pytest.param({"role": "user", "content": ["x", None, {"text": 7}]}, "7", id="odd parts"),
        pytest.param({"role": "assistant", "content": None}, "", id="null, as beside tool calls"),
        pytest.param({"role": "assistant"}, "", id="absent"),
        pytest.param({"role": "user", "content": 5}, "", id="a number"),
    ],
)
def test_a_messages_text(message: dict[str, Any], text: str) -> None:
    assert text_of(message) == text


# The same prompt in a request of the Responses API.


def instructed(prompt: Prompt, **body: Any) -> dict[str, Any]:
    with_instructions(prompt, in_words(prefix(prompt)), body)
    return body


SYSTEM = {"role": "developer", "content": [{"type": "input_text", "text": "Be  terse."}]}


@pytest.mark.parametrize(
    ("caller_system", "trained", "instructions", "kept"),
    [
        pytest.param("keep", (), "Play.\n\nBe terse.", [SYSTEM], id="kept behind ours"),
        pytest.param("replace", (), "Play.", [], id="replaced"),
        pytest.param("replace_if_trained", ("Be terse.",), "Play.", [], id="replaced, since it is the trained one"),
        pytest.param("replace_if_trained", ("Other.",), "Play.\n\nBe terse.", [SYSTEM], id="kept, since it is not"),
    ],
)
def test_the_callers_instructions(
    caller_system: Any, trained: tuple[str, ...], instructions: str, kept: list[Any]
) -> None:
    prompt = Prompt(version="1", instructions="Play.", caller_system=caller_system, trained_system=trained)
    body = instructed(prompt, instructions="Be terse.", input=[SYSTEM, USER])
    assert body == {"instructions": instructions, "input": [*kept, USER]}


EXAMPLES = (Example(user="a", assistant="b"),)


def test_examples_go_before_the_input_whatever_its_shape() -> None:
    prompt = Prompt(version="1", examples=EXAMPLES)
    shown = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert instructed(prompt, input="Hi") == {"input": [*shown, {"role": "user", "content": "Hi"}]}
    assert instructed(prompt, input=[USER]) == {"input": [*shown, USER]}


def test_examples_are_not_told_twice_within_a_stored_conversation() -> None:
    prompt = Prompt(version="1", instructions="Play.", examples=EXAMPLES)
    body = instructed(prompt, previous_response_id="resp_1", input="Hi")
    assert body == {"previous_response_id": "resp_1", "input": "Hi", "instructions": "Play."}
