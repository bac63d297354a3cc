"""``/embeddings``: texts in, vectors out. Vectors of two models do not mix; the planner sees to that."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gateway.errors import InvalidRequest
from gateway.execution.endpoints.completions import chars_of
from gateway.execution.endpoints.endpoint import Endpoint, model_of
from gateway.execution.request import Request
from gateway.policy.parameters import adapt

if TYPE_CHECKING:
    from gateway.execution.prepared_target import PreparedTarget


class Embeddings(Endpoint):
    """Never streamed, and without any prompt."""

    name = "embeddings"
    path = "/embeddings"
    lacks = "no data"

    def read(self, body: dict[str, Any]) -> Request:
        """Check model and input."""
        if body.get("input") is None:
            raise InvalidRequest("'input' must be a text, or a list of them.", param="input")
        return Request(self, body, model_of(body))

    def adapt(self, body: dict[str, Any], request: Request, target: "PreparedTarget") -> list[str]:
        """Change the parameters."""
        return adapt(body, target.target.parameters)

    def input_chars(self, body: Mapping[str, Any]) -> int:
        """Count the texts."""
        return chars_of(body.get("input"))

    def is_answer(self, answer: Mapping[str, Any]) -> bool:
        """Look for vectors."""
        return isinstance(answer.get("data"), list)
