"""What columns are made of, and the one metadata that every table belongs to."""

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import BigInteger, Dialect, MetaData, Text, TypeDecorator

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def microseconds_of(instant: datetime) -> int:
    """Return the microseconds since 1970 of an aware instant. Raises ``TypeError`` for a naive one."""
    return (instant - _EPOCH) // _MICROSECOND


def instant_of(microseconds: int) -> datetime:
    """Return the instant, in UTC."""
    return _EPOCH + microseconds * _MICROSECOND


class Instant(TypeDecorator[datetime]):
    """An aware instant as microseconds since 1970 in UTC: exact, ordered, and the same on every database.

    SQLite has no type for it, and SQLAlchemy's own would lose the zone there.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Raise ``TypeError`` for a naive datetime: nobody knows which instant it is."""
        return None if value is None else microseconds_of(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Return the instant in UTC."""
        return None if value is None else instant_of(value)


class Word(TypeDecorator[str]):
    """One word of ``gateway.reasons``, stored as plain text.

    An enum's member is a str but not exactly one, and sqlite3 then looks for an adapter, which costs more than all the
    rest of binding a row.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the member's own text."""
        return None if value is None else str.__str__(value)


metadata = MetaData()
