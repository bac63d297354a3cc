"""What a base model's dates say of the models that were trained from it. Pure."""

from dataclasses import replace
from datetime import timedelta

from gateway.config.vendors import VENDORS, FineTuneRule
from gateway.policy.lifecycle import Dates

SERVED_AFTER_TRAINING = timedelta(days=365)
DERIVED = "fine-tunes: training end + 365 days"


def rule_of(kind: str) -> FineTuneRule:
    """Return a vendor's rule; ``with_base`` for vendors that we know no rule of."""
    vendor = VENDORS.get(kind)
    return vendor.fine_tune_rule if vendor else "with_base"


def of_fine_tunes(base: str, dates: Dates, rule: FineTuneRule) -> Dates | None:
    """Turn a base's own dates into those of its fine-tunes; None where they say nothing of them.

    Training ends on the base's last training day, else with the base itself.
    """
    if rule == "own":
        return None
    inherited = replace(dates, inherited_from=base)
    if rule == "with_base":
        return inherited
    end = dates.last_training_day or dates.shutdown
    if end is None:
        return inherited
    return replace(inherited, shutdown=end + SERVED_AFTER_TRAINING, source=f"{dates.source}; {DERIVED}")
