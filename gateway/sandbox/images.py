"""Images: the same prompt always gets the same picture."""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from gateway.sandbox.catalogue import Kind, Model
from gateway.sandbox.chat_request import IMAGE_TOKENS, Numbers, Types, check_scalars
from gateway.sandbox.delivery import Delivery
from gateway.sandbox.endpoint import Call, Endpoint
from gateway.sandbox.forms import File, read_form
from gateway.sandbox.pictures import CELLS, png
from gateway.sandbox.pricing import Usage
from gateway.sandbox.refusals import (
    ProviderError,
    check_choices,
    invalid_type,
    missing_parameter,
    server_error,
    string_too_long,
    unknown_parameter,
    unsupported_mimetype,
    unsupported_value,
    wrong_model,
)
from gateway.sandbox.tokens import split_tokens

MOST_IMAGES = 10
_MOST_SENT = 16
_LONGEST_PROMPT = 32_000
PARTIAL_IMAGE_TOKENS = 100
# At gpt-image-1's 40 US dollars per million, these come to OpenAI's prices of one picture: 0.011, 0.016, … 0.25.
_SIZES = ("1024x1024", "1024x1536", "1536x1024")
_TOKENS = {"low": (272, 408, 400), "medium": (1_056, 1_584, 1_568), "high": (4_160, 6_240, 6_208)}
_NUMBERS: Numbers = (
    ("n", "integer", 1, MOST_IMAGES),
    ("partial_images", "integer", 0, 3),
    ("output_compression", "integer", 0, 100),
)
_TYPES: Types = (("prompt", str, "a string"), ("stream", bool, "a boolean"), ("user", str, "a string"))
_CHOICES = {
    "size": (*_SIZES, "auto"),
    "quality": (*_TOKENS, "auto"),
    "background": ("transparent", "opaque", "auto"),
    "output_format": ("png", "jpeg", "webp"),
    "moderation": ("low", "auto"),
    "input_fidelity": ("low", "high"),
}
_MIMETYPES = ("image/jpeg", "image/png", "image/webp")


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for."""

    seed: bytes
    size: str
    quality: str
    background: str
    count: int
    partial_images: int
    """Of each picture, before it is whole."""

    @property
    def output_tokens(self) -> int:
        """Of one picture, when it is whole."""
        return _TOKENS[self.quality][_SIZES.index(self.size)]

    def picture(self, index: int, rows: int = CELLS) -> str:
        """Return one of the pictures, in base64."""
        width, height = map(int, self.size.split("x"))
        seed = b"%d\x00%b" % (index, self.seed)
        return b64encode(png(seed, width, height, rows=rows, transparent=self.background == "transparent")).decode()


class ImageGenerations(Endpoint):
    """``POST /v1/images/generations``."""

    name = "images"
    path = "/images/generations"
    kinds = frozenset((Kind.IMAGE,))
    default_model = "gpt-image-1"
    event: ClassVar[str] = "image_generation"
    needs: ClassVar[tuple[str, ...]] = ("prompt",)

    def wrong_kind(self, model: Model) -> ProviderError:
        """Say that it draws nothing."""
        return wrong_model(model.id)

    def prepare(self, call: Call) -> Delivery:
        """Draw."""
        body = call.body
        for name in self.needs:
            if body.get(name) in (None, ""):
                raise missing_parameter(name)
        check_scalars(body, _NUMBERS, _TYPES)
        check_choices(body, _CHOICES)
        if body.get("response_format") is not None:
            raise unknown_parameter("response_format")
        if body.get("output_format") not in (None, "png"):
            raise unsupported_value("output_format", body["output_format"], "png")
        images = _images(body) if "image" in self.needs else []
        prompt = body.get("prompt") or ""
        if len(prompt) > _LONGEST_PROMPT:
            raise string_too_long("prompt", _LONGEST_PROMPT, len(prompt))
        order = _order(body, prompt, images)
        each = order.output_tokens + PARTIAL_IMAGE_TOKENS * order.partial_images * call.streamed
        text_tokens, image_tokens = len(split_tokens(prompt)), IMAGE_TOKENS * len(images)
        usage = Usage(text_tokens + image_tokens, 0, each * order.count)
        wire = ImageWire(call, order, usage, text_tokens, self.event)
        return call.delivery(usage, wire.whole, wire)


class ImageEdits(ImageGenerations):
    """``POST /v1/images/edits``: a form, with images in it."""

    path = "/images/edits"
    event = "image_edit"
    needs: ClassVar[tuple[str, ...]] = ("image", "prompt")

    def read(self, raw: bytes, content_type: str) -> dict[str, Any]:
        """Read a form."""
        return read_form(raw, content_type)


class ImageVariations(ImageEdits):
    """``POST /v1/images/variations``: the same without a prompt."""

    path = "/images/variations"
    needs = ("image",)


class ImageWire:
    """The object, or the events."""

    def __init__(self, call: Call, order: Order, usage: Usage, text_tokens: int, event: str) -> None:
        self._order = order
        self._event = event
        self._made_s = call.now_s
        self._shape = {
            "background": order.background,
            "output_format": "png",
            "quality": order.quality,
            "size": order.size,
        }
        self._usage = {
            "input_tokens": usage.input_tokens,
            "input_tokens_details": {"text_tokens": text_tokens, "image_tokens": usage.input_tokens - text_tokens},
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
        }

    def whole(self) -> bytes:
        """Return the pictures."""
        data = [{"b64_json": self._order.picture(index)} for index in range(self._order.count)]
        return orjson.dumps({"created": self._made_s, **self._shape, "data": data, "usage": self._usage})

    def begin(self) -> bytes:
        """Return nothing."""
        return b""

    def parts(self) -> Iterator[tuple[bytes, int]]:
        """Yield each picture as far as it is drawn; what is left of it is drawn without being shown."""
        order = self._order
        for index in range(order.count):
            for step in range(order.partial_images):
                rows = CELLS * (step + 1) // (order.partial_images + 1)
                shown = {"b64_json": order.picture(index, rows), "partial_image_index": step}
                yield self._sent("partial_image", shown), PARTIAL_IMAGE_TOKENS
            yield b"", order.output_tokens

    def end(self) -> bytes:
        """Return the whole pictures."""
        return b"".join(
            self._sent("completed", {"b64_json": self._order.picture(index), "usage": self._usage})
            for index in range(self._order.count)
        )

    def error(self) -> bytes:
        """Return an error in the place of an event."""
        return b"event: error\ndata: " + orjson.dumps({"type": "error", **server_error().body}) + b"\n\n"

    def _sent(self, what: str, fields: Mapping[str, Any]) -> bytes:
        name = f"{self._event}.{what}"
        event = {"type": name, "created_at": self._made_s, **self._shape, **fields}
        return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(event))


def _order(body: Mapping[str, Any], prompt: str, images: Sequence[File]) -> Order:
    """Return what the fields say; ``auto`` is a square of medium quality on a ground."""
    chosen = {name: body.get(name) or "auto" for name in ("size", "quality", "background")}
    return Order(
        seed=b"\x00".join((prompt.encode(errors="replace"), *(image.content for image in images))),
        size="1024x1024" if chosen["size"] == "auto" else chosen["size"],
        quality="medium" if chosen["quality"] == "auto" else chosen["quality"],
        background="opaque" if chosen["background"] == "auto" else chosen["background"],
        count=body.get("n") or 1,
        partial_images=body.get("partial_images") or 0,
    )


def _images(body: Mapping[str, Any]) -> list[File]:
    """Return the images that were sent; nobody looks at the mask."""
    sent = body["image"]
    images = sent if isinstance(sent, list) else [sent]
    if len(images) > _MOST_SENT or not all(isinstance(image, File) for image in images):
        raise invalid_type("image", "one of an array of files or file", next(iter(images)))
    for index, image in enumerate(images):
        if image.content_type.split(";")[0] not in _MIMETYPES:
            name = f"image[{index}]" if isinstance(sent, list) else "image"
            raise unsupported_mimetype(name, image.content_type, _MIMETYPES)
    return images
