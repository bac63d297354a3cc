"""How many retries the traffic may pay for: one for every ten requests, so that a storm is never doubled."""

SHARE = 0.1
MOST = 10.0


class RetryBudget:
    """Every request pays in a tenth of a retry; a few are saved up for quiet times."""

    def __init__(self) -> None:
        self._saved = MOST

    def deposit(self) -> None:
        """Note a request."""
        if self._saved < MOST:
            self._saved += SHARE

    def left(self) -> bool:
        """Tell whether a retry may be made."""
        return self._saved >= 1.0

    def withdraw(self) -> None:
        """Note a retry."""
        self._saved -= 1.0
