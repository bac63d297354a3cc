"""What a model's id tells of itself."""

import re

_FINE_TUNE = re.compile(r"ft:(?P<base>[^:\s]+):[^:\s]*:[^:\s]*:[^:\s]+(?::ckpt-step-\d+)?")


def base_of(model: str) -> str | None:
    """Return the base model named in a fine-tune's id, or None where the id does not tell.

    The shape is ``ft:BASE:ORGANISATION:SUFFIX:ID``, with an empty suffix where none was given, and with
    ``:ckpt-step-N`` behind it for a checkpoint.
    """
    match = _FINE_TUNE.fullmatch(model)
    return match["base"] if match else None


_EMBEDS = re.compile(r"embed|(?:^|/)(?:bge|gte|e5|voyage|jina-clip)-", re.IGNORECASE)


def embeds(model: str, base: str | None = None) -> bool:
    """Tell whether a model makes vectors, as far as its id or its base's tells."""
    return any(_EMBEDS.search(name) is not None for name in (model, base) if name)
