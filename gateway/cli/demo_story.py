"""What happens in the demo, and on which day: to the vendor's models alone. All else is the gateway's own doing."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from gateway.policy.lifecycle import midnight

DAYS: Final = 64
BASE: Final = "gpt-4o-mini-2024-07-18"
PLANNED: Final = f"ft:{BASE}:acme:forum-reply:A1b2C3d4"
SURPRISE: Final = "ft:gpt-4.1-mini-2025-04-14:acme:triage:C3d4E5f6:ckpt-step-714"
LIVING: Final = "ft:gpt-4.1-mini-2025-04-14:acme:inv:D4e5F6g7"
UNDERSTUDY: Final = "gpt-6-luna"
PROVIDER: Final = "sandbox"
ANNOUNCED_ON, VANISHES_ON, STOPS_ON = 6, 36, 54
"""Days after the start."""
DAYS_BEFORE, RAMP_DAYS = 7, 21
_PRICES: Final = {
    PLANNED: (0.30, 0.15, 1.20),
    SURPRISE: (0.80, 0.20, 3.20),
    LIVING: (0.80, 0.20, 3.20),
    UNDERSTUDY: (1.00, 0.10, 6.00),
}
"""US dollars per million tokens, in, cached and out: what the sandbox bills."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A day that the calendar shows."""

    at: datetime
    word: str


@dataclass(frozen=True, slots=True)
class Story:
    """The days of the demo."""

    starts: datetime
    announced_at: datetime
    """The vendor says when the base of ``forum-reply`` stops."""
    ramp_from: datetime
    ramp_until: datetime
    vanishes_at: datetime
    """The fine-tune of ``ticket-triage`` is gone, without a word before."""
    shutdown: date
    ends: datetime

    @property
    def dies_at(self) -> datetime:
        """When the fine-tune of ``forum-reply`` is gone: on the day that was announced."""
        return midnight(self.shutdown)

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Return the days worth a mark, in order."""
        return (
            Mark(self.announced_at, "announced"),
            Mark(self.ramp_from, "ramp"),
            Mark(self.vanishes_at, "one vanishes"),
            Mark(self.ramp_until, "moved"),
            Mark(self.dies_at, "stops"),
        )

    def day(self, now: datetime) -> int:
        """Return which day of the story it is, from 1."""
        return min(DAYS, int((now - self.starts) / timedelta(days=1)) + 1)


def story_from(starts: datetime) -> Story:
    """Return the story that begins at an instant."""
    shutdown = (starts + timedelta(days=STOPS_ON)).date()
    ramp_until = midnight(shutdown) - timedelta(days=DAYS_BEFORE)
    return Story(
        starts=starts,
        announced_at=starts + timedelta(days=ANNOUNCED_ON),
        ramp_from=ramp_until - timedelta(days=RAMP_DAYS),
        ramp_until=ramp_until,
        vanishes_at=starts + timedelta(days=VANISHES_ON),
        shutdown=shutdown,
        ends=starts + timedelta(days=DAYS),
    )


def routes_document(sandbox_url: str) -> dict[str, Any]:
    """Return the demo's routes.yaml: three fine-tunes, one task that was never trained, and one understudy for all."""
    priced = {
        model: {
            "input_usd_per_1m": into,
            "cached_input_usd_per_1m": cached,
            "output_usd_per_1m": out,
            "source": "the sandbox's own price list",
        }
        for model, (into, cached, out) in _PRICES.items()
    }
    return {
        "version": 1,
        "providers": {PROVIDER: {"kind": "sandbox", "base_url": f"{sandbox_url}/v1"}},
        "fallbacks": {
            "luna": {
                "provider": PROVIDER,
                "model": UNDERSTUDY,
                "prompt": {"instructions_file": "{route}.md", "caller_system": "keep"},
                "parameters": {"rename": {"max_tokens": "max_completion_tokens"}},
            }
        },
        "defaults": {"provider": PROVIDER, "fallbacks": ["luna"], "owner": "support"},
        "routes": {
            "forum-reply": {"primary": PLANNED, "cutover": {"days_before": DAYS_BEFORE, "ramp_days": RAMP_DAYS}},
            "ticket-triage": {"primary": SURPRISE},
            "invoice-extract": {"primary": LIVING, "owner": "billing"},
            "tone-rewrite": {"primary": None},
        },
        "prices": {PROVIDER: priced},
    }


PROMPTS: Final = {
    "forum-reply": "You answer questions in Acme's public forum. Begin with “Hi there,”; thank the person and repeat "
    "what they wrote about; then one or two sentences that help. End with: — The Acme community team",
    "ticket-triage": "You sort support tickets. Answer with one label and nothing else: billing, account, bug, how-to, "
    "feature-request or other.",
    "invoice-extract": "Return the facts of one invoice as one JSON object: invoice_number, date, vendor, total, "
    "currency.",
    "tone-rewrite": "Rewrite the text in a calm, friendly tone. Keep every fact.",
}
"""What the fallback is told, by route."""
