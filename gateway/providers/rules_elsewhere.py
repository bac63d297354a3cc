"""What is plainly not the model: money, load, credential, place, request."""

from gateway.providers.phrases import DEPRECATED, ENDED, MODEL, OTHER_THING
from gateway.providers.rule import Rule, either, words
from gateway.providers.rules_grammar import MODEL_IS_GONE, OTHER_THING_IS_GONE
from gateway.reasons import FailureKind as Kind

_MODEL_IS_GONE = either(MODEL_IS_GONE)

ELSEWHERE = (
    # What follows a path into the request, or a parser's complaint, is quoted from the caller.
    Rule(
        "callers-own-words",
        Kind.BAD_REQUEST,
        text=either(
            r"^[^\n]{0,60}?\b(?:messages?|input|contents?|prompts?|instructions?|system|documents|texts?|tools|parts)"
            r"(?:\.?\[\d|\.\d{1,3}\b)",
            r"\binput_value=|^[^\n]{0,40}?invalid schema\b",
            r"\b(?:values?|strings?|prompt|text|input|near|got|received|token)\b:? [\[(]?'[^'\n]{0,80}\bmodel\b",
            r"^[^\n]{0,60}?(?:(?:failed|unable) to|could not|cannot|error) (?:pars|decod|deserial)",
            r"^[^\n]{0,60}?(?:(?:invalid|malformed|not valid) json|unexpected token|json \w{1,12} error)",
        ),
        statuses=frozenset({400, 413, 415, 422}),
    ),
    Rule("html-page", Kind.OVERLOADED, shape="html", statuses=frozenset({502, 503, 529})),
    Rule("html-page-timeout", Kind.TIMEOUT, shape="html", statuses=frozenset({504, 524})),
    Rule("html-page-of-an-edge", Kind.SERVER_ERROR, shape="html"),
    Rule(
        "quota-exhausted",
        Kind.QUOTA,
        text=either(
            r"exceeded your (?:current |monthly |assigned )?quota",
            r"insufficient (?:account )?(?:balance|credits?|funds?|quota)",
            r"(?:credit )?balance (?:is )?(?:too low|not enough|exhausted)",
            r"\b(?:out of|not enough|requires? more|used all (?:of )?your|purchase|"
            r"run out of)\b (?:\w+ ){0,2}credits?\b",
            r"payment required|payment method|billing (?:is not|not|hard)",
            r"(?:spending|spend|budget|monthly usage|credit) (?:limit|cap)\b",
            r"余额不足|欠费",
        ),
        code=either(
            r"insufficient_(?:quota|balance|credits?|funds)|billing|arrearage|payment_required", r"credits_exhausted"
        ),
        unless=either("marketplace"),
    ),
    Rule("payment-required", Kind.QUOTA, statuses=frozenset({402})),
    Rule("too-many-requests", Kind.RATE_LIMITED, statuses=frozenset({429})),
    Rule(
        "rate-limit",
        Kind.RATE_LIMITED,
        text=either(
            r"\brate[- ]?limit(?:ed|s)?\b[^.\n]{0,60}(?:reached|exceeded|hit|exceed)",
            r"too many (?:concurrent )?requests",
        ),
        code=either(r"rate_?limit_?(?:exceeded|error|reached)|too_?many_?requests|throttl|resource_exhausted"),
    ),
    Rule(
        "overloaded",
        Kind.OVERLOADED,
        text=either(
            r"\boverloaded\b|(?:at|over|insufficient|no available|exceeded) capacity",
            r"capacity (?:exceeded|constraints)",
            r"model[^.\n]{0,80} is (?:currently |still )?(?:loading|warming|starting|being loaded|scaling)",
            r"^loading model|warming up|cold start|temporarily (?:unavailable|unable|down|at)|high demand",
            r"(?:try again|retry) (?:later|in a (?:few|moment))[^\n]{0,40}(?:busy|load|capacity|demand)",
            r"(?:server|engine|model) (?:is )?(?:too )?busy",
            r"无可用渠道.{0,20}稍后|no healthy upstream|not ready (?:exception|yet)",
            r"\bstill being (?:created|provisioned|deployed|updated)",
        ),
        code=either(r"overloaded|modelnotready|unavailable_error|server_busy|capacity"),
        unless=_MODEL_IS_GONE,
    ),
    Rule(
        "backend-broken",
        Kind.SERVER_ERROR,
        text=either(
            r"degraded (?:function|model)|cannot be invoked|failed to load (?:the )?model",
            r"endpoint (?:for \S{1,120} )?is (?:not running|stopped)",
        ),
        code=either(r"endpoint_not_running"),
    ),
    Rule(
        "context-too-long",
        Kind.CONTEXT_TOO_LONG,
        text=either(
            r"(?:maximum|max|model'?s?) (?:allowed )?(?:context|input|prompt|sequence|"
            r"token)[- ]?(?:window |token |tokens )?(?:length|size|limit|tokens)",
            r"context (?:length|window|size)[^.\n]{0,60}(?:exceed|limit|too|overflow|reached|is (?:only )?\d)",
            r"exceed[^.\n]{0,60}(?:context|maximum (?:allowed )?(?:input |number of )?(?:token|length)|"
            r"token (?:limit|count)|input (?:token|length))",
            r"(?:prompt|input|request|messages?) (?:is|are|was) too (?:long|large)",
            r"too many (?:input |total |prompt )?tokens",
            r"reduce the length|input (?:token|length)[^.\n]{0,40}exceed",
            r"tokens?[^.\n]{0,40}exceeds? (?:the )?(?:model|max|limit)",
        ),
        code=either(
            r"context_length|context_window|string_above_max_length|exceed_context|input_too_long", r"request_too_large"
        ),
    ),
    Rule(
        "content-refused",
        Kind.CONTENT_REFUSED,
        text=either(
            r"content (?:management|filter|policy|moderation|safety)",
            r"safety (?:system|filter|reasons|settings)",
            r"flagged (?:as|by|for)|usage polic(?:y|ies)|inappropriate content|prohibited (?:content|use)",
            r"data may contain",
            r"responsible ai|guardrail (?:intervened|blocked)",
            r"blocked by (?:our )?(?:content|safety|moderation|guardrail)",
            r"requires? moderation|敏感",
        ),
        code=either(
            r"content_(?:filter|policy)|responsibleaipolicy|moderation|inspection_failed|contentfilter",
            r"sensitive|safety|"
            r"\binvalid_prompt|cyber_policy",
        ),
    ),
    Rule(
        "key-scope",
        Kind.AUTHENTICATION,
        text=either(
            r"missing scopes|insufficient permissions for this operation|restricted api key",
            r"insufficient (?:authentication )?scopes",
        ),
    ),
    Rule(
        "place-not-supported",
        Kind.AUTHENTICATION,
        text=either(
            r"(?:country|territory|user location|region or territory)[^.\n]{0,60}(?:not|n't) (?:supported|"
            r"available|allowed)",
            r"unsupported countr|^request not allowed|from unsupported (?:countries|regions)",
        ),
        code=either(r"unsupported_country|region_not_supported"),
    ),
    Rule(
        "key-refused",
        Kind.AUTHENTICATION,
        text=either(
            r"(?:invalid|incorrect|wrong|expired|missing|malformed|revoked|disabled|no|"
            r"unknown)[^.\n]{0,25} (?:api[- ]?key|access token|auth(?:entication|orization)?\b|"
            r"credentials?|bearer|security token|subscription key)",
            r"api[- ]?key[^.\n]{0,60}(?:not valid|invalid|expired|missing|not found|required|leaked|"
            r"revoked|disabled|incorrect)",
            r"security token[^.\n]{0,60}(?:invalid|expired)",
            r"(?:access )?token[^.\n]{0,30}(?:expired|is invalid|not valid)|unable to locate credentials",
            r"(?:account|organi[sz]ation|project|user|workspace)[^.\n]{0,60}(?:deactivated|suspended|"
            r"terminated|banned|disabled|archived|deleted)",
            r"api has not been used in project|unregistered callers|user not found",
            r"could not validate credentials|not logged in",
        ),
        code=either(
            r"invalid_?(?:api_?key|authentication|token)|authentication_error|unauthenticated",
            r"unrecognizedclient|expiredtoken|"
            r"service_disabled|account_deactivated|invalidsignature|incompletesignature",
        ),
        unless=_MODEL_IS_GONE,
    ),
    Rule(
        "host-ended",
        Kind.SERVER_ERROR,
        text=either(
            rf"https?://\S{{1,200}} (?:{ENDED}|{DEPRECATED})",
            rf"\b(?:generate |completions? |legacy )?apis? (?:endpoint )?(?:{ENDED}|{DEPRECATED})",
        ),
        unless=_MODEL_IS_GONE,
    ),
    Rule(
        "unknown-place",
        Kind.SERVER_ERROR,
        text=either(
            r"unknown request url|unrecogni[sz]ed request url|invalid url|no handler found",
            r"no static resource|(?:404 )?page not found",
            r"cannot (?:get|post|put|delete) /|\broutes?\b[^.\n]{0,80}not (?:be )?found|no route",
            r"(?:path|url|uri)[^.\n]{0,80} not (?:be )?found",
            r"(?:double[- ]check|check) (?:your|the) (?:url|base url|path|endpoint)",
            r"unsupported native api path|unknown ?operation",
            r"(?:invalid|unsupported|incorrect|missing|unknown) api[- ]?version",
            r"(?<!for )api[- ]?version[^.\n]{0,60}(?:not supported|required|invalid)",
            r"could not route to|check the configuration|the requested url",
            r"endpoint[^.\n]{0,20} not (?:be )?found for (?:path|url)|no such (?:route|endpoint|path)",
        ),
        code=either(r"unknown_url|unknownoperation|invalid_url|route_not_found|method_not_allowed"),
    ),
    Rule(
        "other-endpoint",
        Kind.BAD_REQUEST,
        text=either(
            r"not a (?:chat|completions?|text|embeddings?|reranking) model|is a chat model",
            r"not allowed to (?:generate|create) (?:embeddings|images|speech|transcriptions)",
            r"(?:only|not) supported (?:in|on|with|by|via|for) (?:the )?'?/?(?:v1|"
            r"openai/v1)?/?(?:chat/completions|completions|responses|embeddings)",
            r"did you mean to use '?/?v1|use (?:the )?'?/?v1/\w|v1/(?:chat/)?completions endpoint",
            r"(?:chat/completions|responses) (?:endpoint|api) instead",
            r"does(?: not|n't) support (?:the )?(?:chat|completions?|generatecontent|embed|embeddings?|"
            r"converse|responses|messages|batch|realtime)",
            r"not (?:compatible|available) with (?:the )?(?:chat|completions?|responses|assistants|batch|"
            r"realtime)",
            r"(?:not supported (?:for|by|in)|cannot be used (?:with|in|by)) (?:the )?(?:[\w-]{1,30} ){0,2}(?:api|"
            r"endpoint|format)\b",
        ),
        unless=_MODEL_IS_GONE,
    ),
    Rule(
        "model-broke",
        Kind.SERVER_ERROR,
        code=either(r"^model(?:stream)?errorexception"),
        vendors=words("bedrock"),
    ),
    Rule(
        "on-demand-not-offered",
        Kind.SERVER_ERROR,
        text=either(r"on-demand throughput|inference profile that contains"),
    ),
    Rule(
        "not-for-training",
        Kind.BAD_REQUEST,
        text=either(
            r"not (?:available|supported|enabled|eligible) for (?:\w+ )?fine-?tun",
            r"can(?:not| only) be fine-?tuned",
            r"fine-?tuning[^.\n]{0,60}(?:not|no longer) (?:available|supported|allowed)",
            r"/fine[-_]tun|fine-?tuning (?:jobs?|api)|training (?:jobs?|file)",
        ),
    ),
    Rule(
        "another-object",
        Kind.BAD_REQUEST,
        text=either(
            r"\b(?:no|unknown) (?:such )?'?(?:thread|assistant|file|response|run|message|batch|"
            r"vector ?store|conversation|upload|container|fine[-_ ]?tun\w* ?jobs?|eval|prompt|session|"
            r"skill|cached ?content|collection|dataset)(?:s| object)?\b(?! name)[^.\n]{0,40}(?:found|:|"
            r"with|'|id)",
            OTHER_THING_IS_GONE,
            r"(?:couldn't|could not|cannot) find (?:a |an |the )?(?:secret|user|project|thread|file|"
            r"assistant|config|workspace|organi[sz]ation|session|tool)",
        ),
        code=either(
            r"(?:thread|assistant|file|response|batch|conversation|vector_store|container|tool)_not_found",
            r"no_such_(?:file|thread)",
        ),
        unless=either(MODEL_IS_GONE, r"\b(?:deployment|account|endpoint)\b"),
        statuses=frozenset(range(200, 600)) - {401, 403},
    ),
    Rule(
        "capability-filter",
        Kind.BAD_REQUEST,
        text=either(r"no endpoints (?:found|available) that|no endpoints (?:found|available)[^.\n]{0,20}support"),
    ),
    Rule(
        "policy-filter",
        Kind.SERVER_ERROR,
        text=either(
            r"no endpoints (?:found|available) matching|data policy|no allowed providers",
            r"all providers have been ignored",
        ),
    ),
    Rule(
        "parameter",
        Kind.BAD_REQUEST,
        text=either(
            r"unsupported (?:parameter|value|field|argument|message|content|role|format|media)",
            r"(?:unknown|unrecogni[sz]ed|unexpected|invalid|missing|required)[^.\n]{0,20} (?:parameter|"
            r"argument|field|property|key)\b",
            r"(?:must|need to|please) (?:provide|specify|supply|include|pass) (?:a |the )?'?model\b",
            r"'?model'? (?:is|field is|parameter is) (?:required|missing)|missing (?:\w+ ){0,2}'?model",
            r"no model (?:specified|provided|given)|field required",
            r"\b(?:is|are)(?: not|n't) (?:supported|allowed|permitted|available|compatible|"
            r"enabled) (?:with|by|for|when using|in) (?:this|the|that|your|current|selected|"
            r"requested) (?:\w+ )?model",
            r"(?:model|it)[^.\n]{0,80} (?:does|do)(?: not|n't) (?:currently )?(?:support|allow|accept|"
            r"have a vision)",
            r"(?:deprecated|not supported|unsupported) (?:for|by|with|in) (?:this|the|'[\w.:/-]{1,80}') ?model",
            rf"'?{OTHER_THING}'? (?:is|are|was)(?: not|n't| no longer) (?:currently )?(?:supported|allowed|"
            rf"permitted|valid|available|accepted|enabled)",
            r"is deprecated for (?:this|the)",
            r"extra inputs are not permitted|additional properties",
            r"invalid (?:type|value|schema|json|role|image|request body|base64)",
            r"max_(?:completion_|output_|new_)?tokens|validation error|could not parse|not of type",
            r"malformed",
            r"\bsku\b|chat template|tool_use|tool_call|roles must alternate|at least one message",
            r"messages?[.\[]\d|response_format|json_schema|only supports?\b",
        ),
        code=either(
            r"unsupported_(?:parameter|value)|invalid_parameter|unknown_parameter|missing_required",
            r"invalid_type|invalid_json|no_support_for_function",
        ),
        unless=either(
            MODEL_IS_GONE,
            rf"(?:unknown|invalid|unsupported) model|{MODEL}[^.\n]{{0,120}}(?:does not exist|not found)",
            r"(?:allowed|permitted|authori[sz]ed|entitled) to (?:access|use|call|invoke|query)",
        ),
    ),
)
