"""The shape of what routes.yaml says of prices."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field, StrictInt

from gateway.config.schema_types import Entry, Text, Usd


class TokenPricesEntry(Entry):
    """What text costs in a service tier, in US dollars per million tokens."""

    input_usd_per_1m: Usd = Field(description="Input tokens.", examples=[Decimal("0.40")])
    cached_input_usd_per_1m: Usd | None = Field(
        None,
        description="Input tokens read from the cache; as at the standard price by default, but no more than input.",
        examples=[Decimal("0.10")],
    )
    output_usd_per_1m: Usd = Field(description="Output tokens.", examples=[Decimal("1.60")])


class TiersEntry(Entry):
    """What a model costs in the tiers that answers name; in others, and in none, what it usually does."""

    flex: TokenPricesEntry | None = Field(None, description="Slower, and cheaper.")
    priority: TokenPricesEntry | None = Field(None, description="Faster, and dearer.")
    ultrafast: TokenPricesEntry | None = Field(None, description="The fastest.")
    batch: TokenPricesEntry | None = Field(None, description="`gateway record --batch`; half the price by default.")


class LongContextEntry(Entry):
    """What a request costs, the whole of it, once its input is longer."""

    tokens: Annotated[StrictInt, Field(gt=0)] = Field(
        description="Of more input tokens than this, cached or not.", examples=[200_000]
    )
    input_usd_per_1m: Usd = Field(description="Input tokens.", examples=[Decimal("1.60")])
    cached_input_usd_per_1m: Usd | None = Field(
        None,
        description="Input tokens read from the cache; as at the standard price by default, but no more than input.",
        examples=[Decimal("0.40")],
    )
    output_usd_per_1m: Usd = Field(description="Output tokens.", examples=[Decimal("4.80")])


class PriceEntry(Entry):
    """What the operator pays for a model, in US dollars per million tokens."""

    input_usd_per_1m: Usd = Field(description="Input tokens.", examples=[Decimal("0.80")])
    cached_input_usd_per_1m: Usd | None = Field(
        None,
        description="Input tokens read from the provider's cache; as other input by default.",
        examples=[Decimal("0.20")],
    )
    cache_write_usd_per_1m: Usd | None = Field(
        None,
        description="Input tokens written to the provider's cache; as other input by default.",
        examples=[Decimal("1.00")],
    )
    output_usd_per_1m: Usd = Field(description="Output tokens.", examples=[Decimal("3.20")])
    reasoning_usd_per_1m: Usd | None = Field(
        None, description="Those of reasoning; as other output by default.", examples=[Decimal("3.20")]
    )
    audio_input_usd_per_1m: Usd | None = Field(
        None, description="Input tokens of sound; as other input by default.", examples=[Decimal("10.00")]
    )
    audio_output_usd_per_1m: Usd | None = Field(
        None, description="Output tokens of sound; as other output by default.", examples=[Decimal("20.00")]
    )
    image_input_usd_per_1m: Usd | None = Field(
        None, description="Input tokens of pictures; as other input by default.", examples=[Decimal("8.00")]
    )
    image_output_usd_per_1m: Usd | None = Field(
        None, description="Output tokens of pictures; as other output by default.", examples=[Decimal("32.00")]
    )
    training_usd_per_1m: Usd | None = Field(
        None,
        description="Tokens that a fine-tuning job on this base trains on, counted once an epoch.",
        examples=[Decimal("5.00")],
    )
    tiers: TiersEntry | None = Field(
        None, description="What it costs where an answer names another service tier than the standard one."
    )
    above: LongContextEntry | None = Field(
        None, description="What a request costs, the whole of it, once its input is longer than `tokens`."
    )
    source: Text = Field(description="Where you know it from.", examples=["the vendor's price list"])
