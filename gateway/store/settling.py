"""Counts what requests came to in the place of what was set aside for them: whoever deletes the hold, once."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, Date, bindparam, case, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.tables import attempts
from gateway.store.tables_keys import budget_holds, key_spend

AT_ONCE: Final = 500
"""Holds that one statement deletes."""
_s, _h = key_spend.c, budget_holds.c


class Charge(NamedTuple):
    """What a request came to; ``unknown``: an attempt of it has no price, so that all that was set aside counts."""

    nanousd: int
    unknown: bool = False


async def settle_holds(connection: AsyncConnection, charges: Mapping[str, Charge]) -> int:
    """Delete holds, and add what their requests came to; return how many were there. Within a transaction."""
    given = {hold_id.replace("-", ""): charge for hold_id, charge in charges.items()}
    groups: dict[tuple[str, date, date], list[int]] = {}
    ids, count = list(charges), 0
    for start in range(0, len(ids), AT_ONCE):
        gone = delete(budget_holds).where(_h.hold_id.in_(ids[start : start + AT_ONCE])).returning(budget_holds)
        for hold in (await connection.execute(gone)).mappings().all():
            charge = given[str(hold["hold_id"]).replace("-", "")]
            spent = max(charge.nanousd, hold["nanousd"]) if charge.unknown else charge.nanousd
            sums = groups.setdefault((hold["key_id"], hold["day"], hold["month"]), [0, 0])
            sums[0] += hold["nanousd"]
            sums[1] += spent
            count += 1
    if groups:
        # In one order on every replica: two that wait for each other's rows would wait for ever.
        rows = [_group(key, *sums) for key, sums in sorted(groups.items())]
        await connection.execute(_SETTLE, rows)
    return count


async def settle_journal(connection: AsyncConnection, journal: str) -> int:
    """Settle every hold of a journal whose rows are all in the database; return how many. Within a transaction.

    A request without rows was never sent.
    """
    holds = (await connection.execute(select(_h.hold_id).where(_h.journal == journal))).scalars().all()
    charges = {str(hold_id): Charge(0) for hold_id in holds}
    row = attempts.c
    for start in range(0, len(holds), AT_ONCE):
        costs = (
            select(row.hold_id, func.sum(row.cost_nanousd), func.count() - func.count(row.cost_nanousd))
            .where(row.hold_id.in_(holds[start : start + AT_ONCE]))
            .group_by(row.hold_id)
        )
        for hold_id, cost, unpriced in await connection.execute(costs):
            charges[str(hold_id)] = Charge(int(cost or 0), bool(unpriced))
    return await settle_holds(connection, charges) if charges else 0


def _group(key: tuple[str, date, date], held: int, spent: int) -> dict[str, Any]:
    return {"of_key": key[0], "of_day": key[1], "of_month": key[2], "was_held": held, "was_spent": spent}


def _settled(window: Any, spent: Any, held: Any, given: str) -> dict[Any, Any]:
    def within(sum_: str) -> Any:
        # Of a window that is over nothing is kept.
        return case((window == bindparam(given, type_=Date), bindparam(sum_, type_=BigInteger)), else_=0)

    return {held.name: held - within("was_held"), spent.name: spent + within("was_spent")}


_SETTLE: Final = (
    update(key_spend)
    .where(_s.key_id == bindparam("of_key"))
    .values(
        _settled(_s.day, _s.day_spent, _s.day_held, "of_day")
        | _settled(_s.month, _s.month_spent, _s.month_held, "of_month")
        | {
            "total_held": _s.total_held - bindparam("was_held"),
            "total_spent": _s.total_spent + bindparam("was_spent"),
        }
    )
)
