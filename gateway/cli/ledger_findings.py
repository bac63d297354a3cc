"""What is wrong with a ledger that was looked at, each thing with what to do about it."""

from typing import Final

from gateway.cli.ledger_seen import DatabaseSeen, Seen
from gateway.ledger.journals_seen import RootSeen
from gateway.lifecycle.report_words import lacks_totals

_NEAR_FULL: Final = 0.8


def findings_of(seen: Seen) -> list[str]:
    """Return what needs a person."""
    return [*_of_database(seen.database), *_of_journals(seen), *_of_root(seen.root)]


def _of_database(database: DatabaseSeen) -> list[str]:
    if database.lacks is not None:
        return [f"{database.place}: {database.lacks}"]
    holding = database.holding
    if holding is None or holding.first_at is None or not holding.lacks_totals:
        return []
    return [lacks_totals(holding.first_at)]


def _of_journals(seen: Seen) -> list[str]:
    found = []
    dead = sum(journal.bytes for journal in seen.root.journals if not journal.live and seen.is_mine(journal))
    for journal in seen.root.journals:
        if not seen.is_mine(journal):
            if not journal.live:
                found.append(
                    f"journal {journal.name}: its process is gone, and its rows go to "
                    f"{journal.database or 'nobody knows where'}: start a gateway with that database and this journal "
                    "directory, and it brings them there"
                )
        elif journal.live and journal.bytes + dead >= _NEAR_FULL * seen.limit:
            found.append(
                f"journal {journal.name}: {(journal.bytes + dead) / seen.limit:.0%} full; at 95 % its gateway is "
                "not ready, at 100 % it refuses requests: bring the database back, or raise journal_mib in routes.yaml"
            )
        elif not journal.live and (waits := seen.waiting.get(journal.name)) and (waits.since or not waits.known):
            found.append(
                f"journal {journal.name}: its process is gone and left rows behind; any gateway with this database and "
                "journal directory takes them up within 30 s: start one"
            )
    return found


def _of_root(root: RootSeen) -> list[str]:
    found = []
    if root.damaged:
        found.append(
            f"{len(root.damaged)} damaged segment{'s were' if len(root.damaged) > 1 else ' was'} kept, "
            f"{', '.join(path.name for path in root.damaged[:3])}: every record that can be read is in the ledger; "
            "`gateway ledger verify` says where the others were. Look at the disk, then remove the file"
        )
    if root.refused:
        found.append(
            f"the database refused {root.refused:,} row{'s' * (root.refused > 1)} for their own sake: they are in "
            f"{root.root / 'refused.jsonl'}, each with its reason. Please report it, and remove the file when done"
        )
    return found
