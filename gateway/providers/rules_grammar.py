"""Of what a sentence says "was removed" or "not found": of the model, or of a thing of it or beside it.

``phrases`` holds the verbs; here is what may stand before them. The subject is the first noun that follows no
preposition: in "streaming for model x is no longer supported" it is the streaming, in "the model used by your assistant
was retired" it is the model. Between a noun and its verb stand only names, "that you requested" and "in your account":
whatever else stands there (a second noun, a verb) makes another sentence, which says nothing certain of the model.
"""

from gateway.providers.phrases import DEPRECATED, ENDED, FAMILY, FORBIDDEN, GAP, MISSING_VERB, MODEL

# A noun phrase begins here: neither a preposition nor a determiner stands before it (grouped by length, as a
# look-behind needs).
_FIRST = (
    r"(?<!\b(?:a) )(?<!\b(?:of|to|in|on|by|at|or|an) )(?<!\b(?:for|via|per|and|the|our|its|new|old) )"
    r"(?<!\b(?:with|from|into|when|this|that|your|free|base|chat) )"
    r"(?<!\b(?:using|about|under|while|given|tuned|large) )(?<!\b(?:within|called|chosen|custom|legacy) )"
    r"(?<!\b(?:through|against|desired|preview) )(?<!\b(?:selected|provided|language|upstream) )"
    r"(?<!\b(?:requested|specified|publisher|embedding) )(?<!\b(?:configured|foundation|serverless|underlying) )"
)
_DETERMINER = (
    r"(?:(?:the|this|that|your|our|an?|its|requested|specified|selected|given|provided|chosen|configured|desired|free|"
    r"new|old|base|foundation|tuned|custom|publisher|large|language(?= model)|chat|embedding|serverless|underlying|"
    r"upstream|legacy|preview) )"
)
_AFTER_A_STOP = r"(?:^|(?<=[.:;,!?()\[\]{}'*>|-] )|(?<=['(\[{:>*|]))"
_START = rf"(?:{_FIRST}{_DETERMINER}{{1,4}}+|{_AFTER_A_STOP})"

# -- nouns ------------------------------------------------------------------------------------------------------------

_MORE_FAMILIES = (
    r"(?:yi|abab|minimax|hunyuan|baichuan|internlm|chatglm|mimo|hermes|zephyr|vicuna|olmo|wizardlm|solar|starcoder|"
    r"qwq|aya|flan|whisper|dall-e|tts|embed|rerank|jurassic|j2|reka|palmyra|luminous|exaone|ling)"
)
_PRODUCT = r"(?:code|cli|desktop|sdk|agent|app|client|api|line|studio|vscode)"
_NAMED = (
    rf"(?:(?<![a-z]){FAMILY}(?:[-: ]?\d|[-:](?!{_PRODUCT}\b)[a-z])"
    rf"[\w.:/@-]{{0,100}}+|(?<![\w./-]){_MORE_FAMILIES}[-_](?=[\w.:/@-]{{0,60}}\d)[\w.:/@-]{{1,100}}+|"
    r"\bdatabricks-[\w.-]{1,80}+|\bclaude (?:opus|sonnet|haiku|instant)(?: ?[\d.]{1,8})?|"
    r"\b(?:text|code)-(?:davinci|curie|ada|babbage|cushman|embedding|search|bison|gecko|moderation)[\w.-]{0,80}+)"
)
# "acme/llama-7b", but no path or media type.
_OWNED = (
    r"(?<![\w./:@-])(?!(?:application|image|audio|video|text|multipart|chat|api|openai|v\d|accounts|projects|users|"
    r"files|threads|cachedcontents|locations|endpoints|operations)/)@?[a-z][\w.-]{1,60}/(?=[\w.-]{0,60}\d)[\w.-]{1,80}+"
)


def _alone(name: str) -> str:
    """An id that stands for itself: not the name that follows "model"."""
    return rf"(?<!\bmodel )(?<!\bmodel: )(?<!\bversion )(?:'{name}'?|(?<!')(?<!\bmodels/){name})"


_NOUN = (
    r"(?:(?<![a-z/])(?<!v1/)models?(?:[ _](?:id|name|version|alias|slug)\b)?(?![\w'-])|"
    r"\b(?:lora(?: adapter)?|adapter|finetune|deployment|checkpoint|specified version)(?![\w'-]))"
)
ABOUT_MODEL = rf"(?:{MODEL}|模型|(?<![a-z]){_MORE_FAMILIES}[-_]\w)"

# What is of a model or beside it, and can be missing, unsupported or at its end as well.
OTHER = (
    r"(?:parameters?|params?|fields?|arguments?|options?|features?|headers?|propert(?:y|ies)|beta|apis?|sdk|methods?|"
    r"operations?|urls?|host|routes?|plugins?|functions?|function_call|function calls?|tools?|tool_choice|keys?|"
    r"tokens?|accounts?|organi[sz]ations?|subscriptions?|formats?|response_format|clients?|temperature|top_p|top_k|"
    r"max_tokens|thinking|files?|threads?|assistants?|plans?|trial|streaming|modality|modalities|responses?|"
    r"runs?|messages?|batch|batches|requests?|vector ?stores?|conversations?|uploads?|containers?|jobs?|evals?|"
    r"prompts?|sessions?|skills?|cached ?contents?|collections?|datasets?|items?|agents?|guardrails?|voices?|"
    r"workspaces?|secrets?|images?|tool_call_id|tokenizers?|users?|projects?|templates?|paths?|configs?|"
    r"configurations?|index(?:es)?|knowledge ?bases?|regions?|inference profiles?|credentials?|extensions?|cards?|"
    r"pricing|prices?|ratio|quotas?|services?|servers?|backends?|providers?|channels?|workers?|runners?|instances?|"
    r"replicas?|gpus?|licen[cs]es?|weights|schemas?|languages?|encodings?|vocabulary|caches?|queues?|buckets?|"
    r"documents?|records?|pages?|modules?|class|librar(?:y|ies)|packages?|pipelines?|devices?|inputs?|outputs?|audio|"
    r"video|capabilit(?:y|ies)|logprobs|roles?|attachments?|settings?|modes?|reservations?|throughput|"
    r"credits?|balance|permissions?|polic(?:y|ies)|database|connection|certificates?|domains?|nodes?|clusters?)"
)

# "Model registry", "model family": what only a compound with "model" names.
_COMPOUND = (
    r"(?:registry|garden|famil(?:y|ies)|catalog(?:ue)?|zoo|hub|list|training|tuning|evaluation|artifacts?|repo(?:sitory)?|"
    r"director(?:y|ies)|folder|manifest|architectures?|types?|groups?|kinds?|loading|loader|router|routing|gateway|usage|"
    r"costs?|info(?:rmation)?|metadata|details|mapping|bundles?|monitor(?:ing)?|size|import|export|downloads?|"
    r"selection|selector|picker|context|specs?|definitions?|objects?|entit(?:y|ies)|resources?|stores?|endpoints?|data|"
    r"states?|outputs?|predictions?|inference|cache|validation|checks?)"
)

# -- what may stand between a noun and its verb -----------------------------------------------------------------------

_QUOTED = r"'[^'\n]{0,160}'"
# "tool-call" is a word, "x-1", "acme/x" and "a:b" are ids.
_ID = r"[\w@~+-]{0,60}(?:[\d/@]|[.:](?=\w))[\w./:@~+…-]{0,120}+(?<!\.)"
_FILLER = (
    r"(?:you(?: are|'re| have)? (?:trying|attempting|asked|requested|selected|chosen|using|calling)(?: (?:to|for))?"
    r"(?: (?:use|access|call|reach|invoke))?\b|(?:id|name|named|called|version|you|we|have|requested|specified|"
    r"selected|provided|supplied|configured|used|that|which|now|currently)\b)"
)
_VERB = (
    r"(?:is|are|was|were|has|have|had|does|do|did|could|can|cannot|may|might|will|not|no|never|got|being|returned|"
    r"errors?|failed)"
)
_WORD = rf"(?!{_VERB}\b)[a-z]{{1,30}}(?![\w-])"
_ASIDE = (
    rf"(?:of|for|to|in|on|with|by|from|under|at|using|via|within|through) {_DETERMINER}{{0,3}}+(?:{_NOUN}"
    rf"(?: {_QUOTED}| {_ID}| {_WORD})?|{_NAMED}(?: {_NOUN})?|"
    rf"{_QUOTED}|{_ID}|{_WORD})"
)
_BETWEEN = rf"(?>[ :/,(=]{{1,3}}(?:{_ASIDE}|{_FILLER}|{_QUOTED}|{_ID}|\([^)\n]{{0,60}}\))){{0,6}}"
# Right after the noun comes the model's name: hyphenated, a family's, or too short for a thing ("model x").
_PLAIN_NAME = (
    rf"(?:[ :]{{1,2}}(?!(?:{OTHER}|{_VERB})\b)(?:{FAMILY}|{_MORE_FAMILIES}|[a-z]{{1,3}}|"
    r"[a-z]{1,40}(?:[-_][a-z]{1,40}){1,8})(?![\w-]))?"
)
_TO_VERB = r"[),:]{0,2} ?(?:(?:is|are|was|were|has|have|had) (?:now |also |since )?)?"

_PREPOSITION = r"(?:of|for|to|in|on|with|by|at|or|and|via|per|from|into|when|about|under|while|within|through|against)"
# "The OpenAI gpt-4 model": what stands before a noun, and is no noun of another thing and no participle.
_BEFORE = (
    rf"(?:(?!(?:{OTHER}|{_PREPOSITION}|{_VERB})\b)(?:{_QUOTED}|{_NAMED}|{_ID}|[a-z]{{1,30}}(?<!ing)(?<!ed)(?![\w-])) )"
    r"{0,3}?"
)
_MODEL_NAMED = rf"(?:{_alone(_NAMED)}|{_alone(_OWNED)})"
_MODEL_SUBJECT = (
    rf"(?:(?:\bsupport for {_DETERMINER}{{0,3}}+|{_START}{_BEFORE}){_NOUN}{_PLAIN_NAME}|"
    rf"(?:\bsupport for |{_START}){_MODEL_NAMED}){_BETWEEN}{_TO_VERB}"
)
_OTHER_SUBJECT = rf"{_START}{_BEFORE}(?<![\w-])'?{OTHER}(?![\w-])(?: {_WORD}){{0,2}}{_BETWEEN}{_TO_VERB}"

# -- statements -------------------------------------------------------------------------------------------------------

_PERMANENT = r"(?:retired|decommissioned|discontinued|sunset(?:ted)?|withdrawn|eol|end[- ]of[- ]life)\b"
_NOT_ANY_MORE = r"(?:not|n't) (?:be )?(?:available|supported|offered|served|accessible) any ?(?:more|longer)\b"
_ENDED = rf"(?:{ENDED}|{_NOT_ANY_MORE}|(?:been )?(?:superseded|phased out)\b|reached (?:its |the )?eol\b|{_PERMANENT})"
MODEL_ENDED = rf"{_MODEL_SUBJECT}{_ENDED}"
# What does not come back: a server that restarts, or a queue, has it also "shut down" or "removed".
MODEL_ENDED_FOR_GOOD = (
    rf"{_MODEL_SUBJECT}(?:{DEPRECATED}|(?:been )?(?:deprecated and )?{_PERMANENT}|reached (?:the |its )?(?:eol\b|end)|"
    rf"no longer (?:be )?(?:available|supported|offered|served|provided)|{_NOT_ANY_MORE}|"
    rf"[a-z ]{{0,40}}[.:;,] it (?:was|has been|is)(?: now)? (?:deprecated\b|{_PERMANENT}))"
)
_NOT_FOUND_MODEL = (
    r"(?:(?:not found|not find|n't find|cannot find|unable to find|not locate|not resolve)(?: the| a| any)?"
    rf"(?: requested| specified| foundation)? {_NOUN}|no (?:such|matching) model|"
    r"not a (?:valid|known|recogni[sz]ed) model)"
    rf"(?! (?:{OTHER}|{_COMPOUND})\b)|\bno model (?:named|called|found|with|matching)"
)
MODEL_MISSING = (
    rf"(?:(?:{_START}{_BEFORE}(?:{_NOUN}|\bengine\b){_PLAIN_NAME}|{_START}{_alone(_NAMED)}){_BETWEEN}{_TO_VERB}{MISSING_VERB}|"
    rf"{_NOT_FOUND_MODEL})"
)
OTHER_THING_IS_GONE = rf"{_OTHER_SUBJECT}(?:{ENDED}|{DEPRECATED}|{MISSING_VERB})"
MODEL_ENDING = rf"{MODEL}{GAP}(?:is|are|be) (?:scheduled|planned|going) (?:for|to) [^.\n]{{0,40}}"
MODEL_ENDED_LOOSELY = rf"(?!engine){MODEL}{GAP}(?:{ENDED}|{DEPRECATED})"

# -- Chinese ----------------------------------------------------------------------------------------------------------

# Between noun and verb only a name: "模型接口版本已下线" is about an interface, "模型的工具不存在" about a tool.
_CJK_NAME = r"(?:名称|代码|版本|id)?[a-z0-9_.:/@'\[\]()（）：【】 -]{0,80}?"
_CJK_END = (
    r"(?:下线|停用|废弃|弃用|停止(?:服务|维护|支持|提供|使用)|下架|退役|移除|删除|关闭|淘汰|"
    r"不再(?:支持|提供|可用|维护))"
)
_CJK_DATE = r"(?:于?[\d年月日./: -]{1,20}(?:起)?)?"
CJK_MODEL_ENDED = (
    rf"模型{_CJK_NAME}(?:已(?:经)?{_CJK_DATE}(?:被|正式|全面|永久)?{_CJK_END}|不再(?:支持|提供|可用|维护))"
)
CJK_MODEL_ENDING = rf"模型[^。\n]{{0,40}}?(?:即将|将于|将在|计划)[^。\n]{{0,24}}?{_CJK_END}"
CJK_MODEL_MISSING = (
    rf"模型{_CJK_NAME}(?:不存在|未找到|找不到)|"
    r"(?:不存在|找不到|未找到|没有找到|没有)(?:该|此|这个|指定的?|名为)?[ ：:]{0,2}模型(?![的配文参服接])"
)
CJK_OTHER_MISSING = r"(?:模型的|文件|工具|配置|参数|接口)[^。，\n]{0,12}(?:不存在|未找到|找不到)"
CJK_FORBIDDEN = r"(?:无权|没有[^。\n]{0,8}权限|未开通|未授权|未激活|未开放|未获(?:得)?授权|拒绝|需要?申请|权限不足)"
ANY_FORBIDDEN = rf"(?:{FORBIDDEN}|{CJK_FORBIDDEN}|(?:not|n't)(?: yet)? (?:activated|purchased|subscribed|agreed to)\b)"

MODEL_IS_GONE = (
    rf"{_MODEL_SUBJECT}(?:{_ENDED}|{DEPRECATED}|{MISSING_VERB})|{_NOT_FOUND_MODEL}|"
    rf"{CJK_MODEL_ENDED}|{CJK_MODEL_MISSING}"
)
