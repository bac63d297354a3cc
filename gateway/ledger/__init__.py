"""One row per attempt: priced, queued, written behind the response."""
