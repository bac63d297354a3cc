"""How long answers may get, by the names that targets take it under."""

from typing import Any

import pytest

from gateway.config.routes import Parameters
from gateway.errors import InvalidRequest
from gateway.policy.answer_length import choices_asked, length_name, limit_length
from gateway.policy.capabilities import Capabilities, CapabilityRow

NEWER = CapabilityRow(
    kinds=("openai",),
    endpoints=("chat_completions",),
    renames={"max_tokens": "max_completion_tokens"},
    source="test",
)
WITHOUT = CapabilityRow(kinds=("openai",), drops=("max_tokens", "max_output_tokens"), source="test")


@pytest.mark.parametrize(
    ("endpoint", "parameters", "rows", "name"),
    [
        ("chat_completions", Parameters(), (), "max_tokens"),
        ("chat_completions", Parameters(), (NEWER,), "max_completion_tokens"),
        ("completions", Parameters(), (NEWER,), "max_tokens"),
        ("responses", Parameters(), (NEWER,), "max_output_tokens"),
        ("chat_completions", Parameters(rename={"max_tokens": "max_new_tokens"}), (), "max_new_tokens"),
        ("chat_completions", Parameters(drop=("max_tokens",)), (), None),
        ("responses", Parameters(), (WITHOUT,), None),
    ],
    ids=[
        "the usual name",
        "a newer model's",
        "a newer model's, at the legacy endpoint",
        "of a response",
        "as the operator says",
        "the operator drops it",
        "the model takes none",
    ],
)
def test_the_name_is_the_targets(
    endpoint: str, parameters: Parameters, rows: tuple[CapabilityRow, ...], name: str | None
) -> None:
    assert length_name(endpoint, parameters, Capabilities(rows), {}) == name


@pytest.mark.parametrize(
    ("body", "name", "most", "length", "after"),
    [
        ({}, "max_tokens", None, 99, {"max_tokens": 99}),
        ({}, "max_completion_tokens", 50, 50, {"max_completion_tokens": 50}),
        ({"max_tokens": 7}, "max_tokens", 50, 7, {"max_tokens": 7}),
        ({"max_tokens": 70}, "max_tokens", 50, 50, {"max_tokens": 50}),
        ({"max_tokens": 10**18}, "max_tokens", None, 10**18, {"max_tokens": 10**18}),
        (
            {"max_tokens": 7, "max_completion_tokens": 70},
            "max_tokens",
            50,
            50,
            {"max_tokens": 7, "max_completion_tokens": 50},
        ),
        ({"max_new_tokens": 70}, "max_new_tokens", 50, 50, {"max_new_tokens": 50}),
        ({"max_tokens": None}, "max_tokens", None, 99, {"max_tokens": 99}),
        ({}, None, 50, None, {}),
    ],
    ids=[
        "none: the model's longest",
        "none: the key's",
        "shorter than the key's",
        "longer than the key's",
        "any, where the key has none",
        "two: the longer counts",
        "by the operator's name",
        "null is none",
        "the target takes none",
    ],
)
def test_a_length_is_cut_or_supplied(
    body: dict[str, Any], name: str | None, most: int | None, length: int | None, after: dict[str, Any]
) -> None:
    before = dict(body)
    found, changed = limit_length(body, "chat_completions", name, most=most, otherwise=99)
    assert (found, body) == (length, after)
    assert set(changed) == {each for each in after if before.get(each) != after[each]}


@pytest.mark.parametrize("asked", [-1, 0, 1.0, "7", True, [], {}, 1e18], ids=repr)
@pytest.mark.parametrize("name", ["max_tokens", "n", "best_of"])
def test_what_is_no_number_is_refused(name: str, asked: object) -> None:
    body = {name: asked}

    def looked_at() -> None:
        limit_length(body, "completions", "max_tokens", most=None, otherwise=99)
        choices_asked(body, "completions")

    with pytest.raises(InvalidRequest) as refused:
        looked_at()
    assert refused.value.param == name


@pytest.mark.parametrize(
    ("endpoint", "body", "count"),
    [
        ("chat_completions", {}, 1),
        ("chat_completions", {"n": 3}, 3),
        ("chat_completions", {"n": None, "prompt": ["a", "b"]}, 1),
        ("completions", {"n": 2, "best_of": 5}, 5),
        ("completions", {"prompt": ["a", "b"], "n": 2}, 4),
        ("completions", {"prompt": [[1, 2], [3]]}, 2),
        ("completions", {"prompt": [1, 2, 3]}, 1),
        ("completions", {"prompt": []}, 1),
    ],
    ids=[
        "one",
        "several",
        "none are said",
        "more are made than returned",
        "each prompt has its own",
        "prompts in tokens",
        "one prompt in tokens",
        "an empty list",
    ],
)
def test_answers_are_counted(endpoint: str, body: dict[str, Any], count: int) -> None:
    assert choices_asked(body, endpoint) == count
