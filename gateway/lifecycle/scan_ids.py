"""Which words of a text are ids of models, as vendors, SDKs and litellm write them, and whose.

An id's vendor is what its prefix says (``azure/…``, ``bedrock/…``, ``models/gemini-…``), else whose family it is of. A
file that speaks of Azure OpenAI means Azure's, where Azure dates that id; likewise Vertex AI. In a file that speaks of
both, either may be meant. What many serve under one name, such as open weights, counts only where the file names a host
that dates it.
"""

import re
import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.config.model_ids import base_of

WORD: Final = re.compile(r"[A-Za-z0-9_.:/@~%+-]+")
_WORD_CHARACTERS: Final = frozenset(string.ascii_letters + string.digits + "_.:/@~%+-")
_LONGEST_WORD: Final = 300
# What stands before a shell's default is no part of it: ``${M-gpt-4-0613}``, ``${M:-gpt-4-0613}``.
_DEFAULT: Final = r"\$\{\w++:?[-+]"
_PIECE: Final = re.compile(rf"{_DEFAULT}|[A-Za-z0-9_][A-Za-z0-9_-]*")
_ENCODED_DEFAULT: Final = re.compile(_DEFAULT.encode())
_SEPARATORS: Final = bytes(c if c < 128 and (chr(c).isalnum() or c in b"_-") else 0x20 for c in range(256))

_PREFIXES: Final[Mapping[str, str | None]] = {
    **{name: name for name in ("openai", "azure", "anthropic", "bedrock", "gemini", "cohere", "mistral", "groq")},
    **{name: name for name in ("xai", "together", "fireworks", "deepseek", "databricks", "perplexity", "vertex")},
    **{name: name for name in ("wandb", "scaleway", "nscale", "cerebras", "sambanova", "replicate", "deepinfra")},
    **dict.fromkeys(("text-completion-openai", "openai_chat"), "openai"),
    **dict.fromkeys(("azure_openai", "azure-openai", "azureopenai", "azure_ai", "azure_text", "deployments"), "azure"),
    **dict.fromkeys(("bedrock_converse", "amazon-bedrock"), "bedrock"),
    **dict.fromkeys(("vertex_ai", "vertexai", "vertex_ai_beta", "google-vertex", "google_vertexai"), "vertex"),
    **dict.fromkeys(("google", "google-gla", "google_genai", "googleai", "google_ai_studio"), "gemini"),
    "cohere_chat": "cohere",
    "mistralai": "mistral",
    "x-ai": "xai",
    **dict.fromkeys(("together_ai", "togetherai"), "together"),
    **dict.fromkeys(("fireworks_ai", "fireworks-ai"), "fireworks"),
    # These pass a request on: whose the model is stands behind them.
    **dict.fromkeys(("openrouter", "litellm", "litellm_proxy", "github", "vercel", "portkey", "helicone"), None),
}
# A colon may follow these at the beginning, and either sign behind a vendor: ``model:…``, ``openai/responses/…``.
_BETWEEN: Final = re.compile(
    r"model|engine|llm|chat|completion|responses|embeddings?|messages|converse|invoke"
    r"|eu|us|global|apac|global-standard|data-?zone|standard"
)
_ROUTER_SUFFIX: Final = re.compile(r":(?:free|beta|nitro|online|extended|floor|thinking|exacto)$")

_FAMILIES: Final = (
    (re.compile(r"gpt-35-"), "azure"),
    (re.compile(r"gpt-(?!oss)|chatgpt-|o[134](?:-|$)|dall-e-|whisper-\d|tts-\d|sora-|codex-|computer-use-"), "openai"),
    (re.compile(r"text-(?:embedding-(?:ada|3)|moderation|davinci|curie|babbage|ada)|code-(?:davinci|cus)"), "openai"),
    (re.compile(r"(?:ada|babbage|curie|davinci)(?:-002)?$"), "openai"),
    (re.compile(r"claude-[^@]*$"), "anthropic"),
    (re.compile(r"claude-.*@|(?:text|chat|code)-bison"), "vertex"),
    (re.compile(r"gemini-|imagen-|veo-"), "gemini"),
    (re.compile(r"command|rerank-|embed-|classify-"), "cohere"),
    (re.compile(r"mistral-|codestral-|pixtral-|ministral-|magistral-|devstral-|open-mi|labs-leanstral"), "mistral"),
    (re.compile(r"grok-"), "xai"),
    (re.compile(r"deepseek-(?:chat|reasoner)$"), "deepseek"),
    (re.compile(r".*(?:-versatile|-instant|-8192)$"), "groq"),
    (re.compile(r"accounts/fireworks/"), "fireworks"),
    (re.compile(r"databricks-"), "databricks"),
)
_BEDROCK: Final = re.compile(
    r"(?:(?:us|eu|apac|au|jp|ca|global|us-gov)\.)?"
    r"(?P<maker>anthropic|amazon|meta|mistral|cohere|ai21|deepseek|writer|stability|twelvelabs|luma|qwen|openai|nvidia"
    r"|minimax|moonshot|google|zai)\.(?P<name>[\w.-]+?)(?P<version>-v\d+)?(?::\d+)?(?::\d+k)?"
)
_HINTS: Final = {  # in lower case
    "openai": re.compile(r"(?<![a-z_])(?:async|chat)?openai\(|(?<!azure_)openai_api_key|api\.openai\.com|\bopenai/"),
    "gemini": re.compile(r"gemini_api_key|google_api_key|generativelanguage|google\.generativeai|\bgemini/"),
    "anthropic": re.compile(r"(?<![a-z_])(?:async|chat)?anthropic\(|anthropic_api_key|api\.anthropic"),
    "azure": re.compile(
        r"azure[ _.-]?openai|openai[ _.-]?azure|azure_(?:endpoint|deployment|api|ad_token)|api_type\W{1,5}azure"
        r"|ai-sdk/azure|azure[ _.-]?ai\b|services\.ai\.azure|models\.ai\.azure|cognitiveservices|\bazure/"
    ),
    "vertex": re.compile(r"vertex[ _.-]?ai|aiplatform"),
    "together": re.compile(r"together[_.]?(?:ai|xyz|computer|api)|import together|from together"),
}
# What must be in a text for its hint to be worth looking for.
_GIST: Final = {"vertex": "ai"}
_HOSTED_FOR: Final = {"azure": ("openai",), "vertex": ("gemini", "anthropic")}

_RESOURCE: Final = re.compile(
    r"(?P<vertex>(?:^|.*/)publishers/[\w-]+/models/)(?P<a>[^/:]+)(?::[A-Za-z]+)?$"
    r"|(?P<bedrock>arn:aws[\w-]*:bedrock:.*/)(?P<b>[^/]+)$"
)
_CALL: Final = re.compile(
    r"(?:^|/)(?P<kind>models?|engines|deployments)/(?P<id>[^/]+?)"
    r"(?::(?:\w*[gG]enerateContent|\w*[pP]redict|countTokens|\w*[eE]mbedContents?)"
    r"|/(?P<call>(?:chat/)?completions|embeddings|responses|images|audio|invoke|converse)[\w/-]*)$"
)
_BEDROCKS_CALLS: Final = ("invoke", "converse")


@dataclass(frozen=True, slots=True)
class Named:
    """A word that names a model."""

    model: str
    """Without prefix."""
    vendor: str | None
    """As the word itself says; None: as the file and the id's family say."""
    base: str | None = None
    """Of a fine-tune."""
    span: tuple[int, int] | None = None
    """Where in the word the model is, if the word is a resource's name or the path of an API call; else None."""


class Vocabulary:
    """Every id that somebody dates, and how to find them in a text."""

    def __init__(self, models: Iterable[tuple[str, str]]) -> None:
        """Take (vendor, model) pairs."""
        self._vendors: dict[str, tuple[str, ...]] = {}
        for vendor, model in models:
            if WORD.fullmatch(model) and not model.endswith(".x"):
                self._vendors[model] = (*self._vendors.get(model, ()), vendor)
        self._pieces = frozenset(piece for model in self._vendors for piece in _pieces(model)) | {"ft"}
        self._encoded = frozenset(piece.encode() for piece in self._pieces)

    def may_name_one(self, content: bytes) -> bool:
        """Tell, fast, whether a file is worth a closer look; False is certain."""
        if b"${" in content:
            content = _ENCODED_DEFAULT.sub(b" ", content)
        return not self._encoded.isdisjoint(content.translate(_SEPARATORS).replace(b" -", b" ").split())

    def words(self, text: str) -> Iterator[tuple[int, str]]:
        """Yield the words that may name a model, and where each begins; what cannot end an id is cut off its end."""
        end = default = 0
        for piece in _PIECE.finditer(text):
            if piece[0].startswith("$"):
                default = piece.end()
            if piece[0] not in self._pieces or piece.start() < end:
                continue
            start, end = _word_around(text, piece.start(), piece.end())
            start = max(start, default)
            if end - start <= _LONGEST_WORD:
                start += text[start:end].rfind(":-") + 2 if ":-" in text[start:end] else 0
                yield start, text[start:end].rstrip(".:/")

    def named(self, word: str) -> Named | None:
        """Return the model that a word (a whole run of ``WORD``) names, or None: it is no id."""
        if "/" in word and (addressed := self._addressed(word)) is not None:
            return addressed
        vendor: str | None = None
        rest = _ROUTER_SUFFIX.sub("", word)
        while True:
            if (base := base_of(rest)) is not None:
                # In capitals it stands for any: ``ft:BASE:ORG:SUFFIX:ID``.
                return None if base.isupper() else Named(rest, vendor or "openai", base)
            if (found := self._known(rest, vendor)) is not None:
                return found
            cut = re.search("[/:]", rest)
            if cut is None:
                return None
            head = rest[: cut.start()].lower()
            separator, rest = cut[0], rest[cut.end() :]
            if head in _PREFIXES:
                vendor = vendor or _PREFIXES[head]
            elif not (
                family(rest) == "gemini"
                if head == "models"
                else _BETWEEN.fullmatch(head) and (vendor or separator == ":")
            ):
                return None

    def vendors_of(self, model: str) -> tuple[str, ...]:
        """Return everybody who dates an id."""
        return self._vendors.get(model, ())

    def vendors_here(self, model: str, surroundings: "Surroundings") -> tuple[str, ...]:
        """Return whose an id without a prefix may be, where it stands; of those who date it, so it may be nobody's.

        It is more than one only where a text speaks of both, Azure OpenAI and OpenAI, or Vertex AI and Gemini.
        """
        dated = self.vendors_of(model)
        home = family(model)
        if home is None:
            return tuple(vendor for vendor in dated if surroundings.speak_of(vendor))
        hosts = [host for host in dated if home in _HOSTED_FOR.get(host, ()) and surroundings.speak_of(host)]
        if hosts and not surroundings.speak_of(home):
            return tuple(hosts)
        return (*hosts, *(vendor for vendor in dated if vendor == home))

    def _known(self, model: str, vendor: str | None) -> Named | None:
        """Look a word up, as it stands or as a host of it writes it."""
        if model in self._vendors:
            return Named(model, vendor)
        fine_tune = model.partition(".ft-")
        if fine_tune[1] and fine_tune[0] in self._vendors:
            return Named(model, "azure", fine_tune[0])
        if "@" in model and model.replace("@", "-") in self._vendors:
            return Named(model.replace("@", "-"), "vertex")
        at_bedrock = _BEDROCK.fullmatch(model)
        if at_bedrock is not None and vendor in (None, "bedrock"):
            for id_ in (model, f"{at_bedrock['maker']}.{at_bedrock['name']}{at_bedrock['version'] or ''}"):
                for candidate in (id_, f"{id_}:0", f"{id_.removesuffix(':0')}"):
                    if "bedrock" in self.vendors_of(candidate):
                        return Named(candidate, "bedrock")
            if at_bedrock["name"] in self._vendors:
                return Named(at_bedrock["name"], "bedrock")
        return None

    def _addressed(self, word: str) -> Named | None:
        """Find the id within a resource's name or the path of an API call."""
        if (resource := _RESOURCE.fullmatch(word)) is not None:
            vendor = "vertex" if resource["vertex"] else "bedrock"
            group = "a" if resource["vertex"] else "b"
            found = self._known(resource[group], vendor)
            return found and Named(found.model, vendor, found.base, resource.span(group))
        if (call := _CALL.search(word)) is not None:
            host = "azure" if call["kind"] == "deployments" else "bedrock" if call["call"] in _BEDROCKS_CALLS else None
            found = self._known(call["id"], host)
            return found and Named(found.model, found.vendor, found.base, call.span("id"))
        return None


def family(model: str) -> str | None:
    """Return the vendor that makes and serves a family of models; None: many serve it."""
    if _BEDROCK.fullmatch(model):
        return "bedrock"
    return next((vendor for pattern, vendor in _FAMILIES if pattern.match(model)), None)


def is_ambiguous(model: str) -> bool:
    """Tell whether an id is a plain word, or too short to be surely one: ``ada``, ``command``, ``o1``, ``tts-1``."""
    if model.startswith(("gpt-", "claude-", "gemini-", "grok-", "dall-e-", "chatgpt-")):
        return False
    return len(model) < 7 or not any(mark in model for mark in "-.:@/") or not any(c.isdigit() for c in model)


class Surroundings:
    """The text around an id: which vendors it speaks of."""

    def __init__(self, text: str) -> None:
        self._text = text.lower()
        self._answers: dict[str, bool] = {}

    def speak_of(self, vendor: str) -> bool:
        """Tell whether the text names a vendor's API, its settings or its packages."""
        if vendor not in self._answers:
            hint = _HINTS.get(vendor)
            named = _GIST.get(vendor, vendor) in self._text
            self._answers[vendor] = named and (hint is None or hint.search(self._text) is not None)
        return self._answers[vendor]


def _word_around(text: str, start: int, end: int) -> tuple[int, int]:
    while start > 0 and text[start - 1] in _WORD_CHARACTERS and end - start <= _LONGEST_WORD:
        start -= 1
    while end < len(text) and text[end] in _WORD_CHARACTERS and end - start <= _LONGEST_WORD:
        end += 1
    return start, end


def _pieces(model: str) -> Iterator[str]:
    """Yield words of which one is in every text that names the model, however its hosts write it."""
    longest = max(_PIECE.findall(model), key=len)
    yield longest
    if model.startswith("claude-"):
        yield from (f"{model}-v{version}" for version in (1, 2))
        yield re.sub(r"-\d{8}$", "", longest)
