from hypothesis import given
from hypothesis import strategies as st

from gateway.sandbox.tokens import PromptCache, PromptCounter, split_tokens


@given(st.text())
def test_joined_tokens_are_the_text(text: str) -> None:
    assert "".join(split_tokens(text)) == text


def test_english_comes_to_more_tokens_than_words_and_fewer_than_letters() -> None:
    text = "The gateway keeps answering when your carefully fine-tuned model has been retired by its provider."
    assert len(text.split()) < len(split_tokens(text)) < len(text) / 3


def test_a_long_prompt_is_cached_the_second_time_in_steps_of_128() -> None:
    counter, cache = PromptCounter(), PromptCache()
    parts = [counter.count("word " * 1_500), counter.count("the question")]
    assert cache.cached_tokens("", parts, 4) == 0
    again = cache.cached_tokens("", parts, 4)
    assert 1_408 <= again <= parts[0].tokens + parts[1].tokens + 8
    assert again % 128 == 0


def test_only_the_common_prefix_is_cached_even_within_one_message() -> None:
    counter, cache = PromptCounter(), PromptCache()
    fixed = "".join(f" word{number}" for number in range(2_000))
    cache.cached_tokens("", [counter.count(fixed + " apples and pears")], 4)
    changed = counter.count(fixed + " something else entirely")
    cached = cache.cached_tokens("", [changed], 4)
    assert changed.tokens - 2 * 128 < cached < changed.tokens


def test_a_prompt_under_1024_tokens_is_never_cached() -> None:
    counter, cache = PromptCounter(), PromptCache()
    parts = [counter.count("word " * 500)]
    assert [cache.cached_tokens("", parts, 4) for _ in range(3)] == [0, 0, 0]


def test_other_tools_share_no_prefix() -> None:
    counter, cache = PromptCounter(), PromptCache()
    parts = [counter.count("word " * 1_500)]
    cache.cached_tokens("tools of one kind", parts, 4)
    assert cache.cached_tokens("tools of another", parts, 4) == 0
