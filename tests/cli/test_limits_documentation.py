"""docs/limits.md tells of every reason, and its values are those of the code."""

import re
from pathlib import Path

from gateway.cli.protocol_heads import MOST_HEADER_BYTES, MOST_HEADER_LINES, MOST_URL_BYTES
from gateway.cli.protocol_watch import Limits
from gateway.config.settings import Settings
from gateway.reasons import ProtocolRefusal

TEXT = (Path(__file__).parents[2] / "docs" / "limits.md").read_text()
ROWS = [line.split(" | ") for line in TEXT.splitlines() if line.startswith("| ")]


def test_every_reason_is_there_and_no_other() -> None:
    said = {word for row in ROWS for word in re.findall(r"`(\w+)`", row[-1])} - {"reason"}
    assert said == {refusal.value for refusal in ProtocolRefusal}


def test_values_are_those_of_the_code() -> None:
    limits, settings = Limits(), Settings.model_fields
    for value in (
        f"{limits.header_s:g} s",
        f"{limits.body_s:g} s",
        f"{limits.idle_s:g} s",
        f"{limits.write_s:g} s",
        f"{limits.body_bytes_per_s // 1024} KiB/s",
        f"{MOST_URL_BYTES // 1024} KiB",
        f"{MOST_HEADER_BYTES // 1024} KiB",
        str(MOST_HEADER_LINES),
        f"{settings['max_body_bytes'].default >> 20} MiB",
        f"{settings['max_connections'].default:,}",
    ):
        assert any(row[1] == value for row in ROWS), value
    assert (settings["header_s"].default, settings["body_s"].default) == (limits.header_s, limits.body_s)
