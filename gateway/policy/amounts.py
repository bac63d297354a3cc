"""What is not priced by the token: sound by the second, speech by the character, pictures by the piece."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from gateway.policy.pricing import AbsurdUsage

MAX_SECONDS: Final = 10**7
"""More than this in one request, 115 days of sound, is not a length but a fault."""


@dataclass(frozen=True, slots=True)
class AmountPrice:
    """What one model costs by amounts, in nano-dollars each; None: not priced by this."""

    version: str
    """As in ``Price``."""
    source: str
    second: Decimal | None = None
    """Of sound that is listened to."""
    character: Decimal | None = None
    """Of text that is read aloud."""
    picture: Decimal | None = None
    """Of those that are made, whatever their size and quality."""


def seconds_of(usage: object) -> Decimal | None:
    """Return the seconds of sound that an answer's ``usage`` counts; None: it counts none.

    OpenAI writes ``{"type": "duration", "seconds": 9}``
    (https://platform.openai.com/docs/api-reference/audio/json-object), Mistral ``prompt_audio_seconds`` beside its
    tokens (https://docs.mistral.ai/capabilities/audio_transcription).

    Raises:
        AbsurdUsage: they are negative, no number, or beyond ``MAX_SECONDS``.
    """
    if not isinstance(usage, Mapping):
        return None
    told = usage.get("seconds") if usage.get("type") == "duration" else usage.get("prompt_audio_seconds")
    if told is None:
        return None
    # type(), not isinstance(): True is an int. A NaN is in no range.
    if type(told) not in (int, float) or not 0 <= told <= MAX_SECONDS:
        raise AbsurdUsage(f"{told!r:.40} seconds")
    return Decimal(str(told))
