from typing import Any

import pytest

from gateway.policy.callers_words import is_about_the_callers

GONE = "The model `{}` does not exist or you do not have access to it."


@pytest.mark.parametrize(
    ("message", "param", "body", "theirs"),
    [
        pytest.param(GONE.format("tuned-1"), None, {}, False, id="the model that was asked"),
        pytest.param(GONE.format("tuned-1"), "model", {}, False, id="and its parameter"),
        pytest.param(GONE.format("gpt-image-99"), "tools", {}, True, id="another parameter"),
        pytest.param("no/such is not a valid model ID", None, {"models": ["no/such"]}, True, id="an alternative"),
        pytest.param(
            "no/such is not a valid model ID", None, {"models": ["tuned-1"]}, False, id="of whom nobody spoke"
        ),
        pytest.param(
            GONE.format("gpt-image-99"),
            None,
            {"tools": [{"type": "image", "model": "gpt-image-99"}]},
            True,
            id="nested",
        ),
        pytest.param(
            GONE.format("tuned-1"),
            None,
            {"metadata": {"a": "tuned-1"}},
            False,
            id="the model, which is also named elsewhere",
        ),
        pytest.param("The requested model is gone.", None, {"user": "requested"}, False, id="words are no ids"),
        pytest.param(
            "gpt-4 was removed", None, {"messages": [{"role": "user", "content": "gpt-4"}]}, False, id="nor is content"
        ),
        pytest.param("x-1 " * 100_000, None, {"a": "y-1"}, False, id="a long message is read at its beginning"),
    ],
)
def test_whose_words_they_are(message: str, param: str | None, body: dict[str, Any], theirs: bool) -> None:
    assert is_about_the_callers(message, param, "tuned-1", body) is theirs
