import pytest

from benchmarks.figures import GOALS, added, judge, percentile, ratios, summarise

GATEWAY = {
    "requests_per_s_64": 6_600.0, "p50_us_1": 300.0, "chunks_per_s_64": 60_000.0, "idle_rss_mib": 118.0, "ready_s": 1.9,
}  # fmt: skip
PEERS = {
    "tensorzero": {"requests_per_s_64": 6_000.0, "p50_us_1": 250.0},
    "litellm": {"requests_per_s_64": 100.0, "chunks_per_s_64": 600.0},
    "portkey": {"requests_per_s_64": 1_000.0},
    "nginx": {"requests_per_s_64": 80_000.0},
}


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        pytest.param([], 0.5, None, id="nothing was measured, so there is no percentile"),
        pytest.param([7.0], 0.99, 7.0, id="one value is every percentile"),
        pytest.param([1.0, 2.0, 3.0, 4.0], 0.5, 2.0, id="the median of an even number is the lower of the middle two"),
        pytest.param([float(i) for i in range(1, 101)], 0.99, 99.0, id="p99 of a hundred is the ninety-ninth"),
        pytest.param([float(i) for i in range(1, 102)], 0.99, 100.0, id="p99 of a hundred and one is the hundredth"),
    ],
)
def test_percentile_is_the_nearest_rank(values, share, expected):
    assert percentile(values, share) == expected


def test_samples_are_summarised_in_any_order():
    assert summarise([30.0, 10.0, 20.0]) == {"p50_us": 20.0, "p99_us": 30.0}


@pytest.mark.parametrize(
    ("with_gateway", "direct", "expected"),
    [
        pytest.param(250.0, 40.0, 210.0, id="what the gateway adds is the difference"),
        pytest.param(None, 40.0, None, id="no latency with the gateway, nothing to subtract from"),
        pytest.param(250.0, None, None, id="no direct latency, nothing to subtract"),
    ],
)
def test_added_latency(with_gateway, direct, expected):
    assert added(with_gateway, direct) == expected


def test_a_ratio_is_ours_over_theirs():
    against = ratios({"gateway": GATEWAY, **PEERS})
    assert set(against) == set(PEERS)
    assert against["tensorzero"]["requests_per_s_64"] == pytest.approx(1.1)
    assert against["portkey"]["chunks_per_s_64"] is None


def test_without_the_gateway_there_are_no_ratios():
    assert ratios(PEERS) == {}


def test_goals_are_met_by_figures_within_their_bounds():
    verdicts = {(goal["figure"], goal["peer"]): goal["met"] for goal in judge({"gateway": GATEWAY, **PEERS})}
    assert verdicts.pop(("requests_per_s_64", "portkey")) is False
    assert set(verdicts.values()) == {True}


@pytest.mark.parametrize(
    ("figure", "peer", "value", "met"),
    [
        pytest.param("requests_per_s_64", "tensorzero", 6_000.0, True, id="exactly the lower bound is met"),
        pytest.param("requests_per_s_64", "tensorzero", 5_999.0, False, id="just under the lower bound is missed"),
        pytest.param("p50_us_1", "tensorzero", 325.0, True, id="exactly the upper bound is met"),
        pytest.param("p50_us_1", "tensorzero", 326.0, False, id="just over the upper bound is missed"),
        pytest.param("idle_rss_mib", None, 120.1, False, id="an absolute bound needs no peer"),
        pytest.param("ready_s", None, None, None, id="a figure that was not taken meets and misses nothing"),
    ],
)
def test_a_goal_is_judged_at_its_bound(figure, peer, value, met):
    judged = judge({"gateway": {**GATEWAY, figure: value}, **PEERS})
    assert [goal["met"] for goal in judged if (goal["figure"], goal["peer"]) == (figure, peer)] == [met]


def test_an_absent_peer_leaves_its_goals_open():
    judged = judge({"gateway": GATEWAY})
    assert len(judged) == len(GOALS)
    assert {goal["met"] for goal in judged if goal["peer"]} == {None}
    assert {goal["met"] for goal in judged if not goal["peer"]} == {True}
