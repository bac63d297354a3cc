"""Speech, and what is heard in it."""

import io
import wave
from base64 import b64decode
from typing import Any

import httpx
import orjson
import pytest

SAID = "Good morning, „Zürich“!"
SPEECH: dict[str, Any] = {"model": "gpt-4o-mini-tts", "input": SAID, "voice": "coral", "response_format": "wav"}


def speak(http: httpx.Client, **fields: Any) -> bytes:
    return http.post("/v1/audio/speech", json={**SPEECH, **fields}).raise_for_status().content


def hear(http: httpx.Client, content: bytes, path: str = "transcriptions", **fields: Any) -> httpx.Response:
    file = {"file": (fields.pop("name", "a.wav"), content)}
    return http.post(f"/v1/audio/{path}", data={"model": "gpt-4o-transcribe", **fields}, files=file)


def events(response: httpx.Response) -> list[Any]:
    assert response.headers["content-type"].startswith("text/event-stream")
    return [orjson.loads(line[6:]) for line in response.text.splitlines() if line]


@pytest.mark.parametrize(
    ("fields", "pieces"),
    [
        pytest.param({}, 18, id="three words"),
        pytest.param({"speed": 2}, 9, id="twice as fast"),
        pytest.param({"speed": 0.25}, 72, id="slowly"),
        pytest.param({"speed": 4}, 6, id="as fast as can be"),
        pytest.param({"input": " "}, 6, id="no word is one"),
    ],
)
def test_speech_is_a_wav_file_of_a_tone_per_word(http: httpx.Client, fields: dict[str, Any], pieces: int) -> None:
    with wave.open(io.BytesIO(speak(http, **fields))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        assert file.getnframes() == pieces * 1_200
        assert len(file.readframes(file.getnframes())) == pieces * 2_400
    [row] = http.get("/sandbox/bill").json()["rows"]
    assert (row["endpoint"], row["output_tokens"], row["complete"]) == ("speech", pieces, True)
    assert row["cost_nanousd"] == row["input_tokens"] * 600 + pieces * 12_000


def test_every_voice_sounds_like_itself(http: httpx.Client) -> None:
    assert speak(http) == speak(http)
    assert len({speak(http, voice=voice) for voice in ("coral", "ash", "sage")}) > 1


def test_pcm_is_the_samples_alone(http: httpx.Client) -> None:
    response = http.post("/v1/audio/speech", json={**SPEECH, "response_format": "pcm"})
    assert response.headers["content-type"] == "audio/pcm"
    assert len(response.content) == 18 * 2_400
    assert speak(http).endswith(response.content)


def test_speech_is_sent_while_it_is_made(http: httpx.Client) -> None:
    with http.stream("POST", "/v1/audio/speech", json=SPEECH) as response:
        assert (response.headers["transfer-encoding"], response.headers["content-type"]) == ("chunked", "audio/wav")
        response.read()


def test_speech_in_events_adds_up_to_the_same_file(http: httpx.Client) -> None:
    *deltas, done = events(http.post("/v1/audio/speech", json={**SPEECH, "stream_format": "sse"}))
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    assert b"".join(b64decode(event["audio"]) for event in deltas) == speak(http)
    assert (done["type"], done["usage"]["output_tokens"]) == ("speech.audio.done", 18)


@pytest.mark.parametrize("path", ["transcriptions", "translations"])
@pytest.mark.parametrize("model", ["gpt-4o-transcribe", "whisper-1"])
@pytest.mark.parametrize("said", ["a", "ab", SAID, "word " * 800])
def test_what_was_spoken_here_is_heard_here(http: httpx.Client, path: str, model: str, said: str) -> None:
    assert hear(http, speak(http, input=said), path, model=model).json()["text"] == said


def wav_of(seconds: float) -> bytes:
    """A recording that somebody else made."""
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(1)
        file.setframerate(8_000)
        file.writeframes(bytes(int(16_000 * seconds)))
    return made.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "seconds"),
    [
        pytest.param("a.wav", wav_of(2.5), 2.5, id="a WAV file"),
        pytest.param("a.wav", b"RIFF\xff\xff\xff\xffWAVEfmt ", 0.0, id="the beginning of one"),
        pytest.param("a.MP3", bytes(32_000), 2.0, id="something compressed"),
        pytest.param("a.ogg", b"", 0.0, id="nothing"),
    ],
)
def test_of_other_recordings_the_length_is_told(http: httpx.Client, name: str, content: bytes, seconds: float) -> None:
    answer = hear(http, content, name=name, prompt="Say it").json()
    assert answer["text"] == f"This is a recording of {seconds:.1f} seconds."
    usage, audio_tokens = answer["usage"], int(seconds * 10)
    assert usage["input_token_details"] == {"text_tokens": 2, "audio_tokens": audio_tokens}
    [row] = http.get("/sandbox/bill").json()["rows"]
    assert (row["input_tokens"], row["output_tokens"]) == (2 + audio_tokens, usage["output_tokens"])
    assert row["cost_nanousd"] == row["input_tokens"] * 2_500 + row["output_tokens"] * 10_000


def test_whisper_counts_seconds_that_have_begun_and_costs_nothing_here(http: httpx.Client) -> None:
    answer = hear(http, wav_of(2.5), model="whisper-1").json()
    assert answer["usage"] == {"type": "duration", "seconds": 3}
    [row] = http.get("/sandbox/bill").json()["rows"]
    assert (row["input_tokens"], row["output_tokens"], row["cost_nanousd"]) == (0, 0, 0)


def test_a_text_comes_as_text(http: httpx.Client) -> None:
    response = hear(http, speak(http), response_format="text")
    assert (response.text, response.headers["content-type"]) == (f"{SAID}\n", "text/plain; charset=utf-8")


def test_a_verbose_answer_tells_when_what_is_said(http: httpx.Client) -> None:
    asked = {"model": "whisper-1", "response_format": "verbose_json"}
    answer = hear(http, speak(http), **asked).json()
    assert (answer["task"], answer["language"], answer["duration"], answer["text"]) == (
        "transcribe", "english", 0.9, SAID,
    )  # fmt: skip
    [segment] = answer["segments"]
    assert (segment["start"], segment["end"], segment["text"], "words" in answer) == (0, 0.9, SAID, False)
    timed = hear(http, speak(http), **asked, **{"timestamp_granularities[]": ["word"]}).json()
    assert [(word["word"], word["start"], word["end"]) for word in timed["words"]] == [
        ("Good", 0.0, 0.3), ("morning,", 0.3, 0.6), ("„Zürich“!", 0.6, 0.9),
    ]  # fmt: skip
    assert "segments" not in timed
    assert hear(http, speak(http), "translations", **asked).json()["task"] == "translate"


def test_a_streamed_transcript_adds_up(http: httpx.Client) -> None:
    *deltas, done = events(hear(http, speak(http), stream="true"))
    assert {event["type"] for event in deltas} == {"transcript.text.delta"}
    assert "".join(event["delta"] for event in deltas) == SAID == done["text"]
    assert (done["type"], done["usage"]) == ("transcript.text.done", hear(http, speak(http)).json()["usage"])


@pytest.mark.parametrize(("path", "model"), [("transcriptions", "whisper-1"), ("translations", "gpt-4o-transcribe")])
def test_some_answer_whole_whatever_was_asked_for(http: httpx.Client, path: str, model: str) -> None:
    assert hear(http, speak(http), path, model=model, stream="true").json()["text"] == SAID


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        pytest.param({"input": None}, "missing_required_parameter", "input", id="nothing to say"),
        pytest.param({"voice": None}, "missing_required_parameter", "voice", id="no voice"),
        pytest.param({"input": ""}, "empty_string", "input", id="an empty text"),
        pytest.param({"input": "a" * 4_097}, "string_above_max_length", "input", id="a text that is too long"),
        pytest.param({"input": ["a"]}, "invalid_type", "input", id="a list"),
        pytest.param({"voice": "bass"}, "invalid_value", "voice", id="an unknown voice"),
        pytest.param({"voice": {"name": "x"}}, "invalid_type", "voice", id="a voice without an id"),
        pytest.param({"speed": 5}, "decimal_above_max_value", "speed", id="too fast"),
        pytest.param({"stream_format": "ogg"}, "invalid_value", "stream_format", id="an unknown stream"),
        pytest.param({"response_format": "midi"}, "invalid_value", "response_format", id="an unknown format"),
        pytest.param({"response_format": "mp3"}, "unsupported_value", "response_format", id="a format with a codec"),
        pytest.param({"response_format": None}, "unsupported_value", "response_format", id="MP3, by saying nothing"),
    ],
)
def test_what_cannot_be_spoken_is_refused(http: httpx.Client, fields: dict[str, Any], code: str, param: str) -> None:
    response = http.post("/v1/audio/speech", json={**SPEECH, **fields})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param)


def test_a_voice_of_ones_own_is_named_by_its_id(http: httpx.Client) -> None:
    assert len(speak(http, voice={"id": "voice_1234"})) == len(speak(http))


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        pytest.param({"name": "a.txt"}, None, None, id="a file that is no sound"),
        pytest.param({"response_format": "verbose_json"}, "unsupported_value", "response_format", id="too new for it"),
        pytest.param({"response_format": "srt", "model": "whisper-1"}, "unsupported_value", "response_format",
                     id="subtitles"),
        pytest.param({"response_format": "xml"}, "invalid_value", "response_format", id="an unknown format"),
        pytest.param({"temperature": "2"}, "decimal_above_max_value", "temperature", id="too hot"),
        pytest.param({"temperature": "warm"}, "invalid_type", "temperature", id="no number"),
        pytest.param({"stream": "maybe"}, "invalid_type", "stream", id="neither true nor false"),
        pytest.param({"model": ""}, None, None, id="no model"),
    ],
)  # fmt: skip
def test_what_cannot_be_heard_is_refused(
    http: httpx.Client, fields: dict[str, Any], code: str | None, param: str | None
) -> None:
    response = hear(http, wav_of(1), **fields)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param)


def test_a_form_without_a_file_is_refused(http: httpx.Client) -> None:
    form = {"model": (None, "whisper-1"), "language": (None, "en")}
    assert http.post("/v1/audio/transcriptions", files=form).json()["error"]["param"] == "file"
    form["file"] = (None, "no file but a text")
    assert http.post("/v1/audio/transcriptions", files=form).json()["error"]["code"] == "invalid_type"
