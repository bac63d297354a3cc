"""A target with everything that its calls need and that is the same for all of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.clock import Clock
from gateway.config.routes import Route, Target
from gateway.execution.answer_headers import Header
from gateway.execution.cache_keys import CacheKeys
from gateway.execution.endpoints.endpoint import Endpoint
from gateway.execution.meters import TargetMeters
from gateway.execution.substitutes import AnswerNames
from gateway.metrics import Metrics
from gateway.policy import pack_examples, prompts
from gateway.policy.capabilities import Capabilities
from gateway.policy.economics import LEAST_CACHED_TOKENS
from gateway.policy.lifecycle import Dates
from gateway.policy.parameters import response_format
from gateway.policy.pricing import CHARS_PER_TOKEN
from gateway.policy.prompts import Message
from gateway.policy.stored_ids import tag_of
from gateway.providers.openai_wire import Exchange, Upstream
from gateway.providers.prices import PriceBook
from gateway.reasons import Reason, Role


class PreparedTarget:
    """A target with its upstream, its price, its rendered prompt, its headers and its meters."""

    __slots__ = (
        "_exchanges",
        "_headers_because",
        "_pack_examples",
        "answers",
        "cache_keys",
        "capabilities",
        "contract_format",
        "dates",
        "headers",
        "key",
        "limits_due",
        "longest_answer",
        "meters",
        "model",
        "prices",
        "prompt",
        "prompt_prefix",
        "prompt_tokens",
        "prompt_version",
        "response_examples",
        "role",
        "tag",
        "target",
        "upstream",
        "window",
    )

    def __init__(
        self,
        route: Route,
        target: Target,
        upstream: Upstream,
        book: PriceBook,
        dates: Dates,
        capabilities: Capabilities,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self.target = target
        self.tag = tag_of(target.provider.name)
        """Marks the ids of what its provider stores."""
        self.capabilities = capabilities
        self.key = (target.provider.name, target.model)
        self.model = target.model
        self.role = target.role
        self.upstream = upstream
        self.answers = AnswerNames(target, book)
        self.window = book.window(*self.key)
        """Tokens of input that it takes; None: not known."""
        self.longest_answer = book.longest_answer(*self.key)
        """In tokens; None: not known."""
        self.prices = book.prices_of(*self.key)
        """By one of which its answers are billed by the token; empty: unpriced."""
        self.limits_due = 0.0
        """From when on, in monotonic seconds, an answer's headers are looked at for rate limits."""
        self.dates = dates
        self.prompt = target.prompt
        pack = target.prompt.pack if target.prompt else None
        self._pack_examples = pack_examples.examples_of(pack) if pack is not None else None
        fixed = self._pack_examples.fixed if self._pack_examples else ()
        self.prompt_prefix = prompts.prefix(target.prompt, fixed) if target.prompt else ()
        chars = sum(len(prompts.text_of(message)) for message in self.prompt_prefix)
        self.prompt_tokens = chars // CHARS_PER_TOKEN + (pack.similar_tokens if pack is not None else 0)
        """About what the prompt adds to a request, similar examples included."""
        self.response_examples = pack_examples.in_words(self.prompt_prefix)
        """Of the prompt's examples what the Responses API can carry."""
        self.prompt_version = target.prompt.version if target.prompt else None
        cached = pack is not None and pack.prefix_tokens >= LEAST_CACHED_TOKENS
        self.cache_keys = (
            CacheKeys(self.prompt_version or "", clock, route.tenant)
            if cached and target.provider.vendor.caches_by_key
            else None
        )
        """Names the provider's cache for what every request begins with; None: nothing would be cached by it."""
        promises = route.contract is not None and target.role is Role.FALLBACK
        self.contract_format: dict[str, Any] | None = (
            response_format(route.contract) if promises and route.contract else None
        )
        self.headers: list[Header] = []
        self._exchanges: dict[str, Exchange] = {}
        self._headers_because: dict[tuple[Reason, bytes], list[Header]] = {}
        self.meters = TargetMeters(metrics, route, target)

    def exchange(self, endpoint: Endpoint) -> Exchange:
        """Return the way of one endpoint's calls to this target."""
        known = self._exchanges.get(endpoint.path)
        if known is None:
            known = self._exchanges[endpoint.path] = self.upstream.exchange(endpoint.name, endpoint.path, self.model)
        return known

    def similar_to(self, messages: Sequence[Mapping[str, Any]]) -> Sequence[Message]:
        """Return the messages of the pack's examples that are most like a request."""
        return self._pack_examples.similar_to(messages) if self._pack_examples is not None else ()

    def headers_because(self, reason: Reason, content_type: bytes) -> list[Header]:
        """Return the headers of an answer by this target for this reason."""
        key = (reason, content_type)
        known = self._headers_because.get(key)
        if known is None:
            why = (b"x-gateway-reason", reason.value.encode())
            known = self._headers_because[key] = [(b"content-type", content_type), *self.headers, why]
        return known
