"""A real gateway to which everything happens that a dashboard shows: deaths, errors, rehearsals, what has no price."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson
from gateway_server import RunningGateway, running_gateway
from sandbox_server import RunningSandbox, fast_catalogue, running_sandbox

from gateway.clock import SystemClock

FORUM = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
TRIAGE = "ft:gpt-4.1-mini-2025-04-14:acme:triage:C3d4E5f6:ckpt-step-714"
STAR = "forum-reply"
"""The route to which most happens: it rehearses, streams, is captured, breaks its contract, and its primary dies."""
ROUTES = (STAR, "ticket-triage", "tone-rewrite", "broken", "limited", "substituted", "cut-off", "free.v2")
_ASKED = (*ROUTES, f"{STAR}@primary")
"""Once the primary is dead, whoever insists on it gets an error."""
_CHEAP = "{input_usd_per_1m: 0.30, cached_input_usd_per_1m: 0.15, output_usd_per_1m: 1.20, source: the sandbox}"
_DEAR = "{input_usd_per_1m: 1.00, cached_input_usd_per_1m: 0.10, output_usd_per_1m: 6.00, source: the sandbox}"
_PAUSE_S = 0.1
_PATIENCE_S = 30


@dataclass(frozen=True)
class Busy:
    """The gateway, its provider, and who asks it."""

    gateway: RunningGateway
    sandbox: RunningSandbox
    traffic: "Traffic"

    @property
    def addresses(self) -> list[str]:
        """What Prometheus wants: one gateway under two names, as if it were two replicas that say the same."""
        address = self.gateway.url.removeprefix("http://")
        return [address, address.replace("127.0.0.1", "localhost")]

    def retire(self, model: str) -> None:
        """Let a model die as OpenAI's do."""
        httpx.post(f"{self.sandbox.url}/sandbox/models/{model}/retire", trust_env=False).raise_for_status()


class Traffic:
    """Requests of every route in turn, some streamed, until it is told to stop."""

    def __init__(self, v1: str) -> None:
        self._v1 = v1
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self.rounds = 0
        """How often every route was asked."""
        self.error: Exception | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(_PATIENCE_S)
        assert not self._thread.is_alive(), "the traffic did not stop"

    def _run(self) -> None:
        try:
            with httpx.Client(trust_env=False, timeout=_PATIENCE_S) as http:
                while not self._stop.is_set():
                    for model in _ASKED:
                        self._ask(http, model, streamed=self.rounds % 2 == 0)
                        self._stop.wait(_PAUSE_S)
                    self.rounds += 1
        except Exception as error:
            self.error = error

    def _ask(self, http: httpx.Client, model: str, *, streamed: bool) -> None:
        question = f"Where is order {self.rounds}? It was sent a week ago."
        body = {"model": model, "stream": streamed, "messages": [{"role": "user", "content": question}]}
        with contextlib.suppress(httpx.RemoteProtocolError):  # what the provider cuts off is cut off for us too
            http.post(f"{self._v1}/chat/completions", json=body | {"max_tokens": 60})


def write_routes(directory: Path, sandbox: RunningSandbox) -> Path:
    """Write eight routes, each with something that happens to it."""
    # No answer in words has this number.
    schema = {"type": "object", "required": ["order"], "properties": {"order": {"type": "integer"}}}
    (directory / "order.json").write_bytes(orjson.dumps(schema))
    star = f"""{{primary: "{FORUM}", contract: order.json, owner: community,
    slo: {{availability: 0.995, first_token_s: 2}}, capture: {{share: 1, retention_days: 1}},
    rehearsal: {{share: 1, mode: shadow, max_usd_per_day: 5}}}}"""
    routes = directory / "routes.yaml"
    routes.write_text(
        f"""\
version: 1
providers:
  sandbox: {{kind: sandbox, base_url: "{sandbox.base_url}"}}
lifecycle:  # the sandbox says another day: sources that differ
  sandbox:
    "{TRIAGE}": {{shutdown: 2099-01-14, source: a test}}
fallbacks:
  luna: {{provider: sandbox, model: gpt-6-luna, parameters: {{rename: {{max_tokens: max_completion_tokens}}}}}}
defaults: {{provider: sandbox, fallbacks: [luna], owner: support}}
routes:
  {STAR}: {star}
  ticket-triage: "{TRIAGE}"
  tone-rewrite: {{primary: null}}
  broken: {{primary: fault-5xx, fallbacks: []}}
  limited: {{primary: fault-429, fallbacks: []}}
  substituted: fault-substitute
  cut-off: {{primary: fault-cut, fallbacks: []}}
  free.v2: {{primary: mistral-strict, fallbacks: []}}
prices:
  sandbox: {{"{FORUM}": {_CHEAP}, "{TRIAGE}": {_CHEAP}, gpt-6-luna: {_DEAR}}}
"""
    )
    return routes


@contextlib.contextmanager
def busy_gateway(directory: Path) -> Iterator[Busy]:
    """Start a provider and a gateway; the caller starts the traffic, which ends with them."""
    catalogue = fast_catalogue(SystemClock().now())
    with running_sandbox(catalogue=catalogue) as sandbox:
        routes = write_routes(directory, sandbox)
        with running_gateway(routes, directory) as gateway:
            traffic = Traffic(gateway.v1)
            try:
                yield Busy(gateway, sandbox, traffic)
            finally:
                traffic.stop()
                if traffic.error is not None:
                    raise AssertionError(
                        f"the traffic ended early: {gateway.log.read_text()[-3000:]}"
                    ) from traffic.error
