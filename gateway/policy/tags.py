"""What a caller wants its costs added up by: the header ``x-gateway-tags``, read. Pure."""

import re
from collections.abc import Mapping
from typing import Final

from gateway.config.callers import NO_TAGS
from gateway.errors import InvalidRequest

MOST_TAGS: Final = 8
"""Of one request: each is a row of the totals, hour by hour."""
FORM: Final = (
    "Write 'x-gateway-tags: feature=checkout,env=prod': at most 8 tags, names of up to 32 letters, digits, '_', '.' "
    "or '-', values of up to 64 letters, digits, spaces or any of '_.:/@-'."
)
_NAME: Final = re.compile(r"[a-z0-9_.-]{1,32}")
_VALUE: Final = re.compile(r"[A-Za-z0-9_.:/@ -]{1,64}")


def read_tags(header: str, of_key: Mapping[str, str] = NO_TAGS) -> dict[str, str]:
    """Return the tags of a header's value and those of the caller's key, which win, by name.

    Names are folded to lower case.

    Raises:
        InvalidRequest: it is not of that form, names a tag twice, or makes too many with the key's; what it says is
            not repeated.
    """
    tags: dict[str, str] = {}
    parts = header.split(",")
    if len(parts) > MOST_TAGS:
        raise _refused(f"has {len(parts)} tags")
    for place, part in enumerate(parts, start=1):
        name, equals, value = (piece.strip(" \t") for piece in part.partition("="))
        name = name.lower()
        if not equals:
            raise _refused(f"has no '=' in its tag {place}")
        if not _NAME.fullmatch(name):
            raise _refused(f"has a name that cannot be one in its tag {place}")
        if not _VALUE.fullmatch(value):
            raise _refused(f"has a value that cannot be one in its tag {place}")
        if name in tags:
            raise _refused(f"names its tag {place} a second time")
        tags[name] = value
    tags |= of_key
    if len(tags) > MOST_TAGS:
        raise _refused(f"has more tags than the {MOST_TAGS - len(of_key)} that the key's own leave")
    return dict(sorted(tags.items()))


def _refused(what: str) -> InvalidRequest:
    return InvalidRequest(f"The header 'x-gateway-tags' {what}. {FORM}", param="x-gateway-tags")
