"""What the gateway must know of one kind of provider: the shape of a row of ``vendors``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

FineTuneRule = Literal["with_base", "training+365d", "own"]
"""When a fine-tune stops, where only its base's dates are known.

``with_base``: when its base does; also where no rule is known. ``training+365d``: that many days after the base can no
longer be fine-tuned. ``own``: its weights are its owner's, and the end of the base says nothing of it.
"""

Identity = Literal["azure", "aws", "google"]
"""A cloud's own identity of this process, in the place of a key."""

Setting = Literal["region", "project", "location"]
"""What some providers need to know beside an address."""

ENDPOINTS: Final = (
    "chat_completions",
    "responses",
    "embeddings",
    "completions",
    "moderations",
    "images",
    "speech",
    "transcriptions",
)
"""OpenAI's endpoints that the gateway has, as metrics and the ledger name them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Vendor:
    """How to talk to one kind of provider."""

    kind: str
    source: str
    """Where ``endpoints`` and what follows from them were read; the day is ``vendors.READ``."""
    endpoints: frozenset[str]
    """Which of ``ENDPOINTS`` it has: spoken natively, or by litellm where ``litellm`` is set."""
    litellm: str | None = None
    """litellm's name of it, where its own wire format is another: every call goes through the worker."""
    bridge: str | None = None
    """litellm's name of it, where the worker can serve /responses over its chat completions."""
    base_url: str | None = None
    """Where it lives when routes.yaml does not say; may hold settings in braces. None: the operator must say."""
    path_prefix: str = ""
    """Goes between the base URL and the endpoint's path where operators write the bare host."""
    litellm_paths: Mapping[str, str] = field(default_factory=dict)
    """By endpoint: what litellm wants to see behind an address that routes.yaml gives; it adds the rest itself."""
    key_header: str = "authorization"
    """``authorization`` (as a Bearer token) or another header that takes the bare key."""
    headers: tuple[tuple[str, str], ...] = ()
    """Others that every native call carries."""
    needs_key: bool = True
    identity: Identity | None = None
    """The cloud identity that may stand in for the key."""
    needs: tuple[Setting, ...] = ()
    """Settings without which it cannot be called."""
    dated: bool = False
    """Whether it also has a surface with an ``api-version`` and a path for each deployment."""
    lists_models: bool = True
    """False where no list tells what this key can call: a one-token call is the only look-up."""
    list_path: str = "/models"
    """The list's path, with its query; a look-up by id is below it."""
    caches_by_key: bool = False
    """Whether it takes ``prompt_cache_key``, by which equal beginnings of requests find the same cache."""
    names_deployments: bool = False
    """True where the operator chooses the name a model is called by: it says nothing of the model."""
    fine_tune_rule: FineTuneRule = "with_base"
    tells_dates: bool = False
    """Whether its list of models has a documented field for their end."""
    dates_path: str | None = None
    """Where the list with dates is, in the place of ``path_prefix``; None: it is the one at ``list_path``."""

    def serves(self, endpoint: str) -> bool:
        """Tell whether it has an endpoint, natively or through litellm's worker."""
        return endpoint in self.endpoints or (endpoint == "responses" and self.bridge is not None)

    def address(self, settings: Mapping[str, str | None]) -> str | None:
        """Return the address of its own, with ``settings`` filled in; None where it has none, or one is absent."""
        if self.base_url is None or not all(settings.get(name) for name in self.needs):
            return None
        # Google's global endpoint is the one whose host names no location.
        template = self.base_url.replace("{location}-", "") if settings.get("location") == "global" else self.base_url
        return template.format_map({name: value or "" for name, value in settings.items()})
