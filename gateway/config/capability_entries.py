"""Capabilities of models as routes.yaml states them: what the operator knows better than the table that ships."""

from gateway.config.findings import Findings, did_you_mean, quoted
from gateway.config.references import Tree
from gateway.config.request_words import WORDS
from gateway.config.routes import CapabilityEntry
from gateway.config.schema import CapabilitiesEntry
from gateway.config.yaml_source import plain


def build_capabilities(tree: Tree, findings: Findings) -> dict[str, dict[str, CapabilityEntry]]:
    """Return what is written, by provider and model; words that mean nothing go to ``findings``."""
    known: dict[str, dict[str, CapabilityEntry]] = {}
    for provider, models in tree.capabilities.items():
        known[provider] = {}
        for model, node in models.entries.items():
            entry = CapabilitiesEntry.model_validate(plain(node)).model_dump(exclude_none=True)
            known[provider][model] = CapabilityEntry(**entry)
            for key in ("takes", "lacks"):
                listed = node.get(key)
                for item in listed.items if listed else ():
                    if item.text is not None and item.text not in WORDS:
                        findings.error(
                            item,
                            f"capabilities.{provider}.{model}.{key}: there is no {quoted(item.text)}"
                            f"{did_you_mean(item.text, WORDS)}",
                        )
    return known
