"""The SQL by which money is set aside, as each database says it; the present among it, which is the database's own."""

from typing import Final

NOW: Final = {"postgresql": "now()", "sqlite": "'now'"}


def windows_sql(dialect: str, now: str) -> str:
    """Return the query of today and of the month's first day, in UTC."""
    if dialect == "postgresql":
        utc = f"({now} AT TIME ZONE 'UTC')"
        return f"SELECT {utc}::date AS day, date_trunc('month', {utc})::date AS month"
    return f"SELECT date({now}) AS day, date({now}, 'start of month') AS month"


def microseconds_sql(dialect: str, now: str) -> str:
    """Return the present as microseconds since 1970."""
    if dialect == "postgresql":
        return f"(extract(epoch FROM {now}) * 1000000)::bigint"
    return f"CAST(strftime('%s', {now}) AS INTEGER) * 1000000"


def reserve_sql(dialect: str, now: str) -> str:
    """Return the statement that takes if there is room: key, sum, and the limits of day, month and all; in that order.

    In PostgreSQL it also writes the hold: its id, its journal. It returns nothing where there is no room.
    """
    postgres = dialect == "postgresql"
    key, sum_, day, month, total = (
        ("$1::text", *(f"${n}::bigint" for n in range(2, 6))) if postgres else tuple(f"?{n}" for n in range(1, 6))
    )
    windows = []
    for name in ("day", "month"):
        window = f"CASE WHEN k.{name} >= excluded.{name} THEN"
        windows.append(
            f"{name} = CASE WHEN k.{name} >= excluded.{name} THEN k.{name} ELSE excluded.{name} END,"
            f" {name}_spent = {window} k.{name}_spent ELSE 0 END,"
            f" {name}_held = {window} k.{name}_held ELSE 0 END + {sum_}"
        )
    fits = " AND ".join(
        f"CASE WHEN k.{name} >= excluded.{name} THEN k.{name}_spent + k.{name}_held ELSE 0 END + {sum_} <= {limit}"
        for name, limit in (("day", day), ("month", month))
    )
    taken = (
        "INSERT INTO key_spend AS k (key_id, day, day_spent, day_held, month, month_spent, month_held,"
        " total_spent, total_held)"
        f" SELECT {key}, day, 0, {sum_}, month, 0, {sum_}, 0, {sum_} FROM ({windows_sql(dialect, now)}) AS present"
        f" WHERE {sum_} <= {day} AND {sum_} <= {month} AND {sum_} <= {total}"
        f" ON CONFLICT (key_id) DO UPDATE SET {', '.join(windows)}, total_held = k.total_held + {sum_}"
        f" WHERE {fits} AND k.total_spent + k.total_held + {sum_} <= {total}"
        " RETURNING day, month"
    )
    if not postgres:
        return taken
    return (
        f"WITH taken AS ({taken}) INSERT INTO budget_holds (hold_id, key_id, nanousd, day, month, journal, held_at)"
        f" SELECT $6::uuid, {key}, {sum_}, day, month, $7::text, {microseconds_sql(dialect, now)} FROM taken"
        " RETURNING hold_id"
    )


def hold_sql(now: str) -> str:
    """Return SQLite's statement that writes a hold."""
    return (
        "INSERT INTO budget_holds (hold_id, key_id, nanousd, day, month, journal, held_at)"
        f" VALUES (?1, ?2, ?3, ?4, ?5, ?6, {microseconds_sql('sqlite', now)})"
    )
