import json
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.providers.classify import classify
from gateway.providers.classify_rules import RULES
from gateway.reasons import FailureKind as Kind

DATA = Path(__file__).parent.parent / "data"
NOW = datetime(2027, 1, 14, 12, 0, tzinfo=UTC)

Row = dict[str, Any]


def rows(name: str) -> list[Row]:
    return [json.loads(line) for line in (DATA / name).read_text("utf-8").splitlines()]


REAL = rows("provider_errors.jsonl")
MORE = rows("provider_errors_more.jsonl")

# What no text can decide: each of these was seen with another verdict under the same words, or says two things itself.
UNDECIDABLE = {
    ("hf-tgi", "(normal completion"): "a plain 200: only comparing the answer's model with the asked one tells",
    ("gemini", "models/gemini-1.0-pro is not found"): "missing, or another method; seen as ambiguous too",
    ("fireworks", "Model not found, inaccessible"): "the text itself offers three readings",
    ("groq", "`llama-3.3-70b-versatile` does not exist or you do not have access"): "seen as ambiguous too",
    ("azure-foundry", "Unknown model: /Phi-3.5-MoE-instruct"): "seen as ambiguous too",
    ("perplexity", "Invalid model 'llama-3.1-sonar"): "seen as ambiguous too",
    ("azure-openai", "Resource not found"): "seen for a retired model version too",
    ("bedrock", "The provided model identifier is invalid."): "seen as ambiguous too",
    ("gemini", "Requested entity was not found."): "seen as ambiguous too",
}


def verdict(row: Row) -> str:
    return classify(row["provider"], row["status"], row.get("headers"), row["body"]).verdict


def sentence(row: Row) -> str:
    text = json.dumps(row["body"], ensure_ascii=False)
    return f"{row['provider']} {row['status']} {row['why']}: {text[:60]}"


def undecidable(row: Row) -> bool:
    text = json.dumps(row["body"], ensure_ascii=False)
    return any(row["provider"] == provider and words in text for provider, words in UNDECIDABLE)


@pytest.mark.parametrize("row", [row for row in REAL if not undecidable(row)], ids=sentence)
def test_a_real_answer_is_understood(row: Row) -> None:
    assert verdict(row) == row["verdict"]


@pytest.mark.parametrize("row", MORE, ids=sentence)
def test_an_answer_beyond_the_real_ones_is_understood(row: Row) -> None:
    assert verdict(row) == row["verdict"]


@pytest.mark.parametrize("row", [row for row in REAL if undecidable(row)], ids=sentence)
def test_what_no_text_can_decide_errs_on_the_safe_side(row: Row) -> None:
    assert verdict(row) in ("ambiguous", "not_model_gone")


def test_the_confusion_matrix_has_no_unsafe_cell_and_does_not_get_worse() -> None:
    matrix = Counter((row["verdict"], verdict(row)) for row in REAL)
    assert len(REAL) == 106
    assert sum(n for (true, said), n in matrix.items() if true != "model_gone" and said == "model_gone") == 0
    assert matrix["model_gone", "not_model_gone"] == 0
    assert sum(n for (true, said), n in matrix.items() if true == said) >= 96


def test_the_list_of_the_undecidable_holds_no_case_that_is_decided() -> None:
    for provider, words in UNDECIDABLE:
        same = [r for r in REAL if r["provider"] == provider and words in json.dumps(r["body"], ensure_ascii=False)]
        assert any(verdict(row) != row["verdict"] for row in same), (provider, words)


@pytest.mark.parametrize("row", [row for row in REAL + MORE if row["verdict"] != "model_gone"], ids=sentence)
@pytest.mark.parametrize("stranger", ["openai-compatible", "sandbox", "mistral", "vllm"])
def test_what_is_not_the_model_is_not_gone_whoever_says_it(row: Row, stranger: str) -> None:
    # OpenAI's, Azure's and Google's own ambiguities are theirs: from others the same words are a plain "not there".
    theirs = {"openai", "azure-openai", "azure", "vertex", "sagemaker", "one-api"}
    if row["verdict"] == "ambiguous" and row["provider"] in theirs:
        return
    found = classify(stranger, row["status"], row.get("headers"), row["body"])
    assert found.verdict != "model_gone"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        pytest.param(429, {"error": {"message": "Slow down"}}, Kind.RATE_LIMITED, id="429 is a rate limit"),
        pytest.param(
            429, {"error": {"message": "x", "code": "insufficient_quota"}}, Kind.QUOTA, id="429 may be the quota"
        ),
        pytest.param(402, "", Kind.QUOTA, id="402 is the quota"),
        pytest.param(503, "", Kind.OVERLOADED, id="503 is overload"),
        pytest.param(529, {"error": {"message": "Overloaded"}}, Kind.OVERLOADED, id="529 is overload"),
        pytest.param(500, {"error": {"message": "oops"}}, Kind.SERVER_ERROR, id="500 is the server's"),
        pytest.param(504, "upstream request timeout", Kind.TIMEOUT, id="504 is a timeout"),
        pytest.param(408, "", Kind.TIMEOUT, id="408 is a timeout"),
        pytest.param(401, {"error": {"message": "no"}}, Kind.AUTHENTICATION, id="401 is the credential"),
        pytest.param(403, {"error": {"message": "no"}}, Kind.AUTHENTICATION, id="a bare 403 is the credential"),
        pytest.param(
            403,
            {"error": {"message": "Country, region, or territory not supported"}},
            Kind.AUTHENTICATION,
            id="a country is the account's",
        ),
        pytest.param(
            400,
            {"error": {"message": "This model's maximum context length is 8 tokens."}},
            Kind.CONTEXT_TOO_LONG,
            id="too long a prompt is its own kind",
        ),
        pytest.param(
            400, {"error": {"message": "x", "code": "content_filter"}}, Kind.CONTENT_REFUSED, id="a filter refuses"
        ),
        pytest.param(400, {"error": {"message": "bad"}}, Kind.BAD_REQUEST, id="a plain 400 is the caller's"),
        pytest.param(422, {"detail": []}, Kind.BAD_REQUEST, id="a plain 422 is the caller's"),
        pytest.param(
            404, "<html><title>404</title></html>", Kind.SERVER_ERROR, id="a page of an edge is not the caller's fault"
        ),
        pytest.param(
            404,
            {"error": {"message": "Unknown request URL: POST /x"}},
            Kind.SERVER_ERROR,
            id="a wrong URL is the operator's fault",
        ),
        pytest.param(
            404,
            {"error": {"message": "No thread found with id 'x'."}},
            Kind.BAD_REQUEST,
            id="a missing thread is the caller's",
        ),
        pytest.param(
            200, {"error": {"message": "slow", "code": 429}}, Kind.RATE_LIMITED, id="an error in a 200 names its status"
        ),
        pytest.param(302, "", Kind.SERVER_ERROR, id="a redirect is no answer"),
    ],
)
def test_the_kind_of_what_is_not_the_model(status: int, body: object, kind: Kind) -> None:
    assert classify("openai", status, {}, body).kind is kind


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        pytest.param({"Retry-After": "7"}, "", 7.0, id="seconds"),
        pytest.param({"retry-after-ms": "250", "retry-after": "9"}, "", 0.25, id="milliseconds come first"),
        pytest.param({"retry-after": "Thu, 14 Jan 2027 12:00:31 GMT"}, "", 31.0, id="a date"),
        pytest.param({"retry-after": "Thu, 14 Jan 2027 11:00:00 GMT"}, "", 0.0, id="a date that is past"),
        pytest.param({"retry-after": "Thu, 14 Jan 2100 11:00:00 GMT"}, "", 86_400.0, id="a date far away is a day"),
        pytest.param({"retry-after": "99999999"}, "", 86_400.0, id="an absurd number is a day"),
        pytest.param({"retry-after": "-3"}, "", None, id="a negative number says nothing"),
        pytest.param({"retry-after": "soon"}, "", None, id="prose says nothing"),
        pytest.param({"retry-after": "nan"}, "", None, id="not a number says nothing"),
        pytest.param({}, {"error": {"details": [{"retryDelay": "31s"}]}}, 31.0, id="Google's RetryInfo"),
        pytest.param({}, [{"error": {"details": [{"retryDelay": "1.5s"}]}}], 1.5, id="the same, in an array"),
        pytest.param({}, {"error": {"message": "Please try again in 1m2.5s."}}, 62.5, id="spoken, with minutes"),
        pytest.param({}, {"error": {"message": "Please try again in 250ms."}}, 0.25, id="spoken, in milliseconds"),
        pytest.param({}, {"error": {"message": "Please retry after 7 seconds."}}, 7.0, id="spoken, in words"),
        pytest.param({}, {"error": {"message": "Please try again later."}}, None, id="later is no time"),
        pytest.param({}, "", None, id="nothing said"),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], body: object, seconds: float | None) -> None:
    assert classify("openai", 429, headers, body, now=NOW).retry_after_s == seconds


def test_a_date_without_a_clock_says_nothing() -> None:
    assert classify("openai", 429, {"retry-after": "Thu, 14 Jan 2027 12:00:31 GMT"}, "").retry_after_s is None


def test_the_providers_words_come_back_clean_and_short() -> None:
    body = {"error": {"message": "Bad\x1b[31m\nnews " + "x" * 900, "type": "t", "code": "the_code"}}
    found = classify("openai", 400, {}, body)
    assert found.message.startswith("Bad [31m news xxx")
    assert len(found.message) <= 500
    assert found.code == "the_code"


def test_the_header_of_aws_is_the_code() -> None:
    headers = {"X-Amzn-ErrorType": "ThrottlingException:http://internal/"}
    found = classify("bedrock", 400, headers, {"message": "x"})
    assert (found.code, found.kind) == ("ThrottlingException", Kind.RATE_LIMITED)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"error": {"message": "The model `x` has been retired."}}', id="bytes"),
        pytest.param('data: {"error": {"message": "The model `x` has been retired."}}\n\n', id="an SSE frame"),
        pytest.param('[{"error": {"message": "The model `x` has been retired."}}]', id="an array as text"),
        pytest.param({"detail": {"error": "The model `x` has been retired."}}, id="FastAPI's detail"),
        pytest.param({"errors": [{"Message": "The model `x` has been retired."}]}, id="a list, capitalised"),
        pytest.param("The model “x” has been retired.", id="text with curly quotes"),
        pytest.param(
            {"error": {"message": 'Wrapper - {"message": "The model x has been retired."}'}}, id="nested JSON"
        ),
    ],
)
def test_the_same_words_in_every_shape(body: object) -> None:
    assert classify("openai-compatible", 404, None, body).verdict == "model_gone"


def test_what_a_validator_echoes_of_the_caller_decides_nothing() -> None:
    body = {"detail": [{"msg": "Bad value", "input": "the model has been retired", "ctx": {"x": "model not found"}}]}
    assert classify("vllm", 404, {}, body).verdict == "not_model_gone"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["error", "message", "code"]), inner),
    max_leaves=20,
)


@settings(deadline=None)
@given(st.text(), st.integers(), st.dictionaries(st.text(), st.text()), json_values | st.binary())
def test_no_answer_breaks_it(provider: str, status: int, headers: dict[str, str], body: object) -> None:
    found = classify(provider, status, headers, body, now=NOW)
    assert found.verdict in ("model_gone", "model_no_access", "ambiguous", "not_model_gone")
    assert len(found.message) <= 500


def test_absurd_depth_and_size_are_cut() -> None:
    deep: object = "The model x has been retired."
    for _ in range(100_000):
        deep = {"error": deep}
    assert classify("openai", 404, {}, deep).verdict != "model_gone"
    assert classify("openai", 404, {}, "[" * 100_000).rule
    assert classify("openai", 404, {}, '{"a":' * 100_000).rule


VERBS = ["has been removed", "was deleted", "is no longer supported", "not found", "was retired"]
SUBJECTS = [
    "The model `x-1`",
    "Model acme/foo-7b",
    "The model x-1 you requested",
    "models/x-1",
    "Model 'x-1' (alias y)",
]
SUBJECTS += ["The OpenAI gpt-4 model", "Sorry, this model", "The model used by your assistant", "Error: model x-1"]
HOSTILE = ["model ", "gpt-4 ", "model not ", "'", "no ", "parameter ", "https://a ", "tools for ", "模型", "a or "]
HOSTILE += [
    "the model ",
    "model a/b ",
    "tool x of model y ",
    "messages[0] model ",
    "model: a: ",
    "model (a) ",
    "模型 a",
]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "sentence",
    [
        "The {} of model gpt-4 {}",
        "The {} for the gpt-4 model {}.",
        "The {} used with the model `x` {}",
        "Model gpt-4: {} 'abc' {}",
        "The {} running gpt-4 {}",
        "Error calling model gpt-4: the {} {}",
        "The model `gpt-4` requires a {} which {}",
    ],
)
@pytest.mark.parametrize("noun", ["tool", "file", "webhook", "macro", "alias", "voice", "system-prompt", "rubric"])
def test_what_befalls_a_thing_of_a_model_does_not_befall_the_model(noun: str, sentence: str, verb: str) -> None:
    for status in (400, 404, 500):
        found = classify("openai-compatible", status, {}, {"error": {"message": sentence.format(noun, verb)}})
        assert found.verdict != "model_gone"


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("subject", SUBJECTS)
def test_what_befalls_the_model_is_gone_however_it_is_named(subject: str, verb: str) -> None:
    found = classify("openai-compatible", 404, {}, {"error": {"message": f"{subject} {verb}"}})
    assert found.verdict == "model_gone"


@pytest.mark.parametrize("words", HOSTILE)
def test_no_text_makes_it_slow(words: str) -> None:
    body = {"error": {"message": words * 20_000}}
    started = time.process_time()
    classify("openai-compatible", 404, {}, body)
    assert time.process_time() - started < 1.0


def test_every_rule_has_a_name_of_its_own() -> None:
    names = [rule.id for rule in RULES]
    assert len(names) == len(set(names))
    assert all(name == name.lower() and " " not in name and "_" not in name for name in names)


def test_every_rule_that_says_gone_or_no_access_is_needed_by_some_case() -> None:
    used = {classify(r["provider"], r["status"], r.get("headers"), r["body"]).rule for r in REAL + MORE}
    telling = {rule.id for rule in RULES if rule.kind in (Kind.MODEL_GONE, Kind.MODEL_NO_ACCESS)}
    assert telling <= used
