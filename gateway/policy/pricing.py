"""What an attempt costs: prices per token, tokens as a provider counted them, and the one rounding between the two."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, NamedTuple

MAX_TOKENS: Final = 10**12
"""More than this in one answer is not a count but a fault."""
CHARS_PER_TOKEN: Final = 4
# Responses, images and transcriptions count under names of their own.
_COMPLETIONS_WORDS: Final = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "input_token_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
    "output_token_details": "completion_tokens_details",
}


_OF_INPUT: Final = ("cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens")
_OF_OUTPUT: Final = ("reasoning_tokens", "audio_tokens", "image_tokens")


class AbsurdUsage(ValueError):
    """A provider counted what cannot be: a negative, a float, 1e18, a part larger than its whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRates:
    """Nano-dollars per token for parts of the tokens that cost otherwise than the rest; None: as the rest does."""

    reasoning: Decimal | None = None
    input_audio: Decimal | None = None
    cached_audio: Decimal | None = None
    """None: cached sound costs what other sound does, since nobody has said less."""
    output_audio: Decimal | None = None
    input_image: Decimal | None = None
    cached_image: Decimal | None = None
    output_image: Decimal | None = None
    hour_write: Decimal | None = None
    """Input that the provider keeps in its cache for an hour."""


@dataclass(frozen=True, slots=True)
class Rates:
    """One set of prices, in nano-dollars per token: decimals, since some prices are no whole nano-dollars."""

    input: Decimal
    cached_input: Decimal
    output: Decimal
    cache_write: Decimal | None = field(default=None, kw_only=True)
    """Input that the provider stored in its cache; None: it costs what other input costs."""
    parts: PartRates | None = field(default=None, kw_only=True)
    above: "LongContext | None" = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class LongContext:
    """What a request costs, the whole of it, once its input (cached or not) is larger than so many tokens."""

    tokens: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Price(Rates):
    """What one model costs."""

    version: str
    """Names the source and its state, e.g. ``litellm-1.106.2``; the ledger keeps it beside the cost."""
    source: str
    """Where a person can look the price up."""
    tiers: Mapping[str, Rates] = field(default_factory=dict, kw_only=True, hash=False)
    """Service tier, as an answer names it (``flex``, ``priority``; ``batch``) → its rates."""


class Usage(NamedTuple):
    """Tokens of one attempt. Input includes what was read from and written to the cache, output includes reasoning.

    A named tuple, since every request makes one.
    """

    input_tokens: int
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    input_image_tokens: int = 0
    output_image_tokens: int = 0
    cached_audio_tokens: int = 0
    """Of the sound, what was read from the cache, where the provider tells it apart."""
    cached_image_tokens: int = 0
    hour_write_tokens: int = 0
    """Of what was written to the cache, what is kept for an hour."""


def rates_of(price: Price, input_tokens: int, tier: str | None = None) -> Rates:
    """Return the rates of a request of so much input in a service tier; of a tier without a price, the standard ones.

    Above a threshold the whole request costs more, and not only the tokens beyond it. So bill Google
    (https://ai.google.dev/gemini-api/docs/pricing, "prompts > 200k tokens"), Anthropic for some models
    (https://platform.claude.com/docs/en/about-claude/pricing) and OpenAI
    (https://developers.openai.com/api/docs/pricing, long context), and so litellm reads its own map.
    """
    rates: Rates = price if tier is None else price.tiers.get(tier, price)
    above = rates.above
    return rates if above is None or input_tokens <= above.tokens else above.rates


def cost_nanousd(price: Price, usage: Usage, tier: str | None = None) -> int:
    """Return the cost of one attempt in whole nano-dollars, rounded half to even, once."""
    rates = price if tier is None and price.above is None else rates_of(price, usage.input_tokens, tier)
    cached = usage.cached_input_tokens
    plain = usage.input_tokens - cached
    exact = plain * rates.input
    if usage.output_tokens:
        exact += usage.output_tokens * rates.output
    if cached:
        exact += cached * rates.cached_input
    if usage.cache_write_tokens and rates.cache_write is not None:
        exact += usage.cache_write_tokens * (rates.cache_write - rates.input)
    if rates.parts is not None:
        exact += _parts_beyond(rates, rates.parts, usage)
    return round(exact)


def _parts_beyond(rates: Rates, parts: PartRates, usage: Usage) -> Decimal:
    """Return what the parts with prices of their own cost beyond what they cost as part of the rest.

    No token is in two parts. Where a provider does not say what of the cache was sound, it was text as far as there
    was text.
    """
    beyond = Decimal(0)
    room = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens
    for count, cached, rate, cached_rate in (
        (usage.input_audio_tokens, usage.cached_audio_tokens, parts.input_audio, parts.cached_audio),
        (usage.input_image_tokens, usage.cached_image_tokens, parts.input_image, parts.cached_image),
    ):
        fresh = min(count - cached, room)
        room -= fresh
        if rate is not None:
            beyond += fresh * (rate - rates.input)
        if (of_cache := rate if cached_rate is None else cached_rate) is not None:
            beyond += cached * (of_cache - rates.cached_input)
    if parts.hour_write is not None:
        written = rates.input if rates.cache_write is None else rates.cache_write
        beyond += usage.hour_write_tokens * (parts.hour_write - written)
    room = usage.output_tokens
    for count, rate in (
        (usage.output_audio_tokens, parts.output_audio),
        (usage.output_image_tokens, parts.output_image),
        (usage.reasoning_tokens, parts.reasoning),
    ):
        taken = min(count, room)
        room -= taken
        if rate is not None:
            beyond += taken * (rate - rates.output)
    return beyond


def read_usage(body_usage: object) -> Usage | None:
    """Read the ``usage`` object of an answer; None where there is none, or where it is absurd: the caller estimates."""
    try:
        return checked_usage(body_usage)
    except AbsurdUsage:
        return None


def checked_usage(body_usage: object) -> Usage | None:
    """Read the ``usage`` object of an answer: a completion's or an embedding's, or a response's, whose names differ.

    None where there is none. A zero that the provider wrote stays a zero.

    Raises:
        AbsurdUsage: a count is negative, no integer, beyond ``MAX_TOKENS``, or parts are larger than their whole.
    """
    if not isinstance(body_usage, dict):
        if body_usage:
            raise AbsurdUsage("no object")
        return None
    if "prompt_tokens" not in body_usage and "input_tokens" in body_usage:
        body_usage = {_COMPLETIONS_WORDS.get(name, name): count for name, count in body_usage.items()}
    prompt: Any = body_usage.get("prompt_tokens")
    completion: Any = body_usage.get("completion_tokens")
    total = body_usage.get("total_tokens")
    if completion is None and total == prompt:
        completion = 0  # An embedding has no completion; without a total that agrees, the count is missing.
    if prompt is None or completion is None:
        for count in (prompt, completion):
            if count is not None:
                _check(count)
        return None
    # type(), not isinstance(): True is an int.
    if type(prompt) is not int or not 0 <= prompt <= MAX_TOKENS:
        raise AbsurdUsage(f"{prompt!r:.40} tokens of input")
    if type(completion) is not int or not 0 <= completion <= MAX_TOKENS:
        raise AbsurdUsage(f"{completion!r:.40} tokens of output")
    of_input, of_output = body_usage.get("prompt_tokens_details"), body_usage.get("completion_tokens_details")
    if not of_input and not of_output:
        return Usage(prompt, 0, 0, completion)
    return _with_details(prompt, completion, total, of_input, of_output)


def _with_details(prompt: int, completion: int, total: object, of_input: Any, of_output: Any) -> Usage:
    cached = written = audio_in = image_in = cached_audio = cached_image = hour = 0
    if of_input:
        cached, written, audio_in, image_in = _counts(of_input, _OF_INPUT)
        if cached and (of_cache := of_input.get("cached_tokens_details")):
            cached_audio, cached_image = _counts(of_cache, ("audio_tokens", "image_tokens"))
        if written and (kept := of_input.get("cache_creation_token_details")):
            (hour,) = _counts(kept, ("ephemeral_1h_input_tokens",))
    reasoning = audio_out = image_out = 0
    if of_output:
        reasoning, audio_out, image_out = _counts(of_output, _OF_OUTPUT)
    # xAI counts reasoning beside the completion, not within it; its total tells.
    if reasoning and total == prompt + completion + reasoning:
        completion += reasoning
    if (
        cached + written > prompt
        or audio_in + image_in > prompt
        or cached_audio > audio_in
        or cached_image > image_in
        or cached_audio + cached_image > cached
        or hour > written
        or reasoning > completion
        or audio_out + image_out > completion
    ):
        raise AbsurdUsage("a part is larger than its whole")
    return Usage(
        prompt,
        cached,
        written,
        completion,
        reasoning,
        audio_in,
        audio_out,
        image_in,
        image_out,
        cached_audio,
        cached_image,
        hour,
    )


def _counts(details: object, names: tuple[str, ...]) -> list[int]:
    """Return the named counts: 0 where the provider left one out or wrote null."""
    if not isinstance(details, dict):
        raise AbsurdUsage("details that are no object")
    counts = [details.get(name) or 0 for name in names]
    for count in counts:
        if count:
            _check(count)
    return counts


def _check(count: object) -> int:
    if type(count) is not int or not 0 <= count <= MAX_TOKENS:
        raise AbsurdUsage(f"{count!r:.40} tokens")
    return count


def estimate_usage(input_chars: int, output_chars: int) -> Usage:
    """Estimate tokens from characters, rounded up, for an answer whose provider counted nothing.

    Four characters a token is the usual rule for English; rows that rest on it are marked ``estimated``.
    """
    return Usage(-(-input_chars // CHARS_PER_TOKEN), output_tokens=-(-output_chars // CHARS_PER_TOKEN))
