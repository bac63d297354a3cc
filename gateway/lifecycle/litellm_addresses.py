"""LiteLLM's ``api_base`` as a ``base_url``: LiteLLM takes them at several lengths, and adds the rest itself. Pure."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlsplit

from gateway.config.named_secrets import url_problem
from gateway.config.vendors import Vendor

_ENDPOINTS: Final = re.compile(
    r"(?:/chat/completions|/completions|/embeddings|/responses|/v1/messages|/images/generations|/audio/[a-z]+)$"
)
_AZURE_PATH: Final = re.compile(r"/openai(?:/v1|/deployments(?:/.*)?)?$")


@dataclass(frozen=True, slots=True)
class Address:
    """What is left of an address."""

    url: str | None
    """None: it is the vendor's own, or none that can be used."""
    is_default: bool = False
    """Whether it is the vendor's own."""
    left_out: bool = False
    """Whether something behind ``?`` was left out."""
    api_version: str | None = None
    """Azure's, where it stood behind the ``?``."""


def read_address(text: str, vendor: Vendor) -> Address:
    """Return the address that routes.yaml wants in the place of what LiteLLM took."""
    bare, _, query = text.partition("?")
    if url_problem(bare):
        return Address(None)
    url = urlsplit(bare)
    path = _ENDPOINTS.sub("", url.path.rstrip("/")).rstrip("/")
    version = None
    if vendor.kind == "azure":
        version = parse_qs(query).get("api-version", [None])[0]
        root = _AZURE_PATH.sub("", path).removesuffix("/models")
        # Behind a gateway of one's own LiteLLM adds /openai itself.
        path = f"{root}/openai" if root else ""
    elif vendor.kind == "anthropic":
        path = path.removesuffix("/v1")
    found = f"{url.scheme}://{url.netloc}{path}"
    own = urlsplit(vendor.base_url or "")
    is_default = vendor.base_url is not None and url.netloc == own.netloc and path in ("", "/v1", own.path.rstrip("/"))
    return Address(
        None if is_default else found,
        is_default=is_default,
        left_out=bool(query) and not (version and query.count("=") == 1),
        api_version=version,
    )
