"""What docs/feedback.md says of fields, answers, limits and metrics is so."""

import json
import re
from pathlib import Path

from gateway.api.feedback import FeedbackGiven, FeedbackTaken
from gateway.cli.metrics_reference import families
from gateway.config.routes_learning import Capture
from gateway.learning.feedback import WAIT_S
from gateway.learning.feedback_given import MOST_COMMENT_CHARS
from gateway.learning.feedback_requests import LEDGER_ROWS
from gateway.policy.splits import EVALUATION_SHARE

TEXT = (Path(__file__).parent.parent / "docs" / "feedback.md").read_text(encoding="utf-8")


def test_its_table_names_every_field() -> None:
    table = TEXT[TEXT.index("| field | |") : TEXT.index("One of `label`")]
    rows = [row for row in table.splitlines()[2:] if row.startswith("|")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == set(FeedbackGiven.model_fields)


def test_its_example_is_an_answer() -> None:
    example = json.loads(TEXT.split("```json\n")[1].split("```")[0])
    assert FeedbackTaken.model_validate(example).model_dump() == example
    assert example.keys() == FeedbackTaken.model_fields.keys()


def test_its_request_is_taken() -> None:
    sent = json.loads(re.findall(r"-d '(\{.*\})'", TEXT)[0])
    assert FeedbackGiven.model_validate(sent).correction


def test_its_figures_are_the_codes() -> None:
    assert f"{MOST_COMMENT_CHARS:,} characters" in TEXT
    assert f"latest {LEDGER_ROWS:,} attempts" in TEXT
    assert f"`capture.max_bytes`, {Capture(share=1).max_bytes:,}" in TEXT
    assert (WAIT_S, "up to two seconds" in TEXT) == (2.0, True)
    assert (EVALUATION_SHARE, "one in five" in TEXT) == (0.2, True)


def test_the_metrics_it_names_are_there() -> None:
    assert set(re.findall(r"gateway_[a-z_]+(?=\{)", TEXT)) <= {family.name for family in families()}
