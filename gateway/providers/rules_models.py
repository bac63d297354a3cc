"""What speaks of the model, and how surely: texts that can be read two ways come before those that say "gone"."""

from gateway.providers.phrases import (
    DEPRECATED,
    ENDED,
    ENDED_CJK,
    FOR_OTHERS,
    FORBIDDEN,
    FUTURE,
    GAP,
    HEDGED,
    INVALID,
    MISSING,
    MODEL,
    OTHER_ENDED,
    OTHER_MISSING,
    UNSUPPORTED,
)
from gateway.providers.rule import Rule, either, words
from gateway.reasons import FailureKind as Kind

_4XX = range(400, 500)
_ABOUT_MODEL = either(MODEL)
_AZURE = words("azure", "foundry")

# 402, 408 and 429 never speak of the model's end.
_SAYS_SO = frozenset(range(200, 600)) - {402, 408, 429}

# A statement that leaves no doubt, wherever it stands.
CERTAIN = (
    Rule(
        "model-ended-code",
        Kind.MODEL_GONE,
        code=either(
            r"model_?(?:is_?)?(?:decommissioned|deprecated\b|retired|end_?of_?life|removed|sunset|"
            r"discontinued|withdrawn|eol\b|expired)",
            r"(?:deprecated|retired|decommissioned)_?model\b",
        ),
        unless=either(OTHER_ENDED, FUTURE, FOR_OTHERS),
        statuses=_SAYS_SO,
    ),
    Rule(
        "deploying-not-offered",
        Kind.MODEL_GONE,
        text=either(r"not supported by the model '[^'\n]{1,120}'[^\n]{0,80}better models available"),
        statuses=_SAYS_SO,
    ),
    Rule(
        "not-entitled",
        Kind.MODEL_NO_ACCESS,
        text=either(
            r"(?:organi[sz]ation|account) must be verified|marked by provider as legacy|aws-marketplace",
            r"not been actively using",
            r"no endpoints available for this model under",
        ),
        code=either(
            r"model_terms_required|model_permission_blocked|model_?access_?denied|model\.accessdenied", r"gated_?repo"
        ),
        statuses=_SAYS_SO,
    ),
)

# In the order of certainty: ended, perhaps missing, missing, not ours, not served.
MODELS = (
    Rule(
        "free-period-ended",
        Kind.MODEL_GONE,
        text=either(
            r"free (?:\S+ ){1,6}(?:period|version|variant|model) (?:has|was|is) (?:been )?(?:ended|over|"
            r"deprecated|retired|removed)",
            r"migrate to the paid slug",
        ),
    ),
    Rule(
        "not-on-this-surface",
        Kind.MODEL_AMBIGUOUS,
        text=either(r"(?:not|no longer) (?:supported|available) when using"),
    ),
    Rule(
        "for-others",
        Kind.MODEL_NO_ACCESS,
        text=either(FOR_OTHERS),
        also=_ABOUT_MODEL,
        unless=either(rf"\b(?:has been|was) (?:retired|decommissioned|discontinued|removed)|{MISSING}"),
    ),
    Rule(
        "ended-perhaps",
        Kind.MODEL_AMBIGUOUS,
        text=either(
            HEDGED,
            rf"(?:{ENDED}|{DEPRECATED})[^.\n]{{0,60}}\bor\b[^.\n]{{0,60}}(?:access|permission|not supported|"
            rf"does not exist|invalid|private)",
            rf"(?:does not exist|not found|invalid)[^.\n]{{0,60}}\bor\b[^.\n]{{0,60}}(?:{ENDED}|{DEPRECATED})",
        ),
        also=_ABOUT_MODEL,
    ),
    Rule(
        "model-ended",
        Kind.MODEL_GONE,
        text=either(
            rf"{MODEL}{GAP}{ENDED}",
            ENDED_CJK,
        ),
        unless=either(OTHER_ENDED),
    ),
    Rule(
        "model-deprecated",
        Kind.MODEL_GONE,
        text=either(rf"{MODEL}{GAP}{DEPRECATED}"),
        unless=either(rf"{OTHER_ENDED}|{FUTURE}"),
    ),
    Rule("model-ending", Kind.MODEL_AMBIGUOUS, text=either(rf"{MODEL}{GAP}{DEPRECATED}"), unless=either(OTHER_ENDED)),
    Rule(
        "model-removed-from-serverless",
        Kind.MODEL_GONE,
        text=either(r"unable to access non-serverless model"),
        vendors=words("together"),
    ),
    Rule(
        "gone-410",
        Kind.MODEL_GONE,
        statuses=frozenset({410}),
        also=_ABOUT_MODEL,
        unless=either(OTHER_ENDED, r"\b(?:apis?|endpoints?|urls?|host|version|route)\b"),
    ),
    # Missing, or not ours: one text for both.
    Rule(
        "permission-of-tuned-model",
        Kind.MODEL_AMBIGUOUS,
        text=either(r"(?:permission|access)[^.\n]{0,40}(?:tuned|custom) ?models?"),
    ),
    Rule("missing-or-no-access", Kind.MODEL_AMBIGUOUS, text=either(MISSING, INVALID), also=either(FORBIDDEN)),
    Rule(
        "missing-or-unsupported",
        Kind.MODEL_AMBIGUOUS,
        text=either(MISSING),
        also=either(r"\bor (?:is |are )?(?:not|un)[ -]?(?:supported|available|deployed|enabled)"),
    ),
    Rule(
        "exists-not-here",
        Kind.MODEL_AMBIGUOUS,
        text=either(r"exists?,? but|not (?:available|supported|found) in (?:the |this |region|location)"),
    ),
    Rule(
        "missing-at-a-place",
        Kind.MODEL_AMBIGUOUS,
        text=either(MISSING, r"\bendpoint\b[^\n]{0,200}(?:not found|does not exist)"),
        vendors=words("vertex", "google", "sagemaker"),
    ),
    Rule(
        "deployment-missing",
        Kind.MODEL_AMBIGUOUS,
        code=either(r"deploymentnotfound"),
        text=either(r"\bdeployment\b[^.\n]{0,60}does not exist"),
    ),
    Rule("not-supported-for-this-key", Kind.MODEL_NO_ACCESS, text=either(UNSUPPORTED), vendors=words("copilot")),
    Rule("model-unknown-here", Kind.MODEL_AMBIGUOUS, text=either(MISSING, INVALID, UNSUPPORTED), vendors=_AZURE),
    Rule(
        "model-invalid-id",
        Kind.MODEL_GONE,
        text=either(r"is not a valid model id"),
        vendors=words("openrouter"),
        statuses=frozenset({400, 404}),
    ),
    Rule(
        "openai-model-missing",
        Kind.MODEL_GONE,
        text=either(r"(?:that|the requested) model(?: '[^'\n]{1,200}')? does not exist"),
        vendors=words("openai"),
    ),
    Rule("openai-missing-or-no-access", Kind.MODEL_AMBIGUOUS, text=either(MISSING), vendors=words("openai")),
    Rule(
        "anthropic-model-missing",
        Kind.MODEL_GONE,
        text=either(r"^model: [\w.:@/-]{1,200}$"),
        vendors=words("anthropic"),
        statuses=frozenset({404}),
    ),
    Rule("openrouter-no-endpoints", Kind.MODEL_AMBIGUOUS, text=either(r"no endpoints (?:found|available)")),
    Rule(
        "model-identifier-unresolved",
        Kind.MODEL_AMBIGUOUS,
        text=either(r"not resolve the foundation model|model identifier is invalid"),
    ),
    Rule(
        "model-missing",
        Kind.MODEL_GONE,
        text=either(MISSING),
        unless=either(OTHER_MISSING),
        statuses=frozenset({200, 400, 404, 410, 422, 501}),
    ),
    Rule(
        "serving-endpoint-missing",
        Kind.MODEL_GONE,
        text=either(r"\bendpoint with name '[^'\n]{1,120}' does not exist|\bthe given endpoint does not exist"),
    ),
    Rule("model-missing-oddly", Kind.MODEL_AMBIGUOUS, text=either(MISSING), unless=either(OTHER_MISSING)),
    Rule("lora-not-enabled", Kind.MODEL_AMBIGUOUS, text=either(r"lora is not enabled")),
    Rule("model-invalid", Kind.MODEL_AMBIGUOUS, text=either(INVALID)),
    Rule("no-access", Kind.MODEL_NO_ACCESS, text=either(FORBIDDEN), also=_ABOUT_MODEL, statuses=_4XX),
    Rule(
        "no-access-to-endpoint",
        Kind.MODEL_NO_ACCESS,
        text=either(
            r"permission[^.\n]{0,40}on endpoint",
            r"not authorized to perform: \w+:(?:invokemodel|invokeendpoint|converse)",
        ),
    ),
    Rule(
        "access-programme",
        Kind.MODEL_NO_ACCESS,
        text=either(r"is not available\b[^\n]{0,200}\baccess\b"),
        statuses=_4XX,
    ),
    Rule("model-not-served", Kind.MODEL_AMBIGUOUS, text=either(UNSUPPORTED), statuses=_4XX),
    Rule(
        "operation-not-offered",
        Kind.MODEL_AMBIGUOUS,
        text=either(r"operation does not work with the specified model"),
        code=either(r"^operationnotsupported"),
    ),
    Rule(
        "function-missing",
        Kind.MODEL_AMBIGUOUS,
        text=either(r"function '[^'\n]{1,80}': not found"),
        vendors=words("nim", "nvidia"),
    ),
    Rule(
        "model-code",
        Kind.MODEL_AMBIGUOUS,
        code=either(
            r"model_?not_?(?:found|available|supported|exist)|invalid_?model|unknown_?model", r"model_?unavailable"
        ),
    ),
)
