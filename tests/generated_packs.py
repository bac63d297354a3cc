"""Training rows by the number, and packs of them."""

from random import Random
from typing import Any

import orjson

from gateway.learning.capture.redaction import Redactor
from gateway.learning.packs.building import Built, Settings, build
from gateway.learning.packs.rows import Source
from gateway.learning.packs.training_rows import read_rows

REDACTOR = Redactor(("email", "phone", "card"), {"order": r"ORD-\d{6}"})
SYSTEM = "You sort tickets of Acme."
LABELS = ("billing", "shipping", "returns")


def rows_of(count: int, *, seed: int = 7) -> list[dict[str, Any]]:
    """Generate training rows, each with an address of its own; one in eleven says what another says."""
    random, rows = Random(seed), list[dict[str, Any]]()
    words = [f"word{at}" for at in range(40 + count // 4)]
    for at in range(count):
        asked = f"Ticket {at} of jane.doe{at}@example.com: {' '.join(random.choices(words, k=random.randint(5, 40)))}"
        answer = random.choice(LABELS)
        messages = [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": asked},
            {"role": "assistant", "content": answer},
        ]
        rows.append({"messages": messages} if at % 11 != 10 else rows[random.randrange(at)])
    return rows


def source(rows: list[dict[str, Any]], label: str = "t.jsonl") -> Source:
    read = read_rows(b"\n".join(map(orjson.dumps, rows)), label)
    return Source(read.label, read.rows)


def built(rows: list[dict[str, Any]], **settings: Any) -> Built:
    return build([source(rows)], Settings("triage", **settings), REDACTOR)


def pair(asked: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}], **more}
