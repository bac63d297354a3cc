"""Embeddings, and the completions of old, as applications use them through openai-python."""

import math
from typing import Any

import openai
import pytest

TEXTS = ["How do I change my password?", "I want to change my password.", "The invoice comes by mail."]


def likeness(one: list[float], other: list[float]) -> float:
    return sum(map(lambda a, b: a * b, one, other))


def test_vectors_of_many_texts_come_in_their_order(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="embeddings", input=TEXTS)
    assert [row.index for row in answer.data] == [0, 1, 2]
    first, near, far = (row.embedding for row in answer.data)
    assert len(first) == 1536
    assert math.isclose(likeness(first, first), 1, rel_tol=1e-5)
    assert likeness(first, near) > likeness(first, far)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0


def test_the_sdks_own_encoding_and_plain_numbers_are_the_same_vector(client: openai.OpenAI) -> None:
    # Unless it is told otherwise, the SDK asks for base64 and decodes it.
    (packed,) = client.embeddings.create(model="embeddings", input=TEXTS[0]).data
    (plain,) = client.embeddings.create(model="embeddings", input=TEXTS[0], encoding_format="float").data
    assert packed.embedding == pytest.approx(plain.embedding)


def test_a_shorter_vector(client: openai.OpenAI) -> None:
    (row,) = client.embeddings.create(model="embeddings", input=TEXTS[0], dimensions=256).data
    assert len(row.embedding) == 256


def test_tokens_instead_of_texts(client: openai.OpenAI) -> None:
    assert len(client.embeddings.create(model="embeddings", input=[[1, 2, 3], [4, 5]]).data) == 2


async def test_vectors_without_waiting(async_client: openai.AsyncOpenAI) -> None:
    answer = await async_client.embeddings.create(model="embeddings", input=TEXTS)
    assert len(answer.data) == 3


def test_the_response_says_who_answered(client: openai.OpenAI) -> None:
    raw = client.embeddings.with_raw_response.create(model="embeddings", input=TEXTS)
    assert raw.headers["x-gateway-model"] == raw.parse().model == "text-embedding-3-small"


def test_a_mistake_of_the_callers_comes_with_the_providers_words(client: openai.OpenAI, sent: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="embeddings", input=TEXTS, dimensions=100_000)
    assert "dimensions" in caught.value.message
    assert sent.requests == 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_a_text_is_continued(client: openai.OpenAI, stream: bool) -> None:
    made = client.completions.create(model="completions", prompt="Once upon a time", max_tokens=20, stream=stream)
    parts = list(made) if stream else [made]
    assert "".join(choice.text for part in parts for choice in part.choices)
    assert (len(parts) > 1) == stream
