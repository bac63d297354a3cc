"""``gateway classify``."""

import json
import sys
from collections.abc import Iterable
from typing import Annotated, Any

import typer


class BadRow(ValueError):
    """A line of the input is no row; the message names it."""


def classify(
    provider: Annotated[
        str, typer.Option(help="The kind of provider, for rows that name none: openai, azure, groq, vllm, …")
    ] = "openai-compatible",
) -> None:
    """Say what providers' error answers mean: is the model gone? Reads rows of JSON, writes one verdict a row.

    A row has status, body (any JSON, or text), perhaps headers, and perhaps its own provider and an id, which comes
    back. Verdicts: model_gone, model_no_access, ambiguous (looks gone, or is not ours), not_model_gone.

    Example:  echo '{"status": 404, "body": {"error": "model not found"}}' | gateway classify --provider ollama
    """
    try:
        for row in _rows(sys.stdin.buffer):
            typer.echo(json.dumps(_verdict(row, provider)))
    except BadRow as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


def _rows(lines: Iterable[bytes]) -> Iterable[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadRow(f"line {number}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise BadRow(f"line {number}: a row is an object with status, headers and body")
        status = row.get("status")
        if not isinstance(status, int) or isinstance(status, bool):
            raise BadRow(f"line {number}: status must be an integer, such as 404")
        yield row


def _verdict(row: dict[str, Any], provider: str) -> dict[str, Any]:
    # Here, not above: every other command would compile the rules too.
    from gateway.providers.classify import classify as classify_answer

    own = row.get("provider")
    headers = row.get("headers")
    found = classify_answer(
        own if isinstance(own, str) else provider,
        row["status"],
        headers if isinstance(headers, dict) else {},
        row.get("body"),
    )
    answer = {"verdict": found.verdict, "rule": found.rule, "kind": found.kind.value}
    return {"id": row["id"]} | answer if "id" in row else answer
