"""What a request needs of whoever answers it, beyond what everybody can do. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.config.routes import Route, Target
from gateway.policy.capabilities import Capabilities
from gateway.policy.residency import may_hold
from gateway.policy.stored_ids import UNTAGGED, tag_of


@dataclass(frozen=True, slots=True)
class Needs:
    """What tells the targets of a route apart for one request."""

    endpoint: str
    words: frozenset[str] = frozenset()
    """Of the words of ``traits`` those that a target of the route lacks."""
    residency: str | None = None
    """Where the caller's key wants its data kept."""
    held_by: str | None = None
    """The provider that stores what it refers to."""

    def lacked_by(self, target: Target, route: Route, capabilities: Capabilities) -> str | None:
        """Say what a target lacks, in a sentence; None: nothing."""
        provider = target.provider
        if not may_hold(provider.residency, self.residency):
            return f"its provider does not keep data in {self.residency!r}, as the caller's key asks"
        if not provider.vendor.serves(self.endpoint):
            return f"its provider, of kind {provider.kind}, has no endpoint for {self.endpoint}"
        space = (route.primary or route.fallbacks[0]).space
        if self.endpoint == "embeddings" and target.space != space:
            return f"its vectors do not mix with those of {space}"
        if self.endpoint == "completions" and target.prompt is not None:
            return "it plays its part by a prompt, which has no place in a completion"
        return capabilities.lacks(self.words, self.endpoint)


def holder(tag: str | None, targets: Sequence[Target]) -> str | None:
    """Return the provider whose tag this is; a tag that no target's provider has stays a tag.

    What did not come through this gateway is taken to be stored where the route's first target is.
    """
    if tag == UNTAGGED:
        return targets[0].provider.name
    return next((target.provider.name for target in targets if tag_of(target.provider.name) == tag), tag)
