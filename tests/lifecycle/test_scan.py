import json
import os
import re
import shutil
import subprocess
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from gateway.config.loader import load
from gateway.lifecycle.scan import Finding, Report, scan
from gateway.lifecycle.scan_files import MAX_BYTES, source_files

TREE = Path(__file__).parent.parent / "data" / "scan_tree"
TODAY = datetime(2026, 11, 23, 12, tzinfo=UTC)

# Every line of the tree that names a model: file:line (of a notebook: of a cell), then what is used, by vendor. What
# stands behind "|" is only mentioned.
EXPECTED = """
app/answer.py:3 | azure gpt-4-0613, openai gpt-4o-2024-05-13
app/answer.py:10 openai gpt-4o-mini-2024-07-18
app/answer.py:11 openai ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4
app/answer.py:12 openai ft:gpt-4.1-mini-2025-04-14:acme::C3d4E5f6:ckpt-step-714
app/answer.py:13 azure o1
app/answer.py:14 azure gpt-4-0613, openai gpt-4-1106-preview
app/answer.py:15 openai gpt-4.1-2025-04-14, openai openai/gpt-4o-2024-08-06
app/answer.py:16 openai ada, openai curie
app/answer.py:19 | openai gpt-4o-2024-08-06
app/answer.py:31 openai gpt-4.1-mini-2025-04-14
app/answer.py:32 | openai gpt-4.1-2025-04-14
app/answer.py:34 | azure gpt-4-0613
app/answer.py:35 | azure gpt-4-0613
app/answer.py:37 azure gpt-4-0613 | azure gpt-4-0314
app/answer.py:39 azure gpt-4o-2024-05-13
app/answer.py:44 openai davinci
app/azure_client.py:11 azure gpt-4o-mini-2024-07-18 | azure gpt-4o
app/azure_client.py:15 azure azure/gpt-4.1-2025-04-14, azure azure/gpt-4o-2024-11-20
app/azure_client.py:16 azure gpt-4o-2024-08-06.ft-0e208cf33a6a466994aff31a08aba678
app/providers.py:3 anthropic claude-3-opus-20240229
app/providers.py:4 anthropic openrouter/anthropic/claude-3-7-sonnet-20250219
app/providers.py:5 anthropic anthropic/claude-3-5-haiku-20241022
app/providers.py:6 bedrock bedrock/anthropic.claude-sonnet-4-20250514-v1:0
app/providers.py:7 bedrock us.anthropic.claude-3-haiku-20240307-v1:0
app/providers.py:8 bedrock anthropic.claude-3-sonnet-20240229-v1:0
app/providers.py:9 gemini models/gemini-1.5-pro
app/providers.py:10 vertex vertex_ai/claude-3-opus@20240229
app/providers.py:11 vertex gemini-2.5-pro
app/providers.py:12 groq groq/llama3-70b-8192
app/providers.py:13 xai xai/grok-3
app/providers.py:14 mistral mistral/codestral-2501
app/providers.py:15 cohere command-r-plus-04-2024
app/providers.py:16 openai openai:gpt-4o-2024-11-20
deploy/Dockerfile:2 openai gpt-4o-2024-05-13
deploy/Dockerfile:3 openai o3-mini-2025-01-31
deploy/ask.sh:2 | openai gpt-4-0613
deploy/ask.sh:3 openai gpt-3.5-turbo-1106
deploy/ask.sh:5 openai gpt-4o-2024-11-20
deploy/ask.sh:8 | openai gpt-4-0613
deploy/compose.yaml:5 openai gpt-4o-mini-2024-07-18
deploy/compose.yaml:6 openai gpt-4-0613
deploy/compose.yaml:7 openai davinci
deploy/compose.yaml:9 openai gpt-4o-2024-08-06
deploy/defaults.sh:1 openai gpt-4o-mini-2024-07-18
deploy/defaults.sh:2 openai gpt-4-0613
deploy/defaults.sh:3 openai gpt-4o-2024-08-06, openai gpt-4-1106-preview
deploy/defaults.sh:4 openai gpt-4-turbo
deploy/main.tf:1 | openai gpt-4-0613
deploy/main.tf:2 openai gpt-4.1-mini-2025-04-14
deploy/main.tf:6 bedrock anthropic.claude-3-5-sonnet-20240620-v1:0
deploy/values.xml:2 | openai gpt-4-0613
deploy/values.xml:3 openai gpt-4o-2024-08-06
notebooks/explore.ipynb[2]:3 openai gpt-4o-mini-2024-07-18 | openai gpt-4-0613
notebooks/explore.ipynb[3]:1 openai gpt-4.1-nano-2025-04-14
ops/anchors.yaml:1 openai gpt-4o-mini-2024-07-18
ops/anchors.yaml:2 openai gpt-4-0613
ops/anchors.yaml:4 openai gpt-4o-2024-08-06
ops/anchors.yaml:5 openai o1
ops/anchors.yaml:7 openai davinci
ops/litellm.yaml:4 azure azure/gpt-4o-2024-08-06
ops/litellm.yaml:6 gemini gemini/gemini-2.0-flash
ops/litellm.yaml:7 vertex vertex_ai/gemini-2.5-flash-lite
ops/models.yaml:1 | openai gpt-4-0314
ops/models.yaml:3 openai o1
ops/models.yaml:4 openai gpt-4.1-2025-04-14
ops/models.yaml:5 openai gpt-4o-mini-2024-07-18
ops/models.yaml:9 openai gpt-5-mini, openai davinci
ops/models.yaml:11 openai gpt-4-0613
ops/models.yaml:13 | openai gpt-4-0613
ops/models.yaml:17 openai gpt-4-1106-preview
ops/models.yaml:19 openai openai/gpt-4.1-nano-2025-04-14
ops/sample.env:1 | openai gpt-4-0613
ops/sample.env:2 openai gpt-4o-mini-2024-07-18
ops/sample.env:3 openai gpt-4-turbo, openai o3-mini
ops/sample.env:4 openai babbage
ops/settings.toml:1 | openai gpt-4-0613
ops/settings.toml:2 openai gpt-4o-realtime-preview
service/Chat.cs:1 openai gpt-4.1-nano-2025-04-14
service/Chat.cs:3 openai o4-mini-2025-04-16 | openai gpt-4-0314
service/application.properties:1 | openai gpt-4-0613
service/application.properties:2 openai gpt-4o-2024-08-06
service/application.properties:3 openai dall-e-3
service/application.properties:4 | openai gpt-4-0613
service/chat.php:2 | openai gpt-4-0314
service/chat.php:3 openai gpt-5-2025-08-07
service/chat.rb:1 | openai gpt-4-0314
service/chat.rb:2 openai gpt-4-turbo
service/chat.rb:4 openai babbage
service/main.go:5 | openai gpt-3.5-turbo-16k-0613
service/main.go:6 openai gpt-3.5-turbo-0125
service/main.go:8 openai davinci
service/main.go:9 openai gpt-4o-2024-05-13
service/main.go:14 | openai gpt-4-0613
service/src/main/java/com/acme/Chat.java:3 | openai gpt-4-0613
service/src/main/java/com/acme/Chat.java:5 openai gpt-4-0613
service/src/main/java/com/acme/Chat.java:6 openai o3
service/src/main/java/com/acme/Chat.java:8 openai gpt-4o-2024-11-20
web/package.json:4 azure gpt-4.1-mini-2025-04-14 | azure gpt-4-0613
web/package.json:5 azure gpt-4o-mini-2024-07-18
web/src/Picker.tsx:2 | openai gpt-4-0613
web/src/Picker.tsx:3 openai gpt-4.1-mini-2025-04-14
web/src/chat.ts:6 openai gpt-4o-2024-08-06
web/src/chat.ts:7 openai gpt-4.1-nano-2025-04-14
web/src/chat.ts:8 openai gpt-4-1106-preview
web/src/chat.ts:9 azure o3-mini
web/src/chat.ts:10 openai o1-pro
web/src/chat.ts:11 azure gpt-4-32k
web/src/chat.ts:13 | azure gpt-4-0314
web/src/chat.ts:14 | openai gpt-4o-audio-preview
web/src/chat.ts:15 openai ft:gpt-4o-2024-08-06:acme:tone:Z9y8X7w6
web/src/chat.ts:16 | azure gpt-4-0613, azure gpt-4-0613
web/src/chat.ts:17 openai gpt-4-turbo
web/src/chat.ts:18 openai gpt-3.5-turbo-1106
web/src/chat.ts:19 gemini gemini-2.0-flash
"""

# What the tree also holds, and nobody wants to hear of.
LOOK_ALIKES = """
gpt-4o-mini-tools|my-gpt-4-clone|gpt-4-turbo-preview-wrapper|static/gpt-4o.png|prompts/gpt-4-0613/system.txt
https://platform.openai.com/docs/models/gpt-4o-2024-08-06|PAINTER = "davinci"|"Leonardo davinci"|"Ada Lovelace"
"ada", "babbage"]|command = "command"|o1, o3 = 1, 3|gpt-4-{text}|gpt-4o-2024-08-06{text}|@azure/openai
Qwen/Qwen2.5-72B-Instruct-Turbo|claude-3-opus-20240229-beta|xclaude-3-opus-20240229|gemini-1.5-pro-ours
models/claude-2.1|claude-3-opus-latest|llama3-70b"|grok-3x|gemini-1.5-pro.json|mistral/codestral"|gpt-5_custom
./assets/gpt-4-0613.svg|gpt-4-32k-clone|https://example.com/gpt-4o-audio-preview/notes|`gpt-4-0613-${text}`
`${model}gpt-4-0613`|const o1 = 1, o3 = "o3", ada = "ada"|gpt-4o-2024-08-06-1a2b3c|gpt-4o-custom|/img/o1.png
alt="davinci"|gpt-4-card|gpt-4-web|gpt-4-tokenizer|ada-url|"ada": "ada"|"command": "command"
inventor = "babbage"|gpt-4-0613-internal|return 1, "o3"|/var/models/gpt-4-0613/weights|int o1 = 1, o3 = 3
curie = "curie"|C:\\\\models\\\\gpt-4-0613\\\\weights|C:\\models\\gpt-4-0613\\|author: "babbage"|gpt-5-2025-08-07-ours
gpt-5-{$model}|server.name=ada|gpt-4-0613-fast|registry.example.com/gpt-4-0613:1.2
https://example.com/models/gpt-4-0613|gpt-4-ours|http://gpt-4.internal|gpt-4-0613-alias|OWNER=ada|gpt-4-0613.tar.gz
gpt-4-0613x9f3|gpt-4-0613-lambda|NAME = "o3"|gpt-4-0613-base|prompts/gpt-4-0613/|gpt-4-0613-tester|gpt-4-0613.log
${IMAGE:-gpt-4-0613-image}|${TAG-gpt-4-0613-tag}|${OWNER-ada}|owner: &owner ada
<owner>ada</owner>|<icon>gpt-4-0613.svg</icon>|gpt-4-0613-clone
"""


def expected() -> set[tuple[str, str, str, bool]]:
    rows = set()
    for line in EXPECTED.strip().splitlines():
        place, _, rest = line.partition(" ")
        for used, part in zip((True, False), f" {rest}".split("|"), strict=False):
            for named in filter(None, map(str.strip, part.split(","))):
                vendor, text = named.split(" ")
                rows.add((place, vendor, text, used))
    return rows


def place(finding: Finding, root: Path) -> str:
    cell = f"[{finding.cell}]" if finding.cell else ""
    return f"{finding.file.relative_to(root).as_posix()}{cell}:{finding.line}"


def look(*paths: Path, within_days: int = 90, now: datetime = TODAY, routes: Path | None = None) -> Report:
    loaded = load(routes, environ={}).routes if routes else None
    return scan(source_files(paths), now=now, within_days=within_days, routes=loaded)


@pytest.fixture(scope="module")
def report() -> Report:
    return look(TREE)


def test_every_planted_id_is_found_and_nothing_else_is(report: Report) -> None:
    found = {(place(f, TREE), f.vendor, f.text, f.used) for f in report.findings}
    wanted = expected()
    assert found == wanted
    assert sum(used for *_, used in wanted) >= 40


def test_each_stands_where_the_report_says(report: Report) -> None:
    for finding in report.findings:
        if finding.cell is None:
            line = finding.file.read_text().splitlines()[finding.line - 1]
            assert line[finding.column - 1 :].startswith(finding.text), finding


def test_the_look_alikes_are_there_to_be_mistaken() -> None:
    files = [file for file in TREE.rglob("*") if file.is_file()]
    whole = "\n".join(file.read_text() for file in files)
    names = [name for line in LOOK_ALIKES.strip().splitlines() for name in line.split("|")]
    assert [name for name in names if name not in whole] == []
    assert len(names) >= 40


def test_dates_are_the_calendars(report: Report) -> None:
    by_text = {f.text: f for f in report.findings if f.used}
    fine_tune = by_text["ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"]
    assert fine_tune.dates.shutdown == date(2027, 1, 14)
    assert (fine_tune.base, fine_tune.days_left(date(2026, 11, 23))) == ("gpt-4o-mini-2024-07-18", 52)
    assert fine_tune.dates.replacement
    undated = by_text["us.anthropic.claude-3-haiku-20240307-v1:0"]
    assert undated.dates.shutdown is None, "Bedrock's own dates are Bedrock's"
    assert "anthropic" in dict(undated.elsewhere)
    assert undated not in report.failing


def test_findings_are_sorted_by_date_then_file(report: Report) -> None:
    keys = [(f.dates.shutdown or date.max, str(f.file), f.cell or 0, f.line, f.column) for f in report.findings]
    assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("within_days", "now", "fails"),
    [
        pytest.param(51, TODAY, False, id="one day short of it nothing fails"),
        pytest.param(52, TODAY, True, id="on the day itself it fails"),
        pytest.param(0, datetime(2027, 1, 13, 23, 59, tzinfo=UTC), False, id="the minute before nothing has stopped"),
        pytest.param(0, datetime(2027, 1, 14, tzinfo=UTC), True, id="at midnight UTC it has"),
        pytest.param(0, datetime(2029, 1, 1, tzinfo=UTC), True, id="what has stopped long ago fails as well"),
    ],
)
def test_when_it_fails(within_days: int, now: datetime, fails: bool, tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text('model = "gpt-4o-mini-2024-07-18"  # gpt-4-0613\n')
    assert bool(look(file, within_days=within_days, now=now).failing) is fails


@pytest.mark.parametrize(
    ("name", "text", "vendors"),
    [
        pytest.param("a.py", 'AzureOpenAI(); m = "gpt-4o-2024-08-06"', ["azure"], id="Azure's client"),
        pytest.param("a.env", "AZURE_OPENAI_ENDPOINT=x\nM=gpt-4o-2024-08-06", ["azure"], id="Azure's settings"),
        pytest.param(
            "a.py", 'OpenAI(); AzureOpenAI(); m = "gpt-4o-2024-08-06"', ["openai"], id="both: who stops first"
        ),
        pytest.param(
            "a.py", 'blob("azure storage"); m = "gpt-4o-2024-08-06"', ["openai"], id="another service of Azure"
        ),
        pytest.param(
            "a.py", 'm = "gpt-4o"', ["openai"], id="an alias that its vendor does not date, but its snapshots"
        ),
        pytest.param("a.py", 'm = "openai/gpt-4o"', ["openai"], id="the same with its vendor's prefix"),
        pytest.param("a.py", 'm = "bedrock/anthropic.claude-2.1-v1"', ["bedrock"], id="a host of what its maker dates"),
        pytest.param("a.py", 'import vertexai; m = "gemini-2.5-pro"', ["vertex"], id="Vertex AI"),
        pytest.param("a.py", 'm = "Qwen/QwQ-32B"', [], id="open weights are anyone's"),
        pytest.param("a.py", 'm = "ft:BASE:ORG:SUFFIX:ID"', [], id="the shape of an id"),
        pytest.param("a.py", 'TOGETHER_API_KEY = ""; m = "Qwen/QwQ-32B"', ["together"], id="open weights at a host"),
        pytest.param(
            "a.py", 'm = "together_ai/Qwen/QwQ-32B"', ["together"], id="open weights, and their host's prefix"
        ),
    ],
)
def test_whose_an_id_is(name: str, text: str, vendors: list[str], tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert [finding.vendor for finding in look(tmp_path).used] == vendors


@pytest.mark.parametrize(
    ("text", "used"),
    [
        pytest.param('if "gpt-4-0613" in model:', False, id="a test for a part of a name"),
        pytest.param('if model.startswith(("x", "gpt-4-0613")):', False, id="a test for a beginning"),
        pytest.param('if model == "gpt-4-0613":', True, id="a comparison"),
        pytest.param("help = \"A model (e.g., 'gpt-4-0613')\"", False, id="an example in prose"),
        pytest.param("query = \"UPDATE t SET model = 'gpt-4-0613'\"", True, id="a value within a string"),
        pytest.param('names = "gpt-4-0613 o3-mini"', True, id="a string that is a list of ids"),
        pytest.param('url = f"{base}?model=gpt-4-0613&n=1"', True, id="a parameter of an address"),
        pytest.param('run("llm -m gpt-4-0613 hello")', True, id="an option within a command"),
    ],
)
def test_what_is_used_and_what_is_only_mentioned(text: str, used: bool, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(text)
    assert {finding.used for finding in look(tmp_path).findings if finding.model == "gpt-4-0613"} == {used}


# files

ID = 'model = "gpt-4-0613"\n'


@pytest.mark.parametrize(
    "name",
    [
        "node_modules/x/a.js",
        ".venv/a.py",
        "dist/a.js",
        "vendor/x/a.go",
        "poetry.lock",
        "yarn.lock",
        "package-lock.json",
        "pnpm-lock.yaml",
        "README.md",
        "notes.txt",
        "rows.jsonl",
        "a.min.js",
        "logo.svg",
        ".git/config.py",
    ],
)
def test_what_is_not_read(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(ID)
    (tmp_path / "ours.py").write_text(ID)
    assert [finding.file.name for finding in look(tmp_path).used] == ["ours.py"]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        pytest.param((ID.encode() + b" " * MAX_BYTES)[:MAX_BYTES], 1, id="2 MiB"),
        pytest.param(ID.encode("utf-16"), 1, id="UTF-16"),
        pytest.param(b"\xef\xbb\xbf" + ID.encode(), 1, id="a byte order mark"),
        pytest.param(b"# \xff\xfe caf\xe9\n" + ID.encode(), 1, id="no UTF-8"),
        pytest.param(ID.replace("\n", "\r\n").encode(), 1, id="line ends of Windows"),
        pytest.param(b"", 0, id="empty"),
    ],
)
def test_contents(content: bytes, found: int, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(content)
    report = look(tmp_path)
    assert (len(report.used), report.files_read, report.unreadable) == (found, 1, ())


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        pytest.param("a.py", b"\x00\x01" + ID.encode(), "binary", id="a binary file"),
        pytest.param("a.py", (ID.encode() + b" " * MAX_BYTES)[: MAX_BYTES + 1], "larger than 2 MiB", id="a large one"),
        pytest.param("a.ipynb", b'{"cells": 1, "x": "gpt-4-0613"}', "not a notebook", id="a notebook without cells"),
    ],
)
def test_what_is_not_read_is_named(name: str, content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    report = look(tmp_path)
    assert (report.findings, report.files_read) == ((), 0)
    assert [(file.name, reason) for file, reason in report.unreadable] == [(name, why)]


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        pytest.param([{"cell_type": "code", "source": [1, "model='gpt-4-0613'"]}], 1, id="a number among the lines"),
        pytest.param([{"cell_type": "code", "source": {"x": "gpt-4-0613"}}], 0, id="a source that is no text"),
        pytest.param([{"cell_type": ["code"], "source": "gpt-4-0613"}], 0, id="a type that is no text"),
        pytest.param([{"cell_type": "code", "source": "m='gpt-4-0613'  # \ud800"}], 1, id="half a character"),
    ],
)
def test_a_broken_notebook_does_not_end_the_scan(cells: list[object], found: int, tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}))
    (tmp_path / "b.py").write_text(ID)
    used = [finding.file.name for finding in look(tmp_path).used]
    assert used == ["a.ipynb"] * found + ["b.py"]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    report = look(tmp_path / "pipe.py")
    assert report.unreadable == ((tmp_path / "pipe.py", "not a regular file"),)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("run.sh", "M=${M:-gpt-4-0613}", id="a shell's default"),
        pytest.param("run.sh", 'ask "${M-gpt-4-0613}"', id="a shell's default, without a colon"),
        pytest.param("compose.yaml", "environment:\n  M: ${M-gpt-4-0613}", id="the same in a file of Compose"),
        pytest.param("compose.yaml", "environment:\n  - M=${M:-gpt-4-0613}", id="in a list of Compose"),
        pytest.param("a.yaml", "writer: &writer gpt-4-0613", id="an anchor"),
        pytest.param("a.yaml", "- !!str gpt-4-0613", id="a tag"),
        pytest.param("a.yaml", "x: {a: &b !t gpt-4-0613}", id="both"),
        pytest.param("init.lua", '-- Ask.\nlocal model = "gpt-4-0613"', id="Lua"),
        pytest.param("a.html.erb", '<%= ask(model: "gpt-4-0613") %>', id="ERB"),
        pytest.param("a.jsonnet", "{ model: 'gpt-4-0613' }", id="Jsonnet"),
        pytest.param("a.cue", 'model: "gpt-4-0613"', id="CUE"),
        pytest.param("a.nix", 'defaults // { model = "gpt-4-0613"; }', id="Nix"),
        pytest.param("a.clj", '(ask {:model "gpt-4-0613"})', id="Clojure"),
        pytest.param("a.cljs", '(def model "gpt-4-0613")', id="ClojureScript"),
        pytest.param("A.hs", 'model\' = "gpt-4-0613"', id="Haskell"),
        pytest.param("a.gotmpl", "model: {{ .Values.x }}\njudge: gpt-4-0613", id="a template of Go"),
        pytest.param("a.tmpl", '{{ default "gpt-4-0613" .Model }}', id="another"),
        pytest.param("a.prompty", "---\nmodel:\n  name: gpt-4-0613\n---\nAnswer.", id="Prompty"),
        pytest.param("a.http", 'POST https://h/v1\n\n{"model": "gpt-4-0613"}', id="requests"),
        pytest.param("build.gradle.kts", 'val model = "gpt-4-0613"', id="Kotlin's scripts"),
        pytest.param("build.gradle", "ext.model = 'gpt-4-0613'", id="Gradle"),
        pytest.param("a.dart", "final model = 'gpt-4-0613';", id="Dart"),
        pytest.param("a.swift", 'let model = "gpt-4-0613"', id="Swift"),
        pytest.param("A.scala", 'val model = "gpt-4-0613"', id="Scala"),
        pytest.param("a.ex", '@model "gpt-4-0613"', id="Elixir"),
        pytest.param("a.exs", 'config :app, model: "gpt-4-0613"', id="Elixir's scripts"),
        pytest.param("a.R", 'model <- "gpt-4-0613"', id="R"),
        pytest.param("a.jl", 'model = "gpt-4-0613"', id="Julia"),
    ],
)
def test_where_an_id_is_used(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert [finding.text for finding in look(tmp_path).used] == ["gpt-4-0613"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("init.lua", "x = 1 -- gpt-4-0613", id="Lua"),
        pytest.param("init.lua", '--[[\nmodel = "gpt-4-0613"\n]]', id="Lua, over lines"),
        pytest.param("a.erb", '<%# model: "gpt-4-0613" %>', id="ERB"),
        pytest.param("a.jsonnet", "{} // model: 'gpt-4-0613'", id="Jsonnet"),
        pytest.param("a.cue", '// model: "gpt-4-0613"', id="CUE"),
        pytest.param("a.nix", '/* model = "gpt-4-0613"; */ {}', id="Nix"),
        pytest.param("a.clj", '; (def model "gpt-4-0613")', id="Clojure"),
        pytest.param("A.hs", '{- model = "gpt-4-0613" -}', id="Haskell"),
        pytest.param("a.gotmpl", "{{- /* model: gpt-4-0613 */ -}}", id="a template of Go"),
        pytest.param("a.http", '# {"model": "gpt-4-0613"}', id="requests"),
    ],
)
def test_where_an_id_is_commented_out(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert [finding.used for finding in look(tmp_path).findings] == [False]


def test_symbolic_links_are_not_followed(tmp_path: Path) -> None:
    outside, tree = tmp_path / "outside", tmp_path / "tree"
    outside.mkdir()
    tree.mkdir()
    (outside / "secret.py").write_text(ID)
    (tree / "file.py").symlink_to(outside / "secret.py")
    (tree / "directory").symlink_to(outside, target_is_directory=True)
    (tree / "loop").symlink_to(tree, target_is_directory=True)
    assert look(tree).findings == ()


def test_a_file_that_cannot_be_read_is_reported_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "bad.ipynb").write_text('{"cells": [{"x": "gpt-4-0613"')
    (tmp_path / "good.py").write_text(ID)
    listed = source_files([tmp_path])
    (tmp_path / "gone.py").write_text(ID)
    listed.append(tmp_path / "gone.py")
    (tmp_path / "gone.py").unlink()
    report = scan(listed, now=TODAY, within_days=90)
    assert [file.name for file, _ in report.unreadable] == ["bad.ipynb", "gone.py"]
    assert len(report.used) == 1


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_what_git_ignores_is_left_out_unless_it_is_asked_for(tmp_path: Path) -> None:
    subprocess.run(
        ["git", "init", "-q", str(tmp_path)], check=True, env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    )
    (tmp_path / ".gitignore").write_text("generated/\n*.local.py\n")
    for name in ("ours.py", "mine.local.py", "generated/made.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(ID)
    assert [finding.file.name for finding in look(tmp_path).used] == ["ours.py"]
    assert [finding.file.name for finding in look(tmp_path / "generated").used] == ["made.py"]


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(ID)
    assert look(tmp_path, tmp_path / "a.py").files_read == 1


def test_one_directory_by_two_names_is_read_once_by_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_text(ID)
    (tmp_path / "b.py").symlink_to("a.py")
    monkeypatch.chdir(tmp_path)
    assert source_files([Path(), tmp_path, Path("b.py")]) == [Path("a.py")]


# routes

ROUTES = """\
version: 1
providers:
  acme: {kind: openai, api_key_env: KEY}
  campus: {kind: vllm, base_url: "http://vllm.internal:8000/v1"}
fallbacks:
  base: {provider: campus, model: m1}
defaults: {provider: acme, fallbacks: [base]}
lifecycle:
  acme:
    "ft:gpt-4o-mini-2024-07-18:acme:tone:B2": {shutdown: 2099-01-01, source: "our contract"}
routes:
  forum-reply: "ft:gpt-4o-mini-2024-07-18:acme:forum:A1"
  tone: "ft:gpt-4o-mini-2024-07-18:acme:tone:B2"
"""


def test_routes_tell_what_to_use_instead_and_what_their_operator_knows(tmp_path: Path) -> None:
    routes = tmp_path / "routes.yaml"
    routes.write_text(ROUTES)
    (tmp_path / "a.py").write_text(
        'A = "ft:gpt-4o-mini-2024-07-18:acme:tone:B2"\nB = "gpt-4o-mini-2024-07-18"\nC = "gpt-4.1-2025-04-14"\n'
    )
    report = look(tmp_path, routes=routes)
    found = {finding.line: finding for finding in report.used}
    assert {line: finding.routes for line, finding in found.items()} == {
        1: ("tone",),
        2: ("forum-reply", "tone"),
        3: (),
    }
    assert (found[1].dates.shutdown, found[1].dates.source) == (date(2099, 1, 1), "our contract")
    assert {finding.file.name for finding in report.findings} == {"a.py"}, "routes.yaml is where ids belong"


def test_words_that_are_ids_count_only_where_a_model_is_named(tmp_path: Path) -> None:
    lines = {
        'model = "o1"': True,
        'chat(model="davinci")': True,
        '{"engine": "ada"}': True,
        'MODELS = ["custom", "o3"]': True,
        'openai("o1")': True,
        'model: str = "o1"': True,
        'model == "o1"': True,
        'name = "ada"': False,
        'print("o1")': False,
        '{"hero": "ada"}': False,
        'modelled = ada("curie is a model")': False,
        "o1.model = o3": False,
        'class Curie: name = "curie"; model = None': False,
    }
    (tmp_path / "a.py").write_text("\n".join(lines))
    found = {finding.line for finding in look(tmp_path).findings}
    assert found == {number for number, is_found in enumerate(lines.values(), 1) if is_found}


@pytest.mark.parametrize(
    "unit",
    [
        '"gpt-4 ',
        '\\"gpt-4\\" ',
        "model " * 38 + "o1 ",
        "'''gpt-4 ",
        'model = "o1", ',
        '"model(([[ "a" , "o1" ',
        "a/b:gpt-4/",
        "${model",
        "${model-",
        "x: &a !!str gpt-4-0613 ",
    ],
    ids=lambda unit: f"many of {re.sub(' +', ' ', unit)[:20]!r}",
)
def test_no_text_makes_it_slow(unit: str, tmp_path: Path) -> None:
    """What took time that grows with the square, or worse, would not end before the suite's patience does."""
    (tmp_path / "a.py").write_text((unit * 10_000)[:30_000])
    assert look(tmp_path).files_read == 1
