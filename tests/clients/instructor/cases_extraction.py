"""Instructor gets models out of answers, in each of the ways that OpenAI's wire format has for it."""

import os
from collections.abc import Iterable
from typing import Any

import instructor
import openai
import pytest
from instructor.core.exceptions import InstructorRetryException
from pydantic import BaseModel, field_validator

GATEWAY = {"base_url": os.environ["BASE_URL"], "api_key": os.environ["API_KEY"]}
INVOICE: list[Any] = [{"role": "user", "content": "Invoice INV-2026-0117 from Globex, total 99.50 EUR."}]
MODES = [instructor.Mode.TOOLS, instructor.Mode.TOOLS_STRICT, instructor.Mode.JSON_SCHEMA]


class Invoice(BaseModel):
    """An invoice."""

    invoice_number: str
    vendor: str
    total: float


def client_in(mode: instructor.Mode, **more: Any) -> instructor.Instructor:
    return instructor.from_openai(openai.OpenAI(**GATEWAY, **more), mode=mode)


@pytest.mark.parametrize("mode", MODES)
def test_a_model_is_extracted(mode: instructor.Mode) -> None:
    invoice, answer = client_in(mode).chat.completions.create_with_completion(
        model="chat", messages=INVOICE, response_model=Invoice
    )
    assert isinstance(invoice, Invoice)
    assert answer.usage.completion_tokens > 0


def test_values_come_from_the_prompt() -> None:
    invoice = client_in(instructor.Mode.JSON_SCHEMA).chat.completions.create(
        model="chat", messages=INVOICE, response_model=Invoice
    )
    assert invoice.model_dump() == {"invoice_number": "INV-2026-0117", "vendor": "Globex", "total": 99.5}


@pytest.mark.parametrize("mode", MODES)
def test_a_model_arrives_in_parts(mode: instructor.Mode) -> None:
    parts = client_in(mode).chat.completions.create_partial(model="chat", messages=INVOICE, response_model=Invoice)
    *early, last = list(parts)
    assert early
    assert isinstance(last.total, float)


@pytest.mark.parametrize("mode", MODES)
def test_several_models_arrive_one_by_one(mode: instructor.Mode) -> None:
    found = client_in(mode).chat.completions.create_iterable(model="chat", messages=INVOICE, response_model=Invoice)
    assert all(isinstance(invoice, Invoice) for invoice in found)


def test_an_iterable_may_be_the_response_model() -> None:
    found = client_in(instructor.Mode.TOOLS).chat.completions.create(
        model="chat", messages=INVOICE, response_model=Iterable[Invoice]
    )
    assert list(found)


async def test_an_async_client() -> None:
    async with openai.AsyncOpenAI(**GATEWAY) as plain:
        client = instructor.from_openai(plain, mode=instructor.Mode.JSON_SCHEMA)
        invoice = await client.chat.completions.create(model="chat", messages=INVOICE, response_model=Invoice)
    assert invoice.vendor == "Globex"


@pytest.mark.parametrize("mode", MODES)
def test_an_answer_that_does_not_hold_is_asked_for_again_with_what_was_wrong(
    mode: instructor.Mode, provider: Any
) -> None:
    refused: list[str] = []

    class Picky(Invoice):
        @field_validator("vendor")
        @classmethod
        def not_at_first(cls, vendor: str) -> str:
            if not refused:
                refused.append(vendor)
                raise ValueError("give the vendor once more")
            return vendor

    before = provider.calls()
    client_in(mode).chat.completions.create(model="chat", messages=INVOICE, response_model=Picky, max_retries=2)
    assert provider.calls() == before + 2


@pytest.mark.parametrize("mode", [instructor.Mode.RESPONSES_TOOLS])
def test_a_model_is_extracted_from_a_response(mode: instructor.Mode) -> None:
    invoice = client_in(mode).responses.create(model="chat", input=INVOICE, response_model=Invoice)
    assert isinstance(invoice, Invoice)


async def test_a_model_arrives_in_parts_without_waiting() -> None:
    async with openai.AsyncOpenAI(**GATEWAY) as plain:
        client = instructor.from_openai(plain, mode=instructor.Mode.TOOLS)
        parts = client.chat.completions.create_partial(model="chat", messages=INVOICE, response_model=Invoice)
        *early, last = [part async for part in parts]
    assert early
    assert isinstance(last, Invoice)


def test_the_gateways_errors_come_through() -> None:
    with pytest.raises(InstructorRetryException) as caught:
        client_in(instructor.Mode.TOOLS).chat.completions.create(
            model="gone", messages=INVOICE, response_model=Invoice, max_retries=1
        )
    assert "model_gone" in str(caught.value)
