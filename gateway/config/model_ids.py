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
