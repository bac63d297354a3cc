"""Whether the model that answered is the model that was asked for."""

import re
from typing import Final

from gateway.config.vendors import VENDORS

# What names a snapshot behind an alias: -2024-07-18, -20240718, -0613 (month and day), -2411 (year and month).
_MONTH, _DAY = r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_SNAPSHOT = re.compile(rf"-(?:20\d\d-{_MONTH}-{_DAY}|20\d\d{_MONTH}{_DAY}|{_MONTH}{_DAY}|2\d{_MONTH})")

# Databricks answers with the name of what its endpoint serves, which nothing in the request tells.
_NAMES_NOTHING: Final = frozenset(("databricks",))
# These choose a model themselves: whichever answers is what was asked for.
_ROUTERS: Final = frozenset(("openrouter/auto", "model-router"))
# Not part of a model's name: how OpenRouter is to route it, Ollama's tag for "no tag", a file's format.
_SUFFIX = re.compile(r"(?::(?:free|nitro|floor|online|exacto|extended|thinking|latest)|\.gguf)$")


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


def is_substitute(kind: str, asked: str, answered: str, base: str | None) -> bool:
    """Tell whether another model answered than was asked for, as far as this kind of provider lets one know.

    More lenient than ``same_model``, which prices rely on: providers differ in how they spell one model. ``base`` is
    the target's base model where it is known. Where nothing tells what a deployment holds, nothing is a substitute.
    """
    if kind in _NAMES_NOTHING or asked in _ROUTERS or base in _ROUTERS:
        return False
    if VENDORS[kind].names_deployments:
        # A deployed fine-tune answers as <base>.ft-<id>, or as its base.
        name = answered.partition(".ft-")[0]
        return base is not None and not same_model(asked, answered) and not _same_name(base, name)
    return not _same_name(asked, answered)


def _same_name(asked: str, answered: str) -> bool:
    if same_model(asked, answered):
        return True
    asked_by, asked_name = _split(asked)
    answered_by, answered_name = _split(answered)
    # A vendor that only one of them names is no contradiction: routers answer as vendor/model.
    if asked_by and answered_by and asked_by != answered_by:
        return False
    return same_model(asked_name, answered_name)


def _split(model: str) -> tuple[str, str]:
    """Return whom an id is said to be by, and the name alone, in lower case, without what names no model.

    ``accounts/acme/models/x#accounts/acme/deployments/y`` (Fireworks) is x by accounts/acme/models; a path on a
    server's disk says nothing of a vendor.
    """
    plain = _SUFFIX.sub("", model.lower().partition("#")[0])
    by, _, name = plain.rpartition("/")
    return ("" if by.startswith(("/", ".")) else by), name
