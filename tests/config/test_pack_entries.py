from pathlib import Path
from typing import Any

import pytest
from a_pack import POOL_EXAMPLES, an_example, lines, pack_files

from gateway.config.awaited_packs import awaited, with_packs
from gateway.config.findings import InvalidRoutes
from gateway.config.loader import Loaded, load
from gateway.config.packs import FILES, FIXED, INSTRUCTIONS, MANIFEST, POOL, example_line, parse_pack
from gateway.config.routes import Prompt
from gateway.errors import ConfigError

BEFORE = """\
version: 1
providers: {here: {kind: openai-compatible, base_url: "http://127.0.0.1:9/v1"}}
fallbacks: {base: {provider: here, model: base, prompt: {instructions: Answer.}}}
defaults: {provider: here, fallbacks: [base]}
routes:
"""
FIRST_LINE = BEFORE.count("\n") + 1
HASH = f"sha256:{'a' * 64}"


def _load(directory: Path, routes: str, before: str = BEFORE) -> Loaded:
    (directory / "routes.yaml").write_text(before + routes)
    return load(directory / "routes.yaml", environ={})


def _errors(directory: Path, routes: str, before: str = BEFORE) -> list[str]:
    with pytest.raises(InvalidRoutes) as refused:
        _load(directory, routes, before)
    return [str(finding) for finding in refused.value.findings if finding.severity == "error"]


def _warnings(loaded: Loaded) -> list[str]:
    return [str(warning) for warning in loaded.warnings]


WITH_PACK = BEFORE.replace("instructions: Answer.", 'pack: "packs/{route}"')
PACK_LINE = 3


def _write(directory: Path, files: dict[str, bytes], name: str = "reply") -> None:
    folder = directory / "packs" / name
    folder.mkdir(parents=True)
    for file, content in files.items():
        (folder / file).write_bytes(content)


def _prompt(loaded: Loaded, route: str = "reply") -> Prompt:
    prompt = loaded.routes.routes[route].fallbacks[0].prompt
    assert prompt is not None
    return prompt


def test_a_fallback_takes_its_instructions_its_examples_and_its_version_from_its_pack(tmp_path: Path) -> None:
    files = pack_files(trained_system=["Be kind."])
    _write(tmp_path, files)
    loaded = _load(tmp_path, "  reply: tuned\n", WITH_PACK)
    pack, prompt = parse_pack(files), _prompt(loaded)
    assert prompt.pack == pack
    assert (prompt.instructions, prompt.trained_system) == ("Answer briefly.", ("Be kind.",))
    assert (prompt.version, prompt.awaited_pack) == (f"{pack.version}-keep", None)
    assert _warnings(loaded) == []
    assert {str(tmp_path / "packs" / "reply" / name) for name in FILES} <= set(loaded.routes.files)


def test_another_pack_is_another_configuration_and_another_version(tmp_path: Path) -> None:
    seen = set()
    for number, files in enumerate((pack_files(), pack_files(similar=1), pack_files(similar=1))):
        _write(tmp_path / str(number), files)
        loaded = _load(tmp_path / str(number), "  reply: tuned\n", WITH_PACK)
        seen.add((loaded.routes.config_hash, _prompt(loaded).version))
    assert len(seen) == 2


@pytest.mark.parametrize(
    "beside",
    ["instructions: Other words., ", "examples: [{user: u, assistant: a}], "],
    ids=["other instructions", "examples of its own"],
)
def test_where_the_pack_is_not_all_there_is_the_version_is_of_both(tmp_path: Path, beside: str) -> None:
    versions = set()
    for number, similar in enumerate((1, 2)):
        _write(tmp_path / str(number), files := pack_files(similar=similar))
        loaded = _load(tmp_path / str(number), "  reply: tuned\n", WITH_PACK.replace("pack: ", f"{beside}pack: "))
        versions |= {_prompt(loaded).version, parse_pack(files).version}
    assert len(versions) == 4


def test_other_instructions_than_the_packs_are_sent_and_warned_of(tmp_path: Path) -> None:
    _write(tmp_path, pack_files())
    loaded = _load(tmp_path, "  reply: tuned\n", WITH_PACK.replace("pack: ", "instructions: Other words., pack: "))
    assert _prompt(loaded).instructions == "Other words."
    assert _warnings(loaded) == [
        f"routes.yaml:{FIRST_LINE}: routes.reply: the pack of fallback 'base' was built with other instructions than "
        "routes.yaml names; those of routes.yaml are sent: build it anew, or leave them to the pack"
    ]


def test_a_pack_that_is_not_there_yet_is_warned_of_with_the_command_that_builds_it(tmp_path: Path) -> None:
    loaded = _load(tmp_path, "  reply: tuned\n  triage: tuned-2\n", WITH_PACK)
    assert _warnings(loaded) == [
        f"routes.yaml:{PACK_LINE}: routes.{route}: there is no prompt pack at packs/{route} yet: the fallback runs on "
        f"its instructions and examples alone; build one with: gateway pack build {route} --from FILE"
        for route in ("reply", "triage")
    ]
    assert (_prompt(loaded).pack, _prompt(loaded).missing_pack) == (None, "packs/reply")


def test_a_missing_pack_is_an_error_where_its_directory_is_not_each_routes_own(tmp_path: Path) -> None:
    assert _errors(tmp_path, "  reply: tuned\n", WITH_PACK.replace("{route}", "shop")) == [
        f"routes.yaml:{PACK_LINE}: routes.reply: there is no prompt pack at packs/shop: put it there, or take `pack` "
        "out of the prompt until it is built: gateway pack build reply --from FILE --out packs/shop"
    ]


def test_a_link_that_leads_nowhere_is_no_pack_that_is_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / "reply").symlink_to("elsewhere")
    assert _errors(tmp_path, "  reply: tuned\n", WITH_PACK) == [
        f"routes.yaml:{PACK_LINE}: routes.reply: pack packs/reply/pack.json does not exist"
    ]


def test_a_missing_pack_makes_no_other_version(tmp_path: Path) -> None:
    beside = WITH_PACK.replace("pack: ", "instructions: Answer., pack: ")
    versions = {_prompt(_load(tmp_path, "  reply: tuned\n", before)).version for before in (BEFORE, beside)}
    assert len(versions) == 1


@pytest.mark.parametrize("name", FILES)
def test_a_pack_that_lacks_a_file_is_an_error(tmp_path: Path, name: str) -> None:
    files = pack_files()
    del files[name]
    _write(tmp_path, files)
    assert _errors(tmp_path, "  reply: tuned\n", WITH_PACK) == [
        f"routes.yaml:{PACK_LINE}: routes.reply: pack packs/reply/{name} does not exist"
    ]


def test_a_broken_pack_is_an_error_in_its_own_file_and_line(tmp_path: Path) -> None:
    _write(tmp_path, pack_files({POOL: lines(*POOL_EXAMPLES) + b"{\n"}))
    assert _errors(tmp_path, "  reply: tuned\n", WITH_PACK) == ["packs/reply/pool.jsonl:4: is not a line of JSON"]


def test_a_pack_of_another_route_is_warned_of(tmp_path: Path) -> None:
    _write(tmp_path, pack_files(route="triage"))
    assert _warnings(_load(tmp_path, "  reply: tuned\n", WITH_PACK)) == [
        f"routes.yaml:{PACK_LINE}: routes.reply: the pack at packs/reply was built for route 'triage'"
    ]


@pytest.mark.parametrize(
    ("tenant", "handles"),
    [("", "names no tenant"), (", tenant: globex", "handles 'globex'")],
    ids=["a route of nobody", "a route of another customer"],
)
def test_a_pack_of_another_customer_is_refused(tmp_path: Path, tenant: str, handles: str) -> None:
    _write(tmp_path, pack_files(tenant="acme"))
    assert _errors(tmp_path, f"  reply: {{primary: tuned{tenant}}}\n", WITH_PACK) == [
        f"routes.yaml:{FIRST_LINE}: routes.reply: the pack of fallback 'base' holds examples of tenant 'acme', but the "
        f"route {handles}"
    ]


@pytest.mark.parametrize("pack", [{"tenant": "acme"}, {}], ids=["their own", "nobody's in particular"])
def test_a_route_of_a_customer_takes_a_pack_that_is(tmp_path: Path, pack: dict[str, Any]) -> None:
    _write(tmp_path, pack_files(**pack))
    loaded = _load(tmp_path, "  reply: {primary: tuned, tenant: acme}\n", WITH_PACK)
    assert _prompt(loaded).pack is not None


@pytest.mark.parametrize("name", [FIXED, POOL, INSTRUCTIONS])
def test_packs_may_be_larger_than_other_files(tmp_path: Path, name: str) -> None:
    much = "long " * 260_000
    text = much.encode() if name == INSTRUCTIONS else example_line(an_example(9, much, "a"))
    _write(tmp_path, pack_files({name: text}))
    prompt = _prompt(_load(tmp_path, "  reply: tuned\n", WITH_PACK))
    assert prompt.pack is not None
    assert (tmp_path / "packs" / "reply" / name).stat().st_size > 1_048_576


def test_a_file_of_a_pack_beyond_thirty_two_mebibytes_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, pack_files() | {POOL: b" " * (32 * 1_048_576 + 1)})
    assert _errors(tmp_path, "  reply: tuned\n", WITH_PACK) == [
        f"routes.yaml:{PACK_LINE}: routes.reply: pack packs/reply/pool.jsonl is larger than 32 MiB"
    ]


# Packs that are named by their hash.

BY_HASH = BEFORE.replace("instructions: Answer.", f'pack: "{HASH}"')


def test_a_pack_named_by_its_hash_is_awaited(tmp_path: Path) -> None:
    loaded = _load(tmp_path, "  reply: tuned\n  triage: tuned-2\n", BY_HASH)
    assert _warnings(loaded) == []
    assert _prompt(loaded).awaited_pack == HASH
    assert awaited(loaded.routes) == {HASH}


@pytest.mark.parametrize("written", ["sha256:", "sha256:abc", f"sha256:{'A' * 64}", f"{HASH}0", "sha256:{route}"])
def test_what_only_begins_like_a_hash_is_an_error(tmp_path: Path, written: str) -> None:
    assert _errors(tmp_path, "  reply: tuned\n", BY_HASH.replace(HASH, written)) == [
        f"routes.yaml:{PACK_LINE}: prompt.pack: '{written[:80]}' is no hash; `gateway pack push` prints it in full"
    ]


def test_an_awaited_pack_is_put_in_once_it_is_there(tmp_path: Path) -> None:
    pack = parse_pack(pack_files(trained_system=["Be kind."]))
    routes = _load(tmp_path, "  reply: tuned\n", BY_HASH.replace(HASH, pack.hash)).routes
    assert with_packs(routes, {}) is routes
    whole = with_packs(routes, {pack.hash: pack})
    prompt = whole.routes["reply"].fallbacks[0].prompt
    assert prompt is not None
    assert (prompt.pack, prompt.version, prompt.awaited_pack) == (pack, f"{pack.version}-keep", None)
    assert (prompt.instructions, prompt.trained_system) == ("Answer briefly.", ("Be kind.",))
    assert awaited(whole) == frozenset()
    assert whole.config_hash == routes.config_hash


def test_the_same_pack_is_sent_alike_from_a_directory_and_from_the_database(tmp_path: Path) -> None:
    files = pack_files()
    pack = parse_pack(files)
    _write(tmp_path, files)
    beside = WITH_PACK.replace("pack: ", "examples: [{user: u, assistant: a}], pack: ")
    from_directory = _prompt(_load(tmp_path, "  reply: tuned\n", beside))
    named = _load(tmp_path, "  reply: tuned\n", beside.replace("packs/{route}", pack.hash)).routes
    assert with_packs(named, {pack.hash: pack}).routes["reply"].fallbacks[0].prompt == from_directory


def test_a_pack_that_is_still_missing_stays_awaited(tmp_path: Path) -> None:
    other = parse_pack(pack_files())
    routes = _load(tmp_path, "  reply: tuned\n", BY_HASH).routes
    assert awaited(with_packs(routes, {other.hash: other})) == {HASH}


@pytest.mark.parametrize("tenant", ["", ", tenant: globex"], ids=["a route of nobody", "a route of another customer"])
def test_an_awaited_pack_of_another_customer_is_refused(tmp_path: Path, tenant: str) -> None:
    pack = parse_pack(pack_files(tenant="acme"))
    routes = _load(tmp_path, f"  reply: {{primary: tuned{tenant}}}\n", BY_HASH.replace(HASH, pack.hash)).routes
    with pytest.raises(ConfigError, match=f"routes.reply: pack {pack.hash} holds examples of tenant 'acme'"):
        with_packs(routes, {pack.hash: pack})


def test_a_manifest_that_cannot_be_read_is_no_pack_that_is_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "packs" / "reply" / MANIFEST).mkdir(parents=True)
    assert _errors(tmp_path, "  reply: tuned\n", WITH_PACK) == [
        f"routes.yaml:{PACK_LINE}: routes.reply: pack packs/reply/pack.json is not a file"
    ]
