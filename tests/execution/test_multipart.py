"""Forms: what was checked is what goes upstream."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidRequest
from gateway.execution.endpoints.multipart import Form, Part, read_form

TYPE = b"multipart/form-data; boundary=xyz"


def as_httpx_writes(data: dict[str, str], files: dict[str, tuple[str, bytes, str]]) -> tuple[bytes, bytes]:
    request = httpx.Request("POST", "http://localhost", data=data, files=files)
    return request.read(), request.headers["content-type"].encode()


def test_a_clients_form_is_read_and_another_model_put_in() -> None:
    sound = bytes(range(256)) * 5 + b"\r\n--not the boundary\r\n"
    body, type_ = as_httpx_writes({"model": "scribe", "prompt": "Grüße"}, {"file": ("a ü.wav", sound, "audio/wav")})
    form = read_form(body, type_)
    assert form.fields() == {"model": "scribe", "prompt": "Grüße"}
    sent = form.with_field("model", "gpt-4o-transcribe")
    again = read_form(sent.encoded(), sent.content_type)
    assert [(part.name, part.content) for part in again.parts] == [
        ("model", b"gpt-4o-transcribe"),
        ("prompt", "Grüße".encode()),
        ("file", sound),
    ]
    assert (again.parts[2].filename, again.parts[2].content_type) == ("a ü.wav", b"audio/wav")


NAMES = st.text(min_size=1) | st.text('\\";=', min_size=1)


@given(st.lists(st.tuples(NAMES, st.binary(), st.none() | st.text()), max_size=5))
def test_whatever_names_and_contents_are_read_is_read_again(parts: list[tuple[str, bytes, str | None]]) -> None:
    form = Form(tuple(Part(name, content, filename) for name, content, filename in parts), "b" * 32)
    once = read_form(form.encoded(), form.content_type) if parts else form
    twice = read_form(once.encoded(), once.content_type) if parts else form
    assert twice.parts == once.parts
    assert [part.content for part in once.parts] == [content for _, content, _ in parts]


@pytest.mark.parametrize(
    ("body", "type_", "words"),
    [
        pytest.param(b"", b"multipart/form-data", "no boundary", id="no boundary"),
        pytest.param(b"hello", TYPE, "not a multipart form", id="no form"),
        pytest.param(b"", TYPE, "no end", id="nothing"),
        pytest.param(b'--xyz\r\ncontent-disposition: form-data; name="a"\r\n\r\nhal', TYPE, "no end", id="cut off"),
        pytest.param(b"--xyz\r\n\r\nx\r\n--xyz--\r\n", TYPE, "without a name", id="a part without a name"),
        pytest.param(
            b'--xyz\r\ncontent-disposition: form-data; name="model"\r\n\r\nx\r\n' * 2 + b"--xyz--\r\n",
            TYPE,
            "more than once",
            id="two models",
        ),
        pytest.param(
            b'--xyz\r\ncontent-disposition: form-data; name="a"\r\n\r\nx\r\n' * 101 + b"--xyz--\r\n",
            TYPE,
            "more than 100 parts",
            id="too many parts",
        ),
        pytest.param(
            b"--xyz\r\n" + b"a: b\r\n" * 50 + b"\r\nx\r\n--xyz--\r\n", TYPE, "not a multipart form", id="many headers"
        ),
    ],
)
def test_what_is_no_form_is_refused(body: bytes, type_: bytes, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        read_form(body, type_)
