"""LiteLLM's deployments as targets of routes.yaml: account, model, base, price, limits. Pure but for notes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from gateway.config.model_ids import base_of, embeds
from gateway.config.yaml_source import Node
from gateway.lifecycle.litellm_accounts import Account, Accounts
from gateway.lifecycle.litellm_config import Deployment, LitellmConfig
from gateway.lifecycle.litellm_kinds import SERVED
from gateway.lifecycle.litellm_notes import Notes
from gateway.lifecycle.litellm_values import Values

_ENDPOINTS: Final = {
    "chat": "chat_completions",
    "completion": "completions",
    "responses": "responses",
    "embedding": "embeddings",
    "image_generation": "images",
    "image_edit": "images",
    "audio_speech": "speech",
    "audio_transcription": "transcriptions",
    "moderation": "moderations",
}
"""By LiteLLM's ``mode``; the others have no endpoint here."""
_PER_MILLION: Final = 1_000_000
_MOST_USD: Final = 1_000_000_000
_MOST_PLACES: Final = Decimal("0.000000001")
_DEFAULTS: Final = (
    "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "presence_penalty", "frequency_penalty",
    "n", "dimensions", "reasoning_effort", "verbosity", "service_tier",
)  # fmt: skip
_TUNED: Final = re.compile(r"(?:^|[^a-z])(?:ft|tuned|finetuned?)(?:[^a-z]|$)", re.IGNORECASE)
_WORD: Final = re.compile(r"[a-z_]{1,20}")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens."""

    input_usd: Decimal
    output_usd: Decimal
    cached_usd: Decimal | None


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits in seconds; None: the gateway's own."""

    answer_s: Decimal | None
    silence_s: Decimal | None

    def timeouts(self) -> dict[str, Decimal]:
        """Return what routes.yaml says to the same effect."""
        silence = self.silence_s or self.answer_s
        answer = max(self.answer_s, self.silence_s or self.answer_s) if self.answer_s else None
        if answer is None and silence is not None and silence > 600:
            answer = silence
        found = {"first_token_s": silence, "idle_s": silence, "total_s": answer}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Reached:
    """A deployment that can be called from here."""

    deployment: Deployment
    account: Account
    model: str
    base: str | None
    price: Price | None
    limits: Limits
    defaults: tuple[tuple[str, str], ...]
    """Parameters that LiteLLM adds where callers send none, with their values as JSON."""
    vectors: bool
    """Whether it makes vectors."""

    @property
    def is_fine_tune(self) -> bool:
        """Whether it looks like one: by its id, or by a base of another name; Azure's deployments all have that."""
        if self.account.vendor.names_deployments:
            return _TUNED.search(self.model) is not None
        return base_of(self.model) is not None or self.base is not None

    @property
    def identity(self) -> str | None:
        """The model that answers, as far as it is known; a deployment's name says nothing."""
        if self.base is None and self.account.vendor.names_deployments:
            return None
        return (self.base or self.model).rpartition("/")[2].lower()


def reach(config: LitellmConfig, notes: Notes) -> dict[str, tuple[Reached, ...]]:
    """Return who can be called under each name, whom LiteLLM prefers first."""
    refresh = config.settings.get("enable_azure_ad_token_refresh")
    accounts = Accounts(config.values, notes, refresh is not None and refresh.value is True)
    reader = _Reader(config.values, accounts, notes)
    reached = {}
    for name, deployments in config.groups.items():
        ordered = sorted(deployments, key=reader.preference)
        reached[name] = tuple(found for found in map(reader.read, ordered) if found is not None)
    return reached


@dataclass(frozen=True, slots=True)
class _Reader:
    values: Values
    accounts: Accounts
    notes: Notes

    def preference(self, deployment: Deployment) -> tuple[Decimal, Decimal]:
        order = self.values.number(deployment.params.get("order") or deployment.info.get("order"))
        shares = (self.values.number(deployment.params.get(name)) for name in ("weight", "rpm", "tpm"))
        share = next((share for share in shares if share is not None), Decimal(0))
        return (Decimal(10**6) if order is None else order, -share)

    def read(self, deployment: Deployment) -> Reached | None:
        if (blocked := deployment.info.get("blocked")) is not None and blocked.value is True:
            self.notes.missing("blocked", "a deployment that is paused is left out", deployment.at)
            return None
        found = self.accounts.of(deployment)
        if found is None or not found[1]:
            return None
        account, model = found
        base = self._base(deployment, account, model)
        mode = self.values.text(deployment.info.get("mode"))
        if mode is not None and not self._has_endpoint(mode, account, deployment.at):
            return None
        if base is None and account.vendor.names_deployments:
            self.notes.open(
                "base",
                "a deployment's name does not tell its model: with `base`, its dates and prices are known",
                deployment.at,
            )
        return Reached(
            deployment=deployment,
            account=account,
            model=model,
            base=base,
            price=self._price(deployment),
            limits=Limits(
                self.values.seconds(deployment.params.get("timeout")),
                self.values.seconds(deployment.params.get("stream_timeout")),
            ),
            defaults=tuple(self._defaults(deployment.params)),
            vectors=mode == "embedding" or (mode is None and embeds(model, base)),
        )

    def _has_endpoint(self, mode: str, account: Account, at: Node) -> bool:
        endpoint = _ENDPOINTS.get(mode)
        if endpoint is None:
            word = mode if _WORD.fullmatch(mode) else "this mode"
            self.notes.missing(f"mode: {word}", "there is no such endpoint here; left out", at)
        elif not account.vendor.serves(endpoint):
            self.notes.missing(f"mode: {mode}", f"kind {account.kind} has no endpoint for it here; left out", at)
            return False
        return endpoint is not None

    def _base(self, deployment: Deployment, account: Account, model: str) -> str | None:
        base = self.values.text(deployment.info.get("base_model") or deployment.params.get("base_model"))
        if base is None or base_of(model) is not None:
            return None
        prefix, slash, rest = base.partition("/")
        if slash and prefix in SERVED:
            # LiteLLM's list has Azure's models as azure/eu/MODEL, too.
            base = rest.rpartition("/")[2] if account.kind == "azure" else rest
        return base if base and (base != model or account.vendor.names_deployments) else None

    def _price(self, deployment: Deployment) -> Price | None:
        found = {}
        for side in ("input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost"):
            node = deployment.params.get(side) or deployment.info.get(side)
            number = self.values.number(node)
            if number is not None and 0 <= number * _PER_MILLION <= _MOST_USD:
                usd = number * _PER_MILLION
                # Written as a fraction of a token's price in binary: what lies beyond nano-dollars is its dust.
                found[side] = usd.quantize(_MOST_PLACES) if usd else Decimal(0)
            elif node is not None:
                self.notes.missing(side, "is no price that can be read; left out", node)
        paid = found.get("input_cost_per_token")
        if paid is None:
            return None
        return Price(paid, found.get("output_cost_per_token", Decimal(0)), found.get("cache_read_input_token_cost"))

    def _defaults(self, params: Mapping[str, Node]) -> Iterable[tuple[str, str]]:
        for name in _DEFAULTS:
            node = params.get(name)
            if node is None or node.value is None:
                continue
            number, text = self.values.number(node), self.values.text(node)
            if number is not None:
                yield name, f"{number:f}"
            elif text is not None and _WORD.fullmatch(text):
                yield name, text
            else:
                continue
            self.notes.missing(
                f"litellm_params.{name}",
                "LiteLLM adds it where callers send none; `parameters: {set: …}` overrules them. A comment shows it",
                node,
            )
