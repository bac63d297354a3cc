"""Exceptions as litellm raises them, with what they are made of; litellm itself is not needed for them."""

import itertools
from collections.abc import Mapping


class Answer:
    """An HTTP answer, as an HTTP library has it."""

    def __init__(self, status: int, text: str | bytes, headers: Mapping[str, str] | None = None) -> None:
        self.status_code = status
        self.text = text
        self.headers = headers or {}


class UnreadAnswer(Answer):
    """A streamed one whose body nobody read."""

    @property
    def text(self) -> str:  # type: ignore[override]
        raise RuntimeError("Attempted to access streaming response content, without having called `read()`.")

    @text.setter
    def text(self, value: str) -> None:
        pass


class HTTPStatusError(Exception):
    """An HTTP library's."""

    def __init__(self, response: Answer) -> None:
        super().__init__(f"Client error '{response.status_code}'")
        self.response = response


class AnthropicError(Exception):
    """What litellm's code for one vendor raises."""

    def __init__(self, status_code: int, message: str | bytes, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.message = message
        self.headers = headers


class LitellmError(Exception):
    """What litellm raises in the end: a class of its own by what it guesses, a text said three times."""

    def __init__(self, status_code: int, message: str) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.message = message


LitellmError.__module__ = "litellm.exceptions"


class UnsupportedParamsError(LitellmError):
    """A parameter that litellm knows no place for."""


class APIConnectionError(LitellmError):
    """Nobody was reached."""


class Timeout(LitellmError):
    """Nobody answered."""


for _class in (UnsupportedParamsError, APIConnectionError, Timeout):
    _class.__module__ = "litellm.exceptions"


def chained(*errors: BaseException) -> BaseException:
    """The last of these, each raised from the one before it."""
    for cause, error in itertools.pairwise(errors):
        error.__cause__ = cause
    return errors[-1]
