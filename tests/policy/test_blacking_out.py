import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.blacking_out import BLACKED_OUT, without

SECRET = "sk-proj/8f3kQ+x=9Lm2Vt71"


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(SECRET, id="as it is"),
        pytest.param(f"Bearer {SECRET}.", id="in a header"),
        pytest.param(SECRET.encode().hex(), id="in hex"),
        pytest.param(SECRET.encode().hex().upper(), id="in HEX"),
        pytest.param(quote(SECRET, safe=""), id="in a URL"),
        pytest.param(json.dumps({"authorization": f"Bearer {SECRET}"}), id="in JSON"),
        pytest.param(f"Incorrect API key provided: {SECRET[:-3]}", id="cut off at the text's end"),
    ],
)
def test_a_secret_in_any_form(shown: str) -> None:
    said = without(f"<{shown}", SECRET)
    assert BLACKED_OUT in said
    assert SECRET[:10] not in said
    assert SECRET.encode().hex()[:20] not in said.lower()


@given(st.binary(max_size=7), st.binary(max_size=7), st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]))
def test_nor_is_it_left_in_base64_behind_anything(before: bytes, behind: bytes, encode: object) -> None:
    said = without(encode(before + SECRET.encode() + behind).decode(), SECRET)  # type: ignore[operator]
    assert BLACKED_OUT in said
    assert len(said) - len(BLACKED_OUT) <= (len(before) + len(behind)) * 4 // 3 + 8


@given(st.text(max_size=200))
def test_other_words_stay_as_they_are(text: str) -> None:
    assert without(text, SECRET) == text or SECRET[:8] in text


def test_without_a_secret_nothing_is_taken_out() -> None:
    assert without("anything", "") == "anything"
