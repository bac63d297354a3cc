"""Multipart forms: read, and written anew, so that what goes upstream is exactly what was checked."""

from dataclasses import dataclass, replace
from secrets import token_hex
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.errors import InvalidRequest

MAX_PARTS = 100
TEXT_FIELD_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form."""

    name: str
    content: bytes
    filename: str | None = None
    content_type: bytes | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """A form's parts, in their order."""

    parts: tuple[Part, ...]
    boundary: str = ""

    def fields(self) -> dict[str, Any]:
        """Return the text fields by name; of repeated ones the last."""
        small = (part for part in self.parts if part.filename is None and len(part.content) <= TEXT_FIELD_BYTES)
        return {part.name: part.content.decode("utf-8", "replace") for part in small}

    def with_field(self, name: str, text: str) -> "Form":
        """Return the form with another text in the one field of this name."""
        changed = (replace(part, content=text.encode()) if part.name == name else part for part in self.parts)
        return replace(self, parts=tuple(changed))

    @property
    def content_type(self) -> bytes:
        """The form's content type, its boundary included."""
        return b"multipart/form-data; boundary=" + self.boundary.encode()

    def encoded(self) -> bytes:
        """Return the form as bytes."""
        delimiter = b"--" + self.boundary.encode()
        written: list[bytes] = []
        for part in self.parts:
            named = b'form-data; name="' + quoted(part.name)
            if part.filename is not None:
                named += b'"; filename="' + quoted(part.filename)
            head = b"content-disposition: " + named + b'"\r\n'
            if part.content_type is not None:
                head += b"content-type: " + part.content_type + b"\r\n"
            written += [delimiter, b"\r\n", head, b"\r\n", part.content, b"\r\n"]
        return b"".join([*written, delimiter, b"--\r\n"])


def read_form(body: bytes, content_type: bytes) -> Form:
    """Read a multipart body.

    Raises:
        InvalidRequest: it is no form, has too many parts, or names ``model`` more than once.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise InvalidRequest("The form's Content-Type has no boundary.")
    collector = _Collector()
    try:
        parser = MultipartParser(boundary, collector.callbacks())
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise InvalidRequest(f"The body is not a multipart form: {error}.") from None
    if not collector.ended:
        raise InvalidRequest("The multipart form has no end.")
    form = Form(tuple(collector.parts), token_hex(16))
    if sum(part.name == "model" for part in form.parts) > 1:
        raise InvalidRequest("The form names 'model' more than once.", param="model")
    return form


class _Collector:
    """Hears the parser, keeps parts."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.ended = False
        self._headers: dict[bytes, bytes] = {}
        self._name, self._value = b"", b""
        self._content: list[bytes] = []

    def callbacks(self) -> Any:
        """Return what the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_part_data": lambda data, start, end: self._content.append(data[start:end]),
            "on_part_end": self._end,
            "on_header_field": self._take_name,
            "on_header_value": self._take_value,
            "on_header_end": self._header_end,
            "on_end": self._all_end,
        }

    def _begin(self) -> None:
        if len(self.parts) >= MAX_PARTS:
            raise ValueError(f"more than {MAX_PARTS} parts")
        self._headers, self._content = {}, []

    def _take_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name, self._value = b"", b""

    def _end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name, filename = options.get(b"name"), options.get(b"filename")
        if name is None:
            raise ValueError("a part without a name")
        type_ = self._headers.get(b"content-type")
        self.parts.append(
            Part(
                name.decode("utf-8", "replace"),
                b"".join(self._content),
                filename.decode("utf-8", "replace") if filename is not None else None,
                bytes(byte for byte in type_ if 32 <= byte < 127) if type_ is not None else None,
            )
        )

    def _all_end(self) -> None:
        self.ended = True


def quoted(text: str) -> bytes:
    """Return a name as it may stand between quotation marks: as browsers write it, and without backslashes.

    Before the closing mark one would hide that mark from parsers that know escapes, and two from those that half do.
    """
    for char, written in (("\\", "%5C"), ("\r", "%0D"), ("\n", "%0A"), ('"', "%22")):
        text = text.replace(char, written)
    return text.encode()
