"""A failure as litellm raises it, brought back to what the provider answered.

litellm's own class and message are guesses over the provider's text. The exceptions that it wrapped on the way are
still chained to the one that arrives here, and the innermost that knows of an HTTP answer has status, headers and body.
"""

import json
import re
import traceback
from collections.abc import Iterator, Mapping

from gateway.errors import GatewayError, RequestError
from gateway.reasons import FailureKind

# "throttlingException {…}": the last frame of Bedrock's event stream, with the name that is a header elsewhere.
_STREAM_EXCEPTION = re.compile(r"\A([A-Za-z]{1,60}Exception) (\{.*\})\Z", re.DOTALL)
KIND_HEADER = "x-worker-failure"
"""On an answer of the worker's: what kind of failure it is, where no provider said anything of it."""
MAX_BODY_CHARS = 16_384
_KEPT_HEADERS = frozenset({"retry-after", "retry-after-ms", "x-amzn-errortype", "x-should-retry"})
# "litellm.BadRequestError: AnthropicException - {…}": whose words these are, said three times.
_PREFIX = re.compile(r"\A\s*(?:(?:litellm\.)?[A-Z]\w{0,60}(?:Error|Exception|Timeout)\s{0,3}[:-]\s*)+")
_AFTERWARDS = (
    "Give Feedback / Get Help", "LiteLLM.Info", "LiteLLM Retried", "Learn more: https://docs.litellm", "To drop these",
    "Received Messages=", "File an issue", "Traceback (most recent call last)", "Either provide one, or set `litellm",
)  # fmt: skip


_TIMED_OUT = {"message": "The provider did not answer in time.", "code": "timeout"}
_NOT_CONNECTED = {"message": "The connection to the provider failed.", "code": "connection_failed"}
# litellm's functions that turn a request into a vendor's.
_WRITING = (
    "async_transform_request", "get_optional_params", "map_openai_params", "transform_request",
    "update_messages_with_model_file_ids", "validate_and_fix_openai_messages",
)  # fmt: skip
_NO_CONNECTION = ("Connect", "RemoteProtocol", "ReadError", "Disconnected")


class CallFailed(Exception):
    """A call that got no answer: what to tell the gateway, as the provider would have said it."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers
        self.body = body


class NotFetched(RequestError):
    """A picture or a file by its URL, which litellm would fetch: a caller's URL must not make the gateway call it."""

    code = "unsupported_value"


class MissingLibrary(GatewayError):
    """A cloud's own library is not installed."""

    code = "missing_library"


def not_fetched() -> NotFetched:
    """Return the error for a URL that would have to be fetched."""
    return NotFetched(
        "Nothing is fetched from URLs for this model's provider: send pictures and files as data: URLs.",
        param="messages",
    )


def refused(error: GatewayError) -> CallFailed:
    """Return an error of our own as the answer it is."""
    kind = FailureKind.BAD_REQUEST if isinstance(error, RequestError) else FailureKind.SERVER_ERROR
    return CallFailed(error.status, {KIND_HEADER: kind.value}, _encode(error.body("")["error"]))


def read_failure(error: BaseException, *, secrets: tuple[str, ...] = ()) -> CallFailed:
    """Return what the provider answered, as far as it can be known; never raises.

    ``secrets`` are blacked out wherever they stand: some providers quote the key that they refuse.
    """
    try:
        found = _own_trouble(error) or _network_trouble(error) or _provider_answer(error) or _without_answer(error)
    except Exception:  # what litellm wraps is anybody's, and may break when it is looked at
        found = CallFailed(500, {}, _encode({"message": type(error).__name__, "code": "unreadable"}))
    body = found.body
    for secret in filter(None, secrets):
        # As it is, and as it stands within a string of JSON: a service account's is JSON itself.
        for written in (secret, json.dumps(secret)[1:-1]):
            body = body.replace(written.encode(), b"[key]")
    return CallFailed(found.status, found.headers, body)


def error_event(failure: CallFailed) -> bytes:
    """Return the data of a stream's last event: one line, in OpenAI's shape, whatever the provider's own is."""
    try:
        said = json.loads(failure.body)
    except ValueError:
        said = None
    if isinstance(said, list) and said:
        said = said[0]
    error = said.get("error") if isinstance(said, dict) else None
    if isinstance(error, dict):
        return json.dumps({"error": error}).encode()
    text = said.get("message") if isinstance(said, dict) else None
    message = text if isinstance(text, str) else failure.body.decode("utf-8", "replace")
    return _encode({"message": message, "type": "upstream_error", "code": None})


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Walk from what arrived to what it was made of."""
    link: BaseException | None = error
    for _ in range(30):
        if link is None:
            return
        yield link
        original = getattr(link, "original_exception", None)
        link = link.__cause__ or link.__context__ or (original if isinstance(original, BaseException) else None)


def _own_trouble(error: BaseException) -> CallFailed | None:
    """Recognise what no provider said: a request refused here, or a library that is missing."""
    for link in _chain(error):
        if isinstance(link, RequestError):
            return refused(link)
        if type(link).__name__ == "ImageFetchError":
            return refused(not_fetched())
        if isinstance(link, ImportError):
            return refused(MissingLibrary(_missing(link)))
    return None


def _missing(error: ImportError) -> str:
    text = f"{error.name or ''} {error}".lower()
    for word, extra in (("google", "google"), ("azure", "azure")):
        if word in text:
            return f"This provider's cloud identity needs a library: pip install 'understudy-gateway[{extra}]'"
    return f"A library is missing: {error.name or error}"


def _network_trouble(error: BaseException) -> CallFailed | None:
    """Recognise a call that got no answer, though litellm's code for a vendor may have given it a status."""
    trouble: CallFailed | None = None
    for link in _chain(error):
        name = type(link).__name__
        if name == "HTTPStatusError":
            return None
        if isinstance(link, TimeoutError) or "Timeout" in name:
            trouble = trouble or CallFailed(504, {KIND_HEADER: FailureKind.TIMEOUT.value}, _encode(_TIMED_OUT))
        elif _is_litellms_own(link):
            # Its APIConnectionError is whatever it did not expect.
            continue
        elif isinstance(link, ConnectionError) or any(word in name for word in _NO_CONNECTION):
            trouble = trouble or CallFailed(502, {KIND_HEADER: FailureKind.CONNECTION.value}, _encode(_NOT_CONNECTED))
        elif _status(link) is not None:
            # Whatever stands further out only wraps this one.
            trouble = None
    return trouble


def _provider_answer(error: BaseException) -> CallFailed | None:
    """Return the innermost HTTP answer of the chain whose words are known, else the innermost."""
    best: CallFailed | None = None
    mute: CallFailed | None = None
    for link in _chain(error):
        if (status := _status(link)) is None or _is_litellms_own(link):
            continue
        if text := _body_text(link):
            best = _from_stream(status, text) or CallFailed(status, _headers(link), _as_json(text))
        else:
            mute = CallFailed(status, _headers(link), _as_json(""))
    return best or mute


def _from_stream(status: int, text: str) -> CallFailed | None:
    """Recognise how Bedrock's streams say that they failed, and say it as its other answers do."""
    named = _STREAM_EXCEPTION.match(text)
    if named is None:
        return None
    # AWS's 424 is a model that broke off: by itself it would read as the caller's to mend.
    return CallFailed(502 if status == 424 else status, {"x-amzn-errortype": named[1]}, _as_json(named[2]))


def _is_litellms_own(link: BaseException) -> bool:
    return type(link).__module__ == "litellm.exceptions"


def _status(link: BaseException) -> int | None:
    for holder in (link, getattr(link, "response", None)):
        status = getattr(holder, "status_code", None)
        if isinstance(status, int) and 400 <= status < 600:
            return status
    return None


def _body_text(link: BaseException) -> str:
    """Return the body that the provider sent, or what litellm's exception says of it; empty: nobody read it."""
    for holder in (link, getattr(link, "response", None)):
        try:
            text = getattr(holder, "text", None)
        except Exception:  # a streamed body that was never read cannot be asked for
            text = None
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        if isinstance(text, str) and text.strip():
            return text[:MAX_BODY_CHARS]
    message = getattr(link, "message", None)
    if isinstance(message, bytes):
        message = message.decode("utf-8", "replace")
    return _clean(message) if isinstance(message, str) else ""


def _headers(link: BaseException) -> dict[str, str]:
    found: dict[str, str] = {}
    for holder in (link, getattr(link, "response", None)):
        headers = getattr(holder, "headers", None)
        if isinstance(headers, Mapping):
            found |= {str(name).lower(): str(value) for name, value in headers.items()}
    return {name: value for name, value in found.items() if name in _KEPT_HEADERS}


def _without_answer(error: BaseException) -> CallFailed:
    """Speak for a call that no provider answered: litellm refused it."""
    names = {type(link).__name__ for link in _chain(error)}
    message = _clean(str(getattr(error, "message", None) or error)) or type(error).__name__
    status = getattr(error, "status_code", None)
    if "UnsupportedParamsError" in names:
        return CallFailed(400, {}, _encode(_unsupported(message)))
    if isinstance(status, int) and status in (400, 401, 403, 404, 422):
        return CallFailed(status, {}, _encode({"message": message, "type": "invalid_request_error", "code": None}))
    if _is_misshapen(error):
        # The caller's: counted against the provider, anybody's odd request would close the route for all.
        message = f"The request cannot be put into the form of this model's provider: {message}"
        return CallFailed(400, {}, _encode({"message": message, "type": "invalid_request_error", "code": None}))
    return CallFailed(500, {}, _encode({"message": message, "type": "api_error", "code": type(error).__name__}))


def _is_misshapen(error: BaseException) -> bool:
    """Tell whether litellm failed while it wrote the request, so that nothing was sent."""
    frames = (frame for link in _chain(error) for frame, _ in traceback.walk_tb(link.__traceback__))
    return any(frame.f_code.co_name.lstrip("_").startswith(_WRITING) for frame in frames)


def _unsupported(message: str) -> dict[str, object]:
    named = re.search(r"parameters?: (?:\[|\{)?'?([\w.]+)", message)
    name = named[1] if named else None
    return {
        "message": f"This model's provider does not take '{name}'." if name else message,
        "type": "invalid_request_error",
        "param": name,
        "code": "unsupported_parameter",
    }


def _clean(text: str) -> str:
    """Take off what litellm wrote around the provider's words."""
    # Cut first, and no pattern that looks back: a message may quote the request, and be as long and as odd.
    text = _PREFIX.sub("", text[:MAX_BODY_CHARS])
    ends = [at for words in _AFTERWARDS if (at := text.find(words)) > 0]
    return text[: min(ends)].strip() if ends else text.strip()


def _as_json(text: str) -> bytes:
    """Keep a body that is JSON; put any other into OpenAI's shape."""
    try:
        json.loads(text)
    except ValueError:
        return _encode({"message": text, "type": "upstream_error", "code": None})
    return text.encode()


def _encode(error: Mapping[str, object]) -> bytes:
    return json.dumps({"error": {"type": "api_error", "param": None, **error}}).encode()
