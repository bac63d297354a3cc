"""The same through Azure."""

from openai import AzureOpenAI

client = AzureOpenAI(azure_endpoint="https://acme.openai.azure.com", api_version="2024-10-21")


def draft(text: str) -> object:
    """Draft an answer."""
    return client.chat.completions.create(
        model="gpt-4o-mini-2024-07-18", messages=[{"role": "user", "content": f"gpt-4o: {text}"}]
    )


FALLBACKS = "azure/gpt-4.1-2025-04-14, azure/gpt-4o-2024-11-20"
TUNED = "gpt-4o-2024-08-06.ft-0e208cf33a6a466994aff31a08aba678"
OTHER = "@azure/openai"
