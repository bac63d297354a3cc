from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import completion_create_params as openai_parameters

from gateway.policy.traits import OPENAI_PARAMETERS, OTHER_PARAMETERS, PARAMETERS, UNLISTED, WORDS, traits_of

USER = {"role": "user", "content": "Where is my order?"}
BARE_CALL = {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {}}]}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {}}]}


def of(*messages: Any, **parameters: Any) -> str:
    return traits_of({"model": "reply", "messages": list(messages or (USER,)), **parameters})


def parts(*kinds: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": kind} for kind in kinds]}


@pytest.mark.parametrize(
    ("parameters", "traits"),
    [
        pytest.param({}, "", id="nothing special"),
        pytest.param({"top_p": 1, "max_tokens": 5, "stop": "x"}, "max_tokens,stop,top_p", id="parameters, sorted"),
        pytest.param({"temperature": 0}, "temperature", id="whatever the value"),
        pytest.param({"temperature": None, "seed": 1}, "seed", id="null is not given"),
        pytest.param({"stream": True}, "stream", id="a stream"),
        pytest.param({"stream": False, "seed": 1}, "seed", id="no stream"),
        pytest.param({"top_k": 40}, "top_k", id="what self-hosted servers take"),
        pytest.param({"x_secret_of_acme": 1, "seed": 1}, "seed,unlisted_parameter", id="a caller's own word stays out"),
        pytest.param({"x_secret_of_acme": None}, "", id="an unlisted null is not given either"),
        pytest.param({"n": 1}, "n", id="one choice"),
        pytest.param({"n": 3}, "many_choices,n", id="several choices"),
        pytest.param({"n": "3"}, "n", id="a count that is none"),
        pytest.param({"response_format": {"type": "text"}}, "response_format", id="plain text"),
        pytest.param(
            {"response_format": {"type": "json_schema", "json_schema": {}}},
            "json_schema,response_format",
            id="an answer by a schema",
        ),
        pytest.param(
            {"response_format": {"type": "json_object"}, "n": 2},
            "json_object,many_choices,n,response_format",
            id="any JSON, twice",
        ),
        pytest.param({"response_format": "json"}, "response_format", id="a format of the wrong type"),
        pytest.param({"response_format": {"type": ["json_object"]}}, "response_format", id="a format's odd kind"),
    ],
)
def test_what_parameters_ask(parameters: dict[str, Any], traits: str) -> None:
    assert of(**parameters) == traits


@pytest.mark.parametrize(
    ("messages", "traits"),
    [
        pytest.param([{"role": "system", "content": "Be kind."}, USER], "", id="plain text"),
        pytest.param([parts("text", "text")], "", id="text in parts"),
        pytest.param([USER, parts("text", "image_url")], "image", id="a picture"),
        pytest.param([parts("input_audio"), parts("file"), parts("video_url")], "audio_input,file,video", id="media"),
        pytest.param([parts("hologram")], "", id="a kind of part that nobody knows"),
        pytest.param([USER, CALL, {"role": "tool", "content": "4"}], "tool_messages", id="a tool's result"),
        pytest.param([USER, CALL, {"role": "function", "content": "4"}], "tool_messages", id="a function's result"),
        pytest.param(
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}],
            "image,remote_image",
            id="a picture by its address",
        ),
        pytest.param(
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]}],
            "image",
            id="a picture that comes along",
        ),
        pytest.param([USER, BARE_CALL], "prefill,tool_messages", id="a call without any content"),
        pytest.param([{**CALL, "parsed": {}}, USER], "parsed_history,tool_messages", id="what an SDK parsed"),
        pytest.param([{"role": "developer", "content": "Be kind."}, USER], "developer_message", id="a developer"),
        pytest.param([USER, {"role": "assistant", "content": "Dear"}], "prefill", id="an answer begun by the caller"),
        pytest.param([USER, {"role": "assistant", "content": "Hi"}, USER], "", id="an earlier answer"),
        pytest.param([{"role": "narrator", "content": "Once"}], "", id="a role that nobody knows"),
    ],
)
def test_what_messages_hold(messages: list[Any], traits: str) -> None:
    assert of(*messages) == traits


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"model": 1, "messages": "hello"}, id="messages that are none"),
        pytest.param({"model": "reply", "messages": []}, id="no message"),
        pytest.param({"model": "reply", "messages": [None]}, id="a message that is none"),
        pytest.param({"model": "reply", "messages": [{"role": []}]}, id="a role that is none"),
        pytest.param({"model": "reply", "messages": [parts(), {"role": {}}]}, id="one good, one bad"),
        pytest.param(
            {"model": "reply", "messages": [{"role": "user", "content": [1, {"type": {}}]}]}, id="parts that are none"
        ),
    ],
)
def test_a_body_that_makes_no_sense_asks_for_nothing(body: dict[str, Any]) -> None:
    assert traits_of(body) == ""


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(("json_schema", "image_url", "tool", "x")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("type", "role", "z")), inner),
    max_leaves=6,
)
MESSAGES = st.lists(
    VALUES | st.fixed_dictionaries({"role": VALUES | st.just("assistant"), "content": VALUES}), max_size=4
)


@given(st.dictionaries(st.sampled_from(sorted(PARAMETERS)) | st.text(), VALUES, max_size=8), MESSAGES | VALUES)
def test_only_known_words_come_out_sorted_and_once(body: dict[str, Any], messages: Any) -> None:
    words = traits_of({**body, "messages": messages}).split(",")
    assert words == [""] or (set(words) <= WORDS and words == sorted(set(words)))


def test_openais_own_list_is_complete() -> None:
    base, streaming = openai_parameters.CompletionCreateParamsBase, openai_parameters.CompletionCreateParamsStreaming
    named = {*base.__annotations__, *streaming.__annotations__} - {"model", "messages"}
    assert named == OPENAI_PARAMETERS


def test_no_word_has_two_meanings() -> None:
    assert not OPENAI_PARAMETERS & OTHER_PARAMETERS
    assert UNLISTED not in PARAMETERS
    assert all(word.replace("_", "").isalnum() and "," not in word for word in WORDS)
