"""What the review says: how far it is, what a mark will be for, and what came of one."""

import shlex
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from gateway.learning.datasets.building import FLOOR, START
from gateway.policy.splits import Split
from gateway.reasons import Label
from gateway.store.feedback import FeedbackCount
from gateway.store.review import Mark, ReviewCount

NOBODY: Final = ReviewCount(0, 0, 0, 0)
NOTHING: Final = FeedbackCount(0, 0, 0, 0, 0)


class Did(StrEnum):
    """What came of a form."""

    TRAINS = "trains"
    PAIRED = "paired"
    KEPT = "kept"
    WRONG = "wrong"
    NO_ROW = "no_row"


NOTICES: Final[Mapping[Did, str]] = {
    Did.TRAINS: "Saved as right: it becomes a training row.",
    Did.PAIRED: "Saved: it becomes a training row and a preference pair.",
    Did.KEPT: "Saved: it is kept for evaluation, and never trained on.",
    Did.WRONG: "Saved as wrong. Without a better answer it becomes no row.",
    Did.NO_ROW: "Saved; it becomes no row.",
}


def lead_of(count: ReviewCount, routes: int) -> str:
    """Say how many answers are marked, and how many of those have a better one."""
    if not count.rows:
        return ""
    of_routes = f" of {routes:,} routes" if routes > 1 else ""
    if count.rows == 1:
        marked = "The one answer is marked" if count.marked else "The one answer is not marked"
    elif count.marked == count.rows:
        marked = f"All {count.rows:,} answers{of_routes} are marked"
    else:
        marked = f"{count.marked:,} of {count.rows:,} answers{of_routes} are marked"
    return f"{marked}, {count.corrected:,} with a better answer." if count.corrected else f"{marked}."


def progress_of(said: FeedbackCount) -> str:
    """Say how many rows the marks of a route make, and how many are enough."""
    kept = f"; {said.evaluation:,} kept for evaluation" if said.evaluation else ""
    rows = f"{said.train:,} {'row' if said.train == 1 else 'rows'} to train on"
    if said.train >= START:
        return f"{rows}: enough for a start{kept}."
    if said.train >= FLOOR:
        return f"{rows}: past the floor of {FLOOR}, {START - said.train:,} short of a start{kept}."
    return f"{rows}: {FLOOR - said.train:,} short of the floor of {FLOOR}; {START} are a start{kept}."


def next_command(route: str, said: FeedbackCount) -> str:
    """Return what makes a data set of the marks of a route; nothing where they are too few."""
    return f"gateway dataset build {shlex.quote(route)}" if said.train >= FLOOR else ""


def mark_words(mark: Mark | None) -> str:
    """Say what was said of an answer; nothing where nothing was."""
    if mark is None or mark.label is None:
        return ""
    return "wrong, corrected" if mark.correction is not None else mark.label.value


def purpose_of(split: Split) -> Mapping[Label, str]:
    """Say what a mark will be for, by its label."""
    if split is Split.EVALUATION:
        kept = "is kept for evaluation, and never trained on"
        return {Label.RIGHT: kept, Label.WRONG: f"{kept}; without a better answer it becomes no row"}
    return {
        Label.RIGHT: "becomes a training row",
        Label.WRONG: "with a better answer, becomes a training row and a preference pair; without one, no row",
    }
