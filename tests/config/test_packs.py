from dataclasses import replace
from typing import Any

import orjson
import pytest
from a_pack import FIXED_EXAMPLES, POOL_EXAMPLES, an_example, lines, pack_files

from gateway.config.packs import (
    FILES,
    FIXED,
    HELD_OUT,
    INSTRUCTIONS,
    MANIFEST,
    POOL,
    BadPack,
    Pack,
    example_line,
    hash_of,
    parse_pack,
    sealed,
)

MESSAGES = [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]
CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}


def _row(**fields: Any) -> bytes:
    return orjson.dumps({"id": "a" * 16, "origin": "training", "tokens": 5, "messages": MESSAGES} | fields)


def _refused(files: dict[str, bytes]) -> str:
    with pytest.raises(BadPack) as refused:
        parse_pack(files)
    assert str(refused.value) == f"{refused.value.file}:{refused.value.line}: {refused.value.message}"
    return str(refused.value)


def test_a_pack_that_is_written_is_read_as_it_was() -> None:
    pack = parse_pack(pack_files(trained_system=["Be kind."], tenant="acme", note={"for": "people"}))
    assert (pack.route, pack.tenant, pack.instructions) == ("reply", "acme", "Answer briefly.")
    assert pack.trained_system == ("Be kind.",)
    assert (pack.fixed, pack.pool) == (FIXED_EXAMPLES, POOL_EXAMPLES)
    assert pack.examples == FIXED_EXAMPLES + POOL_EXAMPLES
    assert (pack.similar, pack.similar_tokens, pack.prefix_tokens) == (2, 60, 50)
    assert pack.held_out == {"00000000000000fe", "00000000000000ff"}
    assert pack.manifest["note"] == {"for": "people"}
    assert pack.hash == f"sha256:{pack.hash[7:]}"
    assert pack.version == pack.manifest["version"] == pack.hash[7:19]


def test_a_pack_may_be_of_nobody_and_hold_nothing() -> None:
    pack = parse_pack(pack_files(dict.fromkeys(FILES, b"")))
    assert (pack.tenant, pack.trained_system, pack.instructions) == (None, (), "")
    assert (pack.examples, pack.held_out) == ((), frozenset())


def test_examples_with_tools_pictures_and_lines_of_their_own_are_read_as_they_were() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}}
    messages = (
        {"role": "user", "name": "jo", "content": [{"type": "text", "text": "what\r\n\u2028is\u0085this"}, picture]},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "found"},
        {"role": "assistant", "content": "{{ template }} <|im_end|>"},
    )
    example = replace(POOL_EXAMPLES[0], messages=messages)
    assert parse_pack(pack_files({POOL: example_line(example)})).pool == (example,)


def test_the_same_content_has_the_same_bytes_and_the_same_hash_whatever_the_order_of_its_manifest() -> None:
    files = pack_files(zeta=1, alpha={"b": 1, "a": 2})
    manifest = orjson.loads(files[MANIFEST])
    again = sealed(dict(reversed(manifest.items())), dict(reversed(files.items())))
    assert again == files
    assert list(again) == list(FILES)
    assert hash_of(again) == manifest["hash"]


def test_the_hash_of_a_format_never_changes() -> None:
    assert hash_of({MANIFEST: b'{"route": "reply", "format": 1}', POOL: b"{}\n"}) == (
        "sha256:c8f12d13b2bee48633f74a8db982359255ffe0aad0f47dce82718c5faec9cd2e"
    )


def test_packs_of_one_content_are_one_pack() -> None:
    first, again, other = (parse_pack(pack_files(similar=k)) for k in (2, 2, 1))
    assert first == again
    assert hash(first) == hash(again)
    assert first != other
    assert first != first.hash


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_anywhere_is_noticed(name: str) -> None:
    files = pack_files(tenant="acme")
    for position, byte in enumerate(files[name]):
        changed = bytearray(files[name])
        changed[position] = byte ^ 1
        with pytest.raises(BadPack):
            parse_pack(files | {name: bytes(changed)})


@pytest.mark.parametrize("name", FILES)
def test_a_byte_more_or_less_is_noticed(name: str) -> None:
    files = pack_files()
    for content in (files[name][:-2], files[name] + b"0"):
        with pytest.raises(BadPack):
            parse_pack(files | {name: content})


def test_a_line_that_moves_from_one_file_to_the_next_is_noticed() -> None:
    files = pack_files()
    first, _, rest = files[POOL].partition(b"\n")
    moved = files | {FIXED: files[FIXED] + first + b"\n", POOL: rest}
    assert "was changed after it was built" in _refused(moved)


def test_a_manifest_that_a_tool_has_tidied_is_still_the_same() -> None:
    files = pack_files()
    tidied = files | {MANIFEST: orjson.dumps(orjson.loads(files[MANIFEST]))}
    assert parse_pack(tidied) == parse_pack(files)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(name: str) -> None:
    files = pack_files()
    del files[name]
    assert _refused(files) == f"{name}:1: is missing; build the pack anew"


@pytest.mark.parametrize("name", FILES)
def test_what_is_not_utf8_is_named_by_its_line(name: str) -> None:
    files = pack_files()
    assert _refused(files | {name: b"{}\n{}\n\xff\n"}) == f"{name}:3: is not UTF-8"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b'{"format": 1,\n"route" "x"}', "pack.json:2: is not JSON: ", id="no JSON"),
        pytest.param(b"", "pack.json:1: is not JSON: ", id="nothing"),
        pytest.param(b"[]", "pack.json:1: must be a JSON object", id="a list"),
        pytest.param(b'{"a":' + b"[" * 300 + b"]" * 300 + b"}", "pack.json:1: is nested too deeply", id="too deep"),
        pytest.param(b"{}", "pack.json:1: format must be 1: ", id="no format"),
        pytest.param(b'{"format": 2}', "pack.json:1: format must be 1: ", id="a later format"),
        pytest.param(b'{"format": 1}', "pack.json:1: the pack was changed after it was built", id="no hash"),
    ],
)
def test_a_broken_manifest_is_refused_with_its_line(content: bytes, expected: str) -> None:
    assert _refused(pack_files() | {MANIFEST: content}).startswith(expected)


@pytest.mark.parametrize("key", ["hash", "version"])
def test_a_manifest_with_the_hash_or_version_of_another_pack_is_refused(key: str) -> None:
    files = pack_files()
    manifest = orjson.loads(files[MANIFEST]) | {key: orjson.loads(pack_files(similar=1)[MANIFEST])[key]}
    assert "was changed after it was built" in _refused(files | {MANIFEST: orjson.dumps(manifest)})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("route", None),
        ("route", ""),
        ("route", 1),
        ("tenant", ""),
        ("tenant", 5),
        ("similar", None),
        ("similar", -1),
        ("similar", True),
        ("similar", 1.5),
        ("similar_tokens", "60"),
        ("prefix_tokens", -50),
        ("trained_system", "one text"),
        ("trained_system", [1]),
    ],
)
def test_a_manifest_that_says_nothing_sensible_is_refused_by_its_key(key: str, value: object) -> None:
    message = _refused(pack_files(**{key: value}))
    assert message.startswith("pack.json:1: ")
    assert f"'{key}'" in message


NOT_AS_WRITTEN = "is not an example as `gateway pack build` writes them"
NO_ANSWER = "is not an example of a request and an assistant's answer"


@pytest.mark.parametrize("name", [FIXED, POOL])
@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param(b"{", "is not a line of JSON", id="no JSON"),
        pytest.param(b"", "is not a line of JSON", id="an empty line"),
        pytest.param(b"[]", NOT_AS_WRITTEN, id="a list"),
        pytest.param(b'{"messages": []}', NOT_AS_WRITTEN, id="a row without an id"),
        pytest.param(_row(id=""), NOT_AS_WRITTEN, id="an empty id"),
        pytest.param(_row(id=7), NOT_AS_WRITTEN, id="an id that is no text"),
        pytest.param(_row(origin="invented"), NOT_AS_WRITTEN, id="an origin that there is not"),
        pytest.param(_row(origin=None), NOT_AS_WRITTEN, id="no origin"),
        pytest.param(_row(tokens=-1), NOT_AS_WRITTEN, id="tokens below nothing"),
        pytest.param(_row(tokens="5"), NOT_AS_WRITTEN, id="tokens as text"),
        pytest.param(_row(tokens=True), NOT_AS_WRITTEN, id="tokens as truth"),
        pytest.param(_row(tokens=5.5), NOT_AS_WRITTEN, id="a part of a token"),
        pytest.param(_row(messages=[]), NOT_AS_WRITTEN, id="no messages"),
        pytest.param(_row(messages={"role": "user"}), NOT_AS_WRITTEN, id="messages that are no list"),
        pytest.param(_row(messages=["u", "a"]), NO_ANSWER, id="messages that are texts"),
        pytest.param(_row(messages=MESSAGES[:1]), NO_ANSWER, id="no answer"),
        pytest.param(_row(messages=[{"role": "system", "content": "s"}, *MESSAGES]), NO_ANSWER, id="a system message"),
        pytest.param(_row(messages=[{"role": ["user"], "content": "u"}, MESSAGES[1]]), NO_ANSWER, id="an odd role"),
        *(
            pytest.param(_row(messages=[{"role": "user", **said}, MESSAGES[1]]), NO_ANSWER, id=id_)
            for id_, said in {
                "an odd content": {"content": 5},
                "a user who says nothing": {},
                "a part that is a number": {"content": [5]},
                "a part that is a text": {"content": ["x"]},
                "a part without a type": {"content": [{"text": "x"}]},
                "a part whose type is a list": {"content": [{"type": ["text"], "text": "x"}]},
                "a part of a type that there is not": {"content": [{"type": "smell", "smell": "x"}]},
                "a part of text without one": {"content": [{"type": "text"}]},
                "a part of text that is a number": {"content": [{"type": "text", "text": 5}]},
                "a good part and a bad one": {"content": [{"type": "text", "text": "x"}, "x"]},
                "a user who calls a tool": {"content": "u", "tool_calls": [CALL]},
                "a name that is a number": {"content": "u", "name": 5},
            }.items()
        ),
        *(
            pytest.param(
                _row(messages=[MESSAGES[0], {"role": "assistant", "tool_calls": calls}]), NO_ANSWER, id=f"calls: {id_}"
            )
            for id_, calls in {
                "a text": "bogus",
                "a list of texts": ["bogus"],
                "a mapping": CALL,
                "a call of nothing": [{"id": "c1", "type": "function"}],
                "a call of a text": [{"id": "c1", "type": "function", "function": "find"}],
                "a call without arguments": [{"id": "c1", "type": "function", "function": {"name": "find"}}],
                "arguments that are no text": [{"function": {"name": "find", "arguments": {}}}],
                "a good call and a bad one": [CALL, 5],
            }.items()
        ),
        pytest.param(
            _row(messages=[MESSAGES[0], {"role": "tool", "content": "found"}, MESSAGES[1]]),
            NO_ANSWER,
            id="a tool that answers no call",
        ),
    ],
)
def test_a_broken_example_is_refused_with_its_file_and_line(name: str, row: bytes, expected: str) -> None:
    content = lines(*FIXED_EXAMPLES) + row + b"\n" + lines(an_example(9, "more", "of it"))
    assert _refused(pack_files({name: content})) == f"{name}:3: {expected}"


@pytest.mark.parametrize("name", [FIXED, POOL])
def test_a_held_out_row_among_the_examples_is_refused(name: str) -> None:
    content = lines(an_example(8, "u", "a"), an_example(0xFF, "held", "out"))
    assert _refused(pack_files({name: content})) == (
        f"{name}:2: row 00000000000000ff was to be held out; build the pack anew"
    )


@pytest.mark.parametrize("row", [b"", b"a b", b" 00000000000000ff", b"00000000000000ff\t"])
def test_a_line_that_is_no_id_of_a_row_is_refused(row: bytes) -> None:
    held_out = b"00000000000000fe\n" + row + b"\n00000000000000ff\n"
    assert _refused(pack_files({HELD_OUT: held_out})) == "held_out.txt:2: is not the id of one row"


def test_instructions_stay_as_they_are_but_for_the_ends() -> None:
    text = "\n  Use {{name}} and {route}.\r\n\r\n  – Thanks  \n"
    pack = parse_pack(pack_files({INSTRUCTIONS: text.encode()}))
    assert pack.instructions == text.strip()


def test_a_pack_says_little_of_what_it_holds_when_it_is_printed() -> None:
    assert "people" not in repr(parse_pack(pack_files(note="people")))


def test_a_pack_with_a_tenant_names_no_other() -> None:
    ours: Pack = parse_pack(pack_files(tenant="acme"))
    theirs = parse_pack(pack_files(tenant="globex"))
    assert ours.hash != theirs.hash
