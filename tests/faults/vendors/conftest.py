"""Stories about vendors whose wire format is not OpenAI's: the vendor, a gateway before it, and one litellm for all."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import anthropic_format
import bedrock_format
import gemini_format
import pytest
from fake_provider import FakeProvider
from litellm_child import LitellmChild, running_child
from served_gateway import PRICES, ServedGateway, served
from vendor_server import VendorServer, model_in_body, model_in_path, vendor

from gateway.providers.connect_guard import Destination

KEY = "sk-vendor-0123456789abcdef"
PRICE = {"input_usd_per_1m": 1, "output_usd_per_1m": 2, "cached_input_usd_per_1m": 0.1, "source": "test"}
FORMATS: Mapping[str, ModuleType] = {"anthropic": anthropic_format, "gemini": gemini_format, "bedrock": bedrock_format}
SETTINGS: Mapping[str, Mapping[str, Any]] = {"bedrock": {"region": "eu-central-1"}}
ServeVendor = Callable[..., Awaitable[tuple[ServedGateway, VendorServer]]]


class SharedWorker:
    """Stands where a gateway would make a worker of its own: the child runs already, and outlives the gateway."""

    child: LitellmChild

    def __init__(self, **made_with: object) -> None:
        self.path = self.child.path

    def permit(self, places: Iterable[Destination]) -> None:
        self.child.worker.permit(places)

    def listen(self, *, at_once: bool) -> None:
        assert at_once, "routes name this vendor"

    async def close(self) -> None:
        pass


@pytest.fixture(scope="session")
def litellm_child() -> Iterator[LitellmChild]:
    with running_child() as child:
        yield child


@pytest.fixture
async def serve_vendor(
    provider: FakeProvider,
    litellm_child: LitellmChild,
    empty_ledger: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[ServeVendor]:
    """Start a gateway whose route ``reply`` has a vendor's model as the primary; the fallback speaks OpenAI's format.

    The route ``understudy`` is the other way round: its primary is the model ``tuned``, its fallback the vendor's,
    with a prompt.
    """
    monkeypatch.setattr(SharedWorker, "child", litellm_child, raising=False)
    monkeypatch.setattr("gateway.wiring.configurations.LitellmWorker", SharedWorker)
    async with AsyncExitStack() as stack:

        async def start(
            kind: str, *, key_file: Path | None = None, base_url: str | None = None, **route: Any
        ) -> tuple[ServedGateway, VendorServer]:
            format_ = FORMATS[kind]
            model_of = model_in_body if kind == "anthropic" else model_in_path
            server = await stack.enter_async_context(vendor(model_of, format_.USUAL))
            key = {"api_key_file": str(key_file)} if key_file else {"api_key_env": "VENDOR_KEY"}
            account = {"kind": kind, "base_url": base_url or server.base_url, **key, **SETTINGS.get(kind, {})}
            ours = {"kind": "openai-compatible", "base_url": provider.base_url}
            prompt = {"instructions": "Be brief.", "examples": [{"user": "Hi", "assistant": "Hello."}]}
            routes = {
                "version": 1,
                "providers": {"vendor": account, "ours": ours},
                "fallbacks": {
                    "base": {"provider": "ours", "model": "base"},
                    "stand-in": {"provider": "vendor", "model": format_.MODEL, "prompt": prompt},
                },
                "routes": {
                    "reply": {"primary": {"provider": "vendor", "model": format_.MODEL}, "fallbacks": ["base"]} | route,
                    "understudy": {"primary": {"provider": "ours", "model": "tuned"}, "fallbacks": ["stand-in"]},
                },
                "prices": {"vendor": {format_.MODEL: PRICE}, "ours": PRICES},
            }
            gateway = await stack.enter_async_context(
                served(routes, tmp_path, empty_ledger, environ={"VENDOR_KEY": KEY})
            )
            return gateway, server

        yield start
    assert "litellm" not in sys.modules, "litellm lives in a process of its own"
