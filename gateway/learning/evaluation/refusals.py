"""Does an assistant's message decline to answer? By the field that says so, or by the phrases of seven languages. Pure.

A phrase counts at the beginning only, where refusals stand: "I can't help with that" opens one, and also closes many a
helpful letter. It must say what is declined: "I'm sorry, but I can't find your order" is an answer. A heuristic: a
refusal in other words is missed, and a shop that declines a customer's wish in these words is taken for one.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.learning.evaluation.text_measures import text_of

_OPENING: Final = 160
"""Characters in which a refusal shows itself, apologies included."""

_PHRASES: Final = (
    # English
    r"\bi(?: can(?:no|')t| can not| won't| will not|(?: am|'m) (?:unable|not able|not allowed|not permitted) to)"
    r" (?!wait\b)(?:\w+ ){0,2}?(?:help|assist|comply|fulfil+|engage|participate|do that"
    r"|(?:provide|share|give|create|generate|write|answer|discuss|support)(?: you)?(?: with)?"
    r" (?:that|this|such|any|those|these|assistance|help|advice|guidance|instructions|information|medical|legal))\b",
    r"\bi (?:must|have to) (?:respectfully )?(?:decline|refuse)\b",
    r"\bas an ai\b[^.]{0,40} i (?:can(?:no|')t|can not|don't|do not|am not|am unable)\b",
    # German
    r"\b(?:ich|dabei|damit|hierbei|das)(?: \w+)?,? (?:kann|darf)(?: \w+){0,6}"
    r" (?:nicht|keine?n?)(?: \w+){0,3} (?:(?:weiter)?helfen|unterstützen|beantworten|bereitstellen|nachkommen)\b",
    # French
    r"\bje ne (?:peux|puis)(?: malheureusement)? pas (?:vous |t'|y |te )?"
    r"(?:aider|assister|répondre|fournir|générer|satisfaire|donner suite)\b",
    r"\bje ne suis pas en mesure (?:de |d')(?:vous |t')?(?:aider|assister|répondre|fournir|générer)\b",
    # Spanish
    r"\bno puedo (?:ayudar|asistir|responder a es|proporcionar es|cumplir|generar es|brindar es)",
    # Italian
    r"\bnon posso (?:aiutar|assister|rispondere a quest|fornire quest|soddisfare|generare quest)",
    # Portuguese
    r"\bnão (?:posso|consigo) (?:te |o |a |lhe )?(?:ajud|responder a es|fornecer es|atender|gerar es)",
    # Dutch
    r"\bkan ik(?: \w+){0,3} (?:niet|geen)(?: \w+){0,2} (?:helpen|beantwoorden|assisteren|voldoen)\b",
    r"\bik kan(?: \w+){0,4} (?:niet|geen)(?: \w+){0,3} (?:helpen|beantwoorden|assisteren|voldoen)\b",
)
_REFUSAL: Final = re.compile("|".join(_PHRASES), re.IGNORECASE)


def refuses(message: Mapping[str, Any]) -> bool:
    """Say whether an assistant's message, in OpenAI's shape, is a refusal; one that calls a tool is none."""
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    if message.get("refusal") or any(isinstance(part, Mapping) and part.get("refusal") for part in parts):
        return True
    if message.get("tool_calls"):
        return False
    opening = " ".join(text_of(message).split())[:_OPENING].replace("’", "'")
    return _REFUSAL.search(opening) is not None
