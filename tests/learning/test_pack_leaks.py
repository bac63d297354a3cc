from typing import Any

import orjson
import pytest
from generated_packs import REDACTOR, pair, rows_of, source

from gateway.config.packs import PackExample
from gateway.learning.packs.building import Settings, build
from gateway.learning.packs.checks import check_pack
from gateway.learning.packs.rows import PackRows, pack_rows
from gateway.learning.packs.training_rows import read_rows
from gateway.policy.inputs import question_id, question_ids
from gateway.policy.leaks import TELLING, answered_in, conversation_id, last_answered

TOOL = {"type": "function", "function": {"name": "find"}}


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def row(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), **more}


def conversations(count: int) -> list[dict[str, Any]]:
    """Each conversation as its growing rows: after one turn, two and three, each written a little differently."""
    rows = []
    for at in range(count):
        turns = [user(f"My lamp {at} is broken, a@b{at}.example"), said(f"Sorry, which of the lamps is lamp {at}?")]
        rows.append(row(*turns))
        turns = [user(f"my LAMP {at}  is broken, a@b{at}.example"), *turns[1:], user("The blue"), said("Sent.")]
        rows.append(row({"role": "system", "content": "Be brief."}, *turns, tools=[TOOL]))
        rows.append(row(*turns, user("Thanks"), said(f"You are welcome, customer {at} of ours.")))
    return rows


def rows(*given: dict[str, Any], share: float = 0.3) -> PackRows:
    return pack_rows([source(list(given))], REDACTOR, share)


def numbers(found: PackRows, side: str) -> set[str]:
    return {part.row.messages[0]["content"].split()[2] for part in getattr(found, side)}


def test_rows_of_one_conversation_are_all_held_out_or_all_kept() -> None:
    found = rows(*conversations(40))
    assert found.held_out and not found.told
    assert not numbers(found, "held_out") & numbers(found, "kept")
    assert len(found.held_out) == 3 * len(numbers(found, "held_out"))


def test_no_answer_of_a_held_out_row_is_anywhere_in_the_pack() -> None:
    built = build([source(conversations(40))], Settings("lamps"), REDACTOR)
    everywhere = b"".join(built.files.values()).decode()
    held_out = read_rows(built.held_out, "held-out.jsonl").rows
    told = [row.answer["content"] for row in held_out if len(row.answer["content"]) >= TELLING]
    assert told and not [answer for answer in told if answer in everywhere]
    assert not check_pack(built.pack, REDACTOR, None, held_out, "held-out.jsonl")
    assert not question_ids(built.pack) & {question_id((*row.messages, row.answer)) for row in held_out}


def test_a_row_whose_answer_an_example_tells_is_neither_evaluated_nor_shown() -> None:
    policy = [user("What is your policy on returns?"), said("Bring it back within thirty days.")]
    filler = [pair(f"question {at}", "a") for at in range(30)]
    # Whichever of the two begins is held out at some share, and the other is not.
    longer = row(user("Hello"), said("Hello!"), *policy)
    sides = {}
    for share in (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9):
        found = rows(*filler, row(*policy), longer, share=share)
        held = {"Hello" if part.row.messages[0]["content"] == "Hello" else "policy" for part in found.told}
        sides[share] = held
        shown = {pair for part in found.kept for pair in answered_in(part.messages)}
        assert not [part for part in found.held_out if last_answered(part.messages) in shown]
        assert len(found.kept) + len(found.held_out) + len(found.told) == 32
    assert {"policy"} in sides.values() or {"Hello"} in sides.values()


SHORT = [user("Question"), said("An answer that tells a lot.")]
LEAKS = {
    "the row itself": (SHORT, SHORT, "the example is row 1 of h.jsonl"),
    "the row with other tools, letters and spaces": (
        SHORT, [user(" question"), said("Another")], "the example is row 1 of h.jsonl",
    ),
    "an earlier turn": (SHORT, [*SHORT, user("More"), said("No")], "the example holds the answer of row 1"),
    "an earlier turn that was answered shortly": (
        [user("Question"), said("Yes")],
        [user("Question"), said("Yes"), user("More"), said("No")],
        "the example holds the answer of row 1",
    ),
    "the same words in another conversation": (
        [user("Hello"), said("Hi"), *SHORT],
        [user("Good day"), said("Hi"), user("QUESTION "), said("an answer that tells  a lot."), user("So"), said("No")],
        "the example holds the answer of row 1",
    ),
    "a short answer in another conversation": (
        [user("Hello"), said("Hi"), user("Question"), said("Yes")],
        [user("Good day"), said("Hi"), user("Question"), said("Yes")],
        None,
    ),
    "the same answer to another question": (SHORT, [user("Another"), SHORT[1]], None),
    "the same words about another picture": (
        [user([{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "a"}}]), SHORT[1]],
        [user([{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "b"}}]), SHORT[1]],
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("held_out", "example", "found"), LEAKS.values(), ids=LEAKS)
def test_checking_reads_the_texts(
    held_out: list[dict[str, Any]], example: list[dict[str, Any]], found: str | None
) -> None:
    pack = build([source([*rows_of(20), row(*example)])], Settings("t", hold_out=0), REDACTOR).pack
    kept = read_rows(orjson.dumps(row(*held_out, tools=[TOOL])), "h.jsonl").rows
    findings = check_pack(pack, REDACTOR, None, kept, "h.jsonl")
    assert [finding.message.startswith(found or "") for finding in findings] == ([True] if found else [])


def test_a_conversation_is_known_by_its_first_turn() -> None:
    turn = [user("Hello"), user("my lamp is broken")]
    assert conversation_id([said("How can I help?"), *turn]) == conversation_id([*turn, said("Oh"), user("Yes")])
    assert conversation_id(turn) != conversation_id(turn[:1])


def test_an_example_answers_every_question_of_its_conversation() -> None:
    pack = build([source([row(*SHORT, user("More"), said("No")), pair("b", "c")])], Settings("t"), REDACTOR).pack
    (longer,) = (example for example in pack.examples if len(example.messages) == 4)
    assert isinstance(longer, PackExample)
    expected = {question_id(SHORT), question_id(longer.messages), question_id([user("b")])}
    assert question_ids(pack) == expected
