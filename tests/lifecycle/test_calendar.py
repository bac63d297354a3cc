from datetime import UTC, date, datetime
from typing import Any

import orjson
import pytest

from gateway.config.routes import Cutover, ModelDates
from gateway.config.vendors import VENDORS
from gateway.lifecycle.calendar import ROWS, Calendar, shipped_dates
from gateway.policy.lifecycle import UNKNOWN_DATES, share_moved
from tests.example_routes import BASE, FINE_TUNE, a_fallback, a_primary, a_provider, a_route, some_routes

AZURE = a_provider(kind="azure", base_url="http://127.0.0.1:9/openai/v1")
SANDBOX = a_provider(kind="sandbox")
DAY = date(2027, 1, 14)


def written(day: date, source: str = "a mail", **fields: Any) -> ModelDates:
    return ModelDates(shutdown=day, source=source, **fields)


def calendar(**operator: ModelDates) -> Calendar:
    return Calendar(some_routes(lifecycle={"here": operator} if operator else {}))


def test_a_fine_tune_stops_when_its_bases_fine_tunes_stop() -> None:
    dates = calendar().dates_of(a_primary())
    assert (dates.announced, dates.shutdown, dates.replacement) == (date(2026, 10, 14), DAY, "gpt-6-luna")
    assert dates.acts
    assert dates.source


def test_a_base_model_has_its_own_date() -> None:
    assert calendar().dates_of(a_fallback(model=BASE)).shutdown == DAY


def test_what_nothing_is_known_of_has_no_date() -> None:
    assert calendar().dates_of(a_fallback(model="gpt-6-luna")) == UNKNOWN_DATES
    assert calendar().dates_of(a_primary(model="ft:unheard-of:acme::1", base="unheard-of")) == UNKNOWN_DATES


OPERATORS = date(2027, 3, 1)


@pytest.mark.parametrize(
    ("operator", "shutdown"),
    [
        pytest.param({FINE_TUNE: written(OPERATORS)}, OPERATORS, id="of the model itself"),
        pytest.param({BASE: written(OPERATORS)}, OPERATORS, id="of its base"),
        pytest.param(
            {FINE_TUNE: written(OPERATORS), BASE: written(date(2026, 12, 1))},
            OPERATORS,
            id="the model's own before its base's",
        ),
        pytest.param({"another": written(OPERATORS)}, DAY, id="of another model: what ships holds"),
        pytest.param(
            {FINE_TUNE: ModelDates(source="they promised to keep it")}, None, id="that there is no date is said, too"
        ),
    ],
)
def test_what_the_operator_says_outranks_what_ships(operator: dict[str, ModelDates], shutdown: date | None) -> None:
    assert calendar(**operator).dates_of(a_primary()).shutdown == shutdown


def test_the_operators_words_come_through_whole_and_move_traffic() -> None:
    row = written(OPERATORS, announced=DAY, replacement="next", certainty="tentative")
    dates = calendar(**{FINE_TUNE: row}).dates_of(a_primary())
    assert (dates.announced, dates.replacement, dates.certainty, dates.source) == (DAY, "next", "tentative", "a mail")
    assert share_moved(dates, Cutover(), datetime(2027, 3, 1, tzinfo=UTC)) == 1.0


def test_what_is_said_of_one_account_does_not_hold_for_another() -> None:
    elsewhere = a_primary(provider=a_provider(name="elsewhere"))
    assert calendar(**{FINE_TUNE: written(OPERATORS)}).dates_of(elsewhere).shutdown == DAY


def test_an_azure_fine_tune_without_a_date_of_its_own_has_none() -> None:
    base = a_fallback(provider=AZURE, model=BASE)
    assert calendar().dates_of(base).shutdown is not None
    assert calendar().dates_of(a_primary(provider=AZURE)).shutdown is None


def test_an_azure_fine_tune_with_a_date_of_its_own_has_that() -> None:
    assert shipped_dates("azure", "claims-ft", "davinci-002").shutdown == date(2025, 1, 27)


@pytest.mark.parametrize(
    "kind", sorted(set(VENDORS) - {"openai", "azure", "mistral", "fireworks", "groq", "xai"}), ids=str
)
def test_a_vendors_dates_are_not_anothers(kind: str) -> None:
    assert shipped_dates(kind, FINE_TUNE, BASE) == UNKNOWN_DATES
    assert shipped_dates(kind, BASE, None) == UNKNOWN_DATES


def test_the_sandbox_has_no_vendors_dates_however_its_models_are_called() -> None:
    for row in map(orjson.loads, ROWS.read_bytes().splitlines()):
        assert calendar().dates_of(a_fallback(provider=SANDBOX, model=row["model"])) == UNKNOWN_DATES
        assert calendar().dates_of(a_primary(provider=SANDBOX, base=row["model"])) == UNKNOWN_DATES


def test_the_operator_may_date_the_sandboxs_models() -> None:
    routes = some_routes(a_route(primary=a_primary(provider=SANDBOX)), lifecycle={"here": {FINE_TUNE: written(DAY)}})
    assert Calendar(routes).dates_of(a_primary(provider=SANDBOX)).shutdown == DAY


def test_every_shipped_row_can_be_read_and_names_its_source() -> None:
    rows = [orjson.loads(line) for line in ROWS.read_bytes().splitlines()]
    assert len({(row["vendor"], row["model"]) for row in rows}) == len(rows)
    for row in rows:
        dates = shipped_dates(row["vendor"], row["model"], None)
        assert dates.source
        assert dates.announced is None or dates.shutdown is None or dates.announced <= dates.shutdown
