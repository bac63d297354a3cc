"""Whether an answer's words keep what its route promises of it."""

import jsonschema_rs
import pytest

from gateway.execution.contract import MOST_CHARS, breaks_contract
from gateway.execution.endpoints.responses import Responses

CHECKER = jsonschema_rs.validator_for({"type": "object", "required": ["total"]})
KEPT, BROKEN = '{"total": 5}', '{"sum": 5}'


@pytest.mark.parametrize(
    ("texts", "broken"),
    [
        pytest.param([KEPT], False, id="kept"),
        pytest.param([KEPT, KEPT], False, id="kept by each of several choices"),
        pytest.param([KEPT, BROKEN, KEPT], True, id="broken by one of several choices"),
        pytest.param(["Five."], True, id="no JSON"),
        pytest.param([""], True, id="an empty text is no JSON either"),
        pytest.param(["[" * 5_000], True, id="a depth that nobody reads"),
        pytest.param(['{"total": 1e999}'], True, id="a number that nobody reads"),
        pytest.param([], None, id="nothing in words, such as a call of a tool"),
        pytest.param(["x" * (MOST_CHARS + 1)], None, id="more than anybody looks at"),
        pytest.param([KEPT, "x" * (MOST_CHARS + 1)], None, id="kept by the one of two choices that was looked at"),
        pytest.param(["x" * (MOST_CHARS + 1), BROKEN], True, id="broken by the one of two choices that was looked at"),
        pytest.param([KEPT.ljust(MOST_CHARS)], False, id="as much as is looked at"),
    ],
)
def test_an_answer_and_its_contract(texts: list[str], broken: bool | None) -> None:
    assert breaks_contract(CHECKER, texts) is broken


REFUSED = {"type": "refusal", "refusal": "I cannot help with that."}


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        pytest.param(
            [{"type": "output_text", "text": '{"total"'}, {"type": "output_text", "text": ": 5}"}], [KEPT], id="parts"
        ),
        pytest.param([REFUSED], [], id="a refusal, which says nothing of it"),
        pytest.param([{"type": "output_text", "text": ""}], [""], id="an empty text"),
        pytest.param([{"text": None}, 5, None], [], id="no parts that anybody knows"),
        pytest.param("5", [], id="no list"),
    ],
)
def test_what_a_response_says(content: object, texts: list[str]) -> None:
    answer = {"output": [{"type": "message", "content": content}, {"type": "function_call", "arguments": "{}"}, 5]}
    assert Responses().texts(answer) == texts
