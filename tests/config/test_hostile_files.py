"""Files that a configuration names, made to hurt whoever reads them: each is a finding, soon, and nothing else."""

import json
import time
from pathlib import Path

import pytest

from gateway.config.findings import InvalidRoutes
from gateway.config.loader import load

ROUTES = """
version: 1
providers: {here: {kind: vllm, base_url: "http://127.0.0.1:9/v1"}}
fallbacks: {base: {provider: here, model: base, prompt: {instructions_file: p.md, examples_file: e.jsonl}}}
routes: {reply: {provider: here, primary: tuned, fallbacks: [base], contract: s.json}}
"""
GOOD = {
    "p.md": b"Be brief.",
    "e.jsonl": json.dumps(
        {"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]}
    ).encode(),
    "s.json": b'{"type": "object"}',
}
SOON_S = 10.0


@pytest.fixture
def there(tmp_path: Path) -> Path:
    for name, content in GOOD.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "routes.yaml").write_text(ROUTES)
    return tmp_path


def test_the_good_ones_are_read(there: Path) -> None:
    assert load(there / "routes.yaml", environ={}).routes.routes["reply"].contract is not None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("s.json", b"[" * 500_000, id="a schema of open lists"),
        pytest.param("s.json", b'{"not":' * 100_000 + b"{}" + b"}" * 100_000, id="a schema that is absurdly deep"),
        pytest.param("s.json", b'{"minimum":' + b"9" * 100_000 + b"}", id="a schema with a huge integer"),
        pytest.param("s.json", b'{"minimum": NaN}', id="a schema with NaN"),
        pytest.param("s.json", b'{"type": "\xff"}', id="a schema that is no UTF-8"),
        pytest.param("s.json", b'{"$ref": "http://127.0.0.1:1/s.json"}', id="a schema that names another by its URL"),
        pytest.param("s.json", b'{"$ref": "file:///etc/passwd"}', id="a schema that names a file"),
        pytest.param("e.jsonl", b"[" * 500_000, id="examples of open lists"),
        pytest.param("e.jsonl", b'{"messages":' * 100_000, id="examples that are absurdly deep"),
        pytest.param("e.jsonl", b'{"messages": [{"role": "user", "content": "\\ud800"}]}', id="half a surrogate"),
        pytest.param("e.jsonl", b"\x00" * 100_000, id="examples of zeros"),
        pytest.param("p.md", b"\xff\xfe" * 1_000, id="instructions that are no UTF-8"),
        pytest.param("routes.yaml", b"[" * 1_000_000, id="open lists"),
        pytest.param("routes.yaml", b"a: " * 100_000, id="mappings in mappings"),
        pytest.param("routes.yaml", b"a:\n" + b" " * 900_000 + b"- b", id="a mile of indentation"),
        pytest.param("routes.yaml", b"? " * 100_000, id="keys in keys"),
        pytest.param("routes.yaml", b"x: |\n" + b"  y\n" * 260_000, id="just more than 1 MiB"),
        pytest.param("routes.yaml", b"%YAML 1.1\n---\n" * 1_000, id="documents without an end"),
        pytest.param("routes.yaml", b"x: " + b"9" * 100_000, id="a huge integer"),
        pytest.param("routes.yaml", b"version: 1\n" * 20_000, id="one key, many times"),
    ],
)
def test_what_is_made_to_hurt_is_a_finding(name: str, content: bytes, there: Path) -> None:
    (there / name).write_bytes(content)
    began = time.monotonic()

    with pytest.raises(InvalidRoutes) as refused:
        load(there / "routes.yaml", environ={})

    assert time.monotonic() - began < SOON_S
    assert 0 < len(refused.value.findings) < 50_000
    assert all(len(finding.message) < 1_000 for finding in refused.value.findings)
