import json

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.classify import classify

app = typer.Typer()
app.command()(classify)


def run(text: str | bytes, *arguments: str) -> tuple[int, list[dict[str, str]], str]:
    result = CliRunner().invoke(app, list(arguments), input=text)
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()], result.stderr


def test_a_row_comes_back_with_verdict_rule_and_kind() -> None:
    row = {"status": 404, "headers": {}, "body": {"error": "model 'x' not found"}}
    code, rows, _ = run(json.dumps(row), "--provider", "ollama")
    assert code == 0
    assert rows == [{"verdict": "model_gone", "rule": "model-missing", "kind": "model_gone"}]


def test_a_rows_own_provider_wins_and_its_id_comes_back() -> None:
    body = {"error": {"message": "The model `x` does not exist"}}
    lines = [{"id": 1, "status": 404, "body": body}, {"id": "b", "provider": "openai", "status": 404, "body": body}]
    code, rows, _ = run("\n\n".join(map(json.dumps, lines)) + "\n", "--provider", "vllm")
    assert code == 0
    assert [(row["id"], row["verdict"]) for row in rows] == [(1, "model_gone"), ("b", "ambiguous")]


def test_headers_and_body_may_be_absent() -> None:
    code, rows, _ = run('{"status": 500}\n{"status": 500, "headers": null, "body": null}')
    assert code == 0
    assert [row["kind"] for row in rows] == ["server_error", "server_error"]


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param("{", id="not JSON"),
        pytest.param("[]", id="no object"),
        pytest.param('{"body": ""}', id="no status"),
        pytest.param('{"status": "404"}', id="a status that is text"),
        pytest.param(b"\xff", id="not UTF-8"),
    ],
)
def test_a_malformed_line_is_named_and_ends_with_2(bad: str | bytes) -> None:
    bad_line = bad if isinstance(bad, bytes) else bad.encode()
    code, rows, complaint = run(b'{"status": 500}\n' + bad_line + b"\n")
    assert code == 2
    assert len(rows) == 1
    assert complaint.startswith("line 2: ")
