"""Pictures: what they look like, what they cost, and what is not drawn."""

import struct
import zlib
from base64 import b64decode
from typing import Any

import httpx
import orjson
import pytest

PNG = b"\x89PNG\r\n\x1a\n"
FILE = {"image": ("a.png", PNG, "image/png")}
GENERATIONS, EDITS = "/images/generations", "/images/edits"


def draw(http: httpx.Client, **fields: Any) -> httpx.Response:
    body = {"model": "gpt-image-1", "prompt": "a red rose", "size": "1024x1536", **fields}
    return http.post(f"/v1{GENERATIONS}", json=body)


def edit(http: httpx.Client, files: Any = None, path: str = EDITS, **fields: Any) -> httpx.Response:
    body = {"model": "gpt-image-1", "prompt": "make it blue", **fields}
    return http.post(f"/v1{path}", data=body, files=FILE if files is None else files)


def rows(http: httpx.Client) -> list[Any]:
    return http.get("/sandbox/bill").json()["rows"]


def size_of(png: bytes) -> tuple[int, int]:
    """Check a PNG from end to end, and return how large it is."""
    assert png.startswith(PNG)
    at, chunks = len(PNG), {}
    while at < len(png):
        length, name = struct.unpack_from(">I4s", png, at)
        chunks[name] = png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length) == (zlib.crc32(name + chunks[name]),)
        at += 12 + length
    assert (at, list(chunks)[-1]) == (len(png), b"IEND")
    width, height = struct.unpack_from(">2I", chunks[b"IHDR"])
    assert len(zlib.decompress(chunks[b"IDAT"])) == height * (1 + width // 8)
    return width, height


@pytest.mark.parametrize(
    ("fields", "size", "quality", "output_tokens"),
    [
        pytest.param({}, "1024x1536", "medium", 1_584, id="upright"),
        pytest.param({"size": "auto", "quality": "auto"}, "1024x1024", "medium", 1_056, id="as it comes"),
        pytest.param({"size": "1536x1024", "quality": "low", "n": 3}, "1536x1024", "low", 1_200, id="three wide ones"),
        pytest.param({"size": "1024x1024", "quality": "high"}, "1024x1024", "high", 4_160, id="a good one"),
        pytest.param({"background": "transparent"}, "1024x1536", "medium", 1_584, id="one without a ground"),
    ],
)
def test_pictures_have_the_size_and_the_tokens_that_were_asked_for(
    http: httpx.Client, fields: dict[str, Any], size: str, quality: str, output_tokens: int
) -> None:
    answer = draw(http, **fields).json()
    assert (answer["size"], answer["quality"], answer["output_format"]) == (size, quality, "png")
    assert answer["background"] == fields.get("background", "opaque")
    pictures = [b64decode(one["b64_json"]) for one in answer["data"]]
    assert [size_of(picture) for picture in pictures] == [tuple(map(int, size.split("x")))] * fields.get("n", 1)
    assert len(set(pictures)) == len(pictures)
    assert answer["usage"] == {
        "input_tokens": 3, "input_tokens_details": {"text_tokens": 3, "image_tokens": 0},
        "output_tokens": output_tokens, "total_tokens": 3 + output_tokens,
    }  # fmt: skip
    [row] = rows(http)
    assert row["cost_nanousd"] == 3 * 5_000 + output_tokens * 40_000


def test_the_same_prompt_gets_the_same_picture(http: httpx.Client) -> None:
    one, same, other = (draw(http, prompt=prompt).json()["data"] for prompt in ("a", "a", "another"))
    assert one == same != other


def test_an_edit_depends_on_its_images_and_counts_them(http: httpx.Client) -> None:
    two = [("image[]", ("a.png", PNG, "image/png")), ("image[]", ("b.webp", b"RIFF", "image/webp"))]
    one_image = edit(http, mask="any").json()
    two_images = edit(http, files=two, n="2").json()
    assert one_image["usage"]["input_tokens_details"] == {"text_tokens": 3, "image_tokens": 765}
    assert two_images["usage"]["input_tokens_details"] == {"text_tokens": 3, "image_tokens": 1_530}
    assert len({picture["b64_json"] for picture in one_image["data"] + two_images["data"]}) == 3


@pytest.mark.parametrize("path", [GENERATIONS, EDITS])
def test_a_streamed_picture_is_shown_before_it_is_whole(http: httpx.Client, path: str) -> None:
    ask, event = (draw, "image_generation") if path == GENERATIONS else (edit, "image_edit")
    whole, streamed = ask(http).json(), ask(http, stream=True, partial_images=2)
    assert streamed.headers["content-type"].startswith("text/event-stream")
    events = [orjson.loads(line[6:]) for line in streamed.text.splitlines() if line.startswith("data: ")]
    assert [one["type"] for one in events] == [f"{event}.partial_image"] * 2 + [f"{event}.completed"]
    assert [one.get("partial_image_index") for one in events] == [0, 1, None]
    assert len({size_of(b64decode(one["b64_json"])) for one in events}) == 1
    assert events[-1]["b64_json"] == whole["data"][0]["b64_json"] != events[0]["b64_json"]
    output_tokens = events[-1]["usage"]["output_tokens"]
    assert output_tokens == whole["usage"]["output_tokens"] + 200 == rows(http)[-1]["output_tokens"]


def test_a_stream_that_is_cut_never_shows_the_whole(http: httpx.Client) -> None:
    text = draw(http, model="fault-cut", stream=True, partial_images=1).text
    assert "partial_image" in text
    assert "completed" not in text


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        pytest.param({"prompt": None}, "missing_required_parameter", "prompt", id="nothing to draw"),
        pytest.param({"prompt": 5}, "invalid_type", "prompt", id="a number"),
        pytest.param({"prompt": "a" * 32_001}, "string_above_max_length", "prompt", id="too much to draw"),
        pytest.param({"n": 0}, "integer_below_min_value", "n", id="no picture"),
        pytest.param({"n": 11}, "integer_above_max_value", "n", id="too many pictures"),
        pytest.param({"size": "512x512"}, "invalid_value", "size", id="a size of older models"),
        pytest.param({"size": ["1024x1024"]}, "invalid_value", "size", id="a list of sizes"),
        pytest.param({"quality": "hd"}, "invalid_value", "quality", id="a quality of older models"),
        pytest.param({"background": "red"}, "invalid_value", "background", id="a ground in colour"),
        pytest.param({"output_format": "gif"}, "invalid_value", "output_format", id="an unknown format"),
        pytest.param({"output_format": "jpeg"}, "unsupported_value", "output_format", id="a format that is not made"),
        pytest.param({"response_format": "url"}, "unknown_parameter", "response_format", id="an address"),
        pytest.param({"partial_images": 4}, "integer_above_max_value", "partial_images", id="too many steps"),
    ],
)
def test_what_cannot_be_drawn_is_refused(http: httpx.Client, fields: dict[str, Any], code: str, param: str) -> None:
    response = draw(http, **fields)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param)


@pytest.mark.parametrize("path", [EDITS, "/images/variations"])
@pytest.mark.parametrize(
    ("files", "code", "param"),
    [
        pytest.param({"mask": FILE["image"]}, "missing_required_parameter", "image", id="no image"),
        pytest.param({"image": (None, "a text")}, "invalid_type", "image", id="a text"),
        pytest.param({"image": b"x"}, "unsupported_file_mimetype", "image", id="a file of no type"),
        pytest.param(
            [("image[]", FILE["image"]), ("image[]", ("a.gif", b"x", "image/gif"))],
            "unsupported_file_mimetype", "image[1]", id="one of another type among several",
        ),
        pytest.param([("image[]", FILE["image"])] * 17, "invalid_type", "image", id="too many images"),
    ],
)  # fmt: skip
def test_what_is_no_image_is_refused(http: httpx.Client, path: str, files: Any, code: str, param: str) -> None:
    response = edit(http, files, path)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (400, code, param)
