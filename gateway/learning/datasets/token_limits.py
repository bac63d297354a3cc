"""How long a row may be for a trainer, and what becomes of a longer one."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from gateway.learning.datasets.formats import Format

READ: Final = date(2026, 11, 29)
SOURCE: Final = "https://github.com/MicrosoftDocs/azure-ai-docs (fine-tune-models.md, training example context length)"
OF_BASES: Final = {
    "gpt-4o-2024-08-06": 65_536,
    "gpt-4o-mini-2024-07-18": 65_536,
    "gpt-4.1-2025-04-14": 65_536,
    "gpt-4.1-mini-2025-04-14": 65_536,
    "gpt-4.1-nano-2025-04-14": 65_536,
    "gpt-35-turbo-0125": 16_385,
    "gpt-3.5-turbo-0125": 16_385,
}
"""Tokens of one training row, by base, of OpenAI's models."""
_CUT: Final = frozenset(("openai-sft", "openai-dpo"))
"""Formats whose trainers cut a row that is too long at its end (OpenAI's Cookbook, Chat_finetuning_data_prep)."""


@dataclass(frozen=True, slots=True)
class TokenLimit:
    """What one row may have."""

    tokens: int
    is_cut: bool
    """Whether a longer row loses its end; else it is refused."""
    of: str
    """Whose limit it is."""


def limit_of(form: Format, base: str | None) -> TokenLimit | None:
    """Return the limit of a base in a format; that of the format where the base is not known; None: none is known."""
    if base in OF_BASES and form.name in _CUT:
        return TokenLimit(OF_BASES[base], True, base)
    if form.most_tokens is None:
        return None
    return TokenLimit(form.most_tokens, form.name in _CUT, form.trainer)
