from gateway.execution.retry_budget import MOST, RetryBudget


def retries_of(budget: RetryBudget, requests: int) -> int:
    """Return how many of these requests, all failing, may be sent again."""
    retries = 0
    for _ in range(requests):
        budget.deposit()
        if budget.left():
            budget.withdraw()
            retries += 1
    return retries


def test_a_few_are_there_from_the_start() -> None:
    assert retries_of(RetryBudget(), 5) == 5


def test_a_storm_is_never_doubled() -> None:
    budget = RetryBudget()
    retries_of(budget, 100)
    # What was saved up is spent: from here on a tenth.
    assert retries_of(budget, 1000) in range(99, 102)


def test_quiet_times_save_up_no_more_than_the_most() -> None:
    budget = RetryBudget()
    for _ in range(10_000):
        budget.deposit()
    retries = 0
    while budget.left():
        budget.withdraw()
        retries += 1
    assert retries in (int(MOST), int(MOST) - 1)
