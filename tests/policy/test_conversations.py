from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.conversations import bucket, canary_bucket

EVERY = {
    "prompt_cache_key": "cache",
    "safety_identifier": "safety",
    "user": "user",
    "messages": [{"role": "user", "content": "first"}],
}


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in EVERY.items() if name not in names}


@pytest.mark.parametrize(
    ("session", "body", "identity"),
    [
        pytest.param("session", EVERY, "session", id="the header comes before every field"),
        pytest.param(None, EVERY, "cache", id="then prompt_cache_key"),
        pytest.param("", EVERY, "cache", id="an empty header is none"),
        pytest.param(None, without("prompt_cache_key"), "safety", id="then safety_identifier"),
        pytest.param(None, without("prompt_cache_key", "safety_identifier"), "user", id="then user"),
        pytest.param(
            None, without("prompt_cache_key", "safety_identifier", "user"), "first", id="else the first user message"
        ),
        pytest.param(None, {**EVERY, "prompt_cache_key": ""}, "safety", id="an empty field is none"),
        pytest.param(None, {**EVERY, "prompt_cache_key": 7}, "safety", id="a field that is no text is none"),
        pytest.param(
            None,
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "fir"}, {"text": "st"}]}]},
            "first",
            id="a first message in parts is the same conversation",
        ),
        pytest.param(
            None,
            {
                "messages": [
                    {"role": "system", "content": "s"},
                    {"role": "user", "content": "first"},
                    {"role": "assistant", "content": "a"},
                    {"role": "user", "content": "second"},
                ]
            },
            "first",
            id="later turns replay the first message",
        ),
        pytest.param(None, {"messages": [{"role": "system", "content": "s"}]}, "", id="no user message at all"),
    ],
)
def test_whose_conversation_it_is(session: str | None, body: dict[str, Any], identity: str) -> None:
    named = {"messages": [{"role": "user", "content": identity}]}
    assert bucket("route", session, body) == bucket("route", None, named)


def test_the_place_of_a_conversation_is_the_same_in_every_process_and_version() -> None:
    # Literal on purpose: another hash would move conversations that are on a ramp.
    assert bucket("forum-reply", "conversation-1", {}) == pytest.approx(0.07720302507659899, abs=1e-15)


def test_two_routes_place_one_conversation_differently() -> None:
    assert bucket("a", "conversation-1", {}) != bucket("b", "conversation-1", {})


@given(st.text(), st.text(min_size=1))
def test_every_place_is_within_the_interval(route: str, session: str) -> None:
    assert 0.0 <= bucket(route, session, {}) < 1.0


def test_conversations_spread_evenly() -> None:
    places = [bucket("route", f"conversation-{i}", {}) for i in range(10_000)]
    tenths = [sum(i <= place * 10 < i + 1 for place in places) for i in range(10)]
    # Five standard deviations of a binomial with p = 0.1.
    assert all(abs(count - 1000) < 150 for count in tenths)


def test_half_an_emoji_in_a_message_does_no_harm() -> None:
    assert 0.0 <= bucket("route", None, {"messages": [{"role": "user", "content": "\ud83d"}]}) < 1.0


def test_a_canarys_conversations_are_not_those_that_a_ramp_moves_first() -> None:
    users = [f"user-{number}" for number in range(2000)]
    moved = {user for user in users if bucket("reply", user, {}) < 0.1}
    tried = {user for user in users if canary_bucket("reply\0openai\0next", "", user, {}) < 0.1}
    assert 150 < len(moved) < 250
    assert 150 < len(tried) < 250
    assert len(moved & tried) < 45  # 20 expected


@given(st.text(min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_a_rising_share_never_moves_a_conversation_back_to_the_incumbent(user: str, one: float, other: float) -> None:
    place = canary_bucket("reply\0openai\0next", "req_1", user, {})
    low, high = sorted((one, other))
    assert not (place < low and not place < high)
    assert place == canary_bucket("reply\0openai\0next", "req_2", user, {}), "whatever the request"


def test_a_request_of_no_conversation_is_one_of_its_own() -> None:
    places = [canary_bucket("reply", f"req_{number}", None, {"input": "Hello"}) for number in range(1000)]
    assert 50 < sum(place < 0.1 for place in places) < 150
