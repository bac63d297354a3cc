import json
import re
from collections.abc import Sequence
from typing import Any

import jsonschema_rs
import pytest

from gateway.learning.evaluation.json_measures import json_f1
from gateway.learning.evaluation.measures import Measure, Task, choose_measure, labels_of, score
from gateway.learning.evaluation.refusals import refuses
from gateway.learning.evaluation.text_measures import chrf, exact_match, length_ratio, normalised, token_f1

Message = dict[str, Any]


def says(text: str) -> Message:
    return {"role": "assistant", "content": text}


def calls(*named: tuple[str, str]) -> Message:
    tool_calls = [
        {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for number, (name, arguments) in enumerate(named)
    ]
    return {"role": "assistant", "content": None, "tool_calls": tool_calls}


@pytest.mark.parametrize(
    ("reference", "answer", "equal"),
    [
        pytest.param("Billing", " billing.\n", True, id="case, space and a full stop do not count"),
        pytest.param("Straße", "STRASSE", True, id="case is folded beyond ASCII"),
        pytest.param("billing", "**“Billing”**", True, id="quotes and bold print around it do not count"),
        pytest.param("ＯＫ！", "ok", True, id="full width does not count"),
        pytest.param("5", "-5", False, id="a sign counts"),
        pytest.param("5", "5%", False, id="a percent sign counts"),
        pytest.param("C", "C#", False, id="a sharp counts"),
        pytest.param("?", "!", False, id="where all is punctuation, punctuation counts"),
        pytest.param("billing", "billing and shipping", False, id="more is not equal"),
    ],
)
def test_a_match_is_of_what_is_said_not_how_it_is_set(reference: str, answer: str, equal: bool) -> None:
    assert exact_match(reference, answer) == float(equal)


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        pytest.param("the cat sat", "The cat sat!", 1.0, id="the same words"),
        pytest.param("the cat sat", "sat the cat", 1.0, id="in another order"),
        pytest.param("a a b", "a b b", 2 / 3, id="each as often as it occurs"),
        pytest.param("the cat sat", "the dog", 0.4, id="some words"),
        pytest.param("das Café öffnet", "das cafe\u0301 öffnet", 1.0, id="an accent written in two ways"),
        pytest.param("注文は明日届きます", "注文は今日届きます", 8 / 9, id="characters where no spaces part the words"),
        pytest.param("yes", "", 0.0, id="an empty answer"),
        pytest.param("!?", "!?", None, id="a reference without a word"),
    ],
)
def test_token_f1_compares_bags_of_words(reference: str, answer: str, expected: float | None) -> None:
    assert token_f1(reference, answer) == (expected if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        pytest.param("The cat sat on the mat.", "The cat sat on the mat.", 1.0, id="the same text"),
        pytest.param("ab c", "a bc", 1.0, id="white space does not count"),
        # n = 1: precision and recall 2/3; n = 2: 1/2; n = 3: 0. Equal precision and recall make F equal to both.
        pytest.param("abc", "abd", (2 / 3 + 1 / 2) / 3, id="by hand: one letter of three differs"),
        # n = 1: precision 1, recall 1/2; n = 2: 1 and 1/3. Averages 1 and 5/12; F2 = 5 · P · R/(4 · P + R).
        pytest.param("abcd", "ab", 5 * (5 / 12) / (4 + 5 / 12), id="by hand: recall weighs four times"),
        pytest.param("abc", "xyz", 0.0, id="nothing in common"),
        pytest.param("abc", "", 0.0, id="an empty answer"),
        pytest.param(" ", "abc", None, id="a blank reference"),
    ],
)
def test_chrf_is_popovics(reference: str, answer: str, expected: float | None) -> None:
    assert chrf(reference, answer) == (expected if expected is None else pytest.approx(expected))


def test_chrf_orders_answers_as_a_reader_would() -> None:
    reference = "Your parcel will arrive on Tuesday before noon."
    answers = [
        "Your parcel arrives Tuesday before noon.",
        "The parcel should be with you on Tuesday.",
        "We sell shoes.",
    ]
    likeness = [chrf(reference, answer) or 0.0 for answer in answers]
    assert likeness == sorted(likeness, reverse=True)


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [("abcd", "ab", 0.5), ("ab", "abcd", 0.5), ("ab", "", 0.0), ("", "ab", None)],
    ids=["half as long", "twice as long", "empty", "a blank reference"],
)
def test_the_length_ratio_is_the_shorter_by_the_longer(reference: str, answer: str, expected: float | None) -> None:
    assert length_ratio(reference, answer) == expected


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        pytest.param('{"a": 1, "b": [1, 2]}', '{"b": [1, 2], "a": 1.0}', 1.0, id="key order and 1 or 1.0 do not count"),
        pytest.param('{"a": 1, "b": 2}', '{"a": 1, "b": 3}', 0.5, id="one field of two"),
        pytest.param('{"a": 1}', '{"a": 1, "b": 2}', 2 / 3, id="a field too many"),
        pytest.param("[1, 2]", "[2, 1]", 0.0, id="the order of an array counts"),
        pytest.param('{"a": true}', '{"a": 1}', 0.0, id="true is not 1"),
        pytest.param('{"a": {}}', '{"a": []}', 0.0, id="an empty object is no empty array"),
        pytest.param("{}", "{}", 1.0, id="two empty objects"),
        pytest.param('{"a": "x"}', '```json\n{"a": "x"}\n```', 0.0, id="a fence breaks the application"),
        pytest.param('{"a": 1}', "sorry", 0.0, id="an answer that does not parse"),
        pytest.param('{"a": 1}', "1", 0.0, id="an answer that is no object"),
        pytest.param("42", "42", None, id="a bare number is a text"),
        pytest.param("[" * 1000 + "]" * 1000, "[]", 0.0, id="nesting as deep as the parser allows"),
    ],
)
def test_json_is_compared_by_its_fields(reference: str, answer: str, expected: float | None) -> None:
    assert json_f1(reference, answer) == (expected if expected is None else pytest.approx(expected))


WEATHER = ("weather", '{"city": "Bern", "days": 2}')


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        pytest.param(calls(WEATHER), calls(("weather", '{"days":2,"city":"Bern"}')), 1.0, id="arguments are parsed"),
        pytest.param(calls(WEATHER), calls(("weather", '{"city": "Basel", "days": 2}')), 0.0, id="a wrong argument"),
        pytest.param(calls(WEATHER), calls(("forecast", WEATHER[1])), 0.0, id="another function"),
        pytest.param(
            calls(WEATHER, ("time", "{}")), calls(("time", ""), WEATHER), 1.0, id="order and ids do not count"
        ),
        pytest.param(calls(WEATHER, ("time", "{}")), calls(WEATHER), 2 / 3, id="one call of two"),
        pytest.param(calls(WEATHER), calls(WEATHER, WEATHER), 2 / 3, id="one call too many"),
        pytest.param(calls(("f", "{oops")), calls(("f", "{}")), 0.0, id="arguments that do not parse"),
        pytest.param(calls(WEATHER), says("It rains."), 0.0, id="talk instead of a call"),
        pytest.param(says("It rains."), calls(WEATHER), 0.0, id="a call instead of talk"),
        pytest.param(says("It rains."), says("Rain."), 1.0, id="rightly no call"),
        pytest.param(
            {"function_call": {"name": "weather", "arguments": WEATHER[1]}}, calls(WEATHER), 1.0, id="the older form"
        ),
    ],
)
def test_tool_calls_match_by_function_and_arguments(reference: Message, answer: Message, expected: float) -> None:
    assert score(reference, answer, task=Task(calls_tools=True))["tool_call_match"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("I'm sorry, but I can't assist with that.", True, id="English"),
        pytest.param("I’m sorry, but I can’t help with this request.", True, id="English, typeset"),
        pytest.param("I am unable to provide medical advice.", True, id="English, advice"),
        pytest.param("As an AI language model, I cannot browse.", True, id="English, as an AI"),
        pytest.param("Es tut mir leid, aber dabei kann ich Ihnen nicht helfen.", True, id="German"),
        pytest.param("Ich kann diese Anfrage leider nicht beantworten.", True, id="German, not answered"),
        pytest.param("Je suis désolé, mais je ne peux pas vous aider.", True, id="French"),
        pytest.param("Lo siento, pero no puedo ayudarte con eso.", True, id="Spanish"),
        pytest.param("Mi dispiace, ma non posso aiutarti.", True, id="Italian"),
        pytest.param("Desculpe, mas não posso ajudar com isso.", True, id="Portuguese"),
        pytest.param("Het spijt me, maar daar kan ik je niet mee helpen.", True, id="Dutch"),
        pytest.param("I can't wait to help you with that!", False, id="eagerness"),
        pytest.param("I'm sorry, but I can't find your order 17.", False, id="a report of failure"),
        pytest.param("I can help you with that.", False, id="a promise"),
        pytest.param("Es tut mir leid, ich kann erst morgen liefern.", False, id="German, an apology"),
        pytest.param("Dabei kann ich gerne helfen.", False, id="German, a promise"),
        pytest.param("Your order ships today. " * 10 + "I can't help with that.", False, id="at the end of a letter"),
        pytest.param("", False, id="silence"),
    ],
)
def test_a_refusal_is_known_by_its_opening(text: str, expected: bool) -> None:
    assert refuses(says(text)) is expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param({"content": None, "refusal": "No."}, True, id="the refusal field"),
        pytest.param({"content": [{"type": "refusal", "refusal": "No."}]}, True, id="a refusal part"),
        pytest.param({"content": [{"type": "text", "text": "I cannot assist."}]}, True, id="a text part"),
        pytest.param({**calls(WEATHER), "content": "I can't help with that here."}, False, id="a message that acts"),
    ],
)
def test_a_refusal_is_known_by_the_field_that_says_so(message: Message, expected: bool) -> None:
    assert refuses(message) is expected


def test_every_measure_that_applies_is_given() -> None:
    schema = jsonschema_rs.validator_for({"type": "object", "required": ["label"]})
    task = Task(
        contract=schema, labels=frozenset({'{"label": "spam"}'}), pattern=re.compile(r"label"), calls_tools=True
    )
    document = says('{"label": "spam"}')
    measured = score(document, document, task=task)
    assert set(measured) >= set(Measure) - {Measure.LABEL_MATCH}
    assert set(measured.values()) == {1.0}


def test_which_measures_apply_depends_on_the_reference_alone() -> None:
    answers = [says("spam"), says(""), calls(WEATHER), {"content": None, "refusal": "No."}, says("{}")]
    for reference in (says("spam"), says('{"a": 1}'), calls(WEATHER), {"content": None, "refusal": "No."}):
        applied = {frozenset(score(reference, answer, task=Task(labels=frozenset({"spam"})))) for answer in answers}
        assert len(applied) == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [('{"label": "spam"}', 1.0), ('{"text": "spam"}', 0.0), ("spam", 0.0)],
    ids=["kept", "broken", "no JSON"],
)
def test_a_contract_is_kept_or_broken(answer: str, expected: float) -> None:
    schema = jsonschema_rs.validator_for({"type": "object", "required": ["label"]})
    measured = score(says('{"label": "ham"}'), says(answer), task=Task(contract=schema))
    assert measured["contract_valid"] == expected


def test_a_refusal_counts_against_an_answer_only_where_the_reference_answers() -> None:
    refusal = {"content": None, "refusal": "No."}
    assert score(says("Yes."), refusal, task=Task())["refusal_match"] == 0.0
    assert score(refusal, refusal, task=Task()) == {"refusal_match": 1.0}


LABELS = ["Spam", "ham", "spam.", "other"] * 25
LETTERS = [f"Dear customer {number}, thank you for your message." for number in range(100)]
DOCUMENTS = [json.dumps({"id": number}) for number in range(100)]


@pytest.mark.parametrize(
    ("references", "contract", "measure"),
    [
        pytest.param([calls(WEATHER)] * 60 + [says("Rain.")] * 40, False, "tool_call_match", id="mostly calls"),
        pytest.param([says(text) for text in DOCUMENTS], False, "json_f1", id="JSON objects"),
        pytest.param([says(text) for text in DOCUMENTS[:60] + LETTERS[:40]], True, "json_f1", id="JSON by contract"),
        pytest.param([says(text) for text in DOCUMENTS[:60] + LETTERS[:40]], False, "chrf", id="JSON and letters"),
        pytest.param([says(text) for text in LABELS], False, "label_match", id="a few labels"),
        pytest.param(
            [says(text) for text in LABELS * 2 + LETTERS[:5]], False, "label_match", id="labels and exceptions"
        ),
        pytest.param([says(text) for text in LABELS[:60] + LETTERS[:40]], False, "chrf", id="labels and letters"),
        pytest.param([says(f"name {number}") for number in range(15)], False, "chrf", id="short, and each another"),
        pytest.param([says(text) for text in LETTERS], False, "chrf", id="letters"),
        pytest.param([says("1")] * 50 + [says("2")] * 50, False, "label_match", id="numbers as labels"),
        pytest.param([], False, "chrf", id="no rows"),
    ],
)
def test_the_form_of_the_references_chooses_the_measure(
    references: Sequence[Message], contract: bool, measure: str
) -> None:
    assert choose_measure(references, contract) == measure


def test_labels_are_found_normalised() -> None:
    assert labels_of([says(text) for text in LABELS]) == {"spam", "ham", "other"}
    assert normalised("Spam.") in labels_of([says(text) for text in LABELS])


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [("Spam", "spam.", 1.0), ("Spam", "ham", 0.0), ("Spam", "It is spam", 0.0), ("unheard of", "unheard of", None)],
    ids=["the label", "another", "a sentence around it", "the reference is no label"],
)
def test_a_label_is_matched_as_a_whole(reference: str, answer: str, expected: float | None) -> None:
    measured = score(says(reference), says(answer), task=Task(labels=frozenset({"spam", "ham"})))
    assert measured.get("label_match") == expected
