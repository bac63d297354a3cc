from datetime import date

import pytest

from gateway.config.vendors import VENDORS, FineTuneRule
from gateway.policy.inheritance import DERIVED, of_fine_tunes, rule_of
from gateway.policy.lifecycle import Dates

ENDS, TRAINED_UNTIL = date(2027, 4, 14), date(2027, 1, 6)
BASE = Dates(announced=date(2026, 10, 14), shutdown=ENDS, replacement="next", source="a page")


@pytest.mark.parametrize(
    ("rule", "shutdown", "last_training_day", "ends"),
    [
        pytest.param("with_base", ENDS, TRAINED_UNTIL, ENDS, id="with its base"),
        pytest.param("with_base", None, TRAINED_UNTIL, None, id="with a base that has no day: no day"),
        pytest.param("training+365d", ENDS, TRAINED_UNTIL, date(2028, 1, 6), id="365 days after the last training day"),
        pytest.param(
            "training+365d", ENDS, None, date(2028, 4, 13), id="else after the base, which a leap day shortens"
        ),
        pytest.param("training+365d", None, TRAINED_UNTIL, date(2028, 1, 6), id="even where the base has no day"),
        pytest.param("training+365d", None, None, None, id="after nothing that is known: no day"),
    ],
)
def test_when_a_fine_tune_stops(
    rule: FineTuneRule, shutdown: date | None, last_training_day: date | None, ends: date | None
) -> None:
    base = Dates(shutdown=shutdown, last_training_day=last_training_day, source="a page")
    dates = of_fine_tunes("base", base, rule)
    assert dates is not None
    assert dates.shutdown == ends
    assert dates.inherited_from == "base"
    assert (DERIVED in dates.source) == (rule == "training+365d" and ends is not None)


def test_the_rest_is_the_bases() -> None:
    dates = of_fine_tunes("base", BASE, "training+365d")
    assert dates is not None
    assert (dates.announced, dates.replacement, dates.source) == (
        BASE.announced,
        "next",
        "a page; fine-tunes: training end + 365 days",
    )


def test_weights_that_are_ones_own_outlive_their_base() -> None:
    assert of_fine_tunes("base", BASE, "own") is None


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        pytest.param("openai", "with_base", id="OpenAI's stop with their base"),
        pytest.param("azure", "training+365d", id="Azure serves them for another year"),
        pytest.param("vllm", "own", id="vLLM's are their owner's"),
        pytest.param("ollama", "own", id="so are Ollama's"),
        pytest.param("sandbox", "with_base", id="the sandbox behaves as OpenAI does"),
        pytest.param("gemini", "with_base", id="so are Gemini's"),
    ],
)
def test_the_rule_of_a_vendor(kind: str, rule: FineTuneRule) -> None:
    assert rule_of(kind) == rule


def test_who_is_self_hosted() -> None:
    own = {kind for kind, vendor in VENDORS.items() if vendor.fine_tune_rule == "own"}
    assert own == {"vllm", "sglang", "ollama", "llama.cpp", "lmstudio", "tgi"}
