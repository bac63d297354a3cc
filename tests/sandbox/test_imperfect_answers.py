"""How far answers are apart: of a fine-tune that is asked twice, and of a base with and without a prompt."""

from typing import Any

import httpx
import pytest

from gateway.clock import SystemClock
from gateway.sandbox.app import create_sandbox
from gateway.sandbox.catalogue import Task
from gateway.sandbox.skills import LABELS, answer_in_style, is_in_style
from tests.sandbox_server import RunningSandbox, fast_catalogue

FORUM = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
TRIAGE = "ft:gpt-4.1-mini-2025-04-14:acme:triage:C3d4E5f6:ckpt-step-714"
BASE = "gpt-4.1-mini-2025-04-14"
QUESTIONS = [f"How can member{number * 7919} move the photo album?" for number in range(60)]


def ask(http: httpx.Client, model: str, *said: str, **fields: Any) -> str:
    """Return the answer to user and assistant turns, the user's last."""
    turns = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(said)]
    body = {"model": model, "messages": turns, **fields}
    answer = http.post("/v1/chat/completions", json=body).raise_for_status().json()
    return str(answer["choices"][0]["message"]["content"])


def words_in_common(one: str, other: str) -> float:
    """Return the share of words that two texts have in common (Jaccard)."""
    ours, theirs = set(one.lower().split()), set(other.lower().split())
    return len(ours & theirs) / len(ours | theirs)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="nothing said of it"),
        pytest.param({"temperature": 0}, id="temperature 0"),
        pytest.param({"temperature": 0, "seed": 7}, id="temperature 0 and a seed"),
    ],
)
def test_a_fine_tune_that_may_not_vary_answers_as_it_was_trained(fields: dict[str, Any], http: httpx.Client) -> None:
    for question in QUESTIONS[:5]:
        answers = [ask(http, FORUM, question, **fields) for _ in range(2)]
        assert answers == [answer_in_style(Task.FORUM_REPLY, question)] * 2


def test_a_second_sample_differs_a_little_and_keeps_the_style(http: httpx.Client) -> None:
    pairs = [tuple(ask(http, FORUM, question, temperature=0.7) for _ in range(2)) for question in QUESTIONS]
    same = sum(one == other for one, other in pairs)
    assert 0 < same < len(pairs) / 3, "some are equal, most are not"
    assert all(is_in_style(Task.FORUM_REPLY, answer) for pair in pairs for answer in pair)
    assert min(words_in_common(*pair) for pair in pairs) > 0.5


def test_the_same_seed_repeats_itself_and_another_does_not(http: httpx.Client) -> None:
    firsts = [ask(http, FORUM, question, seed=1) for question in QUESTIONS[:10]]
    assert [ask(http, FORUM, question, seed=1) for question in QUESTIONS[:10]] == firsts
    assert [ask(http, FORUM, question, seed=2) for question in QUESTIONS[:10]] != firsts


def test_samples_without_a_seed_are_the_same_on_every_run(http: httpx.Client, sandbox: RunningSandbox) -> None:
    first = [ask(http, FORUM, QUESTIONS[0], temperature=1) for _ in range(5)]
    assert len(set(first)) > 1
    started = SystemClock()
    fresh = create_sandbox(clock=started, catalogue=fast_catalogue(started.now()))
    sandbox.sandbox.provider = fresh.provider
    assert [ask(http, FORUM, QUESTIONS[0], temperature=1) for _ in range(5)] == first


def test_one_label_in_twenty_is_another_one(http: httpx.Client) -> None:
    labels = [ask(http, TRIAGE, f"Ticket {number}: I was charged twice", temperature=0.5) for number in range(400)]
    assert set(labels) <= set(LABELS)
    assert 0.02 < sum(label != "billing" for label in labels) / len(labels) < 0.08


def test_a_base_without_a_prompt_has_little_in_common_with_the_fine_tune(http: httpx.Client) -> None:
    apart = [words_in_common(ask(http, BASE, question), ask(http, FORUM, question)) for question in QUESTIONS]
    assert sum(apart) / len(apart) < 0.3


@pytest.mark.parametrize(
    ("example", "certain"),
    [
        pytest.param("Please, how can member7919 move the photo album", True, id="nearly the same words"),
        pytest.param("What colour has the sky?", False, id="other words"),
    ],
)
def test_an_example_that_asks_nearly_the_same_makes_the_style_certain(
    example: str, certain: bool, http: httpx.Client
) -> None:
    shown = (example, answer_in_style(Task.FORUM_REPLY, example))
    tries = [ask(http, BASE, *shown, QUESTIONS[1], seed=seed) for seed in range(40)]
    in_style = sum(is_in_style(Task.FORUM_REPLY, answer) for answer in tries)
    assert in_style == 40 if certain else 0 < in_style < 20


def test_a_base_with_examples_says_what_the_fine_tune_says_where_nothing_varies(http: httpx.Client) -> None:
    shown = [text for number in range(20) for text in (f"Example {number}", f"Hi {number},\n— The Acme community team")]
    equal = [ask(http, BASE, *shown, question) == ask(http, FORUM, question) for question in QUESTIONS]
    assert 0.6 < sum(equal) / len(equal) < 0.9
