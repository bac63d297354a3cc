"""The vocabulary of providers' errors: fragments of patterns, put together to rules in ``classify_rules``.

Written about ``Evidence.text``: lower case, every quotation mark ``'``, one message a line. Every gap is bounded and no
repetition is nested in another, so that no text can make a match slow.
"""

# -- what is spoken of ------------------------------------------------------------------------------------------------

FAMILY = (
    r"(?:gpt|claude|gemini|gemma|llama|mistral|mixtral|ministral|codestral|pixtral|devstral|magistral|grok|command|"
    r"qwen|"
    r"deepseek|phi|nova|titan|jamba|sonar|kimi|glm|ernie|doubao|dbrx|granite|davinci|curie|babbage|chatgpt|codex|"
    r"imagen|"
    r"veo|palm|bison|falcon|nemotron|o[134]|ft)"
)
# The word itself, what carries a model, or an id of a known family ("claude-2.1", "ft:gpt-4o:…", "Claude 2").
MODEL = (
    rf"(?:(?<![a-z])(?<!v1/)models?\b(?! (?:context|serving))|\bmodel_?id\b|\b(?:lora|adapter|finetune|"
    rf"deployment|checkpoint|engine|specified version)\b|"
    rf"(?<![a-z]){FAMILY}[-: ]?[\d.:-][\w.:/@-]{{0,100}}+|\bdatabricks-[\w.-]{{1,80}}|"
    r"\bclaude (?:opus|sonnet|haiku|instant)[ -]?[\d.]{0,8}|"
    r"\b(?:text|code)-(?:davinci|curie|ada|babbage|cushman|embedding|search|bison|gecko|moderation)[\w.-]{0,80}+)"
)
# At most 150 characters of one sentence: a full stop inside a model's id does not end it.
GAP = r"(?:[^.\n]|\.(?! |$)){0,150}?"
# A thing beside the model that can end, be missing or be unsupported as well.
OTHER_THING = (
    r"(?:parameters?|params?|fields?|arguments?|options?|features?|headers?|propert(?:y|ies)|beta|apis?|sdk|methods?|"
    r"operations?|endpoints?|urls?|host|routes?|plugins?|functions?|function_call|tools?|tool_choice|keys?|tokens?|"
    r"accounts?|organi[sz]ations?|subscriptions?|formats?|clients?|temperature|top_p|top_k|max_tokens|thinking|"
    r"files?|threads?|assistants?|plans?|promotion|trial|streaming|modality|modalities)"
)

# What can be missing, and is no model.
OTHER_OBJECT = (
    r"(?:threads?|assistants?|files?|responses?|runs?|messages?|batch|batches|vector ?stores?|conversations?|uploads?|"
    r"containers?|jobs?|evals?|prompts?|sessions?|skills?|cached ?contents?|collections?|datasets?|items?|agents?|"
    r"guardrails?|voices?|workspaces?|secrets?|images?|urls?|tools?|tool_call_id|functions?|parameters?|tokenizers?|"
    r"keys?|"
    r"users?|organi[sz]ations?|accounts?|projects?|resources?|templates?|paths?|routes?|configs?|configurations?|"
    r"indexes|"
    r"index|knowledge ?base|endpoints?|subscriptions?|regions?|inference profiles?|credentials?|tokens?)"
)

# -- it ended ---------------------------------------------------------------------------------------------------------

_ADVERB = r"(?:(?:now|since|already|officially|permanently|fully|currently|recently|also|deprecated and) )?"
_BE = rf"(?:(?:has|have|had) (?:now |already )?been|was|were|is|are|got|being) {_ADVERB}"
ENDED = (
    rf"(?:{_BE}(?:retired|decommissioned|discontinued|removed|sunset(?:ted)?|shut ?down|withdrawn|turned off|deleted|"
    rf"eol\b|"
    r"taken (?:down|offline)|delisted|archived|phased out|unpublished|obsoleted?|end[- ]of[- ]life)|"
    r"no longer (?:be )?(?:available|supported|offered|served|exists?|accessible|deployed|hosted|active|provided|"
    r"valid|"
    r"in service|usable|maintained|part of|operational)|"
    r"(?:has|have|had) (?:now |already )?(?:reached (?:the |its |their )?end|ended\b|expired|ceased)|"
    r"decommissioned|reached end[- ]of[- ](?:life|support|service))"
)
DEPRECATED = rf"(?:{_BE}deprecated\b)"
# "The 'functions' parameter was removed", "Generate API was removed", "https://… is no longer supported".
OTHER_ENDED = (
    rf"(?<![\w-]){OTHER_THING}\b['\")]{{0,2}} (?:\([^)\n]{{0,60}}\) |'[^'\n]{{0,60}}' )?(?:[\w-]{{1,40}} )?(?:{ENDED}|"
    rf"{DEPRECATED})|"
    rf"https?://\S{{1,200}} (?:{ENDED}|{DEPRECATED})"
)
# Perhaps gone, or going: no fact about today.
HEDGED = (
    r"(?:\b(?:may|might|could)(?: also)? (?:have|be|no longer)\b|\b(?:possibly|perhaps|probably|whether|"
    r"check if)\b)[^.\n]{0,60}"
    r"(?:deprecated|retired|removed|deleted|decommissioned|discontinued|no longer|available)"
)
FUTURE = (
    r"(?:will|shall|going to) (?:soon )?(?:be (?:deprecated|retired|removed|shut|decommissioned|discontinued|turned|"
    r"sunset|deleted|no longer)|no longer|reach)|scheduled (?:for|to be)|(?:upcoming|planned) (?:deprecation|"
    r"retirement|"
    r"shutdown|removal)|deprecating state"
)

# -- it is not there --------------------------------------------------------------------------------------------------

_NOT = r"(?: not|n't)"
MISSING_VERB = (
    rf"(?:(?:does|do|did){_NOT} exist|\bnot exists?\b|(?:may|might) not exist|non-?existent|not found|"
    rf"(?:is|was|are|were){_NOT} (?:be )?(?:found|recogni[sz]ed|known)|(?:could|can){_NOT} be found|cannot be found|"
    r"never been loaded)"
)
MISSING = (
    rf"(?:{MODEL}{GAP}{MISSING_VERB}|"
    rf"(?:not found|not find|n't find|cannot find|unable to find|not locate|not resolve)(?: the| a| any)?(?: requested|"
    rf" specified| foundation)? {MODEL}|"
    rf"no (?:such|matching) model|\bno model (?:named|called|found|with|matching)|"
    rf"not a (?:valid|known|recogni[sz]ed) model|模型.{{0,60}}(?:不存在|未找到|找不到)|不存在.{{0,10}}模型)"
)
OTHER_MISSING = (
    rf"\b{OTHER_OBJECT}\b'?(?: (?!models?\b|not\b)\S{{1,80}}){{0,3}} {MISSING_VERB}|"
    rf"\b{OTHER_OBJECT}\b (?:used )?(?:for|of|in|with|by) [^.\n]{{0,160}}?{MISSING_VERB}"
)
INVALID = (
    rf"(?:(?:unknown|invalid|unrecogni[sz]ed|incorrect|wrong|illegal) (?:foundation )?(?:model|deployment)|"
    rf"{MODEL}{GAP}(?:is|are|was) (?:an )?(?:invalid|not valid|incorrect|unknown|unrecogni[sz]ed)|"
    rf"model identifier is invalid)"
)
UNSUPPORTED = (
    rf"(?:unsupported model|{MODEL}{GAP}(?:not (?:currently |yet )?(?:supported|available|enabled|served|hosted|"
    rf"deployed|"
    rf"loaded|ready|running|active|offered|allowed|accessible|provisioned|configured)|"
    rf"n't (?:supported|available|enabled|loaded|deployed)|unavailable|disabled|in deprecating state)|"
    rf"no models? (?:is |are )?(?:currently )?(?:loaded|available)|unable to access (?:the )?model|"
    rf"不支持.{{0,20}}模型|模型.{{0,60}}(?:不可用|不支持)|无可用渠道)"
)

# -- it is not ours ---------------------------------------------------------------------------------------------------

NO_RIGHT = (
    r"(?:(?:\b(?:no|not|without|lacks?|lacking|missing|insufficient)\b|n't)[^.\n]{0,30}\b(?:access|permissions?|"
    r"permitted)\b|"
    r"permission denied|\binaccessible\b|\baccess[^.\n]{0,80}(?:denied|restricted|not allowed|forbidden)|"
    r"unauthori[sz]ed|not (?:been )?(?:authori[sz]ed|permitted|entitled|granted|approved|eligible|allow-?listed|"
    r"whitelisted)|"
    r"not allowed|not enabled for|\byou have (?:the )?(?:access|permission)|无权|没有权限|未开通)"
)
# It lives, for others: "no longer available to new users", "only available in the enterprise tier".
FOR_OTHERS = (
    r"(?:not|no longer|n't|only)(?: currently)? (?:available|included|enabled|offered|supported|accessible|allowed|"
    r"open) (?:\w+ ){0,3}?"
    r"(?:in|on|for|with|to|under|by|at) (?:\w+ )?(?:your|this (?:account|plan|tier|organi|project|region|key|user|"
    r"workspace)|new|"
    r"free|existing|paid|selected|approved|pro|enterprise|team|premium|plus|tier|users|customers|accounts|region|"
    r"integrator)\b|"
    r"under your (?:current )?plan"
)
NOT_ENTITLED = (
    r"(?:must be verified|verification (?:is )?required|requires? (?:\w+ ){0,3}(?:terms|acceptance|approval|"
    r"verification|"
    r"subscription|upgrade|access|plan)\b|accept (?:the |its )?(?:\w+ ){0,3}(?:terms|licen[cs]e|agreement)|\bgated\b|"
    r"\bupgrade (?:to|your) |blocked (?:at|by|for)\b|"
    rf"{FOR_OTHERS}|"
    r"wait-?list|early access|limited (?:access|preview)|private preview|request access|aws-marketplace|"
    r"marked by provider as legacy|allowed models)"
)
FORBIDDEN = rf"(?:{NO_RIGHT}|{NOT_ENTITLED})"
