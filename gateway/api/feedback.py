"""``/v1/feedback``: an application says what its users say of answers."""

from typing import Annotated, Any, ClassVar, Final, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.admin_door import AdminRoute
from gateway.api.deps import caller_of, services_of
from gateway.errors import DatabaseAway, GatewayError
from gateway.execution.rate_limits import texts
from gateway.learning.feedback import Becomes, Given
from gateway.learning.feedback_given import MOST_COMMENT_CHARS
from gateway.policy.splits import Split
from gateway.reasons import Label
from gateway.store.database import DatabaseUnavailable

MOST_BYTES: Final = 2 * 1024 * 1024
"""Of a body: twice what a route may keep of a request and its answer."""
MOST_MESSAGES: Final = 2_000


class FeedbackRoute(AdminRoute):
    """As an administrator's, with room for a conversation."""

    most_bytes: ClassVar[int] = MOST_BYTES


router = APIRouter(route_class=FeedbackRoute)
Object = dict[str, Any]


class FeedbackGiven(BaseModel):
    """What an application says of one answer: a label, a score, a comment or a correction, or several of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = Field(
        description="The x-request-id of the answer."
    )
    label: Label | None = Field(None, description="Whether the answer was right; with a correction it was wrong.")
    score: Annotated[float, Field(ge=0, le=1, strict=True)] | None = None
    comment: Annotated[str, Field(max_length=MOST_COMMENT_CHARS)] | None = None
    correction: str | Object | None = Field(
        None, description="The answer as it should have been: a text, or an assistant's message with tool_calls."
    )
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="The route, as the request named it; needed with messages."
    )
    messages: Annotated[list[Object], Field(min_length=1, max_length=MOST_MESSAGES)] | None = Field(
        None, description="What was asked, where the gateway did not capture it."
    )
    tools: Annotated[list[Object], Field(max_length=MOST_MESSAGES)] | None = None
    answer: str | Object | None = Field(None, description="The answer that was given, where it was not captured.")
    user: Annotated[str, Field(min_length=1, max_length=1_000)] | None = Field(
        None, description="Whose request it was, as `user` of the request; for deletion."
    )


class FeedbackTaken(BaseModel):
    """What was kept of it, and what it becomes."""

    object: Literal["feedback"] = "feedback"
    id: str
    request_id: str
    route: str
    label: Label | None
    split: Split | None = Field(description="What rows of this input are for; null: the input is not known.")
    becomes: list[Becomes]
    note: str | None = Field(description="Why it becomes nothing, or less than it could.")


@router.post("/v1/feedback", response_model=FeedbackTaken)
async def give_feedback(fields: FeedbackGiven, request: Request, response: Response) -> dict[str, Any]:
    """Say whether an answer was right, or write a better one: it becomes training, preference and evaluation rows."""
    services, caller = services_of(request), caller_of(request)
    left = texts(await services.admission.count(caller))
    try:
        taken = await services.feedback.give(caller, Given(**fields.model_dump()))
    except DatabaseUnavailable as error:
        raise DatabaseAway(
            f"Feedback is kept in the database, and it is away ({error}): send it again.",
            headers={"retry-after": "5"} | left,
        ) from None
    except GatewayError as error:
        error.headers = left | error.headers
        raise
    response.headers.update(left)
    mark = taken.feedback
    return {
        "id": mark.feedback_id,
        "request_id": mark.request_id,
        "route": mark.route,
        "label": mark.label,
        "split": mark.split,
        "becomes": list(taken.becomes),
        "note": taken.note,
    }
