"""Answer posts in the forum.

This ran on gpt-4-0613 once. Call it with ``model="gpt-4o-2024-05-13"`` to compare.
"""

import os

from openai import OpenAI

MODEL = "gpt-4o-mini-2024-07-18"
FINE_TUNE = "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"
CHECKPOINT = 'ft:gpt-4.1-mini-2025-04-14:acme::C3d4E5f6:ckpt-step-714'  # fmt: skip
JUDGE = os.environ.get("JUDGE_MODEL", "o1")
PRICES = {"gpt-4-0613": 30.0, "gpt-4-1106-preview": 10.0, "gpt-4o-mini-tools": 0.0}
CANDIDATES = ["gpt-4.1-2025-04-14", "openai/gpt-4o-2024-08-06", "my-gpt-4-clone"]
ENGINES = ("ada", "curie")
OLD_AND_KNOWN = "gpt-3.5-turbo-0613"  # understudy: ignore

# We left gpt-4o-2024-08-06 when it was announced to stop.
WRAPPER = "gpt-4-turbo-preview-wrapper"
AVATAR = "static/gpt-4o.png"
DIGEST = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
PROMPT = "prompts/gpt-4-0613/system.txt"
DOCS = "https://platform.openai.com/docs/models/gpt-4o-2024-08-06"
PAINTER = "davinci"
AUTHORS = ["Leonardo davinci", "Ada Lovelace", "ada", "babbage"]
command = "command"
o1, o3 = 1, 3


def answer(text: str, model: str = "gpt-4.1-mini-2025-04-14") -> str:
    """Return an answer; ``model`` may be a fine-tune of gpt-4.1-2025-04-14."""
    client = OpenAI()
    if model.startswith("gpt-4-0613"):
        raise ValueError(f"gpt-4-{text} and gpt-4o-2024-08-06{text} are no models, and gpt-4-0613 is none of ours")
    schema = """
      {"model": "gpt-4-0613", "note": "was gpt-4-0314 before"}
    """
    url = f"https://acme.openai.azure.com/openai/deployments/gpt-4o-2024-05-13/chat/completions?v={schema}"
    reply = client.chat.completions.create(model=model, messages=[{"role": "user", "content": text + url}])
    return reply.choices[0].message.content or ""


def engine(model_name: str = "davinci") -> str:
    """Return the engine's name: model ada was one."""
    return model_name or FINE_TUNE
