"""No row that is trained on tells what a row that is kept to evaluate with is asked: over ten thousand inputs."""

from collections import Counter
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from dataset_material import a_file, a_mark, assistant, built, chat, dumped, on_side, rows_in, user

from gateway.learning.capture.redaction import Redactor
from gateway.learning.datasets.building import EVALUATION, EVALUATION_PAIRS, TRAIN, TRAIN_PAIRS, Built
from gateway.learning.datasets.manifest import parse_manifest
from gateway.learning.datasets.rows import Sourced
from gateway.learning.datasets.sources import from_corrections
from gateway.learning.evaluation.lineage import Trained, taught_by
from gateway.learning.evaluation.rows import Row
from gateway.policy.inputs import input_id
from gateway.policy.splits import Split

Message = dict[str, Any]
LONG = "It left the depot yesterday and is with the courier now."


def heard(text: Any) -> str:
    """What a text says, by no code of the gateway's."""
    parts = text if isinstance(text, list) else [{"text": text}]
    return " ".join("".join(part["text"] for part in parts).lower().split())


def first_question(messages: list[Message]) -> str:
    said = [message for message in messages if message["role"] != "system"]
    begun = next(at for at, message in enumerate(said) if message["role"] == "user")
    ends = next(at for at in range(begun, len(said)) if said[at]["role"] == "assistant")
    return "\n".join(heard(message["content"]) for message in said[begun:ends])


def exchanges(messages: list[Message]) -> list[tuple[str, str]]:
    """Every question with the answer behind it."""
    pairs = pairwise(messages)
    return [
        (heard(a["content"]), heard(b["content"])) for a, b in pairs if (a["role"], b["role"]) == ("user", "assistant")
    ]


def leaks_of(made: Built) -> Counter[str]:
    """What training files tell of evaluation files, found by looking."""
    train = [row["messages"] for row in rows_in(made.files.get(TRAIN, b""))]
    proof = [row["messages"] for row in rows_in(made.files.get(EVALUATION, b""))]
    pairs = rows_in(made.files.get(TRAIN_PAIRS, b""))
    begun = set(map(first_question, train)) | {first_question([*p["input"]["messages"], assistant("")]) for p in pairs}
    told = {pair for messages in train for pair in exchanges(messages)}
    told |= {
        pair
        for row in pairs
        for answer in ("preferred_output", "non_preferred_output")
        for pair in exchanges([*row["input"]["messages"], *row[answer]])
    }
    found: Counter[str] = Counter()
    for messages in proof:
        found["the same question"] += first_question(messages) in begun
        own = exchanges(messages)[-1]
        found["its answer, told elsewhere"] += len(own[1]) >= 20 and own in told
    return +found


def varied(text: str, random: Random) -> Any:
    """The same question as somebody else would send it."""
    words = text.split()
    said = random.choice((" ", "  ", "\n", " \t ")).join(words)
    said = random.choice((said, said.upper(), said.title(), f"  {said}\n"))
    return [{"type": "text", "text": said}] if random.random() < 0.1 else said


def generated(count: int, random: Random) -> tuple[list[Sourced], int]:
    """Conversations that begin alike, go on differently, and tell each other's answers; from files and from marks."""
    rows: list[list[Message]] = []
    while len(rows) < count:
        number = random.randrange(count // 4)
        asked = f"Where is parcel {number}, and who has it?"
        answer = f"Parcel {number} is with courier {number % 91}, and will be there soon."
        system = [{"role": "system", "content": f"You are desk {random.randrange(5)}."}] * random.randrange(2)
        talk = [*system, user(varied(asked, random)), assistant(answer)]
        for turn in range(random.choice((0, 0, 0, 1, 2))):
            talk += [user(f"And then, {turn}?"), assistant(f"Then it goes on, {number} by {turn}, as it always does.")]
        if random.random() < 0.2:
            # Somebody else's question, in the middle of a conversation that begins otherwise.
            talk = [
                *system,
                user(f"Hello, this is caller {len(rows)}"),
                assistant("How may I help?"),
                *talk[len(system) :],
            ]
        rows.append(talk)
    marked = rows[: count // 3]
    marks = [
        a_mark(
            at, talk[:-1], correction=dumped(talk[-1]), answer=dumped(assistant(f"No idea about that parcel, {at}."))
        )
        for at, talk in enumerate(marked)
    ]
    files = [chat(*talk) for talk in rows[count // 3 :]]
    return [from_corrections(marks, None), a_file(files)], len(rows)


@pytest.mark.rig
def test_nothing_leaks_over_ten_thousand_generated_inputs() -> None:
    sources, count = generated(10_000, Random(20261129))
    made = built(*sources)
    kept = sum(map(len, made.rows.values()))
    assert count == 10_000 and kept > 2_000
    assert len(rows_in(made.files[EVALUATION])) > 200 and len(rows_in(made.files[EVALUATION_PAIRS])) > 100
    assert leaks_of(made) == {}
    # The rows would leak, if nothing were done: some are left out, and a split by row would tell hundreds.
    assert len(made.leaking[Split.TRAIN]) > 50
    files = [row for name in (TRAIN, EVALUATION) for row in made.files[name].splitlines(keepends=True)]
    Random(1).shuffle(files)
    naive = Built(
        **{
            **{f: getattr(made, f) for f in Built.__slots__},
            "files": {TRAIN: b"".join(files[500:]), EVALUATION: b"".join(files[:500])},
        }
    )
    assert leaks_of(naive)["the same question"] > 100


PROVED = on_side("evaluation", "Where is it")
BEGINS = on_side("train", "Hello")


@pytest.mark.parametrize(
    ("trained", "is_left_out"),
    [
        pytest.param(
            [user(BEGINS), assistant("Yes?"), user(PROVED), assistant(LONG)], True, id="it tells the answer later on"
        ),
        pytest.param(
            [
                user(BEGINS),
                assistant("Yes?"),
                user(PROVED.upper()),
                assistant(LONG.upper()),
                user("Thanks"),
                assistant("You are welcome."),
            ],
            True,
            id="it tells the answer in the middle, in other case",
        ),
        pytest.param(
            [user(BEGINS), assistant("Yes?"), user(PROVED), assistant("Lost, and nobody knows where.")],
            False,
            id="another answer",
        ),
        pytest.param([user(BEGINS), assistant(LONG)], False, id="the same answer to something else"),
    ],
)
def test_a_training_row_that_tells_the_answer_of_an_evaluation_row_is_left_out_of_both(
    trained: list[Message], is_left_out: bool
) -> None:
    made = built(a_file([chat(*trained), chat(user(PROVED), assistant(LONG))]))
    assert made.leaking[Split.TRAIN] == (("training.jsonl:1",) if is_left_out else ())
    assert len(rows_in(made.files[EVALUATION])) == 1
    assert (TRAIN in made.files) is not is_left_out


def test_a_pair_does_not_tell_it_either_not_even_as_the_worse_answer() -> None:
    talk = [user(BEGINS), assistant("Yes?"), user(PROVED)]
    made = built(
        from_corrections([a_mark(1, talk, answer=dumped(assistant(LONG)))], None),
        a_file([chat(user(PROVED), assistant(LONG))]),
    )
    assert TRAIN not in made.files and made.leaking[Split.TRAIN] == ("corrections:1",)


def test_a_set_phrase_costs_the_few_evaluation_rows_that_end_with_it_and_not_the_many_training_rows() -> None:
    end = [user("Thank you"), assistant("You are welcome! Is there anything else?")]
    many = [[user(on_side("train", f"Ticket {at} of")), assistant(f"Answer {at}"), *end] for at in range(30)]
    proved = [user(PROVED), assistant("Here it is."), *end]
    made = built(a_file([chat(*proved), *(chat(*talk) for talk in many)]))
    assert len(rows_in(made.files[TRAIN])) == 30
    assert made.leaking == {Split.TRAIN: (), Split.EVALUATION: ("training.jsonl:1",)}
    # Who is trained on this has seen the answer, whatever the split says.
    left = input_id([message for message in proved[:-1] if message["role"] != "system"])
    assert made.manifest.told == (left,)
    assert parse_manifest(made.manifest.to_bytes(), "manifest.json").told == (left,)
    trained = Trained(taught_by(made.manifest))
    assert trained.has(Row(left, tuple(proved[:-1])), Redactor((), {}, ()))
