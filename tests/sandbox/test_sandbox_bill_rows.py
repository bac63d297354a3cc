from decimal import Decimal

import pytest

from gateway.sandbox.bill import Attempt, Bill
from gateway.sandbox.pricing import Price, Usage


@pytest.mark.parametrize(
    ("price", "usage", "cost_nanousd"),
    [
        pytest.param(("0.30", "0.15", "1.20"), Usage(1_000_000, 0, 0), 300_000_000, id="a million fresh input tokens"),
        pytest.param(("0.30", "0.15", "1.20"), Usage(1_000_000, 1_000_000, 0), 150_000_000, id="all of them cached"),
        pytest.param(("1.00", "0.10", "6.00"), Usage(17, 0, 44), 17_000 + 264_000, id="input and output"),
        pytest.param(("0.0005", "0", "0"), Usage(1, 0, 0), 0, id="half a nano-dollar goes to the even 0"),
        pytest.param(("0.0005", "0", "0"), Usage(3, 0, 0), 2, id="one and a half go to the even 2"),
        pytest.param(("0.0005", "0", "0.0001"), Usage(1, 0, 1), 1, id="rounded once, over the sum"),
        pytest.param(("0.30", "0.15", "1.20"), Usage(), 0, id="nothing"),
    ],
)
def test_cost_is_rounded_half_even_once(price: tuple[str, str, str], usage: Usage, cost_nanousd: int) -> None:
    assert Price(*map(Decimal, price)).cost_nanousd(usage) == cost_nanousd


def test_rows_are_read_from_an_index_on() -> None:
    bill = Bill()
    for number in range(5):
        bill.add(Attempt(f"attempt-{number}", "embeddings").row())
    assert [row.attempt_id for row in bill.rows(3)] == ["attempt-3", "attempt-4"]
    assert bill.next_index == 5
    assert bill.rows(9) == []


def test_an_attempt_that_nobody_answered_costs_nothing() -> None:
    row = Attempt("a", "responses", asked="gone", status=404).row()
    assert (row.endpoint, row.served, row.cost_nanousd, row.complete) == ("responses", None, 0, False)
