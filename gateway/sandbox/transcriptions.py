"""Transcriptions: what the sandbox's own speech says of itself; other recordings get a sentence about their length."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from math import ceil
from typing import Any, ClassVar

import orjson

from gateway.sandbox.catalogue import Kind, Model
from gateway.sandbox.chat import in_events
from gateway.sandbox.chat_request import Numbers, Types, check_scalars
from gateway.sandbox.delivery import Delivery
from gateway.sandbox.endpoint import Call, Endpoint
from gateway.sandbox.forms import File, read_form
from gateway.sandbox.pricing import Usage
from gateway.sandbox.refusals import (
    ProviderError,
    check_choices,
    incompatible_format,
    invalid_type,
    missing_parameter,
    openai_error,
    server_error,
    unsupported_format,
    wrong_model,
)
from gateway.sandbox.sounds import Recording, read_recording
from gateway.sandbox.tokens import split_tokens

WHISPER = "whisper-1"
"""The model that is paid by duration, and answers in every format."""
_TOKENS_A_SECOND = 10
_NUMBERS: Numbers = (("temperature", "decimal", 0, 1),)
_TYPES: Types = (("stream", bool, "a boolean"), ("language", str, "a string"), ("prompt", str, "a string"))
_FORMATS = {"response_format": ("json", "text", "srt", "verbose_json", "vtt")}
_MADE_HERE = ("json", "text", "verbose_json")
_EXTENSIONS = ("flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "wav", "webm")


class Transcriptions(Endpoint):
    """``POST /v1/audio/transcriptions``: a form, with a recording in it."""

    name = "transcriptions"
    path = "/audio/transcriptions"
    kinds = frozenset((Kind.TRANSCRIPTION,))
    task: ClassVar[str] = "transcribe"
    streams: ClassVar[bool] = True

    def read(self, raw: bytes, content_type: str) -> dict[str, Any]:
        """Read a form."""
        return read_form(raw, content_type)

    def wrong_kind(self, model: Model) -> ProviderError:
        """Say that it hears nothing."""
        return wrong_model(model.id)

    def prepare(self, call: Call) -> Delivery:
        """Listen."""
        body, model = call.body, call.model
        check_scalars(body, _NUMBERS, _TYPES)
        check_choices(body, _FORMATS)
        kind, by_duration = body.get("response_format") or "json", model.id == WHISPER
        if kind not in ("json", "text") and not by_duration and model.fault is None:
            raise incompatible_format(kind, model.id)
        if kind not in _MADE_HERE:
            raise unsupported_format(kind, _MADE_HERE)
        heard, prompt_tokens = _recording(body), len(split_tokens(body.get("prompt") or ""))
        transcript = Transcript(heard, prompt_tokens, by_duration=by_duration)
        if kind == "text":
            delivery = call.delivery(transcript.usage, f"{transcript.text}\n".encode)
            delivery = replace(delivery, content_type="text/plain; charset=utf-8")
        else:
            about = self._about(body, heard, transcript.text) if kind == "verbose_json" else {}
            answer = {**about, "text": transcript.text, "usage": transcript.usage_json()}
            delivery = call.delivery(transcript.usage, partial(orjson.dumps, answer))
        # Whisper answers whole, whatever was asked for.
        if call.streamed and self.streams and not by_duration:
            return replace(delivery, stream=transcript, content_type=None)
        return delivery

    def _about(self, body: Mapping[str, Any], heard: Recording, text: str) -> dict[str, Any]:
        """Return what a verbose answer tells beside the text: one segment, and words that all last as long."""
        asked = body.get("timestamp_granularities")
        wanted = asked if isinstance(asked, list) else ["segment"]
        duration = round(heard.seconds, 2)
        about: dict[str, Any] = {"task": self.task, "language": "english", "duration": duration}
        if "segment" in wanted:
            segment = {"id": 0, "seek": 0, "start": 0.0, "end": duration, "text": text, "tokens": []}
            guessed = {"temperature": 0.0, "avg_logprob": -0.1, "compression_ratio": 1.0, "no_speech_prob": 0.0}
            about["segments"] = [segment | guessed]
        if "word" in wanted:
            said = text.split()
            ends = [round(heard.seconds * count / len(said), 2) for count in range(len(said) + 1)]
            about["words"] = [
                {"word": word, "start": start, "end": end}
                for word, start, end in zip(said, ends, ends[1:], strict=False)
            ]
        return about


class Translations(Transcriptions):
    """``POST /v1/audio/translations``: the same, into the English that it is already."""

    path = "/audio/translations"
    task = "translate"
    streams = False


class Transcript:
    """What was heard, as events."""

    def __init__(self, heard: Recording, prompt_tokens: int, *, by_duration: bool) -> None:
        self.text = heard.text if heard.text is not None else f"This is a recording of {heard.seconds:.1f} seconds."
        self._tokens = split_tokens(self.text)
        self._seconds = heard.seconds
        self._prompt_tokens = prompt_tokens
        self._by_duration = by_duration
        heard_tokens = round(heard.seconds * _TOKENS_A_SECOND)
        self.usage = Usage() if by_duration else Usage(prompt_tokens + heard_tokens, 0, len(self._tokens))

    def usage_json(self) -> dict[str, Any]:
        """Return the usage: tokens, or seconds that have begun."""
        if self._by_duration:
            return {"type": "duration", "seconds": ceil(self._seconds)}
        heard_tokens = self.usage.input_tokens - self._prompt_tokens
        return {
            "type": "tokens",
            "input_tokens": self.usage.input_tokens,
            "input_token_details": {"text_tokens": self._prompt_tokens, "audio_tokens": heard_tokens},
            "output_tokens": self.usage.output_tokens,
            "total_tokens": self.usage.input_tokens + self.usage.output_tokens,
        }

    def begin(self) -> bytes:
        """Return nothing."""
        return b""

    def parts(self) -> Iterator[tuple[bytes, int]]:
        """Yield a few tokens at a time."""
        for part in in_events(self._tokens):
            yield _event({"type": "transcript.text.delta", "delta": "".join(part)}), len(part)

    def end(self) -> bytes:
        """Return the whole text, and the usage."""
        return _event({"type": "transcript.text.done", "text": self.text, "usage": self.usage_json()})

    def error(self) -> bytes:
        """Return an error in the place of an event."""
        return _event(server_error().body)


def _event(fields: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(fields) + b"\n\n"


def _recording(body: Mapping[str, Any]) -> Recording:
    """Return the recording; what it is, its name says."""
    file = body.get("file")
    if file is None:
        raise missing_parameter("file")
    if not isinstance(file, File):
        raise invalid_type("file", "a file", file)
    if file.name.rpartition(".")[2].lower() not in _EXTENSIONS:
        raise openai_error(400, f"Invalid file format. Supported formats: {list(_EXTENSIONS)}")
    return read_recording(file.content)
