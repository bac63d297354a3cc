"""What is made of what somebody typed into the form of a key, and what is told where it makes none."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from gateway.api.pages.key_form import WrongForm, changed_by, form_of_caller, new_key_of
from gateway.config.callers import Budget, Caller, KeyRole

USD = 10**9
FORM = {"name": "forum-app", "role": "caller", "owner": "forum-team", "routes": "reply"}


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        pytest.param({"name": ""}, {"name"}, id="no name"),
        pytest.param({"name": "admin"}, {"name"}, id="the environment's name"),
        pytest.param({"name": "<script>"}, {"name"}, id="a name that is a script"),
        pytest.param({"role": "admin"}, {"role"}, id="an admin's key"),
        pytest.param({"owner": "a\x00b"}, {"owner"}, id="an owner that cannot be printed"),
        pytest.param({"month_usd": "lots"}, {"month_usd"}, id="an amount that is none"),
        pytest.param({"month_usd": "1e99"}, {"month_usd"}, id="an amount beyond all money"),
        pytest.param({"month_usd": "9" * 5000}, {"month_usd"}, id="an amount of five thousand digits"),
        pytest.param({"day_usd": "NaN"}, {"day_usd"}, id="an amount that is not a number"),
        pytest.param({"day_usd": "-1"}, {"day_usd"}, id="a budget below nothing"),
        pytest.param({"requests_per_minute": "1.5"}, {"requests_per_minute"}, id="half a request"),
        pytest.param({"requests_per_minute": "0"}, {"requests_per_minute"}, id="no request"),
        pytest.param({"tokens_per_minute": "1e999999"}, {"tokens_per_minute"}, id="tokens without end"),
        pytest.param({"expires_at": "soon"}, {"expires_at"}, id="an end that is no day"),
        pytest.param({"expires_at": "2027-06-01T12:00:00"}, {"expires_at"}, id="an end of no zone"),
        pytest.param({"tags": "acme"}, {"tags"}, id="a tag without a value"),
        pytest.param({"tags": "\n".join(f"t{n}=x" for n in range(9))}, {"tags"}, id="more tags than there may be"),
        pytest.param({"routes": "reply@primary"}, {"routes"}, id="a pin for a route"),
        pytest.param({"routes": "x" * 300}, {"routes"}, id="a route's name that is too long"),
        pytest.param({"name": "", "day_usd": "x"}, {"name", "day_usd"}, id="two mistakes at once"),
    ],
)
def test_a_form_makes_no_key_and_says_where_it_is_wrong(change: Mapping[str, str], fields: set[str]) -> None:
    with pytest.raises(WrongForm) as wrong:
        new_key_of(FORM | change)
    assert set(wrong.value.errors) == fields
    assert all(said and not said.endswith(".") for said in wrong.value.errors.values())


def test_what_is_typed_is_what_the_key_stands_for() -> None:
    form = FORM | {
        "routes": " reply,\n forum-* ",
        "tags": "tenant=acme, feature=x y",
        "expires_at": "2027-06-01T12:00:00Z",
        "day_usd": "0.50",
        "total_usd": "1,000",
        "tokens_per_minute": "200,000",
        "pins": "yes",
        "capture": "on",
    }
    fields = new_key_of(form)
    made = fields.caller("key_00000000", fields.name)
    assert made == Caller(
        "key_00000000",
        "forum-app",
        KeyRole.CALLER,
        owner="forum-team",
        routes=("reply", "forum-*"),
        tags={"tenant": "acme", "feature": "x y"},
        pins=True,
        expires_at=datetime(2027, 6, 1, 12, tzinfo=UTC),
        budget=Budget(USD // 2, None, 1000 * USD),
        tokens_per_minute=200_000,
    )
    assert made.tags == {"tenant": "acme", "feature": "x y"}
    assert made.capture is False, "only a ticked box consents"


@pytest.mark.parametrize(
    "caller",
    [
        pytest.param(Caller("key_00000000", "bare"), id="one without limits"),
        pytest.param(
            Caller(
                "key_00000000",
                "full",
                KeyRole.OBSERVER,
                owner="a & b",
                team="t",
                routes=("a", "b-*"),
                tags={"tenant": "acme"},
                pins=True,
                residency="eu",
                expires_at=datetime(2027, 6, 1, 12, 30, 15, tzinfo=UTC),
                budget=Budget(1, 10**9 // 3, 10**18),
                requests_per_minute=1,
                tokens_per_minute=10_000_000_000,
                max_output_tokens=7,
                capture=True,
            ),
            id="one with all of them",
        ),
    ],
)
def test_a_form_that_is_sent_back_as_it_came_changes_nothing(caller: Caller) -> None:
    assert changed_by(form_of_caller(caller).values, caller) == caller
