from datetime import date, timedelta
from decimal import Decimal

import pytest

from gateway.config.routes import Target
from gateway.execution.substitutes import MOST_NAMES, MOST_TOLD_A_DAY, Answered, AnswerNames, Substitutions
from gateway.policy.amounts import AmountPrice
from gateway.policy.pricing import Price
from gateway.providers.prices import PriceBook
from tests.example_routes import FINE_TUNE, a_primary, a_provider

TODAY = date(2026, 11, 23)
BASE = "gpt-4o-mini-2024-07-18"


def a_price(nano: int) -> Price:
    return Price(Decimal(nano), Decimal(nano), Decimal(nano), "v", "test")


BOOK = PriceBook({("here", FINE_TUNE): a_price(3), ("here", BASE): a_price(1), ("here", "llama3.2"): a_price(2)})
OLLAMA = a_provider(kind="ollama")


@pytest.mark.parametrize(
    ("target", "named", "substitute", "nano"),
    [
        pytest.param(a_primary(), FINE_TUNE, False, 3, id="what was asked for"),
        pytest.param(a_primary(), None, False, 3, id="an answer that names nobody"),
        pytest.param(a_primary(), FINE_TUNE.lower(), False, 3, id="what was asked for, in another case"),
        pytest.param(a_primary(), BASE, True, 1, id="its base: priced as what answered"),
        pytest.param(a_primary(), "whatever", True, None, id="a model that nobody priced"),
        pytest.param(
            a_primary(model="llama3.2", provider=OLLAMA), "llama3.2:latest", False, 2, id="a spelling without a price"
        ),
    ],
)
def test_what_a_name_means(target: Target, named: str | None, substitute: bool, nano: int | None) -> None:
    names = AnswerNames(target, BOOK)
    wanted = Answered(substitute, None if nano is None else a_price(nano))
    assert names.meaning(named) == wanted
    assert names.meaning(named) == wanted, "the second time, from memory"


def test_what_is_priced_by_the_piece_is_that_under_every_spelling_of_its_name_and_under_no_other() -> None:
    by_the_second = AmountPrice("v", "test", second=Decimal(7))
    book = PriceBook({}, amounts={("here", "whisper-1"): by_the_second})
    names = AnswerNames(a_primary(model="whisper-1", base=None), book)
    assert [names.meaning(name).amounts for name in (None, "whisper-1", "whisper-1-2026-01-31", "other")] == [
        by_the_second,
        by_the_second,
        by_the_second,
        None,
    ]


def test_a_provider_that_invents_names_is_not_remembered_for_ever() -> None:
    names = AnswerNames(a_primary(), BOOK)
    judged = [names.meaning(f"model-{number}") for number in range(MOST_NAMES + 1)]
    assert all(answered.substitute for answered in judged)
    assert names.meaning("model-0") is judged[0]
    assert names.meaning(f"model-{MOST_NAMES}") is not judged[MOST_NAMES]


@pytest.fixture
def told() -> list[tuple[str, ...]]:
    return []


@pytest.fixture
def substitutions(told: list[tuple[str, ...]]) -> Substitutions:
    return Substitutions(lambda *words: told.append(words))


def test_a_substitution_is_told_of_once_a_day(substitutions: Substitutions, told: list[tuple[str, ...]]) -> None:
    for route in ("forum-reply", "triage"):
        substitutions.seen(a_primary(), BASE, route, TODAY)
    assert told == [("here", FINE_TUNE, BASE, "forum-reply")], "by its model, not by its route"
    substitutions.seen(a_primary(), BASE, "triage", TODAY + timedelta(days=1))
    assert told[1:] == [("here", FINE_TUNE, BASE, "triage")]


def test_another_substitute_is_told_of_too(substitutions: Substitutions, told: list[tuple[str, ...]]) -> None:
    substitutions.seen(a_primary(), BASE, "forum-reply", TODAY)
    substitutions.seen(a_primary(), "gpt-6-luna", "forum-reply", TODAY)
    assert [words[2] for words in told] == [BASE, "gpt-6-luna"]


def test_a_provider_that_invents_names_is_told_of_only_so_often(
    substitutions: Substitutions, told: list[tuple[str, ...]]
) -> None:
    for number in range(MOST_TOLD_A_DAY + 5):
        substitutions.seen(a_primary(), f"model-{number}", "forum-reply", TODAY)
    assert len(told) == MOST_TOLD_A_DAY
