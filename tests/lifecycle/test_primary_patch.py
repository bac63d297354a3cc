"""The primary replaced in routes.yaml's own text: that, and nothing else, whatever the file looks like."""

import os
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs import required

from gateway.config.loader import load
from gateway.errors import ConfigError
from gateway.lifecycle.primary_patch import PrimaryPatch, patch_primary, write_patch
from gateway.lifecycle.primary_text import NewPrimary

OLD = "ft:gpt-4o-mini-2024-07-18:acme:forum:A1"
NEW = "ft:gpt-4.1-mini-2025-04-14:acme:forum:B2"
HEAD = """\
# Who answers what.
version: 1
providers:
  openai: { kind: openai, api_key_env: KEY }
  vllm: { kind: vllm, base_url: "http://127.0.0.1:8000/v1" }
fallbacks: { luna: { provider: openai, model: gpt-6-luna } }
defaults: { provider: openai, fallbacks: [luna] }
"""
SAME = NewPrimary("openai", NEW)
BASED = NewPrimary("openai", "my-adapter", "llama-3.1-8b")
MOVED = NewPrimary("vllm", "my-adapter", "llama-3.1-8b")


def patched(directory: Path, routes: str, new: NewPrimary = SAME, route: str = "forum-reply") -> PrimaryPatch:
    path = directory / "routes.yaml"
    path.write_bytes((HEAD + routes).encode())
    return patch_primary(load(path, environ={}), route, new, environ={})


SHAPES = [
    pytest.param("routes:\n  forum-reply: OLD\n", SAME, "routes:\n  forum-reply: NEW\n", id="one string"),
    pytest.param(
        "routes:\n  forum-reply: OLD   # ours\n", SAME, "routes:\n  forum-reply: NEW   # ours\n", id="with a comment"
    ),
    pytest.param('routes:\n  "forum-reply": "OLD"\n', SAME, 'routes:\n  "forum-reply": "NEW"\n', id="in double quotes"),
    pytest.param("routes:\n  forum-reply: 'OLD'\n", SAME, "routes:\n  forum-reply: 'NEW'\n", id="in single quotes"),
    pytest.param("routes: {forum-reply: 'OLD'}", SAME, "routes: {forum-reply: 'NEW'}", id="in braces, and no line end"),
    pytest.param("routes: {forum-reply: OLD}\n", SAME, 'routes: {forum-reply: "NEW"}\n', id="plain in braces"),
    pytest.param(
        "routes:\n  forum-reply:\n    owner: us\n    primary: OLD\n",
        SAME,
        "routes:\n  forum-reply:\n    owner: us\n    primary: NEW\n",
        id="a mapping",
    ),
    pytest.param(
        "routes:\n  forum-reply:\n    primary:\n      # of May\n      model: OLD # x\n      parameters: {drop: [n]}\n",
        SAME,
        "routes:\n  forum-reply:\n    primary:\n      # of May\n      model: NEW # x\n      parameters: {drop: [n]}\n",
        id="a primary that is a mapping",
    ),
    pytest.param(
        "routes:\n  forum-reply:\n    primary: {model: OLD}\n",
        BASED,
        "routes:\n  forum-reply:\n    primary: {model: my-adapter, base: llama-3.1-8b}\n",
        id="a base that the id does not tell, in braces",
    ),
    pytest.param(
        "routes:\n  forum-reply:\n    primary:\n      model: OLD # x\n    owner: us\n",
        MOVED,
        "routes:\n  forum-reply:\n    primary:\n      model: my-adapter # x\n      provider: vllm\n"
        "      base: llama-3.1-8b\n    owner: us\n",
        id="another provider, behind the model",
    ),
    pytest.param(
        "routes:\n  forum-reply:\n    primary:\n      model: OLD",
        MOVED,
        "routes:\n  forum-reply:\n    primary:\n      model: my-adapter\n      provider: vllm\n"
        "      base: llama-3.1-8b",
        id="another provider at the end of a file without a line end",
    ),
    pytest.param(
        "routes:\n  forum-reply:\n    primary:\n      provider: openai\n      model: OLD\n      base: gpt-4o-mini\n",
        SAME,
        "routes:\n  forum-reply:\n    primary:\n      provider: openai\n      model: NEW\n"
        "      base: gpt-4.1-mini-2025-04-14\n",
        id="the base of the model before it",
    ),
    pytest.param(
        "routes:\n  forum-reply:\n    primary:\n      provider: openai\n      model: OLD\n      base: gpt-4o-mini\n",
        NewPrimary("vllm", "adapter-2"),
        "routes:\n  forum-reply:\n    primary:\n      provider: vllm\n      model: adapter-2\n      base: null\n",
        id="a base that is not known any more",
    ),
    pytest.param(
        "routes:\n  forum-reply: OLD\n",
        MOVED,
        "routes:\n  forum-reply: { primary: { model: my-adapter, provider: vllm, base: llama-3.1-8b } }\n",
        id="one string, and another provider",
    ),
    pytest.param(
        "routes:\n  forum-reply:\n    primary: OLD # x\n    provider: vllm\n",
        NewPrimary("openai", NEW),
        'routes:\n  forum-reply:\n    primary: { model: "NEW", provider: openai } # x\n    provider: vllm\n',
        id="not the provider of the route",
    ),
    pytest.param(
        "routes:\n  forum-reply:\n    primary:\n    owner: us\n",
        SAME,
        "routes:\n  forum-reply:\n    primary: NEW\n    owner: us\n",
        id="nothing yet",
    ),
    pytest.param(
        "routes:\n  forum-reply:\n    primary:  # soon\n    owner: us\n",
        MOVED,
        "routes:\n  forum-reply:\n    primary: { model: my-adapter, provider: vllm, base: llama-3.1-8b }  # soon\n"
        "    owner: us\n",
        id="nothing yet, and a comment",
    ),
    pytest.param(
        "routes:\n  forum-reply:\n    primary: ~\n", SAME, "routes:\n  forum-reply:\n    primary: NEW\n", id="a null"
    ),
    pytest.param(
        "routes:\n  forum-reply:\n    # why\n    owner: us\n    slo: {}\n",
        SAME,
        "routes:\n  forum-reply:\n    # why\n    primary: NEW\n    owner: us\n    slo: {}\n",
        id="no primary",
    ),
    pytest.param(
        "routes:\n  forum-reply: {}\n", SAME, 'routes:\n  forum-reply: {primary: "NEW"}\n', id="no primary in braces"
    ),
    pytest.param(
        "routes:\n  forum-reply: { owner: us }\n",
        SAME,
        'routes:\n  forum-reply: { primary: "NEW", owner: us }\n',
        id="no primary beside others in braces",
    ),
    pytest.param(
        "routes:\r\n  forum-reply:\r\n    primary:\r\n      model: OLD\r\n",
        MOVED,
        "routes:\r\n  forum-reply:\r\n    primary:\r\n      model: my-adapter\r\n      provider: vllm\r\n"
        "      base: llama-3.1-8b\r\n",
        id="line ends of Windows",
    ),
    pytest.param(
        "routes:\n  a: OLD\n  forum-reply: OLD\n  z: OLD # OLD\n",
        SAME,
        "routes:\n  a: OLD\n  forum-reply: NEW\n  z: OLD # OLD\n",
        id="the same model in other routes",
    ),
    pytest.param(
        "routes:\n  forum-reply:\n    owner: \"Grüße \U0001f600\"\n    primary: 'OLD'\n",
        SAME,
        "routes:\n  forum-reply:\n    owner: \"Grüße \U0001f600\"\n    primary: 'NEW'\n",
        id="letters of more than a byte before it",
    ),
    pytest.param(
        'routes: {"forum-reply":{"primary":null}}\n',
        NewPrimary("openai", "my-adapter"),
        'routes: {"forum-reply":{"primary":my-adapter}}\n',
        id="as JSON",
    ),
    pytest.param(
        "routes:\n  forum-reply: {\n    primary: {\n      model: 'OLD', # x\n    },\n  }\n",
        MOVED,
        "routes:\n  forum-reply: {\n    primary: {\n      model: 'my-adapter', provider: vllm, base: llama-3.1-8b, "
        "# x\n    },\n  }\n",
        id="braces over several lines",
    ),
    pytest.param(
        "routes:\n  forum-reply:\n    primary:\n      model:\n        OLD\n    owner: us\n",
        BASED,
        "routes:\n  forum-reply:\n    primary:\n      model:\n        my-adapter\n      base: llama-3.1-8b\n"
        "    owner: us\n",
        id="a model on a line of its own",
    ),
    pytest.param(
        "routes:\n  ? forum-reply\n  : OLD\n",
        SAME,
        "routes:\n  ? forum-reply\n  : NEW\n",
        id="a key with a question mark",
    ),
]


@pytest.mark.parametrize(("before", "new", "after"), SHAPES)
def test_the_primary_is_replaced_where_it_stands(before: str, new: NewPrimary, after: str, tmp_path: Path) -> None:
    patch = patched(tmp_path, before.replace("OLD", OLD), new)
    assert patch.after.decode() == HEAD + after.replace("NEW", NEW).replace("OLD", OLD)
    primary = patch.routes.routes["forum-reply"].primary
    assert primary is not None
    assert (primary.provider.name, primary.model) == (new.provider, new.model)


def test_the_mark_of_the_byte_order_stays(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_bytes(("\ufeff" + HEAD + f"routes: {{forum-reply: '{OLD}'}}\n").encode())
    patch = patch_primary(load(path, environ={}), "forum-reply", SAME, environ={})
    assert patch.after == ("\ufeff" + HEAD + f"routes: {{forum-reply: '{NEW}'}}\n").encode()


VARIANTS = f"""\
routes:
  forum-reply:
    variant_by: tenant
    primary: {OLD}
    variants:
      acme: {OLD}  # theirs
      globex: {{ owner: them, primary: "{OLD}" }}
      initech: {{}}
"""


@pytest.mark.parametrize(
    ("route", "old", "new"),
    [
        pytest.param("forum-reply", f"    primary: {OLD}\n", f"    primary: {NEW}\n", id="the task itself"),
        pytest.param("forum-reply:acme", f"acme: {OLD}  #", f"acme: {NEW}  #", id="a variant of one string"),
        pytest.param("forum-reply:globex", f'them, primary: "{OLD}"', f'them, primary: "{NEW}"', id="one in braces"),
        pytest.param(
            "forum-reply:initech", "initech: {}", f'initech: {{primary: "{NEW}"}}', id="one without a primary"
        ),
    ],
)
def test_a_variants_primary_is_its_own(route: str, old: str, new: str, tmp_path: Path) -> None:
    patch = patched(tmp_path, VARIANTS, route=route)
    assert patch.after.decode() == (HEAD + VARIANTS).replace(old, new, 1)


def test_a_route_of_an_included_file_is_changed_there(tmp_path: Path) -> None:
    (tmp_path / "teams").mkdir()
    theirs = tmp_path / "teams" / "ml.yaml"
    theirs.write_text(f"routes:\n  theirs: {OLD}\n")
    first = tmp_path / "routes.yaml"
    first.write_text(HEAD + f"include: [teams/*.yaml]\nroutes:\n  ours: {OLD}\n")
    patch = patch_primary(load(first, environ={}), "theirs", SAME, environ={})
    assert (patch.path, patch.label) == (theirs, "teams/ml.yaml")
    assert patch.diff(tmp_path).splitlines()[:2] == ["--- a/teams/ml.yaml", "+++ b/teams/ml.yaml"]
    assert patch.diff(tmp_path / "elsewhere").splitlines()[0] == "--- a/teams/ml.yaml"
    write_patch(patch)
    assert theirs.read_text() == f"routes:\n  theirs: {NEW}\n"


def test_a_primary_that_is_there_already_changes_nothing(tmp_path: Path) -> None:
    patch = patched(tmp_path, f"routes:\n  forum-reply: {OLD}\n", NewPrimary("openai", OLD))
    assert patch.changes_nothing
    assert patch.diff(tmp_path) == ""


@pytest.mark.parametrize(
    ("routes", "new", "says"),
    [
        pytest.param(
            "routes: { forum-reply: { owner: us, primary } }\n",
            SAME,
            "by hand (provider openai, model " + NEW + "): it is a key without a colon",
            id="a key without a colon",
        ),
        pytest.param(
            f"routes:\n  forum-reply: >-\n    {OLD}\n",
            SAME,
            f"routes.yaml:9: write the primary of forum-reply by hand (provider openai, model {NEW}): it is written as "
            "a block of text",
            id="a block of text",
        ),
        pytest.param(
            f"routes:\n  forum-reply: {OLD}\n",
            NewPrimary("azure", NEW),
            "no provider 'azure'",
            id="an unknown provider",
        ),
        pytest.param(
            f"routes:\n  forum-reply: {OLD}\n",
            NewPrimary("openai", "gpt-6-luna"),
            "fallback 'luna' is its primary",
            id="its own fallback",
        ),
        pytest.param(
            f"routes:\n  forum-reply: {{ primary: '{OLD}', residency: eu }}\n",
            SAME,
            "stays in 'eu'",
            id="a configuration that cannot be loaded",
        ),
    ],
)
def test_what_cannot_be_changed_safely_is_left_to_a_person(
    routes: str, new: NewPrimary, says: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as error:
        patched(tmp_path, routes, new)
    assert says in str(error.value)
    assert (tmp_path / "routes.yaml").read_text() == HEAD + routes


def test_whatever_else_would_change_with_it_there_is_no_patch(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(HEAD + f"routes:\n  forum-reply: {OLD}\n  other: {OLD}\n")
    loaded = load(path, environ={})
    # Somebody changes another route before the file is read again.
    path.write_text(HEAD + f"routes:\n  forum-reply: {OLD}\n  other: {NEW}\n")
    with pytest.raises(ConfigError, match="as it is written, more than that would change"):
        patch_primary(loaded, "forum-reply", SAME, environ={})


def _git_apply(directory: Path, diff: Path) -> None:
    # Not within the repository that the tests may run in.
    environ = {**os.environ, "GIT_CEILING_DIRECTORIES": str(directory.parent), "GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(["git", "apply", str(diff)], cwd=directory, env=environ, check=True, timeout=20)


def _patch(directory: Path, diff: Path) -> None:
    subprocess.run(["patch", "-p1", "--binary", "-s", "-i", str(diff)], cwd=directory, check=True, timeout=20)


@pytest.mark.parametrize("program", ["git", "patch"])
@pytest.mark.parametrize(("before", "new", "after"), SHAPES)
def test_git_and_patch_take_the_diff(program: str, before: str, new: NewPrimary, after: str, tmp_path: Path) -> None:
    required(program)
    patch = patched(tmp_path, before.replace("OLD", OLD), new)
    diff = tmp_path / "change.patch"
    diff.write_bytes(patch.diff(tmp_path).encode())
    {"git": _git_apply, "patch": _patch}[program](tmp_path, diff)
    assert (tmp_path / "routes.yaml").read_bytes() == patch.after


def test_git_takes_the_diff_in_a_directory_of_a_repository(tmp_path: Path) -> None:
    required("git")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True, timeout=20)
    deploy = tmp_path / "deploy"
    deploy.mkdir()
    patch = patched(deploy, f"routes:\n  forum-reply: {OLD}\n")
    diff = tmp_path / "change.patch"
    diff.write_bytes(patch.diff(deploy).encode())
    _git_apply(deploy, diff)
    assert (deploy / "routes.yaml").read_bytes() == patch.after


def test_the_file_is_written_whole_and_keeps_its_mode_and_its_links(tmp_path: Path) -> None:
    real, link = tmp_path / "real.yaml", tmp_path / "routes.yaml"
    real.write_text(HEAD + f"routes:\n  forum-reply: {OLD}\n")
    real.chmod(0o640)
    link.symlink_to("real.yaml")
    write_patch(patch_primary(load(link, environ={}), "forum-reply", SAME, environ={}))
    assert real.read_text() == HEAD + f"routes:\n  forum-reply: {NEW}\n"
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["real.yaml", "routes.yaml"]


def test_a_file_that_somebody_else_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    patch = patched(tmp_path, f"routes:\n  forum-reply: {OLD}\n")
    patch.path.write_text("theirs")
    with pytest.raises(ConfigError, match="has changed meanwhile"):
        write_patch(patch)
    assert patch.path.read_text() == "theirs"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_that_root_writes_stays_its_owners(tmp_path: Path) -> None:
    patch = patched(tmp_path, f"routes:\n  forum-reply: {OLD}\n")
    os.chown(patch.path, 1234, 2345)
    patch.path.chmod(0o600)
    write_patch(patch)
    found = patch.path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 2345, 0o600)
    assert patch.path.read_bytes() == patch.after


def test_a_file_that_may_not_be_written_is_left_alone_although_its_directory_may_be() -> None:
    with tempfile.TemporaryDirectory() as named:
        directory = Path(named)
        directory.chmod(0o777)
        patch = patched(directory, f"routes:\n  forum-reply: {OLD}\n")
        patch.path.chmod(0o444)
        mine = os.geteuid()
        try:
            if mine == 0:
                # Root may write everything.
                os.seteuid(65534)
            with pytest.raises(ConfigError, match="Permission denied"):
                write_patch(patch)
        finally:
            os.seteuid(mine)
        assert patch.path.read_bytes() == patch.before
        assert [path.name for path in directory.iterdir()] == ["routes.yaml"]


# Random files: how each route, and its primary, may be written.
_COMMENTS = st.sampled_from(["", " # ours", "   # {a: b}, 'x\"", " # ü\U0001f600"])
_QUOTES = st.sampled_from(["{}", '"{}"', "'{}'"])
_IN_BRACES = st.sampled_from(['"{}"', "'{}'"])


@st.composite
def _a_primary(draw: st.DrawFn, indent: str, model: str) -> str:
    """What stands behind ``primary:``, line end included."""
    comment = draw(_COMMENTS)
    shape = draw(st.sampled_from(["text", "block", "braces", "null"]))
    if shape == "text":
        return f" {draw(_QUOTES).format(model)}{comment}\n"
    if shape == "null":
        return draw(st.sampled_from(["", " null", " ~"])) + f"{comment}\n"
    more = draw(
        st.lists(st.sampled_from(["provider: vllm", "base: gpt-4o-mini", "parameters: {drop: [n]}"]), unique=True)
    )
    quotes = draw(_IN_BRACES if shape == "braces" else _QUOTES)
    keys = draw(st.permutations([f"model: {quotes.format(model)}", *more]))
    if shape == "braces":
        return f" {{ {', '.join(keys)} }}{comment}\n"
    return f"{comment}\n" + "".join(f"{indent}  {key}{draw(_COMMENTS)}\n" for key in keys)


@st.composite
def _a_route(draw: st.DrawFn, indent: str, model: str, variants: bool) -> str:
    """What stands behind a route's name, line end included."""
    if draw(st.integers(0, 4)) == 0:
        return f" {draw(_QUOTES).format(model)}{draw(_COMMENTS)}\n"
    inner = indent + "  "
    lines = [f"{inner}owner: us{draw(_COMMENTS)}\n"]
    if draw(st.booleans()):
        lines.append(f"{inner}primary:{draw(_a_primary(inner, model))}")
    if draw(st.booleans()):
        lines.append(f"{inner}# a line of its own\n{inner}cutover: {{ days_before: 3 }}\n")
    if variants and draw(st.booleans()):
        theirs = "".join(
            f"{inner}  {tenant}:{draw(_a_route(inner + '  ', f'{model}{tenant}', False))}"
            for tenant in draw(st.lists(st.sampled_from(["acme", "globex"]), min_size=1, unique=True))
        )
        lines.append(f"{inner}variant_by: tenant\n{inner}variants:\n{theirs}")
    return f"{draw(_COMMENTS)}\n" + "".join(draw(st.permutations(lines)))


@st.composite
def _a_file(draw: st.DrawFn) -> str:
    names = draw(st.lists(st.sampled_from(["forum-reply", "a", "routes", "primary"]), min_size=1, unique=True))
    indent = draw(st.sampled_from(["  ", "    "]))
    written = "".join(f"{indent}{name}:{draw(_a_route(indent, OLD + name[:1], True))}" for name in names)
    text = HEAD + "routes:\n" + written
    if draw(st.booleans()):
        text = text.removesuffix("\n")
    return text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))


@given(text=_a_file(), data=st.data())
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
def test_of_any_file_exactly_that_primary_changes(
    text: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"generated-{os.getpid()}.yaml"
    path.write_bytes(text.encode())
    loaded = load(path, environ={})
    route = data.draw(st.sampled_from(sorted(loaded.routes.routes)))
    new = data.draw(
        st.sampled_from([SAME, BASED, MOVED, NewPrimary("vllm", "'odd: model #1"), NewPrimary("openai", "ft")])
    )
    patch = patch_primary(loaded, route, new, environ={})
    path.write_bytes(patch.after)
    after = load(path, environ={}).routes
    primary = after.routes[route].primary
    assert primary is not None
    assert (primary.provider.name, primary.model) == (new.provider, new.model)
    assert _without(after, route) == _without(loaded.routes, route)
    # Nothing but the lines of that primary: at most three are other, and two new.
    removed, added = _counted(patch.diff(path.parent))
    assert removed <= 3
    assert added <= removed + 2


def _without(routes: Any, name: str) -> Any:
    route = routes.routes[name].model_copy(update={"primary": None})
    return routes.model_copy(update={"routes": {**routes.routes, name: route}, "config_hash": ""})


def _counted(diff: str) -> tuple[int, int]:
    lines = [line for line in diff.split("\n")[2:] if line]
    return sum(line[0] == "-" for line in lines), sum(line[0] == "+" for line in lines)
