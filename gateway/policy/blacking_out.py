"""A secret, taken out of what somebody else says, in whatever form it stands there. Pure."""

import base64
import json
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, quote_plus

BLACKED_OUT: Final = "[key]"
SHORTEST_PART: Final = 8
"""Characters of a secret's beginning that are taken out at a text's end, where it was cut off."""


def without(text: str, secret: str) -> str:
    """Return a text without a secret: as it is, in hex, in base64 behind anything, escaped for a URL or for JSON."""
    if not secret:
        return text
    for form in _forms(secret):
        text = text.replace(form, BLACKED_OUT)
    for length in range(min(len(secret) - 1, len(text)), SHORTEST_PART - 1, -1):
        if text.endswith(secret[:length]):
            return text[:-length] + BLACKED_OUT
    return text


def black_out_error(answer: dict[str, Any], secret: str) -> None:
    """Take a secret out of an answer's own words of its failure, where it has such; the answer itself stays."""
    error = answer.get("error")
    if isinstance(error, dict):
        answer["error"] = {k: without(v, secret) if isinstance(v, str) else v for k, v in error.items()}
    elif isinstance(error, str):
        answer["error"] = without(error, secret)


@lru_cache(maxsize=256)
def _forms(secret: str) -> tuple[str, ...]:
    """Return the forms, the longest first: some hold others."""
    plain = secret.encode()
    forms = {
        secret,
        plain.hex(),
        plain.hex().upper(),
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        "".join(f"%{byte:02X}" for byte in plain),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
    }
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            # Of what stands before and behind it, the outermost characters hold bits, too.
            whole = encode(bytes(shift) + plain + bytes(-(shift + len(plain)) % 3)).decode()
            forms.add(whole[(0, 2, 3)[shift] : (shift + len(plain)) * 8 // 6])
    return tuple(
        sorted(filter(lambda form: len(form) >= min(len(secret), SHORTEST_PART), forms), key=len, reverse=True)
    )
