"""Prompt packs as they are kept: a directory of text files with a manifest, known by a hash over all of it.

======================  ================================================================================
``pack.json``           the manifest: route, tenant, hash, how many similar examples, where rows came from
``instructions.md``     the instructions, as they are sent
``fixed.jsonl``         the fixed examples, in the order in which they are sent
``pool.jsonl``          the examples among which similar ones are found for each request
``held_out.txt``        the ids of the rows that were kept out, one a line; none of them is in the pack
======================  ================================================================================
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

FORMAT: Final = 1
MANIFEST: Final = "pack.json"
INSTRUCTIONS: Final = "instructions.md"
FIXED: Final = "fixed.jsonl"
POOL: Final = "pool.jsonl"
HELD_OUT: Final = "held_out.txt"
FILES: Final = (MANIFEST, INSTRUCTIONS, FIXED, POOL, HELD_OUT)
MAX_FILE_BYTES: Final = 32 * 1_048_576
BY_HASH: Final = "sha256:"
ORIGINS: Final = ("training", "captured", "recorded")
_ROLES: Final = ("user", "assistant", "tool")
_PARTS: Final = ("text", "refusal", "image_url", "image", "input_audio", "file")


class BadPack(Exception):
    """A pack cannot be used: which of its files, which line, and why."""

    def __init__(self, file: str, line: int, message: str) -> None:
        super().__init__(f"{file}:{line}: {message}")
        self.file, self.line, self.message = file, line, message


@dataclass(frozen=True, slots=True)
class PackExample:
    """One example: messages that end with the assistant's answer."""

    id: str
    """The id of its input (``policy.inputs.input_id``)."""
    messages: tuple[Mapping[str, Any], ...]
    """Without a system message."""
    tokens: int
    """As the manifest's tokenizer counts them, per-message overhead included."""
    origin: str = "training"
    """training (a person's row), captured (a live answer) or recorded (asked for): the last two a model wrote."""


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """A compiled prompt."""

    hash: str
    """``sha256:`` and 64 hex digits; packs of one hash are one pack."""
    route: str
    tenant: str | None
    instructions: str
    trained_system: tuple[str, ...]
    fixed: tuple[PackExample, ...]
    pool: tuple[PackExample, ...]
    similar: int
    """Up to so many examples of the pool go into a request."""
    similar_tokens: int
    """And up to so many tokens of them."""
    prefix_tokens: int
    """Instructions and fixed examples: what is the same in every request."""
    held_out: frozenset[str]
    """Ids of the rows that were kept out."""
    manifest: Mapping[str, Any] = field(repr=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pack) and other.hash == self.hash

    def __hash__(self) -> int:
        return hash(self.hash)

    @property
    def version(self) -> str:
        """The first 12 hex digits of its hash; the ledger names it."""
        return self.hash.removeprefix(BY_HASH)[:12]

    @property
    def examples(self) -> tuple[PackExample, ...]:
        """All of its examples."""
        return self.fixed + self.pool


def hash_of(files: Mapping[str, bytes]) -> str:
    """Return a pack's hash: over every file, the manifest without its own hash and version.

    Raises:
        BadPack: the manifest is no JSON object.
    """
    digest = hashlib.sha256()
    for name in FILES:
        content = files.get(name, b"")
        if name == MANIFEST:
            manifest = {key: value for key, value in _manifest(content).items() if key not in ("hash", "version")}
            content = orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS)
        digest.update(b"%s\0%d\0" % (name.encode(), len(content)) + content)
    return BY_HASH + digest.hexdigest()


def sealed(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return a pack's files with the manifest that names their hash; byte for byte the same for the same content."""
    unsealed = {**files, MANIFEST: orjson.dumps(manifest)}
    hash_ = hash_of(unsealed)
    whole = {**manifest, "hash": hash_, "version": hash_.removeprefix(BY_HASH)[:12]}
    text = orjson.dumps(whole, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
    return {name: text if name == MANIFEST else unsealed.get(name, b"") for name in FILES}


def example_line(example: PackExample) -> bytes:
    """Return an example as its line of a file."""
    row = {"id": example.id, "origin": example.origin, "tokens": example.tokens, "messages": list(example.messages)}
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def parse_pack(files: Mapping[str, bytes]) -> Pack:
    """Return the pack that files hold.

    Raises:
        BadPack: a file is missing or malformed, was changed after the pack was built, or a held-out row is among the
            examples.
    """
    for name in FILES:
        if name not in files:
            raise BadPack(name, 1, "is missing; build the pack anew")
        _text(name, files[name])
    manifest = _manifest(files[MANIFEST])
    if manifest.get("format") != FORMAT:
        raise BadPack(MANIFEST, 1, f"format must be {FORMAT}: another version of the gateway built this pack")
    hash_ = _unchanged(manifest, files)
    trained_system = _of(manifest, "trained_system", list, [])
    if not all(isinstance(system, str) for system in trained_system):
        raise BadPack(MANIFEST, 1, "'trained_system' must be a list of texts; build the pack anew")
    pack = Pack(
        hash=hash_,
        route=_of(manifest, "route", str),
        tenant=_of(manifest, "tenant", str, None),
        instructions=_text(INSTRUCTIONS, files[INSTRUCTIONS]).strip(),
        trained_system=tuple(trained_system),
        fixed=tuple(_examples(FIXED, files[FIXED])),
        pool=tuple(_examples(POOL, files[POOL])),
        similar=_of(manifest, "similar", int),
        similar_tokens=_of(manifest, "similar_tokens", int),
        prefix_tokens=_of(manifest, "prefix_tokens", int),
        held_out=frozenset(_ids(files[HELD_OUT])),
        manifest=manifest,
    )
    for name, examples in ((FIXED, pack.fixed), (POOL, pack.pool)):
        for line, example in enumerate(examples, 1):
            if example.id in pack.held_out:
                raise BadPack(name, line, f"row {example.id} was to be held out; build the pack anew")
    return pack


def _unchanged(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> str:
    """Return the pack's hash. White space and order of the manifest are free: tools that tidy files do no harm."""
    actual = hash_of(files)
    version = actual.removeprefix(BY_HASH)[:12]
    if manifest.get("hash") != actual or manifest.get("version") != version:
        raise BadPack(MANIFEST, 1, "the pack was changed after it was built (its hash is another); build it anew")
    return actual


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise BadPack(name, content.count(b"\n", 0, error.start) + 1, "is not UTF-8") from None


def _manifest(content: bytes) -> dict[str, Any]:
    try:
        manifest = orjson.loads(content)
        # What is nested too deeply to be written again has no hash.
        orjson.dumps(manifest)
    except orjson.JSONDecodeError as error:
        raise BadPack(MANIFEST, error.lineno, f"is not JSON: {error.msg}") from None
    except orjson.JSONEncodeError:
        raise BadPack(MANIFEST, 1, "is nested too deeply") from None
    if not isinstance(manifest, dict):
        raise BadPack(MANIFEST, 1, "must be a JSON object")
    return manifest


def _of(manifest: Mapping[str, Any], key: str, kind: type, *default: Any) -> Any:
    value = manifest.get(key, *default)
    if value is None and default:
        return default[0]
    empty = value == "" or (isinstance(value, int) and value < 0)
    if not isinstance(value, kind) or isinstance(value, bool) or empty:
        raise BadPack(MANIFEST, 1, f"'{key}' is missing or malformed; build the pack anew")
    return value


def _ids(content: bytes) -> Iterable[str]:
    for line, row in enumerate(_text(HELD_OUT, content).splitlines(), 1):
        if len(row.split()) != 1 or row != row.strip():
            raise BadPack(HELD_OUT, line, "is not the id of one row")
        yield row


def _examples(name: str, content: bytes) -> Iterable[PackExample]:
    for line, row in enumerate(content.splitlines(), 1):
        try:
            read = orjson.loads(row)
        except orjson.JSONDecodeError:
            raise BadPack(name, line, "is not a line of JSON") from None
        if not isinstance(read, dict) or not _is_whole(read):
            raise BadPack(name, line, "is not an example as `gateway pack build` writes them")
        messages = read["messages"]
        if not all(map(_is_message, messages)) or messages[-1]["role"] != "assistant":
            raise BadPack(name, line, "is not an example of a request and an assistant's answer")
        yield PackExample(read["id"], tuple(messages), read["tokens"], read["origin"])


def _is_whole(example: Mapping[str, Any]) -> bool:
    id_, messages, tokens = example.get("id"), example.get("messages"), example.get("tokens")
    known = isinstance(id_, str) and id_ != "" and example.get("origin") in ORIGINS
    counted = isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0
    return known and counted and isinstance(messages, list) and bool(messages)


def _is_message(message: object) -> bool:
    """Tell whether it can be sent: it says a text, or parts, or, as an assistant, nothing beside its tool calls."""
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        return False
    role, content, calls = message["role"], message.get("content"), message.get("tool_calls")
    if content is None:
        says = role == "assistant"
    else:
        says = isinstance(content, str) or (isinstance(content, list) and all(map(_is_part, content)))
    does = calls is None or (role == "assistant" and isinstance(calls, list) and all(map(_is_call, calls)))
    answers = role != "tool" or isinstance(message.get("tool_call_id"), str)
    return says and does and answers and isinstance(message.get("name"), str | None)


def _is_part(part: object) -> bool:
    if not isinstance(part, dict) or (kind := part.get("type")) not in _PARTS:
        return False
    # Of the other kinds only the provider knows what they hold.
    return kind not in ("text", "refusal") or isinstance(part.get(kind), str)


def _is_call(call: object) -> bool:
    function = call.get("function") if isinstance(call, dict) else None
    return isinstance(function, dict) and all(isinstance(function.get(key), str) for key in ("name", "arguments"))
