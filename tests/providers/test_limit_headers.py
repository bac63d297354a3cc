import pytest

from gateway.config.vendors import VENDORS
from gateway.providers.limit_headers import HEADERS, read_limits

OPENAI = ((b"x-ratelimit-limit-requests", b"10000"), (b"x-ratelimit-limit-tokens", b"2000000"))


def test_every_row_is_of_a_kind_that_there_is() -> None:
    assert HEADERS.keys() <= VENDORS.keys()


@pytest.mark.parametrize(
    ("kind", "headers", "limits"),
    [
        pytest.param("openai", OPENAI, (10_000, 2_000_000), id="OpenAI: both by the minute"),
        pytest.param("groq", OPENAI, (None, 2_000_000), id="Groq: its requests are by the day"),
        pytest.param("azure", OPENAI, (None, 2_000_000), id="Azure: tokens only"),
        pytest.param(
            "mistral",
            ((b"x-ratelimit-limit-req-minute", b"720"), (b"x-ratelimit-limit-tokens-minute", b"5000000"), *OPENAI),
            (720, 5_000_000),
            id="Mistral: its own names",
        ),
        pytest.param("openai-compatible", OPENAI, (None, None), id="anybody: nothing is known of what they mean"),
        pytest.param("fireworks", OPENAI, (None, None), id="a vendor whose unit is not settled"),
        pytest.param("openai", (), (None, None), id="no headers"),
        pytest.param("openai", ((b"x-ratelimit-limit-tokens", b"1e6"),), (None, None), id="no whole number"),
        pytest.param("openai", ((b"x-ratelimit-limit-tokens", b"-1"),), (None, None), id="no limit, said so"),
        pytest.param("openai", ((b"x-ratelimit-limit-tokens", b"0"),), (None, None), id="nothing at all"),
        pytest.param("openai", ((b"x-ratelimit-limit-tokens", b"9" * 40),), (None, None), id="absurdly much"),
        pytest.param("openai", ((b"x-ratelimit-limit-tokens", "²".encode()),), (None, None), id="odd digits"),
        pytest.param("openai", (*OPENAI, (OPENAI[1][0], b"7")), (10_000, 7), id="said twice: the last counts"),
    ],
)
def test_what_headers_say(
    kind: str, headers: tuple[tuple[bytes, bytes], ...], limits: tuple[int | None, int | None]
) -> None:
    assert read_limits(kind, headers) == limits
