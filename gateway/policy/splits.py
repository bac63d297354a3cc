"""Which conversations teach and which are kept to prove: a fixed split, known from the input alone. Pure.

Nothing else has a say in it: not what else there is, nor when, nor how a row was come by. So packs, training data and
evaluations agree without asking each other, on every machine and for ever.
"""

import hashlib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from gateway.policy.leaks import conversation_id

EVALUATION_SHARE: Final = 0.2


class Split(StrEnum):
    """What a row is for."""

    TRAIN = "train"
    EVALUATION = "evaluation"


def split_of(messages: Sequence[Mapping[str, Any]]) -> Split:
    """Return what a row is for, by how its conversation begins: the longer rows of one hold the answers of the shorter.

    Messages are redacted, as they are kept; the system message, white space and case do not count.
    """
    return Split.EVALUATION if fraction_of(conversation_id(messages)) < EVALUATION_SHARE else Split.TRAIN


def fraction_of(conversation: str) -> float:
    """Return the place of a ``conversation_id`` in [0, 1)."""
    # Hashed once more: ids are hashes, and others may choose rows by them.
    return int.from_bytes(hashlib.sha256(f"held out {conversation}".encode()).digest()[:7], "big") / 2**56
