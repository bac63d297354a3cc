from typing import Any

import pytest

from gateway.sandbox.arguments import facts_for, functions_to_call
from gateway.sandbox.chat_request import ChatRequest
from gateway.sandbox.messages import Message

TEXT, NUMBER, INTEGER = {"type": "string"}, {"type": "number"}, {"type": "integer"}
CITY = {"city": TEXT}
PERSON = {"name": TEXT, "age": INTEGER, "city": TEXT}
UNIT = {"unit": {"type": "string", "enum": ["celsius"]}, "city": TEXT}


@pytest.mark.parametrize(
    ("question", "properties", "facts"),
    [
        pytest.param("What is the weather in Paris tomorrow?", CITY, {"city": "Paris"}, id="a question's word is none"),
        pytest.param("Where was Ada Lovelace born?", CITY, {"city": "Ada Lovelace"}, id="two words are one name"),
        pytest.param("What should I wear in Oslo?", CITY, {"city": "Oslo"}, id="whoever asks is not a name"),
        pytest.param("It is cold. Lima is warm.", CITY, {"city": "Lima"}, id="a name at a sentence's head"),
        pytest.param("Anna is in Paris now", CITY, {"city": "Paris"}, id="one within a sentence goes before it"),
        pytest.param("Anna is 30 and lives in Paris", PERSON, {"name": "Anna", "age": 30, "city": "Paris"},
                     id="where there is room for both they come in their order"),
        pytest.param("Tell me about “the old bridge” in Mostar", CITY, {"city": "the old bridge"}, id="what is quoted"),
        pytest.param("Say \"what is it\" twice", CITY, {"city": "what is it"}, id="quoted words of questions count"),
        pytest.param("Set it to 'warm', please", CITY, {"city": "warm"}, id="single quotes"),
        pytest.param("What's the dog's name?", CITY, {}, id="an apostrophe quotes nothing"),
        pytest.param("How warm is it in Rome?", UNIT, {"city": "Rome"}, id="a choice of words takes no name"),
        pytest.param("Add 2 and 3.5", {"a": INTEGER, "b": NUMBER}, {"a": 2, "b": 3.5}, id="numbers in their order"),
        pytest.param("Add 2.5 and 3", {"a": INTEGER, "b": NUMBER}, {"b": 2.5}, id="an integer takes no fraction"),
        pytest.param("hello there", PERSON, {}, id="nothing to be found"),
    ],
)  # fmt: skip
def test_names_and_numbers_of_a_question_become_arguments(
    question: str, properties: dict[str, Any], facts: dict[str, Any]
) -> None:
    assert facts_for({"type": "object", "properties": properties}, question) == facts


WEATHER = {"name": "get_weather", "description": "The weather of a city"}
TIME = {"name": "get_time", "description": "The hour in a zone"}
MAIL = {"name": "send_mail", "description": "Writes to somebody"}
BOTH = "Use get_weather and get_time for Paris"


@pytest.mark.parametrize(
    ("question", "fields", "called"),
    [
        pytest.param("Good morning", {}, [], id="nothing is asked for"),
        pytest.param(BOTH, {}, ["get_weather", "get_time"], id="all that are named"),
        pytest.param(BOTH, {"parallel": False}, ["get_weather"], id="one at a time"),
        pytest.param("get weather, please", {}, ["get_weather"], id="named without the underscore"),
        pytest.param("Is the weather of that city any good?", {}, ["get_weather"], id="described"),
        pytest.param(BOTH, {"tool_choice": "none"}, [], id="none may be called"),
        pytest.param("Good morning", {"tool_choice": "required"}, ["get_weather"], id="the first where one must be"),
        pytest.param(BOTH, {"tool_choice": "function:send_mail"}, ["send_mail"], id="the one that was chosen"),
    ],
)
def test_functions_are_called_by_their_names(question: str, fields: dict[str, Any], called: list[str]) -> None:
    request = ChatRequest(messages=(Message("user", question),), functions=[WEATHER, TIME, MAIL], **fields)
    assert [function["name"] for function in functions_to_call(request)] == called


def test_a_call_is_required_until_every_function_was_called_and_then_the_last_again() -> None:
    messages, called = [Message("user", "Good morning")], []
    for _ in range(4):
        request = ChatRequest(messages=tuple(messages), functions=[WEATHER, TIME, MAIL], tool_choice="required")
        [function] = functions_to_call(request)
        called.append(function["name"])
        call = {"id": "c", "function": {"name": function["name"], "arguments": "{}"}}
        messages += [Message("assistant", "", (call,)), Message("tool", "done")]
    assert called == ["get_weather", "get_time", "send_mail", "send_mail"]
