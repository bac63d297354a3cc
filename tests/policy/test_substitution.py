import pytest

from gateway.policy.substitution import same_model

FINE_TUNE = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        pytest.param("gpt-6-luna", "gpt-6-luna", id="the same id"),
        pytest.param("gpt-4o-mini", "gpt-4o-mini-2024-07-18", id="an alias and its snapshot"),
        pytest.param("claude-opus", "claude-opus-20250514", id="a snapshot's date without dashes"),
        pytest.param("gpt-4", "gpt-4-0613", id="a snapshot by month and day"),
        pytest.param("mistral-small", "mistral-small-2503", id="a snapshot by year and month"),
        pytest.param("mistral-large-latest", "mistral-large-2411", id="an alias that says latest"),
        pytest.param(FINE_TUNE, FINE_TUNE.lower(), id="a fine-tune's id in another case"),
    ],
)
def test_the_model_that_was_asked_for(asked: str, answered: str) -> None:
    assert same_model(asked, answered)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        pytest.param("gpt-4o", "gpt-4o-mini", id="another size"),
        pytest.param("gpt-4o", "gpt-4o-mini-2024-07-18", id="a snapshot of another size"),
        pytest.param("gpt-4o", "gpt-4o-2024-13-01", id="digits that are no date"),
        pytest.param("gpt-4o", "gpt-4o-2024-08-06-preview", id="more behind the date"),
        pytest.param("embed", "embed-9999", id="four digits that are no date"),
        pytest.param("gpt-4o-2024-08-06", "gpt-4o", id="an alias for a snapshot: it may have moved on"),
        pytest.param("gpt-4o-2024-08-06", "gpt-4o-2024-11-20", id="another snapshot"),
        pytest.param(FINE_TUNE, "gpt-4o-mini-2024-07-18", id="the base for its fine-tune"),
        pytest.param(FINE_TUNE, FINE_TUNE[:-1] + "5", id="another fine-tune of the same base"),
        pytest.param("ft:gpt-4o-mini", "ft:gpt-4o-mini-2024-07-18", id="a fine-tune is no alias"),
        pytest.param("claims-ft", "gpt-4.1-mini-2025-04-14", id="a deployment that nothing is known of"),
        pytest.param("gpt-6-luna", "", id="no name at all"),
    ],
)
def test_another_model(asked: str, answered: str) -> None:
    assert not same_model(asked, answered)


def test_a_deployment_answers_with_the_name_of_its_base() -> None:
    assert same_model("claims-ft", "gpt-4.1-mini-2025-04-14", answers_as="gpt-4.1-mini-2025-04-14")
    assert same_model("our-luna", "gpt-6-luna-2026-09-22", answers_as="gpt-6-luna")
    assert not same_model("our-luna", "gpt-4o", answers_as="gpt-6-luna")
