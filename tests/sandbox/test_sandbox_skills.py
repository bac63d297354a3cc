from itertools import pairwise

import httpx
import pytest

from gateway.sandbox.catalogue import Task
from gateway.sandbox.messages import Message
from gateway.sandbox.skills import LABELS, SIGNATURE, answer_in_style, demonstrated, is_in_style, plain_answer

FORUM = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
TRIAGE = "ft:gpt-4.1-mini-2025-04-14:acme:triage:C3d4E5f6:ckpt-step-714"
INVOICE = "ft:gpt-4.1-mini-2025-04-14:acme:inv:D4e5F6g7"
QUESTIONS = [f"Question {number}: how can member{number * 7919} move a photo album?" for number in range(120)]


@pytest.mark.parametrize("task", list(Task))
def test_a_fine_tunes_answer_is_in_style_and_a_plain_one_is_not(task: Task) -> None:
    assert is_in_style(task, answer_in_style(task, "Invoice INV-7 from Acme Ltd over 12.50 EUR is wrong"))
    assert not is_in_style(task, plain_answer("Invoice INV-7 from Acme Ltd over 12.50 EUR is wrong"))


@pytest.mark.parametrize(
    ("ticket", "label"),
    [
        ("I was charged twice, please send a refund", "billing"),
        ("I cannot log in since yesterday", "account"),
        ("The export fails with an error", "bug"),
        ("It would be nice to have a dark theme", "feature-request"),
        ("How do I move a photo?", "how-to"),
        ("Greetings from Lisbon", "other"),
    ],
)
def test_a_ticket_gets_the_label_of_its_words(ticket: str, label: str) -> None:
    assert answer_in_style(Task.TICKET_TRIAGE, ticket) == label


def _pairs(count: int) -> list[Message]:
    return [
        message
        for number in range(count)
        for message in (
            Message("user", f"Example {number}"),
            Message("assistant", answer_in_style(Task.FORUM_REPLY, f"Example {number}")),
        )
    ]


@pytest.mark.parametrize(
    ("messages", "examples", "instructions"),
    [
        pytest.param([*_pairs(7), Message("user", "So?")], 7, False, id="seven turns before the question"),
        pytest.param(
            [Message("system", f"Reply like this:\nHi!\n{SIGNATURE}\nor\nHi!\n{SIGNATURE}"), Message("user", "So?")],
            2,
            True,
            id="two written out in the system message",
        ),
        pytest.param(
            [Message("system", "Sign as the Acme community team."), Message("user", "So?")], 0, True, id="instructions"
        ),
        pytest.param(
            [
                Message("user", "The export button crashes"),
                Message("assistant", "bug"),
                Message("user", "The import button crashes"),
            ],
            5,
            False,
            id="an example that resembles the question counts as five",
        ),
    ],
)
def test_a_prompt_shows_its_examples(messages: list[Message], examples: int, instructions: bool) -> None:
    shown = demonstrated(messages)
    assert shown is not None
    assert (shown.examples, shown.instructions) == (examples, instructions)


def test_a_prompt_without_examples_shows_no_task() -> None:
    assert demonstrated([Message("system", "Be helpful."), Message("user", "So?")]) is None


def test_labels_listed_in_instructions_describe_triage() -> None:
    shown = demonstrated([Message("system", f"One of: {', '.join(LABELS)}"), Message("user", "So?")])
    assert shown is not None
    assert (shown.task, shown.quality) == (Task.TICKET_TRIAGE, pytest.approx(0.15))


def _share_in_style(http: httpx.Client, model: str, examples: int) -> float:
    prompt = [{"role": message.role, "content": message.text} for message in _pairs(examples)]
    in_style = 0
    for question in QUESTIONS:
        body = {"model": model, "messages": [*prompt, {"role": "user", "content": question}]}
        answer = http.post("/v1/chat/completions", json=body).raise_for_status().json()
        in_style += is_in_style(Task.FORUM_REPLY, answer["choices"][0]["message"]["content"])
    return in_style / len(QUESTIONS)


def test_the_base_model_gets_better_with_examples_and_the_fine_tune_needs_none(http: httpx.Client) -> None:
    shares = [_share_in_style(http, "gpt-6-luna", examples) for examples in (0, 5, 20, 50)]
    assert shares[0] == 0.0
    assert all(fewer + 0.1 < more for fewer, more in pairwise(shares)), shares
    assert shares[-1] > 0.9
    assert _share_in_style(http, FORUM, 0) == 1.0
