"""Multipart forms, read into the fields that a JSON body would have."""

import re
from dataclasses import dataclass
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.sandbox.refusals import ProviderError, openai_error, unsupported_content_type

_NUMBERS = frozenset(("n", "temperature", "output_compression", "partial_images"))
_BOOLEANS = frozenset(("stream",))
_INTEGER = re.compile(r"-?\d{1,18}")


@dataclass(frozen=True, slots=True)
class File:
    """A file that was sent along."""

    name: str
    content: bytes
    content_type: str
    """As its sender states it; ``application/octet-stream`` where it does not."""


def read_form(raw: bytes, content_type: str) -> dict[str, Any]:
    """Return the fields of a form: texts, numbers, booleans, files, and lists of what is named ``…[]`` or repeated.

    Raises:
        ProviderError: a 400: it is no form, or a broken one.

    """
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise unsupported_content_type(kind.decode("latin-1"), "multipart/form-data")
    reader = _Reader()
    try:
        parser = MultipartParser(options.get(b"boundary", b""), reader.callbacks())
        parser.write(raw)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise _broken() from error
    if not reader.ended:
        raise _broken()
    return reader.fields


class _Reader:
    """Hears the parser, keeps fields."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.ended = False
        self._headers: dict[bytes, bytes] = {}
        self._name, self._value, self._content = b"", b"", bytearray()

    def callbacks(self) -> Any:
        """Return what the parser calls."""
        return {
            "on_part_data": self._take_content,
            "on_part_end": self._end_part,
            "on_header_field": self._take_name,
            "on_header_value": self._take_value,
            "on_header_end": self._end_header,
            "on_end": self._end,
        }

    def _take_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name, self._value = b"", b""

    def _take_content(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]

    def _end_part(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        content_type = self._headers.get(b"content-type", b"application/octet-stream").decode("latin-1")
        name, filename, content = options.get(b"name"), options.get(b"filename"), bytes(self._content)
        self._headers, self._content = {}, bytearray()
        if name is None:
            raise ValueError("a part without a name")
        field = name.decode("utf-8", "replace")
        if filename is None:
            self._keep(field, _value(field, content.decode("utf-8", "replace")))
        else:
            self._keep(field, File(filename.decode("utf-8", "replace"), content, content_type))

    def _keep(self, field: str, value: Any) -> None:
        name = field.removesuffix("[]")
        if name == field and name not in self.fields:
            self.fields[name] = value
            return
        kept = self.fields.get(name, [])
        self.fields[name] = [*(kept if isinstance(kept, list) else [kept]), value]

    def _end(self) -> None:
        self.ended = True


def _value(name: str, text: str) -> Any:
    """Return what a text means in JSON; what is no number stays a text, and is refused as one."""
    if name in _BOOLEANS:
        return {"true": True, "false": False}.get(text.lower(), text)
    if name in _NUMBERS:
        if _INTEGER.fullmatch(text):
            return int(text)
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _broken() -> ProviderError:
    return openai_error(400, "Could not parse multipart form")
