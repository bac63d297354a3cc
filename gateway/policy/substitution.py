"""Whether the model that answered is the model that was asked for."""

import re

# What names a snapshot behind an alias: -2024-07-18, -20240718, -0613 (month and day), -2411 (year and month).
_MONTH, _DAY = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_SNAPSHOT = re.compile(rf"-(?:20\d\d-{_MONTH}-{_DAY}|20\d\d{_MONTH}{_DAY}|{_MONTH}{_DAY}|2\d{_MONTH})")


def same_model(asked: str, answered: str, *, answers_as: str | None = None) -> bool:
    """Tell whether ``answered`` names the model ``asked`` for: the same id, or a snapshot of the alias.

    ``answers_as`` is the name that the target is known to answer with, for providers whose models are deployments with
    names of their own (Azure). Never pass the base of a fine-tune elsewhere: a base that answers is a substitution.
    """
    if answered == asked:
        return True
    if asked.startswith("ft:"):
        same = answered.lower() == asked.lower()
    else:
        alias = asked.removesuffix("-latest")
        same = answered.startswith(alias) and _SNAPSHOT.fullmatch(answered, len(alias)) is not None
    return same or (answers_as is not None and same_model(answers_as, answered))
