"""A migrated SQLite database, copied from one that each process makes once: migrating takes longer than most tests."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.store.database import make_sqlite_file, to_async_url
from gateway.store.migrate import migrate


def migrated(url: str) -> str:
    """Bring a SQLite database to head and return its URL: a new one is a copy, one that exists is really migrated."""
    path = Path(url.partition(":///")[2])
    if path.exists():
        migrate(url)
    else:
        make_sqlite_file(to_async_url(url))
        path.write_bytes(_empty())
    return url


@cache
def _empty() -> bytes:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "empty.db"
        migrate(f"sqlite:///{path}")
        return path.read_bytes()
