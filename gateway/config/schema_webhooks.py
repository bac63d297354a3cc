"""The shape of a webhook in routes.yaml."""

from typing import get_args

from pydantic import Field

from gateway.config.routes import EventWord
from gateway.config.schema_types import Entry, Text


class WebhookEntry(Entry):
    """Whom to tell what happened to routes and models."""

    url_env: Text | None = Field(
        None,
        description="The environment variable that holds the URL; a Slack URL is a secret.",
        examples=["SLACK_WEBHOOK_URL"],
    )
    url_file: Text | None = Field(
        None,
        description="Or a file that holds it; it is read again when it changes.",
        examples=["/run/secrets/slack"],
        json_schema_extra={"instead_of": "url_env"},
    )
    url: Text | None = Field(
        None,
        description="Or the URL itself, where knowing it allows nobody anything.",
        examples=["https://alerts.example.com/understudy"],
        json_schema_extra={"instead_of": "url_env"},
    )
    secret_env: Text | None = Field(
        None,
        description="The environment variable that holds what messages are signed with, as Standard Webhooks has it: "
        "whsec_ and base64. Without one they are not signed.",
        examples=["WEBHOOK_SECRET"],
    )
    secret_file: Text | None = Field(
        None,
        description="Or a file that holds it; it is read again when it changes.",
        examples=["/run/secrets/webhook"],
        json_schema_extra={"instead_of": "secret_env"},
    )
    owners: tuple[Text, ...] | None = Field(
        None,
        description="Only what concerns routes of these owners, or no owner's; all by default.",
        examples=[["ml-platform"]],
    )
    events: tuple[EventWord, ...] | None = Field(
        None,
        description="Only these kinds of events; all by default.",
        examples=[[*get_args(EventWord)]],
    )
