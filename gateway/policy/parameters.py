"""How a request's parameters change for a target. Pure."""

from typing import Any

from gateway.config.routes import Contract, Parameters


def adapt(body: dict[str, Any], parameters: Parameters) -> list[str]:
    """Rename, then set, then drop, in place; return the names of the caller's parameters that changed."""
    changed: list[str] = []
    for old, new in parameters.rename.items():
        if old in body:
            value = body.pop(old)
            body.setdefault(new, value)
            changed.append(old)
    for name, value in parameters.set.items():
        if body.get(name) != value:
            body[name] = value
            changed.append(name)
    for name in parameters.drop:
        if name in body:
            del body[name]
            changed.append(name)
    return changed


def response_format(contract: Contract) -> dict[str, Any]:
    """Return the ``response_format`` that asks a model to keep a contract."""
    return {
        "type": "json_schema",
        "json_schema": {"name": contract.name, "schema": dict(contract.json_schema), "strict": contract.strict},
    }
