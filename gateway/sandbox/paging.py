"""Lists that are read a page at a time, as OpenAI's jobs, files and batches are."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.sandbox.refusals import ProviderError, openai_error, out_of_range

Query = Mapping[str, Sequence[str]]


def page(
    rows: Sequence[dict[str, Any]], query: Query, usual: int, most: int, refusal: Callable[[str], ProviderError]
) -> dict[str, Any]:
    """Return the rows behind ``after``, at most ``limit`` of them.

    Raises:
        ProviderError: the limit is none, or there is no row to begin behind: then ``refusal`` of its id.
    """
    written = query.get("limit", [str(usual)])[0]
    if not (written.isascii() and written.isdigit()):
        raise openai_error(400, f"Invalid 'limit': expected an integer, but got {written!r}.", param="limit")
    limit = int(written)
    if not 1 <= limit <= most:
        raise out_of_range("limit", "integer", 1 if limit < 1 else most, limit)
    start = 0
    if after := query.get("after", [""])[0]:
        start = next((place for place, row in enumerate(rows, 1) if row["id"] == after), 0)
        if not start:
            raise refusal(after)
    shown = list(rows[start : start + limit])
    return {
        "object": "list",
        "data": shown,
        "has_more": start + limit < len(rows),
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
    }
