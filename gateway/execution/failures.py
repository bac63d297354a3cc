"""One failed attempt, and what the caller is told when nobody answered."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway import errors
from gateway.execution.request import Request
from gateway.policy.blacking_out import without
from gateway.policy.lifecycle import Dates
from gateway.policy.planner import Observe, Plan
from gateway.reasons import FailureKind, Reason

LONGEST_RETRY_AFTER_S = 60.0
NO_RETRY = {"x-should-retry": "false"}
PASSED_FIELDS = ("message", "type", "param", "code")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one attempt gave no answer."""

    kind: FailureKind
    message: str
    """For people and logs; may be the provider's own text."""
    status: int | None = None
    code: str | None = None
    retry_after_s: float | None = None
    error: Mapping[str, Any] | None = None
    """The provider's error object, where it sent one."""
    sent: bool = True
    """Whether the request may have been seen; only one that was not may be sent again."""

    @property
    def is_wrong_path(self) -> bool:
        """Whether the server just has nothing at that path, which says nothing of its health."""
        return self.kind is FailureKind.SERVER_ERROR and self.status in (404, 405)


def without_secret(failure: Failure, secret: str) -> Failure:
    """Return a failure in which a secret is blacked out: some providers repeat the key that they are sent."""
    if not secret:
        return failure
    error = failure.error
    if error is not None:
        error = {k: without(v, secret) if isinstance(v, str) else v for k, v in error.items()}
    message, code = without(failure.message, secret), failure.code
    return replace(failure, message=message, code=code and without(code, secret), error=error)


class Failed(Exception):
    """Raised by an attempt that gave no answer."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class CallerError(errors.RequestError):
    """The caller's own error, as the provider put it."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure
        passes = failure.status is not None and 400 <= failure.status < 500
        self.status = failure.status if passes and failure.status else 400

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the provider's error, only with the fields that OpenAI's shape has."""
        given = self.failure.error or {}
        error = {"message": self.failure.message, "type": self.type, "param": None, "code": self.failure.code}
        error |= {name: given[name] for name in PASSED_FIELDS if isinstance(given.get(name), str)}
        if given.get("code", "") is None:
            # The provider said so; what the classifier made of the rest of it is no code.
            error["code"] = None
        return {"error": {**error, "request_id": request_id}}


def refusal(failure: Failure, plan: Plan, dates: Dates, model: str, request: Request) -> errors.GatewayError:
    """Return the error for a request whose last attempt, of ``model``, failed like this.

    The provider's text appears only where it is the caller's to mend.
    """
    kind, route = failure.kind, plan.route.name
    if kind in (FailureKind.BAD_REQUEST, FailureKind.CONTENT_REFUSED, FailureKind.CONTEXT_TOO_LONG):
        return CallerError(failure)
    if kind in (FailureKind.RATE_LIMITED, FailureKind.QUOTA):
        wait_s = min(failure.retry_after_s or 1.0, LONGEST_RETRY_AFTER_S)
        said = "quota is used up" if kind is FailureKind.QUOTA else "rate limit is reached"
        return errors.RateLimited(
            f"The provider's {said} for route {route!r}; try again later.", headers=retry_after(wait_s)
        )
    if kind in (FailureKind.MODEL_GONE, FailureKind.MODEL_NO_ACCESS, FailureKind.MODEL_AMBIGUOUS):
        return stored_elsewhere(plan, request) if request.held_by is not None else model_gone(plan, model, dates)
    if kind is FailureKind.AUTHENTICATION:
        message = f"The provider refused the gateway's credential for route {route!r}; its operator must mend it."
        return errors.UpstreamRefusedKey(message, headers=NO_RETRY)
    if kind is FailureKind.TIMEOUT:
        return errors.UpstreamTimeout(f"Nobody answered route {route!r} in time.", headers=NO_RETRY)
    if kind is FailureKind.OVERLOADED:
        return errors.Overloaded(f"Every target of route {route!r} is overloaded.", headers=NO_RETRY)
    if kind in (FailureKind.CONNECTION, FailureKind.TLS):
        return errors.UpstreamUnreachable(f"No provider of route {route!r} can be reached.", headers=NO_RETRY)
    if failure.is_wrong_path:
        message = (
            f"The provider of route {route!r} has nothing at {request.endpoint.path}: it answered {failure.status}."
        )
        return errors.BadUpstream(message, headers=NO_RETRY)
    return errors.BadUpstream(f"The provider of route {route!r} failed to answer.", headers=NO_RETRY)


def nobody(plan: Plan, observe: Observe, dates: Dates, request: Request) -> errors.GatewayError:
    """Return the error for a plan without a single step."""
    route = plan.route
    if any(observe(entry.target).credential_refused for entry in plan.skipped):
        message = f"A provider refused the gateway's credential for route {route.name!r}; its operator must mend it."
        wait_s = min(observe(entry.target).retry_after_s for entry in plan.skipped)
        return errors.UpstreamRefusedKey(message, headers=retry_after(wait_s) | NO_RETRY)
    waits = [wait_s for entry in plan.skipped if (wait_s := observe(entry.target).retry_after_s) > 0]
    if waits:
        wait_s = min(waits)
        message = (
            f"Every target of route {route.name!r} failed a moment ago and is left alone for now; try again later."
        )
        return errors.Overloaded(message, headers=retry_after(wait_s) | NO_RETRY)
    if request.held_by is not None:
        return stored_elsewhere(plan, request)
    lacking = [entry for entry in plan.skipped if entry.reason is Reason.LACKS_CAPABILITY]
    if lacking:
        return unsupported(plan, request)
    return model_gone(plan, route.primary.model if route.primary else route.fallbacks[0].model, dates)


def unsupported(plan: Plan, request: Request) -> errors.UnsupportedRequest:
    """Say what each target lacks that the request asks for: losing it unsaid would change what it means."""
    said = "; ".join(f"{entry.target.name}: {entry.detail or entry.reason.value}" for entry in plan.skipped)
    return errors.UnsupportedRequest(
        f"No target of route {plan.route.name!r} can serve this request to {request.endpoint.name}. {said}."
    )


def stored_elsewhere(plan: Plan, request: Request) -> errors.StoredElsewhere:
    """Say that what the request refers to cannot be had, and how to go on without it."""
    param = "previous_response_id" if request.body.get("previous_response_id") else "input"
    return errors.StoredElsewhere(
        f"What this request refers to by {param!r} is stored at a provider that can no longer answer for route "
        f"{plan.route.name!r}. Send the whole conversation as 'input' instead, without {param!r}.",
        param=param,
    )


def model_gone(plan: Plan, model: str, dates: Dates) -> errors.ModelGone:
    """Say which model is gone, since when, what replaces it, and what to do."""
    route = plan.route
    message = f"Model {model!r} of route {route.name!r} is gone, or not ours to use"
    if dates.shutdown is not None:
        message += f"; its shutdown: {dates.shutdown.isoformat()}"
    if dates.replacement is not None:
        message += f"; its vendor names {dates.replacement!r} as the replacement"
    if plan.pinned and len(plan.steps) <= 1:
        message += f". The request is pinned to it; without the pin, {route.name!r} may have another to answer."
    elif not route.fallbacks:
        message += ". Add a fallback to the route."
    else:
        message += ", and no fallback may answer instead: see fallback_on, and the fallbacks' own state."
    return errors.ModelGone(message, headers=NO_RETRY)


def retry_after(seconds: float) -> dict[str, str]:
    """Return both forms of the header; SDKs read the one in milliseconds first."""
    bounded = max(0.0, min(seconds, LONGEST_RETRY_AFTER_S))
    return {"retry-after": str(int(-(-bounded // 1))), "retry-after-ms": str(int(bounded * 1000))}
