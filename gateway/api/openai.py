"""OpenAI's smaller endpoints: the routes, listed as models."""

from typing import Any

from fastapi import APIRouter, Request

from gateway.api.deps import Services, caller_of, services_of
from gateway.execution.prepared import PreparedRoute
from gateway.policy.lifecycle import UNKNOWN_DATES
from gateway.policy.planner import Command, Pin

router = APIRouter(prefix="/v1")


@router.get("/models")
async def list_models(request: Request) -> dict[str, Any]:
    """List the routes that the caller's key may call: what it may send as ``model``."""
    services = services_of(request)
    shown = services.pipeline.snapshot.callable_routes.of(caller_of(request))
    return {"object": "list", "data": [describe(services, prepared, None) | {"id": name} for name, prepared in shown]}


@router.get("/models/{name:path}")
async def show_model(name: str, request: Request) -> dict[str, Any]:
    """Show one route, or one of its pins."""
    services = services_of(request)
    prepared, pin = services.pipeline.snapshot.find(name, caller_of(request))
    return describe(services, prepared, pin) | {"id": name}


def describe(services: Services, prepared: PreparedRoute, pin: Pin | None) -> dict[str, Any]:
    """Return a route in the shape of OpenAI's model object, and who would answer now."""
    pipeline, name = services.pipeline, prepared.route.name
    plan = pipeline.snapshot.plan(prepared, pin, pipeline.board, None)
    first = plan.steps[0] if plan.steps else None
    primary = prepared.targets.get("primary")
    dates = primary.dates if primary is not None else UNKNOWN_DATES
    command = pipeline.board.command(name)
    if command is not None and command.target not in prepared.targets:
        command = None
    return {
        "id": name,
        "object": "model",
        "created": int(services.started_at.timestamp()),
        "owned_by": prepared.route.owner or "understudy",
        "shutdown_date": dates.shutdown.isoformat() if dates.shutdown else None,
        "shutdown_certainty": dates.certainty if dates.shutdown else None,
        "shutdown_source": dates.source if dates.shutdown else None,
        "served_by": first.prepared.role.value if first else None,
        "served_model": first.prepared.model if first else None,
        "reason": first.reason.value if first and first.reason else None,
        # Where it differs from routes.yaml: somebody moved it by hand.
        "command": as_json(command) if command is not None else None,
    }


def as_json(command: Command) -> dict[str, str | None]:
    """Return a command as callers see it."""
    return {
        "to": command.target,
        "by": command.by,
        "reason": command.reason,
        "at": command.at.isoformat(),
        "expires_at": command.expires_at.isoformat() if command.expires_at else None,
    }
