from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from gateway.config.routes import Cutover, ModelDates, ModelPrice, Parameters, Prompt, Route, Target
from gateway.lifecycle.calendar import Calendar
from gateway.lifecycle.forecast import Forecast, Horizon, RouteForecast, forecast
from gateway.lifecycle.forecast_findings import REMEDIES, FindingKind
from gateway.lifecycle.forecast_traffic import CostBasis, prompt_tokens
from gateway.policy.traffic import Exercised, Limits, Minute, Served, Traffic
from gateway.providers.abilities import Abilities
from gateway.providers.prices import PriceBook
from gateway.reasons import Reason
from tests.example_routes import BASE, FINE_TUNE, a_fallback, a_primary, a_provider, a_route, some_routes

NOV_23 = datetime(2026, 11, 23, 12, tzinfo=UTC)
SHUTDOWN = date(2027, 1, 14)
PROMPT = Prompt(version="0123456789ab", instructions="x" * 400)
LUNA = a_fallback(model="gpt-6-luna", prompt=PROMPT, parameters=Parameters(set={"reasoning_effort": "none"}))
WEEK = {"since": NOV_23 - timedelta(days=7), "until": NOV_23}
ON_LUNA = ("forum-reply", "here", "gpt-6-luna")
ON_PRIMARY = ("forum-reply", "here", FINE_TUNE)


def a_week(**fields: Any) -> Traffic:
    return Traffic(**WEEK | {"exercised": {ON_LUNA: Exercised(1, NOV_23)}} | fields)


class Known(Abilities):
    """What is said of every model alike."""

    def __init__(self, refused: Mapping[str, str], adapted: Iterable[str] = ()) -> None:
        self._refused, self._adapted = refused, frozenset(adapted)

    def refused_by(self, target: Target) -> Mapping[str, str]:
        return self._refused

    def adapted_by(self, target: Target) -> frozenset[str]:
        return self._adapted


def foresee(
    *routes: Route,
    now: datetime = NOV_23,
    at: datetime | None = None,
    days: int = 90,
    traffic: Traffic | None = None,
    refused: Mapping[str, str] | None = None,
    adapted: Iterable[str] = (),
    **fields: Any,
) -> Forecast:
    configuration = some_routes(*(routes or (a_route(fallbacks=(LUNA,)),)), **fields)
    return forecast(
        configuration,
        Horizon.of_days(now, days) if at is None else Horizon.on(now, at),
        calendar=Calendar(configuration),
        book=PriceBook.for_routes(configuration, now.date()),
        abilities=Known(refused or {}, adapted),
        traffic=traffic,
    )


def the_route(*routes: Route, **given: Any) -> RouteForecast:
    (row,) = foresee(*routes, **given).routes
    return row


def kinds(row: RouteForecast) -> set[str]:
    return {finding.kind.value for finding in row.findings}


# The four instants


@pytest.mark.parametrize(
    ("now", "days_left", "lost_today"),
    [
        pytest.param(NOV_23, 52, False, id="on 2026-11-23"),
        pytest.param(datetime(2027, 1, 6, tzinfo=UTC), 8, False, id="on the last day to train"),
        pytest.param(datetime(2027, 1, 13, 23, 59, tzinfo=UTC), 1, False, id="in the last minute"),
        pytest.param(datetime(2027, 1, 14, tzinfo=UTC), 0, True, id="at the shutdown"),
    ],
)
def test_the_days_before_a_shutdown(now: datetime, days_left: int, lost_today: bool) -> None:
    row = the_route(now=now)
    assert (row.lost, row.days_left, row.dates.shutdown) == (True, days_left, SHUTDOWN)
    assert row.serves == LUNA
    assert [(step.target.name, step.reason) for step in row.plan.steps] == [("luna", Reason.SHUTDOWN_REACHED)]
    assert the_route(now=now, at=now).lost is lost_today
    assert the_route(now=now, at=now).serves == (LUNA if lost_today else a_primary())


@pytest.mark.parametrize(
    ("days", "lost"),
    [
        pytest.param(52, True, id="the last day of the horizon counts"),
        pytest.param(51, False, id="the day after it does not"),
        pytest.param(0, False, id="today alone"),
    ],
)
def test_the_horizon(days: int, lost: bool) -> None:
    assert the_route(days=days).lost is lost


# Who answers


@pytest.mark.parametrize(
    ("route", "serves"),
    [
        pytest.param({}, "luna", id="the fallback"),
        pytest.param({"cutover": Cutover(at="gone")}, "luna", id="the fallback, once the primary is found gone"),
        pytest.param({"fallbacks": ()}, None, id="nobody, without a fallback"),
        pytest.param({"fallback_on": frozenset()}, None, id="nobody, where no fallback may"),
        pytest.param(
            {"fallbacks": (a_fallback("base", model=BASE),)}, None, id="nobody, if the fallback stops as well"
        ),
        pytest.param(
            {"fallbacks": (a_fallback("base", model=BASE), LUNA)}, "luna", id="the second, if the first stops as well"
        ),
        pytest.param({"primary": None}, "luna", id="the fallback, of a route that has nobody else"),
        pytest.param(
            {"primary": None, "fallbacks": (a_fallback("base", model=BASE),)},
            None,
            id="nobody, of a route whose only fallback stops",
        ),
    ],
)
def test_who_answers_on_the_day(route: dict[str, Any], serves: str | None) -> None:
    row = the_route(a_route(**({"fallbacks": (LUNA,)} | route)))
    assert (row.serves.name if row.serves else None) == serves
    assert row.nobody is (serves is None)
    assert ("nobody" in kinds(row)) is row.nobody


def test_a_date_that_only_warns_moves_traffic_once_the_model_is_gone() -> None:
    class Feed(Calendar):
        def dates_of(self, target: Target) -> Any:
            from dataclasses import replace

            known = super().dates_of(target)
            return replace(known, acts=False) if known.shutdown else known

    configuration = some_routes(a_route(fallbacks=(LUNA,)))
    found = forecast(
        configuration,
        Horizon.of_days(NOV_23, 90),
        calendar=Feed(configuration),
        book=PriceBook({}),
        abilities=Known({}),
    )
    (row,) = found.routes
    assert row.plan.steps[0].target.name == "primary"
    assert row.serves == LUNA
    assert (row.begins, row.complete) == (None, None)
    assert "warns_only" in kinds(row)


@pytest.mark.parametrize(
    ("cutover", "begins", "complete"),
    [
        pytest.param(Cutover(), SHUTDOWN, SHUTDOWN, id="on the day"),
        pytest.param(Cutover(days_before=14), date(2026, 12, 31), date(2026, 12, 31), id="before it"),
        pytest.param(Cutover(days_before=14, ramp_days=7), date(2026, 12, 24), date(2026, 12, 31), id="on a ramp"),
        pytest.param(Cutover(at="gone"), None, None, id="by no rule"),
    ],
)
def test_when_traffic_moves(cutover: Cutover, begins: date | None, complete: date | None) -> None:
    row = the_route(a_route(fallbacks=(LUNA,), cutover=cutover))
    assert (row.begins, row.complete) == (begins, complete)


def test_trouble_comes_first_then_the_earlier_date() -> None:
    later = {"here": {"late": ModelDates(shutdown=date(2027, 2, 1), source="a mail")}}
    found = foresee(
        a_route(name="undated", primary=a_primary(model="m", base=None), fallbacks=(LUNA,)),
        a_route(name="late", primary=a_primary(model="late", base=None), fallbacks=(LUNA,)),
        a_route(name="alone", primary=a_primary(model="late", base=None), fallbacks=()),
        a_route(name="early", fallbacks=(LUNA,)),
        lifecycle=later,
    )
    assert [row.route.name for row in found.routes] == ["alone", "early", "late", "undated"]
    assert [row.route.name for row in found.lost] == ["alone", "early", "late"]
    assert [row.route.name for row in found.nobody] == ["alone"]


# What is wrong


VLLM = a_provider(name="campus", kind="vllm")
FINE = a_route(fallbacks=(LUNA,))


@pytest.mark.parametrize(
    ("route", "traffic", "expected"),
    [
        pytest.param(FINE, a_week(), set(), id="nothing"),
        pytest.param(FINE, None, set(), id="without a ledger nobody knows who was exercised"),
        pytest.param(FINE, a_week(exercised={}), {"never_exercised"}, id="a fallback that never answered"),
        pytest.param(
            FINE,
            a_week(exercised={("another", "here", "gpt-6-luna"): Exercised(9, NOV_23)}),
            {"never_exercised"},
            id="it answered, for another route",
        ),
        pytest.param(
            a_route(fallbacks=(a_fallback(model="gpt-6-luna"),)), None, {"no_prompt"}, id="a fallback without a prompt"
        ),
        pytest.param(
            a_route(primary=a_primary(model="m", base=None), fallbacks=()), None, {"no_fallback"}, id="no fallback"
        ),
        pytest.param(
            a_route(fallbacks=(LUNA, a_fallback("base", model=BASE))),
            None,
            {"fallback_stops"},
            id="a second fallback that stops",
        ),
        pytest.param(
            a_route(
                primary=a_primary(model="ft:m1:a:b:c", base="m1"), fallbacks=(a_fallback(model="m1", prompt=PROMPT),)
            ),
            None,
            {"shares_base"},
            id="a fallback of the same base",
        ),
        pytest.param(
            a_route(
                primary=a_primary(model="lora", base="m1", provider=VLLM),
                fallbacks=(a_fallback(model="m1", prompt=PROMPT, provider=VLLM),),
            ),
            None,
            set(),
            id="the same base, at home: nobody can end it",
        ),
        pytest.param(
            a_route(fallbacks=(a_fallback(model="m", prompt=PROMPT, provider=a_provider(name="s", kind="sandbox")),)),
            None,
            {"stand_in"},
            id="the sandbox as the fallback of a real model",
        ),
    ],
)
def test_what_is_wrong(route: Route, traffic: Traffic | None, expected: set[str]) -> None:
    row = the_route(route, traffic=traffic)
    assert kinds(row) == expected
    assert all(finding.remedy and finding.text for finding in row.findings)


@pytest.mark.parametrize(
    ("prompt", "said", "remedy"),
    [
        pytest.param(
            None, "fallback luna (gpt-6-luna) has no prompt", REMEDIES[FindingKind.NO_PROMPT], id="no prompt at all"
        ),
        pytest.param(
            Prompt(version="0123456789ab", missing_pack="packs/reply"),
            "fallback luna (gpt-6-luna) has no prompt: its pack is not built yet",
            "build it: `gateway pack build ROUTE --from FILE`",
            id="a pack that is not built",
        ),
        pytest.param(
            Prompt(version="0123456789ab", awaited_pack=f"sha256:{'0' * 64}"),
            "fallback luna (gpt-6-luna) has no prompt: its pack is not known from the database",
            "name the database, and put it there: `gateway pack push DIR`",
            id="a pack that the database lacks",
        ),
    ],
)
def test_a_fallback_without_a_prompt_is_told_to_get_what_it_names(
    prompt: Prompt | None, said: str, remedy: str
) -> None:
    row = the_route(a_route(fallbacks=(a_fallback(model="gpt-6-luna", prompt=prompt),)), traffic=None)
    assert [(finding.text, finding.remedy) for finding in row.findings] == [(said, remedy)]
    assert kinds(row) == {"no_prompt"}


def test_every_kind_of_trouble_has_a_remedy() -> None:
    assert REMEDIES.keys() == set(FindingKind)


# What it costs


PRICES = {
    "here": {"gpt-6-luna": ModelPrice(input_usd_per_1m="1", output_usd_per_1m="6", source="list")}  # type: ignore[arg-type]
}


def a_cost(*served: Served, **given: Any) -> Any:
    return the_route(traffic=a_week(served=served), prices=PRICES, **given).cost


def test_a_cost_is_estimated_from_the_primarys_tokens_and_the_prompts() -> None:
    cost = a_cost(Served(*ON_PRIMARY, 700, 700, 700 * 500_000, 700 * 1000, 700 * 200, 2000))
    assert cost.basis is CostBasis.ESTIMATED
    assert prompt_tokens(PROMPT) == 100
    # By hand: 1,100 tokens in at $1, 200 out at $6 a million are $0.0023 a request.
    assert (cost.before_nanousd_per_1000, cost.after_nanousd_per_1000) == (500_000_000, 2_300_000_000)
    assert cost.requests_per_month == 3000
    assert cost.change_nanousd_per_month == 3000 * 1_800_000


@pytest.mark.parametrize(
    ("requests", "basis", "after"),
    [
        pytest.param(20, CostBasis.MEASURED, 7_000_000, id="twenty requests are enough"),
        pytest.param(19, CostBasis.ESTIMATED, 2_300_000_000, id="nineteen are not"),
    ],
)
def test_a_fallback_that_was_measured_is_believed(requests: int, basis: CostBasis, after: int) -> None:
    cost = a_cost(
        Served(*ON_PRIMARY, 700, 700, 700 * 500_000, 700 * 1000, 700 * 200, 2000),
        Served(*ON_LUNA, requests, requests, requests * 7000, 1, 1, 1),
    )
    assert (cost.basis, cost.after_nanousd_per_1000) == (basis, after)


def test_the_average_is_of_requests_that_have_a_price() -> None:
    assert a_cost(Served(*ON_PRIMARY, 10, 5, 5000, 10, 10, 1)).before_nanousd_per_1000 == 1_000_000


@pytest.mark.parametrize(
    ("served", "prices", "basis"),
    [
        pytest.param((Served(*ON_PRIMARY, 9, 0, 0, 9, 9, 1),), PRICES, CostBasis.UNPRICED, id="the primary has none"),
        pytest.param((), PRICES, CostBasis.NO_TRAFFIC, id="nobody asked"),
    ],
)
def test_what_cannot_be_said_is_not_said(served: tuple[Served, ...], prices: Any, basis: CostBasis) -> None:
    cost = the_route(traffic=a_week(served=served), prices=prices).cost
    assert cost.basis is basis
    assert cost.change_nanousd_per_month is None


def test_a_fallback_without_a_price_is_unpriced_and_never_free() -> None:
    route = a_route(fallbacks=(a_fallback(model="nobody-prices-this", prompt=PROMPT),))
    cost = the_route(route, traffic=a_week(served=(Served(*ON_PRIMARY, 9, 9, 9000, 9, 9, 1),))).cost
    assert (cost.basis, cost.before_nanousd_per_1000, cost.after_nanousd_per_1000) == (
        CostBasis.UNPRICED,
        1_000_000,
        None,
    )


def test_without_a_ledger_or_a_move_there_is_no_cost() -> None:
    assert the_route().cost.basis is CostBasis.NO_LEDGER
    assert the_route(a_route(fallbacks=())).cost.basis is CostBasis.NO_MOVE


# What it asks for


def test_the_peak_is_that_of_the_busiest_minute_of_all_routes_together() -> None:
    routes = [a_route(name=name, fallbacks=(LUNA,)) for name in ("a", "b")]
    minutes = (
        Minute("a", 100, 10, 10, 10_000),
        Minute("a", 101, 6, 6, 6_000),
        Minute("b", 101, 8, 7, 6_000),
        Minute("b", 102, 9, 9, 9_000),
        Minute("gone-from-routes-yaml", 101, 99, 99, 99_000),
    )
    limits = {("here", "gpt-6-luna"): Limits(None, 20_000, NOV_23)}
    found = foresee(*routes, traffic=a_week(minutes=minutes, limits=limits))
    (load,) = found.loads
    assert (load.target, load.routes) == (("here", "gpt-6-luna"), ("a", "b"))
    # 12,000 of the callers, and the prompt's 100 for each of the 13 that the primary still served without it.
    assert load.input_tokens_per_minute == 13_300
    assert load.requests_per_minute == 14
    assert load.tokens_at == datetime(1970, 1, 1, 1, 41, tzinfo=UTC)
    assert load.share_of_quota == pytest.approx(0.665)
    assert not any("quota" in kinds(row) for row in found.routes)


def test_a_quota_that_will_not_do_is_found_for_every_route_that_shares_it() -> None:
    routes = [a_route(name=name, fallbacks=(LUNA,)) for name in ("a", "b")]
    limits = {("here", "gpt-6-luna"): Limits(10, None, NOV_23)}
    found = foresee(*routes, traffic=a_week(minutes=(Minute("a", 1, 9, 9, 9),), limits=limits))
    assert [kinds(row) & {"quota"} for row in found.routes] == [{"quota"}, {"quota"}]


def test_a_target_that_gains_nothing_has_no_load() -> None:
    assert foresee(days=3, traffic=a_week(minutes=(Minute("forum-reply", 1, 1, 1, 1),))).loads == ()


@pytest.mark.parametrize(
    ("parameters", "refused", "altered"),
    [
        pytest.param(Parameters(), 6, 0, id="as it comes"),
        pytest.param(Parameters(drop=("temperature", "max_tokens")), 0, 6, id="dropped"),
        pytest.param(Parameters(set={"temperature": 1}), 2, 4, id="set to what is allowed"),
        pytest.param(Parameters(set={"temperature": 0.2}), 10, 0, id="set to what is refused, on every request"),
        pytest.param(
            Parameters(rename={"max_tokens": "max_completion_tokens"}), 5, 1, id="renamed, but refused for another"
        ),
        pytest.param(Parameters(rename={"stop": "temperature"}), 7, 0, id="renamed to what is refused"),
    ],
)
def test_requests_that_a_fallback_refuses_or_gets_altered(parameters: Parameters, refused: int, altered: int) -> None:
    traits = {"": 3, "temperature": 4, "max_tokens,temperature": 1, "max_tokens": 1, "stop": 1}
    row = the_route(
        a_route(fallbacks=(LUNA.model_copy(update={"parameters": parameters}),)),
        traffic=a_week(traits={"forum-reply": traits}),
        refused={"temperature": "the docs", "max_tokens": "the docs"},
    )
    assert row.demand is not None
    assert (row.demand.requests, row.demand.refused, row.demand.altered) == (10, refused, altered)
    assert ("refused" in kinds(row)) is (refused > 0)


def test_requests_that_the_gateway_itself_changes_are_counted() -> None:
    traits = {"": 3, "temperature": 4, "max_tokens,temperature": 1, "stop": 2}
    row = the_route(traffic=a_week(traits={"forum-reply": traits}), adapted=("temperature", "max_tokens"))
    assert row.demand is not None
    assert (row.demand.refused, row.demand.altered) == (0, 5)
    assert row.demand.altered_by_trait == {"temperature": 5, "max_tokens": 1}


def test_a_request_that_outgrows_the_fallbacks_window_is_found() -> None:
    fallback = a_fallback(model="gpt-3.5-turbo-0125", prompt=PROMPT)
    served = (Served(*ON_PRIMARY, 1, 1, 1, 20_000, 1, 20_000),)
    exercised = {("forum-reply", "here", "gpt-3.5-turbo-0125"): Exercised(1, NOV_23)}
    row = the_route(a_route(fallbacks=(fallback,)), traffic=a_week(served=served, exercised=exercised), lifecycle={
        "here": {"gpt-3.5-turbo-0125": ModelDates(source="they promised to keep it")}
    })  # fmt: skip
    assert kinds(row) == {"too_long"}
