"""What the admin API answers: keys as an administrator sees them, and the trail of changes."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from gateway.config.callers import KeyRole
from gateway.store.shown_keys import State

Through = Literal["cli", "api", "page"]
Usd = Annotated[float, Field(ge=0)]


class BudgetView(BaseModel):
    """What a key may spend; null: as much as it likes."""

    day_usd: Usd | None
    month_usd: Usd | None
    total_usd: Usd | None


class SpentView(BaseModel):
    """What a key with a budget has spent so far: today and this month (UTC), and ever."""

    day_usd: float
    month_usd: float
    total_usd: float
    held_usd: float = Field(description="Set aside for requests under way, at their most expensive.")


class KeyView(BaseModel):
    """A key; never its text, nor what that is known by."""

    id: str
    name: str
    status: State
    declared_in: Literal["database", "routes.yaml"]
    role: KeyRole
    owner: str | None
    team: str | None
    tags: dict[str, str] | None
    routes: list[str] | None
    pins: bool
    residency: str | None
    expires_at: datetime | None
    budget: BudgetView | None
    spent: SpentView | None = Field(description="null: nothing was counted, since it has no budget.")
    requests_per_minute: int | None
    tokens_per_minute: int | None
    max_output_tokens: int | None
    capture: bool
    created_at: datetime | None
    created_by: str | None
    revoked_at: datetime | None
    old_key_valid_until: datetime | None = Field(description="Until then the key before the last rotation is taken.")


class KeyMade(KeyView):
    """A key that was just made."""

    key: str = Field(description="Its text, which is shown this once.")


class KeyList(BaseModel):
    """Keys by their names."""

    object: Literal["list"] = "list"
    data: list[KeyView]
    has_more: bool
    next_after: str | None = Field(description="What `after` is for the next page.")


class ChangeView(BaseModel):
    """One change that an administrator made."""

    id: str
    at: datetime
    by: str = Field(description="The label of the key that did it, or the person at a command line.")
    action: str
    subject: str = Field(description="A key's id, or a route.")
    changes: dict[str, tuple[Any, Any]] | None = Field(
        description="By field: before, and after; amounts in nano-dollars."
    )
    through: Through


class ChangeList(BaseModel):
    """Changes, the newest first."""

    object: Literal["list"] = "list"
    data: list[ChangeView]
    has_more: bool
    next_before: str | None = Field(description="What `before` is for the next page.")
