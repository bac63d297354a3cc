"""What a key looks like: made of the system's random bits, told apart by its beginning."""

import re
import secrets
import string
from typing import Final

BEGINNING: Final = "us_"
"""By which scanners of leaked secrets, and people, know one of ours."""
ID_BEGINNING: Final = "key_"
SECRET_BYTES: Final = 32
_ID_CHARS: Final = 8
_ALPHABET: Final = string.ascii_lowercase + string.digits
KEY_ID: Final = re.compile(rf"{ID_BEGINNING}[a-z0-9]{{{_ID_CHARS}}}")
"""What else is asked for is no key's: a database does not take every character."""


def new_key() -> tuple[str, str]:
    """Return a new key's id, which is no secret, and its text, which is one and is kept nowhere.

    ``us_ID_SECRET``: 8 letters and digits of the id, then 43 characters of base64url, which are 256 random bits.
    """
    name = "".join(secrets.choice(_ALPHABET) for _ in range(_ID_CHARS))
    return ID_BEGINNING + name, f"{BEGINNING}{name}_{secrets.token_urlsafe(SECRET_BYTES)}"


def new_text(key_id: str) -> str:
    """Return another text for a key that has an id already."""
    return f"{BEGINNING}{key_id.removeprefix(ID_BEGINNING)}_{secrets.token_urlsafe(SECRET_BYTES)}"
