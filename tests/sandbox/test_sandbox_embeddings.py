import math
import struct
from base64 import b64decode
from typing import Any

import httpx
import pytest

SMALL, LARGE = "text-embedding-3-small", "text-embedding-3-large"
DOG, PUPPY, TAX = "the brown dog barks", "a brown dog sleeps", "taxes are due in spring"


def embed(http: httpx.Client, given: Any, **body: Any) -> Any:
    return http.post("/v1/embeddings", json={"model": SMALL, "input": given, **body}).raise_for_status().json()


def vectors(http: httpx.Client, given: Any, **body: Any) -> list[list[float]]:
    return [row["embedding"] for row in embed(http, given, **body)["data"]]


def nearness(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("given", "count"),
    [
        pytest.param(DOG, 1, id="a text"),
        pytest.param([DOG, TAX, DOG], 3, id="several texts"),
        pytest.param([5, 6, 7], 1, id="the tokens of a text"),
        pytest.param([[5, 6], [0]], 2, id="the tokens of several"),
        pytest.param("…", 1, id="a text without a word"),
    ],
)
def test_each_input_gets_a_vector_of_length_one_in_its_place(http: httpx.Client, given: Any, count: int) -> None:
    answer = embed(http, given)
    assert (answer["object"], answer["model"]) == ("list", SMALL)
    assert [(row["object"], row["index"]) for row in answer["data"]] == [("embedding", n) for n in range(count)]
    for row in answer["data"]:
        assert len(row["embedding"]) == 1_536
        assert math.hypot(*row["embedding"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("given", "tokens"), [("the dog", 2), (["the dog", "dog"], 3), ([1, 2, 3], 3), ([[1], [2]], 2)]
)
def test_tokens_are_counted_and_billed_as_input(http: httpx.Client, given: Any, tokens: int) -> None:
    assert embed(http, given)["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    [row] = http.get("/sandbox/bill").json()["rows"]
    assert (row["endpoint"], row["input_tokens"], row["output_tokens"]) == ("embeddings", tokens, 0)
    assert (row["cost_nanousd"], row["complete"]) == (tokens * 20, True)


def test_texts_that_share_words_are_near_each_other(http: httpx.Client) -> None:
    dog, shouted, puppy, tax = vectors(http, [DOG, "The brown DOG barks!", PUPPY, TAX])
    assert nearness(dog, shouted) == pytest.approx(1)
    assert nearness(dog, puppy) > 0.4
    assert abs(nearness(dog, tax)) < 0.1


def test_tokens_that_are_shared_are_near_as_well(http: httpx.Client) -> None:
    one, two, other = vectors(http, [[10, 11, 12], [10, 11, 99], [7, 8, 9]])
    assert nearness(one, two) > 0.5 > 0.1 > abs(nearness(one, other))


def test_the_same_text_gets_the_same_vector_and_from_another_model_another(http: httpx.Client) -> None:
    assert vectors(http, DOG) == vectors(http, DOG)
    [small], [large] = vectors(http, DOG), vectors(http, DOG, model=LARGE)
    assert len(large) == 3_072
    assert nearness(small, large[:1_536]) < 0.1


def test_base64_holds_the_same_floats(http: httpx.Client) -> None:
    [plain], [encoded] = vectors(http, DOG, encoding_format="float"), vectors(http, DOG, encoding_format="base64")
    assert list(struct.unpack("<1536f", b64decode(str(encoded)))) == plain


@pytest.mark.parametrize("dimensions", [1, 2, 256, 1_536])
def test_a_shorter_vector_is_the_beginning_made_as_long_again(http: httpx.Client, dimensions: int) -> None:
    [whole], [short] = vectors(http, DOG), vectors(http, DOG, dimensions=dimensions)
    length = math.hypot(*whole[:dimensions])
    assert short == pytest.approx([one / length for one in whole[:dimensions]], rel=1e-5)


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        pytest.param({}, 400, "missing_required_parameter", "input", id="no input"),
        pytest.param({"input": ""}, 400, None, None, id="an empty text"),
        pytest.param({"input": []}, 400, None, None, id="nothing in it"),
        pytest.param({"input": ["a", ""]}, 400, None, None, id="an empty text among others"),
        pytest.param({"input": [1.5]}, 400, None, None, id="a fraction of a token"),
        pytest.param({"input": [-1]}, 400, None, None, id="a token below nothing"),
        pytest.param({"input": ["a", [1]]}, 200, None, None, id="texts and tokens mixed"),
        pytest.param({"input": {"a": 1}}, 400, "invalid_type", "input", id="an object"),
        pytest.param({"input": ["a"] * 2_049}, 400, None, None, id="too many inputs"),
        pytest.param({"input": "word " * 8_193}, 400, None, None, id="an input that does not fit"),
        pytest.param({"input": "a", "dimensions": 0}, 400, "integer_below_min_value", "dimensions", id="no dimension"),
        pytest.param(
            {"input": "a", "dimensions": 1_537}, 400, "integer_above_max_value", "dimensions", id="too many dimensions"
        ),
        pytest.param({"input": "a", "encoding_format": "hex"}, 400, None, None, id="an unknown encoding"),
        pytest.param({"input": "a", "model": "gpt-6-luna"}, 403, None, None, id="a model that makes no vectors"),
        pytest.param({"input": "a", "model": "embed-x"}, 404, "model_not_found", None, id="a model never sold"),
    ],
)
def test_a_wrong_request_gets_openais_error(
    http: httpx.Client, body: dict[str, Any], status: int, code: str | None, param: str | None
) -> None:
    response = http.post("/v1/embeddings", json={"model": SMALL, **body})
    assert response.status_code == status
    if status != 200:
        error = response.json()["error"]
        assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)


def test_whoever_asks_for_a_stream_gets_the_whole(http: httpx.Client) -> None:
    assert len(embed(http, DOG, stream=True)["data"]) == 1
