"""What speaks of the model, and how surely: texts that can be read two ways come before those that say "gone"."""

from gateway.providers.phrases import (
    DEPRECATED,
    ENDED,
    FOR_OTHERS,
    FUTURE,
    HEDGED,
    INVALID,
    MISSING,
    MODEL,
    OTHER_ENDED,
    OTHER_MISSING,
    UNSUPPORTED,
)
from gateway.providers.rule import Rule, either, words
from gateway.providers.rules_grammar import (
    ABOUT_MODEL,
    ANY_FORBIDDEN,
    CJK_MODEL_ENDED,
    CJK_MODEL_ENDING,
    CJK_MODEL_MISSING,
    CJK_OTHER_MISSING,
    MODEL_ENDED,
    MODEL_ENDED_FOR_GOOD,
    MODEL_ENDED_LOOSELY,
    MODEL_ENDING,
    MODEL_MISSING,
    OTHER_THING_IS_GONE,
)
from gateway.reasons import FailureKind as Kind

_4XX = range(400, 500)
_ABOUT_MODEL = either(ABOUT_MODEL)
_AZURE = words("azure", "foundry")

# 402, 408 and 429 never speak of the model's end.
_SAYS_SO = frozenset(range(200, 600)) - {402, 408, 429}
# What ended at a server that is in trouble may come back.
_SOUND = _SAYS_SO - {500, 502, 503, 504, 529}

# A statement that leaves no doubt, wherever it stands.
CERTAIN = (
    Rule(
        "model-ended-code",
        Kind.MODEL_GONE,
        code=either(
            r"model[_.-]?(?:is_?)?(?:decommissioned|deprecated|retired|end_?of_?life|removed|sunset|gone|shut_?down|"
            r"discontinued|withdrawn|eol|expired)(?:_?(?:exception|error))?\b",
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
            r"model_terms_required|model_permission_blocked|model_?access_?denied|model\.accessdenied",
            r"gated_?repo|unpurchased|model_?not_?(?:open|allowed|permitted|authori[sz]ed)\b",
        ),
        statuses=_SAYS_SO,
    ),
    Rule(
        "plan-without-model",
        Kind.MODEL_NO_ACCESS,
        text=either(r"套餐[^。\n]{0,12}(?:未开放|不包含|不支持)"),
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
            r"free (?:version|variant|model|tier) of \S{1,120} (?:has|was|is) (?:been )?(?:ended|deprecated|"
            r"retired|removed)",
            r"free (?:promotion|preview|period) (?:has|is) (?:ended|over) for\b",
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
        unless=either(rf"\b(?:has been|was) (?:retired|decommissioned|discontinued)|{MISSING}"),
    ),
    Rule(
        "access-ended",
        Kind.MODEL_NO_ACCESS,
        text=either(
            rf"\baccess to [^.\n]{{0,100}}?(?:{ENDED}|(?:was|is|has been) (?:revoked|suspended))",
            r"\b(?:deleted|removed) from (?:your|this|the) (?:account|organi[sz]ation|project|workspace|team|plan|"
            r"group)\b",
        ),
        also=_ABOUT_MODEL,
    ),
    Rule(
        "ended-for-a-time",
        Kind.OVERLOADED,
        text=either(
            r"\b(?:temporar\w{1,6}|maintenance|momentarily|evicted|"
            r"from (?:the )?(?:queue|cache|memory|vram|gpu|pool))\b"
        ),
        also=either(MODEL_ENDED_LOOSELY),
        unless=either(r"\b(?:retired|decommissioned|discontinued|deprecated|sunset|end[- ]of[- ]life|permanently)\b"),
    ),
    Rule(
        "ended-perhaps",
        Kind.MODEL_AMBIGUOUS,
        text=either(
            HEDGED,
            rf"(?:{ENDED}|{DEPRECATED})[^.\n]{{0,60}}\bor\b[^.\n]{{0,60}}(?:access|permission|not supported|"
            rf"does not exist|invalid|private)",
            rf"(?:does not exist|not found|invalid)[^.\n]{{0,60}}\bor\b[^.\n]{{0,60}}(?:{ENDED}|{DEPRECATED})",
            rf"\b(?:check|verify|ensure|make sure|confirm|whether)\b[^.\n]{{0,60}}{MODEL}[^.\n]{{0,60}}\bexists?\b",
        ),
        also=_ABOUT_MODEL,
    ),
    Rule("model-ended", Kind.MODEL_GONE, text=either(MODEL_ENDED, CJK_MODEL_ENDED), statuses=_SOUND),
    Rule("model-ended-for-good", Kind.MODEL_GONE, text=either(MODEL_ENDED_FOR_GOOD), unless=either(FUTURE)),
    Rule(
        "model-ending",
        Kind.MODEL_AMBIGUOUS,
        text=either(MODEL_ENDED_LOOSELY, rf"{MODEL_ENDING}|{CJK_MODEL_ENDING}"),
        unless=either(OTHER_ENDED, OTHER_THING_IS_GONE, r"\b[a-z]{3,12}-(?:code|cli|desktop|sdk)\b"),
    ),
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
        unless=either(OTHER_ENDED, OTHER_THING_IS_GONE, r"\b(?:apis?|endpoints?|urls?|host|version|route)\b"),
    ),
    # Missing, or not ours: one text for both.
    Rule(
        "permission-of-tuned-model",
        Kind.MODEL_AMBIGUOUS,
        text=either(r"(?:permission|access)[^.\n]{0,40}(?:tuned|custom) ?models?"),
    ),
    Rule(
        "missing-or-no-access",
        Kind.MODEL_AMBIGUOUS,
        text=either(MISSING, INVALID, CJK_MODEL_MISSING),
        also=either(ANY_FORBIDDEN),
    ),
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
        vendors=words("vertex", "google", "sagemaker", "volcengine"),
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
        text=either(MODEL_MISSING, CJK_MODEL_MISSING),
        statuses=frozenset({200, 400, 404, 410, 422, 501}),
    ),
    Rule(
        "serving-endpoint-missing",
        Kind.MODEL_GONE,
        text=either(r"\bendpoint with name '[^'\n]{1,120}' does not exist|\bthe given endpoint does not exist"),
    ),
    Rule(
        "model-missing-oddly",
        Kind.MODEL_AMBIGUOUS,
        text=either(MISSING),
        unless=either(OTHER_MISSING, OTHER_THING_IS_GONE, CJK_OTHER_MISSING),
    ),
    Rule("lora-not-enabled", Kind.MODEL_AMBIGUOUS, text=either(r"lora is not enabled")),
    Rule("model-invalid", Kind.MODEL_AMBIGUOUS, text=either(INVALID)),
    Rule("no-access", Kind.MODEL_NO_ACCESS, text=either(ANY_FORBIDDEN), also=_ABOUT_MODEL, statuses=_4XX),
    Rule(
        "no-access-to-endpoint",
        Kind.MODEL_NO_ACCESS,
        text=either(
            r"permission[^.\n]{0,40}on endpoint|permission to (?:invoke|query|call) (?:the )?(?:serving )?endpoint",
            r"not authorized to perform: \w+:(?:invokemodel|invokeendpoint|converse)",
        ),
    ),
    Rule(
        "access-programme",
        Kind.MODEL_NO_ACCESS,
        text=either(r"is not available\b[^\n]{0,200}\baccess\b"),
        statuses=_4XX,
    ),
    Rule(
        "model-not-served",
        Kind.MODEL_AMBIGUOUS,
        text=either(
            UNSUPPORTED,
            r"\bmodel\b[^.\n]{0,120}(?:\bunloaded|has no (?:provider|channel|deployment)|not served by)",
            r"\bonly [^\n]{1,120} allowed now, your model",
        ),
        statuses=_4XX,
    ),
    Rule("no-channel", Kind.MODEL_AMBIGUOUS, text=either(r"模型[^。\n]{0,100}无可用渠道")),
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
        text=either(r"\bmodel_not_(?:found|available|supported)\b"),
    ),
)
