"""The frozen values of what routes.yaml says of prices."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

TierWord = Literal["flex", "priority", "batch", "ultrafast"]
"""Service tiers that have prices of their own, as answers name them; batch is what `gateway record --batch` uses."""
UsdPer1M = Annotated[Decimal, Field(ge=0)]


class TokenPrices(BaseModel):
    """Text in US dollars per million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_usd_per_1m: UsdPer1M
    output_usd_per_1m: UsdPer1M
    cached_input_usd_per_1m: UsdPer1M | None = None
    """None: cached input costs what other input costs; in a tier, no more than at the standard price."""
    cache_write_usd_per_1m: UsdPer1M | None = None
    """None: input that is written to the cache costs what other input costs."""


class LongContextPrices(TokenPrices):
    """What the whole request costs once its input is larger."""

    tokens: int = Field(gt=0)
    """More input than this."""


class ModelPrice(TokenPrices):
    """What the operator pays for a model; a part without a price of its own costs as the rest."""

    reasoning_usd_per_1m: UsdPer1M | None = None
    audio_input_usd_per_1m: UsdPer1M | None = None
    audio_output_usd_per_1m: UsdPer1M | None = None
    image_input_usd_per_1m: UsdPer1M | None = None
    image_output_usd_per_1m: UsdPer1M | None = None
    training_usd_per_1m: UsdPer1M | None = None
    """What a job on this base costs per million tokens that it trains on, each epoch counted."""
    tiers: Mapping[TierWord, TokenPrices] = Field(default_factory=dict)
    above: LongContextPrices | None = None
    source: str
