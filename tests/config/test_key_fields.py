"""What people say of keys, and whom it makes of them."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.config.callers import Budget, Caller, KeyRole
from gateway.config.key_fields import (
    MOST_TAGS,
    TAG_NAME,
    TAG_VALUE,
    KeyChanges,
    KeyFields,
    NewKey,
    as_fields,
    as_json,
    problems,
)
from gateway.config.key_text import new_key, new_text
from gateway.errors import InvalidRequest
from gateway.policy import tags

BUDGETS = st.builds(Budget, *(st.none() | st.integers(0, 10**18) for _ in range(3)))
TAGS = st.dictionaries(st.from_regex(TAG_NAME, fullmatch=True), st.from_regex(TAG_VALUE, fullmatch=True), max_size=8)
CALLERS = st.builds(
    Caller,
    st.just("key_aaaaaaaa"),
    st.just("forum-app"),
    role=st.sampled_from((KeyRole.CALLER, KeyRole.OBSERVER, KeyRole.REVIEWER)),
    owner=st.none() | st.just("ada"),
    tags=TAGS,
    routes=st.none() | st.lists(st.just("forum-*"), min_size=1, max_size=3).map(tuple),
    pins=st.booleans(),
    expires_at=st.none() | st.integers(0, 2**37).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    budget=BUDGETS,
    requests_per_minute=st.none() | st.integers(1, 1_000_000),
    capture=st.booleans(),
)


@settings(max_examples=40)
@given(CALLERS)
def test_no_change_changes_nothing(caller: Caller) -> None:
    assert KeyChanges.model_validate({}).changed(caller) == caller
    assert KeyFields.model_validate(as_fields(caller)).caller(caller.id, caller.name) == caller


@settings(max_examples=40)
@given(CALLERS, BUDGETS)
def test_a_budget_that_is_sent_whole_is_the_budget(caller: Caller, budget: Budget) -> None:
    sent = as_fields(Caller("", "", budget=budget))["budget"] or {"day_usd": None, "month_usd": None, "total_usd": None}
    changed = KeyChanges.model_validate({"budget": sent}).changed(caller)
    assert changed.budget == budget
    assert as_fields(changed) | {"budget": None} == as_fields(caller) | {"budget": None}


@pytest.mark.parametrize(
    ("said", "is_"),
    [
        pytest.param("2027-06-01", datetime(2027, 6, 1, tzinfo=UTC), id="a day begins at midnight UTC"),
        pytest.param(date(2027, 6, 1), datetime(2027, 6, 1, tzinfo=UTC), id="a day as YAML reads it"),
        pytest.param("2027-06-01T12:00:00Z", datetime(2027, 6, 1, 12, tzinfo=UTC), id="an instant"),
        pytest.param("2027-06-01T12:00:00+02:00", datetime(2027, 6, 1, 10, tzinfo=UTC), id="an instant elsewhere"),
        pytest.param(None, None, id="never"),
    ],
)
def test_when_a_key_expires(said: object, is_: datetime | None) -> None:
    assert NewKey.model_validate({"name": "x", "expires_at": said}).expires_at == is_


@pytest.mark.parametrize(
    ("usd", "nanousd"),
    [
        pytest.param(0, 0, id="nothing at all"),
        pytest.param(5, 5_000_000_000, id="whole dollars"),
        pytest.param(0.1, 100_000_000, id="a fraction as JSON has it, without its error"),
        pytest.param(Decimal("0.000000001"), 1, id="the smallest there is"),
        pytest.param(Decimal("0.0000000005"), 0, id="half of it, rounded to even"),
        pytest.param(1_000_000_000, 10**18, id="the most that there is"),
    ],
)
def test_dollars_are_nano_dollars_exactly(usd: Any, nanousd: int) -> None:
    key = NewKey.model_validate({"name": "x", "budget": {"day_usd": usd}})
    assert key.caller("key_aaaaaaaa", key.name).budget == Budget(day_nanousd=nanousd)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("a", True),
        ("forum-app", True),
        ("Forum.App_2@eu", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("-a", False),
        ("a b", False),
        ("yaml:a", False),
        ("a/b", False),
        ("a\n", False),
        ("default", False),
        ("Admin", False),
        ("administrator", True),
    ],
)
def test_names(name: str, is_one: bool) -> None:
    if is_one:
        assert NewKey.model_validate({"name": name}).name == name
        return
    with pytest.raises(ValidationError) as raised:
        NewKey.model_validate({"name": name})
    assert [field for field, _ in problems(raised.value)] == ["name"]


@given(st.dictionaries(st.text(max_size=40), st.text(max_size=70), max_size=3))
def test_tags_are_those_that_a_request_may_carry(said: dict[str, str]) -> None:
    try:
        NewKey.model_validate({"name": "x", "tags": said})
    except ValidationError:
        return
    if said:
        assert tags.read_tags(",".join(f"{name}={value}" for name, value in said.items())) == said


def test_as_many_tags_as_a_request_may_carry() -> None:
    assert MOST_TAGS == tags.MOST_TAGS
    caller = Caller("key_aaaaaaaa", "x", tags={f"t{number}": "v" for number in range(8)})
    with pytest.raises(ValidationError, match="tags"):
        KeyChanges.model_validate({"tags": {"another": "v"}}).changed(caller)
    swapped = KeyChanges.model_validate({"tags": {"another": "v", "t0": None}}).changed(caller)
    assert len(swapped.tags) == 8
    with pytest.raises(InvalidRequest):
        tags.read_tags(",".join(f"t{number}=v" for number in range(9)))


def test_what_is_wrong_is_said_without_what_was_sent() -> None:
    with pytest.raises(ValidationError) as raised:
        NewKey.model_validate({"name": "s3cret s3cret", "rpm": "s3cret", "budget": {"day_usd": "s3cret"}})
    said = problems(raised.value)
    assert {field for field, _ in said} == {"name", "rpm", "budget.day_usd"}
    assert "s3cret" not in str(said)


def test_fields_as_json_has_them() -> None:
    expires = datetime(2027, 6, 1, tzinfo=UTC)
    caller = Caller("", "x", budget=Budget(day_nanousd=1_500_000_000, total_nanousd=10**12), expires_at=expires)
    said = as_json(as_fields(caller))
    assert said["budget"] == {"day_usd": 1.5, "month_usd": None, "total_usd": 1000}
    assert (said["expires_at"], said["role"], said["tags"]) == ("2027-06-01T00:00:00+00:00", "caller", None)


def test_a_new_key_is_of_256_random_bits_and_names_its_id() -> None:
    made = [new_key() for _ in range(100)]
    assert len({key_id for key_id, _ in made}) == len({text for _, text in made}) == 100
    for key_id, text in made:
        beginning, name, secret = text.split("_", 2)
        assert (beginning, f"key_{name}", len(name), len(secret)) == ("us", key_id, 8, 43)
    again = new_text(made[0][0])
    assert again.startswith(made[0][1][:12])
    assert again != made[0][1]
