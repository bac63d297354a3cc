"""``gateway try``."""

import json
import sys
import urllib.error
import urllib.request
from email.message import Message
from typing import Annotated, Any

import typer

TIMEOUT_S = 600


def try_route(
    route: Annotated[str, typer.Argument(help="A route; or a pin of it, such as forum-reply@fallback.")],
    text: Annotated[str, typer.Argument(help="What a user would say.")],
    url: Annotated[str, typer.Option(help="The running gateway.")] = "http://127.0.0.1:8080/v1",
    key: Annotated[str | None, typer.Option(envvar="GATEWAY_KEY", show_envvar=True, help="The gateway's key.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print answer, headers and usage as one JSON object.")
    ] = False,
) -> None:
    """Ask a route of the running gateway; shows the answer, who gave it, and why.

    Example:  gateway try forum-reply "My order has not arrived."
    """
    body = json.dumps({"model": route, "messages": [{"role": "user", "content": text}]}).encode()
    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter(f"{url!r} is no address; write http://127.0.0.1:8080/v1", param_hint="--url")
    url = url.rstrip("/")
    if "/" not in url.partition("://")[2]:
        url += "/v1"
    try:
        request = urllib.request.Request(f"{url}/chat/completions", body, {"content-type": "application/json"})
    except ValueError as error:
        raise typer.BadParameter(f"{url!r}: {error}", param_hint="--url") from None
    if key:
        request.add_header("authorization", f"Bearer {key}")
    try:
        # No proxy from the environment: the gateway is asked, and nobody else.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=TIMEOUT_S) as response:
            answer, headers = _answer_in(response.read()), response.headers
    except urllib.error.HTTPError as error:
        typer.echo(_error_text(error.read(), error.code), err=True)
        raise typer.Exit(1) from None
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        typer.echo(f"no gateway at {url}: {reason}; start one with: gateway serve", err=True)
        raise typer.Exit(1) from None
    if answer is None:
        typer.echo(f"no gateway at {url}: what answers there is something else", err=True)
        raise typer.Exit(1)
    _show(answer, headers, as_json)


def _answer_in(body: bytes) -> dict[str, Any] | None:
    """Return a chat completion; None where the body is none."""
    try:
        answer = json.loads(body)
        return answer if isinstance(answer["choices"][0]["message"], dict) else None
    except (ValueError, LookupError, TypeError):
        return None


def _show(answer: dict[str, Any], headers: Message, as_json: bool) -> None:
    ours = {name.lower(): value for name, value in headers.items() if name.lower().startswith("x-")}
    if as_json:
        typer.echo(json.dumps({"answer": answer, "headers": ours}, indent=2))
        return
    message = answer["choices"][0]["message"]
    typer.echo(message.get("content") or json.dumps(message.get("tool_calls"), indent=2))
    usage = answer.get("usage") or {}
    who = f"{ours.get('x-gateway-served-by')}: {ours.get('x-gateway-model')} at {ours.get('x-gateway-provider')}"
    facts = [
        f"because: {ours.get('x-gateway-reason')}",
        f"attempts: {ours.get('x-gateway-attempts')}",
        f"tokens: {usage.get('prompt_tokens')} in, {usage.get('completion_tokens')} out",
        f"gateway's own time: {ours.get('x-gateway-overhead-ms')} ms",
    ]
    if "x-request-id" in ours:
        facts.append(f"request: {ours['x-request-id']}")
    if "x-gateway-adapted" in ours:
        facts.append(f"parameters changed: {ours['x-gateway-adapted']}")
    if "x-gateway-primary-shutdown" in ours:
        facts.append(f"the primary stops on {ours['x-gateway-primary-shutdown']}")
    sys.stdout.flush()
    typer.echo(typer.style(f"\nanswered by the {who}\n" + " · ".join(facts), dim=True), err=True)


def _error_text(body: bytes, status: int) -> str:
    try:
        return f"{status}: {json.loads(body)['error']['message']}"
    except (ValueError, KeyError, TypeError):
        return f"{status}: {body[:500].decode('utf-8', 'replace')}"
