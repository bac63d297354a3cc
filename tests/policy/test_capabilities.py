"""What one target takes of a request: renamed, set, dropped, lacked; and the history of other targets."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.routes import CapabilityEntry, Parameters, Target
from gateway.policy.capabilities import Capabilities, capabilities_of
from gateway.policy.tool_calls import fitting
from gateway.policy.traits import words_of, words_of_response
from gateway.providers.capability_table import capability_rows
from tests.example_routes import a_fallback, a_primary, a_provider

CALL = {"id": "call_" + "x" * 50, "type": "function", "function": {"name": "f", "arguments": "{}"}}
HISTORY = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_content": "Hm."},
    {"role": "tool", "tool_call_id": CALL["id"], "content": "4"},
]


def at(kind: str, model: str = "m", **fields: Any) -> Target:
    return a_fallback(model=model, provider=a_provider(name="there", kind=kind), **fields)


def of(target: Target, primary: Target | None = None, own: Any = None) -> Capabilities:
    return capabilities_of(target, primary, capability_rows(), own or {})


def adapted(target: Target, endpoint: str = "chat_completions", **body: Any) -> tuple[dict[str, Any], list[str]]:
    return body, of(target).adapt(body, endpoint)


def changed_in(changed: list[str]) -> set[str]:
    inside = {
        "tool_call_id": {"messages", "input"},
        "reasoning": {"messages"},
        "parsed": {"messages", "input"},
        "reasoning_effort": {"reasoning_effort", "reasoning"},
    }
    return set().union(*(inside.get(name, {name}) for name in changed))


LUNA = at("openai", "gpt-6-luna")
ADAPTED: list[Any] = [
    pytest.param(LUNA, {"max_tokens": 5}, {"max_completion_tokens": 5}, ["max_tokens"], id="renamed"),
    pytest.param(
        LUNA, {"max_tokens": 5, "max_completion_tokens": 7}, {"max_completion_tokens": 7}, ["max_tokens"],
        id="renamed onto one that is there: that one counts",
    ),
    pytest.param(LUNA, {"temperature": 0.2, "seed": 1}, {"seed": 1}, ["temperature"], id="dropped, and noted"),
    pytest.param(
        LUNA, {"temperature": 0.2, "reasoning_effort": "none"}, {"temperature": 0.2, "reasoning_effort": "none"}, [],
        id="kept where the request's own parameters allow it",
    ),
    pytest.param(
        LUNA, {"tools": [{}], "temperature": 0.2}, {"tools": [{}], "temperature": 0.2, "reasoning_effort": "none"},
        ["reasoning_effort"], id="tools need reasoning to be off, which then allows a temperature",
    ),
    pytest.param(LUNA, {"temperature": None}, {"temperature": None}, [], id="a null is no loss to anybody"),
    pytest.param(
        at("mistral"), {"seed": 3, "max_completion_tokens": 9}, {"random_seed": 3, "max_tokens": 9},
        ["seed", "max_completion_tokens"], id="Mistral's own names",
    ),
    pytest.param(at("vllm"), {"top_k": 3, "seed": 1}, {"top_k": 3, "seed": 1}, [], id="who takes everything"),
    pytest.param(
        at("openai-compatible"), {"x": 1, "user": "u"}, {"x": 1, "user": "u"}, [], id="of whom nothing is known"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("target", "body", "expected", "changed"), ADAPTED)
def test_what_becomes_of_parameters(
    target: Target, body: dict[str, Any], expected: dict[str, Any], changed: list[str]
) -> None:
    assert adapted(target, **body) == (expected, changed)


def test_in_the_responses_api_they_are_found_where_they_are() -> None:
    body, changed = adapted(LUNA, "responses", temperature=1, reasoning={"effort": "none", "summary": "auto"})
    assert (body["temperature"], changed) == (1, [])
    body, changed = adapted(LUNA, "responses", temperature=1, max_output_tokens=5, tools=[{"type": "function"}])
    assert (body, changed) == ({"max_output_tokens": 5, "tools": [{"type": "function"}]}, ["temperature"])


IMAGE = [{"role": "user", "content": [{"type": "image_url"}]}]
LACKED: list[Any] = [
    pytest.param(at("groq"), {"n": 2}, "many_choices", id="several choices"),
    pytest.param(at("groq"), {"n": 1}, None, id="one choice is none too many"),
    pytest.param(at("deepseek"), {"messages": IMAGE}, "image", id="an image"),
    pytest.param(at("anthropic"), {"logprobs": True}, "logprobs", id="logprobs"),
    pytest.param(at("anthropic"), {"logprobs": False}, None, id="no logprobs"),
    pytest.param(at("bedrock"), {"parallel_tool_calls": False}, "one_call_at_a_time", id="one call at a time"),
    pytest.param(at("bedrock"), {"parallel_tool_calls": True}, None, id="calls in parallel are only allowed"),
    pytest.param(at("cohere"), {"response_format": {"type": "json_schema"}}, "json_schema", id="a schema"),
    pytest.param(at("perplexity"), {"tools": [{}]}, "tools", id="tools"),
    pytest.param(LUNA, {"top_logprobs": 3}, "top_logprobs", id="of a reasoning model"),
    pytest.param(
        at("openai", "gpt-6-luna", parameters=Parameters(set={"reasoning_effort": "none"})), {"top_logprobs": 3}, None,
        id="not where the target's own parameters lift it",
    ),
    pytest.param(
        at("groq", parameters=Parameters(drop=("logit_bias",))), {"logit_bias": {}}, None, id="not what is dropped"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("target", "body", "lacked"), LACKED)
def test_what_a_target_lacks(target: Target, body: dict[str, Any], lacked: str | None) -> None:
    words = words_of({"model": "m", "messages": [{"role": "user", "content": "x"}], **body})
    capabilities = of(target)
    said = capabilities.lacks(words & capabilities.lackable, "chat_completions")
    assert said is None if lacked is None else said is not None and said.startswith(f"takes no {lacked} (")


def test_hosted_things_stay_with_their_vendor() -> None:
    words = words_of_response({"model": "m", "input": "x", "prompt": {"id": "pmpt_1"}})
    assert (of(at("vllm")).lacks(words, "responses") or "").startswith("takes no prompt (")
    assert of(at("azure")).lacks(words, "responses") is None


BIASED: list[Any] = [
    pytest.param("gpt-4.1-mini", "gpt-4o-mini-2024-07-18", {}, False, id="the same tokenizer"),
    pytest.param("gpt-4-turbo", "gpt-4o-mini-2024-07-18", {}, True, id="another one"),
    pytest.param("who-knows", "gpt-4o-mini-2024-07-18", {}, True, id="an unknown one"),
    pytest.param("who-knows", "gpt-4o", {"drop": ("logit_bias",)}, False, id="one whose operator drops the bias"),
]


@pytest.mark.parametrize(("model", "primary", "parameters", "lacks"), BIASED)
def test_a_bias_by_token_ids_is_of_one_tokenizer(
    model: str, primary: str, parameters: dict[str, Any], lacks: bool
) -> None:
    target = at("openai", model, parameters=Parameters(**parameters))
    first = a_primary(model=f"ft:{primary}:acme::1", base=primary, provider=a_provider(kind="openai"))
    said = of(target, first).lacks(["logit_bias"], "chat_completions")
    assert (said is not None) is lacks


def test_the_primary_takes_its_own_bias() -> None:
    first = a_primary(provider=a_provider(kind="openai"))
    assert of(first, first).lacks(["logit_bias"], "chat_completions") is None


def test_what_the_operator_knows_outranks_the_table() -> None:
    entry = CapabilityEntry(takes=("temperature", "many_choices"), lacks=("image",), drops=("seed",), source="tried")
    target = at("openai", "gpt-6-luna")
    capabilities = of(target, None, {"there": {"gpt-6-luna": entry}})
    body = {"temperature": 1, "seed": 2, "max_tokens": 3}
    assert capabilities.adapt(body, "chat_completions") == ["seed", "max_tokens"]
    assert body == {"temperature": 1, "max_completion_tokens": 3}
    assert capabilities.lacks(["image"], "chat_completions") == "takes no image (routes.yaml: tried)"


def test_what_the_operator_sets_is_sent() -> None:
    target = at("openai", "gpt-6-luna", parameters=Parameters(set={"temperature": 1}))
    body = {"temperature": 1, "top_p": 1}
    assert of(target).adapt(body, "chat_completions") == ["top_p"]
    assert body == {"temperature": 1}


# History.


@pytest.mark.parametrize(
    ("kind", "matches", "reasoning"),
    [
        pytest.param("openai", lambda id_: len(id_) <= 40, None, id="OpenAI: at most forty characters"),
        pytest.param("mistral", lambda id_: len(id_) == 9 and id_.isalnum(), None, id="Mistral: nine alphanumerics"),
        pytest.param("anthropic", lambda id_: id_ == CALL["id"], "Hm.", id="Anthropic: words, and its own thoughts"),
        pytest.param("deepseek", lambda id_: id_ == CALL["id"], "Hm.", id="DeepSeek wants its thoughts back"),
        pytest.param("vllm", lambda id_: id_ == CALL["id"], "Hm.", id="who takes everything gets everything"),
    ],
)
def test_a_replayed_conversation_fits_its_target(kind: str, matches: Any, reasoning: str | None) -> None:
    body, _ = adapted(at(kind), messages=copy.deepcopy(HISTORY))
    _, assistant, tool = body["messages"]
    assert assistant["tool_calls"][0]["id"] == tool["tool_call_id"], "a call and its result still belong together"
    assert matches(tool["tool_call_id"])
    assert assistant.get("reasoning_content") == reasoning
    assert assistant["tool_calls"][0]["function"] == CALL["function"]


PARSED_CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}", "parsed_arguments": {}}}


@pytest.mark.parametrize(
    ("endpoint", "body", "sent"),
    [
        pytest.param(
            "chat_completions",
            {"messages": [{"role": "assistant", "content": "{}", "parsed": {"a": 1}}]},
            {"messages": [{"role": "assistant", "content": "{}"}]},
            id="a message",
        ),
        pytest.param(
            "chat_completions",
            {"messages": [{"role": "assistant", "tool_calls": [PARSED_CALL]}]},
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                    }
                ]
            },
            id="a call",
        ),
        pytest.param(
            "responses",
            {"input": [{"type": "function_call", "call_id": "c", "arguments": "{}", "parsed_arguments": {}}]},
            {"input": [{"type": "function_call", "call_id": "c", "arguments": "{}"}]},
            id="an item",
        ),
        pytest.param(
            "responses",
            {"input": [{"type": "message", "content": [{"type": "output_text", "text": "{}", "parsed": {}}]}]},
            {"input": [{"type": "message", "content": [{"type": "output_text", "text": "{}"}]}]},
            id="a part",
        ),
    ],
)
def test_what_an_sdk_parsed_is_not_sent_to_who_checks_fields(endpoint: str, body: Any, sent: Any) -> None:
    words = words_of(body) if endpoint == "chat_completions" else words_of_response(body)
    target, before = at("openai"), copy.deepcopy(body)
    assert not words.isdisjoint(of(target).sensitive), "or nobody would look"
    asked = dict(body)
    assert of(target).adapt(asked, endpoint) == ["parsed"]
    assert asked == sent
    assert body == before, "what is nested is the caller's own"
    assert of(at("vllm")).adapt(dict(body), endpoint) == []


def test_items_of_the_responses_api_fit_as_well() -> None:
    long = "call_" + "y" * 70
    items = [{"type": "function_call", "call_id": long, "name": "f"}, {"type": "function_call_output", "call_id": long}]
    body, changed = adapted(at("openai"), "responses", input=items)
    assert changed == ["tool_call_id"]
    assert body["input"][0]["call_id"] == body["input"][1]["call_id"] == fitting(long, "at_most_64")


@given(st.text(min_size=1), st.sampled_from(["at_most_40", "at_most_64_word_characters", "nine_alphanumerics"]))
def test_an_id_that_was_mapped_once_fits_for_good(id_: str, form: Any) -> None:
    assert fitting(fitting(id_, form), form) == fitting(id_, form)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["temperature", "max_tokens", "seed", "tools", "messages", "input", "reasoning", "text", "n", "user"]
)


@given(
    st.dictionaries(NAMES | st.text(max_size=6), JSON, max_size=8),
    st.sampled_from(["openai", "mistral", "anthropic", "vllm"]),
    st.sampled_from(["chat_completions", "responses"]),
)
def test_nothing_is_touched_but_what_is_named(body: dict[str, Any], kind: str, endpoint: str) -> None:
    before = copy.deepcopy(body)
    nested = {name: value for name, value in body.items() if isinstance(value, dict | list)}
    changed = of(at(kind, "gpt-6-luna")).adapt(body, endpoint)
    named = changed_in(changed) | {"max_completion_tokens", "random_seed", "max_tokens"}
    assert {n: v for n, v in body.items() if n not in named} == {n: v for n, v in before.items() if n not in named}
    assert all(before[name] == value for name, value in nested.items()), "what is nested is the caller's own"


def test_what_makes_no_difference_is_not_looked_at() -> None:
    assert of(at("vllm")).sensitive == frozenset()
    assert "temperature" in of(LUNA).sensitive
