"""What the gateway must know of each kind of provider that speaks OpenAI's wire format: differences as data.

``kind`` in routes.yaml names a row. Issues of one vendor (paths, the header of the credential, whether a model can be
looked up by its id) are settled here and nowhere else.
"""

from dataclasses import dataclass
from typing import Literal

FineTuneRule = Literal["with_base", "training+365d", "own"]
"""When a fine-tune stops, where only its base's dates are known.

``with_base``: when its base does; also where no rule is known. ``training+365d``: that many days after the base can no
longer be fine-tuned. ``own``: its weights are its owner's, and the end of the base says nothing of it.
"""


@dataclass(frozen=True, slots=True)
class Vendor:
    """How to talk to one kind of provider."""

    kind: str
    base_url: str | None = None
    """Where it lives when routes.yaml does not say; None where the operator must."""
    path_prefix: str = ""
    """Goes between the base URL and ``/chat/completions`` where operators write the bare host."""
    key_header: str = "authorization"
    """``authorization`` (as a Bearer token) or another header that takes the bare key."""
    needs_key: bool = True
    lists_models: bool = True
    """False where ``/models`` does not tell what this key can call: a one-token call is the only probe."""
    names_deployments: bool = False
    """True where the operator chooses the name a model is called by: it says nothing of the model."""
    fine_tune_rule: FineTuneRule = "with_base"
    tells_dates: bool = False
    """Whether its list of models has a documented field for their end."""
    dates_path: str | None = None
    """Where the list with dates is, in the place of ``path_prefix``; None: it is the one at ``/models``."""


_ROWS = (
    Vendor("openai", "https://api.openai.com/v1", tells_dates=True),
    # Azure's version-less surface takes a deployment's name as the model; its list shows what could be deployed.
    Vendor(
        "azure",
        path_prefix="/openai/v1",
        key_header="api-key",
        lists_models=False,
        names_deployments=True,
        fine_tune_rule="training+365d",
        tells_dates=True,
        dates_path="/openai/models?api-version=2024-10-21",
    ),
    Vendor("vllm", path_prefix="/v1", needs_key=False, fine_tune_rule="own"),
    Vendor("sandbox", "http://127.0.0.1:8081/v1", needs_key=False, tells_dates=True),
    Vendor("mistral", "https://api.mistral.ai/v1", tells_dates=True),
    Vendor("together", "https://api.together.xyz/v1"),
    Vendor("fireworks", "https://api.fireworks.ai/inference/v1"),
    Vendor("groq", "https://api.groq.com/openai/v1"),
    Vendor("deepseek", "https://api.deepseek.com/v1"),
    Vendor("openrouter", "https://openrouter.ai/api/v1", tells_dates=True),
    Vendor("xai", "https://api.x.ai/v1"),
    Vendor("databricks", path_prefix="/serving-endpoints", lists_models=False),
    Vendor("nim", "https://integrate.api.nvidia.com/v1"),
    Vendor("sglang", path_prefix="/v1", needs_key=False, fine_tune_rule="own"),
    Vendor("ollama", "http://127.0.0.1:11434/v1", needs_key=False, fine_tune_rule="own"),
    Vendor("llama.cpp", path_prefix="/v1", needs_key=False, fine_tune_rule="own"),
    Vendor("lmstudio", path_prefix="/v1", needs_key=False, fine_tune_rule="own"),
    Vendor("openai-compatible", path_prefix="/v1", needs_key=False),
)

VENDORS: dict[str, Vendor] = {row.kind: row for row in _ROWS}
