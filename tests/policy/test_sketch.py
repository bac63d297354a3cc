import json
from math import ceil, inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.sketch import (
    ZERO,
    Sketch,
    add,
    add_to_json,
    bucket_of,
    from_json,
    merged,
    quantile,
    to_json,
    value_of,
)

# A nanosecond in ms, a thousand dollars in nano-dollars.
VALUES = st.floats(min_value=1e-6, max_value=1e12)


def sketch_of(values: list[float]) -> Sketch:
    sketch: Sketch = {}
    for value in values:
        add(sketch, value)
    return sketch


@given(st.lists(VALUES | st.just(0.0), min_size=1), st.floats(min_value=0, max_value=1))
def test_a_quantile_is_within_two_per_cent_of_the_exact_one(values: list[float], q: float) -> None:
    exact = sorted(values)[max(1, ceil(q * len(values))) - 1]
    assert quantile(sketch_of(values), q) == pytest.approx(exact, rel=0.02, abs=0)


@given(st.lists(VALUES), st.lists(VALUES), st.randoms())
def test_merging_is_adding_in_any_order(one: list[float], other: list[float], random: object) -> None:
    together = [*one, *other]
    random.shuffle(together)  # type: ignore[attr-defined]
    parts = sketch_of(one), sketch_of(other)
    assert merged(*parts) == merged(*reversed(parts)) == sketch_of(together)
    assert parts == (sketch_of(one), sketch_of(other))
    obj = to_json(parts[0])
    add_to_json(obj, parts[1])
    assert from_json(obj) == merged(*parts)


@given(st.lists(VALUES))
def test_a_sketch_comes_back_from_json_as_it_went_in(values: list[float]) -> None:
    sketch = sketch_of(values)
    assert from_json(json.loads(json.dumps(to_json(sketch)))) == sketch


def test_equal_sketches_are_equal_text() -> None:
    assert json.dumps(to_json(sketch_of([3, 700, 0, 0.1]))) == json.dumps(to_json(sketch_of([0, 0.1, 700, 3])))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(0, id="nothing"),
        pytest.param(-3.5, id="less than nothing"),
        pytest.param(nan, id="no number"),
        pytest.param(inf, id="for ever"),
    ],
)
def test_what_is_no_amount_counts_as_zero(value: float) -> None:
    assert bucket_of(value) == ZERO
    assert value_of(ZERO) == 0
    assert quantile(sketch_of([value, value, 5]), 0.5) == 0


def test_many_equal_values_are_counted_at_once() -> None:
    sketch: Sketch = {}
    add(sketch, 100, 99)
    add(sketch, 900)
    assert quantile(sketch, 0.99) == pytest.approx(100, rel=0.02)
    assert quantile(sketch, 1) == pytest.approx(900, rel=0.02)


def test_of_no_values_there_is_no_quantile() -> None:
    assert quantile({}, 0.5) is None


def test_milliseconds_to_minutes_take_few_buckets() -> None:
    assert bucket_of(600_000) - bucket_of(1) < 350
