"""What a batch costs: what a source says of it, else half."""

from decimal import Decimal

from gateway.learning.recordings.batch_answers import in_a_batch
from gateway.policy.pricing import LongContext, PartRates, Price, Rates, Usage, cost_nanousd

USAGE = Usage(1000, 400, 100, 50, 20, 30)
STANDARD = Price(
    Decimal(80),
    Decimal(20),
    Decimal(320),
    "routes:0123",
    "a contract",
    cache_write=Decimal(100),
    parts=PartRates(reasoning=Decimal(400), input_audio=Decimal(1000)),
    above=LongContext(2000, Rates(Decimal(160), Decimal(40), Decimal(480))),
)
LONG = Usage(3000, output_tokens=10)


def test_the_price_in_a_batch_is_the_sources_own_where_it_has_one() -> None:
    known = Price(
        Decimal(80),
        Decimal(20),
        Decimal(320),
        "litellm-1",
        "a page",
        tiers={"batch": Rates(*map(Decimal, (41, 9, 161)))},
    )
    found = in_a_batch(known)
    assert found is not None
    assert (found.version, found.source) == ("litellm-1", "a page")
    assert cost_nanousd(found, USAGE) == cost_nanousd(known, USAGE, "batch") == 600 * 41 + 400 * 9 + 50 * 161


def test_otherwise_it_is_half_in_all_its_parts_and_says_so() -> None:
    found = in_a_batch(STANDARD)
    assert found is not None
    assert found.version == "routes:0123-batch"
    assert cost_nanousd(found, USAGE) * 2 == cost_nanousd(STANDARD, USAGE)
    assert cost_nanousd(found, LONG) * 2 == cost_nanousd(STANDARD, LONG)
    assert cost_nanousd(STANDARD, LONG) == 3000 * 160 + 10 * 480


def test_what_has_no_price_has_none_in_a_batch() -> None:
    assert in_a_batch(None) is None
