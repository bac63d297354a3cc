from datetime import UTC, date, datetime
from typing import Any

import orjson
import pytest

from gateway.config.routes import Cutover, ModelDates
from gateway.config.vendors import VENDORS
from gateway.lifecycle.calendar import Calendar, shipped_dates
from gateway.lifecycle.sources import ROWS
from gateway.policy.lifecycle import UNKNOWN_DATES, Dates, Origin, Published, share_moved
from tests.example_routes import BASE, FINE_TUNE, a_fallback, a_primary, a_provider, a_route, some_routes

AZURE = a_provider(kind="azure", base_url="http://127.0.0.1:9/openai/v1")
SANDBOX = a_provider(kind="sandbox")
VLLM = a_provider(kind="vllm")
DAY = date(2027, 1, 14)
EARLIER, LATER = date(2026, 12, 20), date(2027, 3, 1)


def written(day: date | None, source: str = "a mail", **fields: Any) -> ModelDates:
    return ModelDates(shutdown=day, source=source, **fields)


def said(model: str, day: date | None, base: str | None = None, **fields: Any) -> Published:
    """Return what the provider's API says of a model."""
    given = {"shutdown": day, "source": "its API", "origin": Origin.PROVIDER, "read": date(2026, 11, 23)}
    return Published(model, Dates(**given | fields), base)


def calendar(*published: Published, **operator: ModelDates) -> Calendar:
    routes = some_routes(lifecycle={"here": operator} if operator else {})
    return Calendar(routes, {("here", one.model): one for one in published})


# Fine-tunes and their bases.


def test_a_fine_tune_stops_when_its_bases_fine_tunes_stop() -> None:
    dates = calendar().dates_of(a_primary())
    assert (dates.announced, dates.shutdown, dates.replacement) == (date(2026, 10, 14), DAY, "gpt-6-luna")
    assert (dates.last_training_day, dates.inherited_from, dates.read) == (date(2027, 1, 6), BASE, date(2026, 11, 23))
    assert (dates.acts, dates.origin) == (True, Origin.CURATED)
    assert dates.source


def test_a_base_model_has_its_own_date() -> None:
    dates = calendar().dates_of(a_fallback(model=BASE))
    assert (dates.shutdown, dates.inherited_from) == (DAY, None)


def test_a_base_that_only_the_id_tells_is_enough() -> None:
    checkpoint = a_primary(model=f"{FINE_TUNE}:ckpt-step-714", base=None)
    assert calendar().dates_of(checkpoint).shutdown == DAY


def test_a_base_that_only_the_api_tells_is_enough() -> None:
    tuned = a_primary(model="our-tune", base=None)
    assert calendar().dates_of(tuned) == UNKNOWN_DATES
    told = calendar(said("our-tune", None, base=BASE))
    assert told.dates_of(tuned).shutdown == DAY
    assert told.base_of(tuned) == BASE


def test_what_nothing_is_known_of_has_no_date() -> None:
    assert calendar().dates_of(a_fallback(model="gpt-6-luna")) == UNKNOWN_DATES
    assert calendar().dates_of(a_primary(model="ft:unheard-of:acme::1", base="unheard-of")) == UNKNOWN_DATES


def test_an_alias_has_not_the_date_of_its_snapshot() -> None:
    assert calendar().dates_of(a_fallback(model="gpt-4o-mini")) == UNKNOWN_DATES
    assert calendar().dates_of(a_primary(model="ft:gpt-4o-mini:acme::1", base=None)) == UNKNOWN_DATES


@pytest.mark.parametrize(
    ("base", "shutdown"),
    [
        pytest.param("gpt-4.1-mini-2025-04-14", date(2028, 4, 13), id="365 days after training ends with the base"),
        pytest.param("davinci-002", date(2025, 1, 27), id="or on the day that is published for them"),
        pytest.param("gpt-35-turbo-0125", date(2025, 4, 30), id="or with the base, where that is published"),
        pytest.param("gpt-35-turbo-1106", None, id="or on no known day, where the base has none"),
    ],
)
def test_when_an_azure_fine_tune_stops(base: str, shutdown: date | None) -> None:
    dates = calendar().dates_of(a_primary(provider=AZURE, model="claims-ft", base=base))
    assert (dates.shutdown, dates.inherited_from) == (shutdown, base)
    assert dates.acts


def test_an_azure_fallback_is_its_base_under_another_name() -> None:
    deployment = a_fallback(provider=AZURE, model="our-mini", base="gpt-4.1-mini-2025-04-14")
    dates = calendar().dates_of(deployment)
    assert (dates.shutdown, dates.inherited_from) == (date(2027, 4, 14), "gpt-4.1-mini-2025-04-14")


def test_the_name_of_an_azure_deployment_says_nothing_where_its_base_is_known() -> None:
    deployment = a_fallback(provider=AZURE, model="gpt-4o-2024-05-13", base="gpt-5.1")
    assert calendar().dates_of(deployment).shutdown == date(2027, 5, 15)


def test_an_azure_base_whose_training_ends_earlier_takes_its_fine_tunes_with_it() -> None:
    base = "gpt-4.1-mini-2025-04-14"
    told = calendar(said(base, date(2027, 4, 14), last_training_day=date(2026, 12, 31)))
    dates = told.dates_of(a_primary(provider=AZURE, model="claims-ft", base=base))
    assert (dates.shutdown, dates.origin) == (date(2027, 12, 31), Origin.PROVIDER)
    assert [other.shutdown for other in dates.disputed_by] == [date(2028, 4, 13), date(2028, 4, 13)]


def test_ones_own_weights_outlive_their_base_unless_one_says_so() -> None:
    adapter = a_primary(provider=VLLM, model="our-lora", base="m")
    assert calendar(said("m", DAY), said("our-lora", None, base="m")).dates_of(adapter).shutdown is None
    assert calendar(m=written(LATER)).dates_of(adapter).shutdown == LATER


# The operator.


@pytest.mark.parametrize(
    ("operator", "shutdown"),
    [
        pytest.param({FINE_TUNE: written(LATER)}, LATER, id="of the model itself"),
        pytest.param({BASE: written(LATER)}, LATER, id="of its base"),
        pytest.param(
            {FINE_TUNE: written(LATER), BASE: written(date(2026, 12, 1))},
            LATER,
            id="the model's own before its base's",
        ),
        pytest.param({"another": written(LATER)}, DAY, id="of another model: what ships holds"),
        pytest.param({FINE_TUNE: written(None, "they promised")}, None, id="that there is no date is said, too"),
    ],
)
def test_what_the_operator_says_outranks_everybody(operator: dict[str, ModelDates], shutdown: date | None) -> None:
    told = calendar(said(FINE_TUNE, EARLIER), **operator)
    expected = EARLIER if "another" in operator else shutdown
    assert told.dates_of(a_primary()).shutdown == expected
    assert calendar(**operator).dates_of(a_primary()).shutdown == shutdown


def test_the_operators_words_come_through_whole_and_move_traffic() -> None:
    row = written(LATER, announced=DAY, replacement="next", certainty="tentative", last_training_day=DAY)
    dates = calendar(**{FINE_TUNE: row}).dates_of(a_primary())
    assert (dates.announced, dates.replacement, dates.certainty, dates.source) == (DAY, "next", "tentative", "a mail")
    assert (dates.last_training_day, dates.origin) == (DAY, Origin.OPERATOR)
    assert share_moved(dates, Cutover(), datetime(2027, 3, 1, tzinfo=UTC)) == 1.0


def test_what_is_said_of_one_account_does_not_hold_for_another() -> None:
    elsewhere = a_primary(provider=a_provider(name="elsewhere"))
    told = calendar(said(FINE_TUNE, EARLIER), **{FINE_TUNE: written(LATER)})
    assert told.dates_of(elsewhere).shutdown == DAY


def test_what_the_operator_says_of_an_azure_base_is_said_of_training_on_it() -> None:
    told = calendar(**{"gpt-4.1-mini-2025-04-14": written(date(2026, 12, 31))})
    tuned = a_primary(provider=AZURE, model="claims-ft", base="gpt-4.1-mini-2025-04-14")
    assert told.dates_of(tuned).shutdown == date(2027, 12, 31)
    assert told.dates_of(a_fallback(provider=AZURE, model="x", base=tuned.base)).shutdown == date(2026, 12, 31)


# The provider's own API.


@pytest.mark.parametrize(
    ("published", "shutdown", "origin", "disputed_by"),
    [
        pytest.param([said(FINE_TUNE, LATER)], LATER, Origin.PROVIDER, {DAY}, id="of the very model, even if later"),
        pytest.param([said(FINE_TUNE, DAY)], DAY, Origin.PROVIDER, set(), id="of the very model, as expected"),
        pytest.param([said(BASE, EARLIER)], EARLIER, Origin.PROVIDER, {DAY}, id="of its base, if that is earlier"),
        pytest.param([said(BASE, LATER)], DAY, Origin.CURATED, {LATER}, id="of its base, but what ships is earlier"),
        pytest.param(
            [said(FINE_TUNE, None), said(BASE, None)], DAY, Origin.CURATED, set(), id="null: what ships holds"
        ),
        pytest.param(
            [said(FINE_TUNE, LATER), said(BASE, EARLIER)],
            LATER,
            Origin.PROVIDER,
            {EARLIER, DAY},
            id="of both: the model's own counts, and the difference shows",
        ),
    ],
)
def test_what_the_provider_says(
    published: list[Published], shutdown: date, origin: Origin, disputed_by: set[date]
) -> None:
    dates = calendar(*published).dates_of(a_primary())
    assert (dates.shutdown, dates.origin) == (shutdown, origin)
    assert {other.shutdown for other in dates.disputed_by} == disputed_by
    assert dates.replacement == "gpt-6-luna", "the strongest that names one"


def test_a_providers_tentative_date_only_warns() -> None:
    dates = calendar(said("m", DAY, certainty="tentative", acts=False)).dates_of(a_fallback(model="m"))
    assert share_moved(dates, Cutover(), datetime(2027, 1, 14, tzinfo=UTC)) == 0.0
    assert dates.shutdown == DAY


# What ships acts where a person collected it, and never for the sandbox.


@pytest.mark.parametrize(
    ("kind", "model", "origin", "acts"),
    [
        pytest.param("groq", "llama-3.1-8b-instant", Origin.CURATED, True, id="a person's row moves traffic"),
        pytest.param("openai", "o1-mini", Origin.FEED, False, id="a feed's row only warns"),
        pytest.param("together", "Qwen/QwQ-32B", Origin.LITELLM, False, id="litellm's map only warns"),
    ],
)
def test_who_may_move_traffic(kind: str, model: str, origin: Origin, acts: bool) -> None:
    dates = calendar().dates_of(a_fallback(provider=a_provider(kind=kind), model=model))
    assert (dates.origin, dates.acts) == (origin, acts)
    assert share_moved(dates, Cutover(), datetime(2028, 1, 1, tzinfo=UTC)) == float(acts)


@pytest.mark.parametrize(
    "kind", sorted(set(VENDORS) - {"openai", "azure", "mistral", "fireworks", "groq", "xai"}), ids=str
)
def test_a_vendors_dates_are_not_anothers(kind: str) -> None:
    assert shipped_dates(kind, FINE_TUNE, BASE) == UNKNOWN_DATES
    assert shipped_dates(kind, BASE) == UNKNOWN_DATES


def test_the_sandbox_has_no_vendors_dates_however_its_models_are_called() -> None:
    for row in map(orjson.loads, ROWS.read_bytes().splitlines()):
        assert calendar().dates_of(a_fallback(provider=SANDBOX, model=row["model"])) == UNKNOWN_DATES
        assert calendar().dates_of(a_primary(provider=SANDBOX, base=row["model"])) == UNKNOWN_DATES


def test_the_sandboxs_models_have_the_dates_that_it_tells_or_the_operator() -> None:
    ours = a_primary(provider=SANDBOX)
    routes = some_routes(a_route(primary=ours), lifecycle={"here": {FINE_TUNE: written(LATER)}})
    assert Calendar(routes).dates_of(ours).shutdown == LATER
    assert calendar(said(FINE_TUNE, EARLIER)).dates_of(ours).shutdown == EARLIER
    assert calendar(said(BASE, EARLIER)).dates_of(ours).shutdown == EARLIER


# All claims, and how cheap they are.


def test_every_claim_is_shown_the_strongest_first() -> None:
    told = calendar(said(FINE_TUNE, LATER), said(BASE, EARLIER), **{FINE_TUNE: written(None)})
    claims = told.claims_of(a_primary())
    assert [(claim.origin, claim.shutdown) for claim in claims] == [
        (Origin.OPERATOR, None),
        (Origin.PROVIDER, LATER),
        (Origin.PROVIDER, EARLIER),
        (Origin.CURATED, DAY),
        (Origin.LITELLM, DAY),
    ]


def test_what_is_known_is_merged_once_a_target() -> None:
    known = calendar()
    assert known.dates_of(a_primary()) is known.dates_of(a_primary())
    assert known.dates_of(a_primary()) is not known.dates_of(a_primary(provider=a_provider(name="elsewhere")))


def test_one_id_may_be_a_primary_and_a_fallback() -> None:
    known = calendar()
    named = {"provider": AZURE, "model": "x", "base": "gpt-4.1-mini-2025-04-14"}
    assert known.dates_of(a_primary(**named)).shutdown == date(2028, 4, 13)
    assert known.dates_of(a_fallback(**named)).shutdown == date(2027, 4, 14)
