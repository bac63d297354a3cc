"""Speech: a tone for each word, as it is made, in formats that need no codec."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson

from gateway.sandbox.catalogue import Fault, Kind, Model
from gateway.sandbox.chat_request import Numbers, Types, check_scalars
from gateway.sandbox.delivery import Delivery
from gateway.sandbox.endpoint import Call, Endpoint
from gateway.sandbox.pricing import Usage
from gateway.sandbox.refusals import (
    ProviderError,
    check_choices,
    empty_string,
    invalid_type,
    missing_parameter,
    server_error,
    string_too_long,
    unsupported_format,
    wrong_model,
)
from gateway.sandbox.sounds import pieces, pieces_of_a_word, wav_head, words
from gateway.sandbox.tokens import split_tokens

_LONGEST_INPUT = 4_096
_NUMBERS: Numbers = (("speed", "decimal", 0.25, 4),)
_TYPES: Types = (("input", str, "a string"), ("instructions", str, "a string"))
_VOICES = (
    "alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse", "marin", "cedar",
)  # fmt: skip
_CHOICES = {"response_format": ("mp3", "opus", "aac", "flac", "wav", "pcm"), "stream_format": ("sse", "audio")}
_MADE_HERE = {"wav": "audio/wav", "pcm": "audio/pcm"}


class Speech(Endpoint):
    """``POST /v1/audio/speech``."""

    name = "speech"
    path = "/audio/speech"
    kinds = frozenset((Kind.SPEECH,))

    def wrong_kind(self, model: Model) -> ProviderError:
        """Say that it has no voice."""
        return wrong_model(model.id)

    def prepare(self, call: Call) -> Delivery:
        """Speak; sound is always sent while it is made."""
        body = call.body
        for name in ("input", "voice"):
            if body.get(name) is None:
                raise missing_parameter(name)
        check_scalars(body, _NUMBERS, _TYPES)
        check_choices(body, _CHOICES)
        voice = _voice(body)
        text, kind = body["input"], body.get("response_format") or "mp3"
        if not text:
            raise empty_string("input")
        if len(text) > _LONGEST_INPUT:
            raise string_too_long("input", _LONGEST_INPUT, len(text))
        if kind not in _MADE_HERE:
            raise unsupported_format(kind, tuple(_MADE_HERE))
        sound = Sound(text, voice, body.get("speed") or 1, kind)
        usage = Usage(len(split_tokens(text)) + len(split_tokens(body.get("instructions") or "")), 0, sound.tokens)
        delivery = call.delivery(usage, sound.whole)
        if body.get("stream_format") == "sse":
            return replace(delivery, stream=SoundEvents(sound, usage))
        if call.model.fault is Fault.ERROR_IN_200:
            # An error takes the place of sound, not a place within it.
            return delivery
        return replace(delivery, stream=sound, content_type=_MADE_HERE[kind])


class Sound:
    """The samples, with or without what makes a WAV file of them; a piece of 50 ms is a token."""

    def __init__(self, text: str, voice: str, speed: float, kind: str) -> None:
        self._text = text
        self._voice = voice
        self._speed = speed
        self._kind = kind
        self.tokens = len(words(text)) * pieces_of_a_word(speed)

    def whole(self) -> bytes:
        """Return all of it."""
        return b"".join((self.begin(), *(piece for piece, _ in self.parts())))

    def begin(self) -> bytes:
        """Return what comes before the samples."""
        return wav_head(self._text, self.tokens) if self._kind == "wav" else b""

    def parts(self) -> Iterator[tuple[bytes, int]]:
        """Yield the samples."""
        for piece in pieces(self._text, self._voice, self._speed):
            yield piece, 1

    def end(self) -> bytes:
        """Return nothing."""
        return b""

    def error(self) -> bytes:
        """Return nothing: within sound, it would be heard."""
        return b""


class SoundEvents:
    """The same sound, as events."""

    def __init__(self, sound: Sound, usage: Usage) -> None:
        self._sound = sound
        self._usage = usage

    def begin(self) -> bytes:
        """Return nothing."""
        return b""

    def parts(self) -> Iterator[tuple[bytes, int]]:
        """Yield a piece of sound per event, the first after what comes before the samples."""
        head = self._sound.begin()
        for piece, tokens in self._sound.parts():
            yield _event({"type": "speech.audio.delta", "audio": b64encode(head + piece).decode()}), tokens
            head = b""

    def end(self) -> bytes:
        """Return the usage."""
        usage = {
            "input_tokens": self._usage.input_tokens,
            "output_tokens": self._usage.output_tokens,
            "total_tokens": self._usage.input_tokens + self._usage.output_tokens,
        }
        return _event({"type": "speech.audio.done", "usage": usage})

    def error(self) -> bytes:
        """Return an error in the place of an event."""
        return _event(server_error().body)


def _event(fields: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(fields) + b"\n\n"


def _voice(body: Mapping[str, Any]) -> str:
    """Return whose voice it is: one by its name, or one of the caller's own by its id."""
    voice = body["voice"]
    if isinstance(voice, dict) and isinstance(voice.get("id"), str):
        return str(voice["id"])
    if not isinstance(voice, str):
        raise invalid_type("voice", "a string or an object", voice)
    check_choices(body, {"voice": _VOICES})
    return voice
