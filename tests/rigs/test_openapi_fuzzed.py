"""schemathesis over the gateway's own OpenAPI: whatever is sent, it answers as documented, and never with a failure."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.execution.endpoints import ENDPOINTS
from tests.gateway_server import running_gateway
from tests.sandbox_server import running_sandbox

pytestmark = pytest.mark.rig

KEY, ADMIN_KEY, PEPPER = "caller-of-the-fuzzer", "admin-of-the-fuzzer", "pepper-of-the-fuzzer-0123456789abcdef"
EXAMPLES = 300 if os.environ.get("UNDERSTUDY_SOAK") else 25
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
ANSWERED = ("/v1/chat/completions", "/v1/embeddings", "/v1/models", "/admin/keys", "/healthz")
ROUTES = """
version: 1
providers: {{stand-in: {{kind: sandbox, base_url: {base_url}}}}}
defaults: {{provider: stand-in}}
routes: {{reply: {{primary: {{model: gpt-6-luna}}}}, search: {{primary: {{model: text-embedding-3-small}}}}}}
"""


@dataclass(frozen=True)
class Fuzzed:
    url: str
    schema: schemathesis.schemas.BaseSchema


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    directory = tmp_path_factory.mktemp("fuzzed")
    with running_sandbox() as sandbox:
        routes = Path(directory / "routes.yaml")
        routes.write_text(ROUTES.format(base_url=sandbox.base_url))
        secrets = {"GATEWAY_KEY": KEY, "GATEWAY_ADMIN_KEY": ADMIN_KEY, "GATEWAY_KEY_PEPPER": PEPPER}
        with running_gateway(routes, directory, **secrets) as gateway:
            told = httpx.get(f"{gateway.url}/openapi.json", headers=bearer(KEY), trust_env=False)
            yield Fuzzed(gateway.url, schemathesis.openapi.from_dict(told.json()))


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_every_endpoint_is_documented(fuzzed: Fuzzed) -> None:
    documented = {operation.ok().path for operation in fuzzed.schema.get_all_operations()}
    assert documented >= {f"/v1{endpoint.path}" for endpoint in ENDPOINTS} | {"/v1/models", "/healthz", "/admin/keys"}


def test_whatever_is_sent_is_answered_as_documented(fuzzed: Fuzzed, subtests: pytest.Subtests) -> None:
    for found in fuzzed.schema.get_all_operations():
        operation = found.ok()
        with subtests.test(operation.label):
            seen = probe(operation, fuzzed.url)
            assert operation.path not in ANSWERED or seen & {200, 201}, "nothing of what was sent was a request"


def probe(operation: "schemathesis.schemas.APIOperation", url: str) -> set[int]:
    """Return the statuses that were seen."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    @given(case=operation.as_strategy())
    def try_one(case: schemathesis.Case) -> None:
        if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
            # A name that no route has is refused before anything else is looked at.
            case.body["model"] = "search" if case.path == "/v1/embeddings" else "reply"
        for key in (ADMIN_KEY, KEY):
            seen.add(case.call_and_validate(base_url=url, headers=bearer(key), checks=CHECKS).status_code)

    seen: set[int] = set()
    try_one()
    return seen
