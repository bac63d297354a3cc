"""Whose account a LiteLLM deployment calls: kind, address, and where its key is found. Keys themselves go nowhere."""

import re
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit

from gateway.config.vendors import VENDORS, Identity, Vendor
from gateway.config.yaml_source import Node
from gateway.lifecycle.litellm_addresses import Address, read_address
from gateway.lifecycle.litellm_config import Deployment
from gateway.lifecycle.litellm_kinds import COMPATIBLE, SERVED, Listed, Served, kind_at, provider_of
from gateway.lifecycle.litellm_notes import Notes
from gateway.lifecycle.litellm_values import Values, is_dummy, variable

_ADDRESSES: Final = ("api_base", "base_url", "aws_bedrock_runtime_endpoint")
_AZURE_IDENTITY: Final = ("azure_ad_token", "tenant_id", "client_id", "client_secret", "azure_username")
_AWS_KEYS: Final = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_profile_name")
_AWS_ROLES: Final = ("aws_role_name", "aws_web_identity_token", "aws_session_name", "aws_external_id")
_API_VERSION: Final = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")
_REGION: Final = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d{1,2}")
_LOCATION: Final = re.compile(r"[a-z]+(-[a-z]+\d{1,2})?")
_PROJECT: Final = re.compile(r"[a-z0-9][a-z0-9.:-]{2,60}")
_REGIONS: Final = ("AWS_REGION_NAME", "AWS_REGION", "AWS_DEFAULT_REGION")
_SURFACES: Final = re.compile(r"(?:responses|o_series|gpt5_series)/")


@dataclass(frozen=True, slots=True)
class Account:
    """A provider of the draft, without its name."""

    kind: str
    base_url: str | None = None
    """None: the vendor's own."""
    key: str | None = None
    """The variable that holds its key."""
    key_file: str | None = None
    literal: int | None = None
    """Which of the keys that the config holds in clear is meant: a number, since the key is kept nowhere."""
    identity: Identity | None = None
    api_version: str | None = None
    region: str | None = None
    project: str | None = None
    location: str | None = None

    @property
    def vendor(self) -> Vendor:
        """What is known of its kind."""
        return VENDORS[self.kind]


@dataclass(slots=True)
class Accounts:
    """Finds accounts; notes what cannot be taken over as it is."""

    values: Values
    notes: Notes
    uses_azure_identity: bool = False
    """Whether LiteLLM was told to fetch Azure's tokens for everybody."""
    _listed: Listed = field(default_factory=Listed)
    _literals: dict[tuple[str, str], int] = field(default_factory=dict)

    def of(self, deployment: Deployment) -> tuple[Account, str] | None:
        """Return a deployment's account and its model's id there; None: nobody here speaks to it, which is noted."""
        params, at = deployment.params, deployment.at
        written = next((params[name] for name in _ADDRESSES if name in params and params[name].value), None)
        custom = self.values.text(params.get("custom_llm_provider"))
        provider, model = provider_of(deployment.model, custom, self.values.text(written), self._listed)
        served = SERVED.get(provider or "")
        if served is None:
            self._refuse(provider, at)
            return None
        if provider == "azure_ai" and "claude" in model:
            self.notes.missing(
                "azure_ai", "Claude at Azure speaks Anthropic's format; left out. Nearest: kind anthropic, base_url", at
            )
            return None
        text = self.values.text(written)
        if written is None:
            text = self.values.variable(*served.base_variables) or served.base_url
        served = self._where(served, text, provider, at) if text or written is None else self._unread(served)
        address = self._address(served, written, text, at)
        account = Account(kind=served.kind, base_url=address.url)
        match served.kind:
            case "bedrock":
                return self._bedrock(account, deployment, model)
            case "vertex":
                return self._vertex(account, deployment), model
            case "azure":
                account = self._azure(account, deployment, address)
                return self._with_key(account, served, deployment), _SURFACES.sub("", model, count=1)
        return self._with_key(account, served, deployment), _model_at(account, model)

    def _refuse(self, provider: str | None, at: Node) -> None:
        if provider is None:
            self.notes.missing("model_list", "who serves this model cannot be told: write provider/model; left out", at)
            return
        name = provider if re.fullmatch(r"[a-z0-9_.-]{1,40}", provider) else "this provider"
        self.notes.missing(
            f"provider {name}",
            f"no kind here speaks to it; left out. Where it has an OpenAI-compatible address: kind {COMPATIBLE}",
            at,
        )

    def _where(self, served: Served, base_url: str | None, provider: str | None, at: Node) -> Served:
        """Return who is really there: LiteLLM's openai/ stands for everybody who speaks OpenAI's format."""
        if provider == "huggingface" and base_url:
            return Served("tgi", served.key)
        if provider == "azure_ai":
            self.notes.changed("azure_ai", "Azure AI Foundry is called at its OpenAI v1 surface; try it first", at)
        elif provider not in ("openai", "text-completion-openai") and served.kind != COMPATIBLE:
            return served
        return replace(served, kind=kind_at(base_url) or COMPATIBLE) if base_url else served

    def _unread(self, served: Served) -> Served:
        """Return who it must be at an address that cannot be read."""
        return replace(served, kind=COMPATIBLE) if served.kind == "openai" else served

    def _address(self, served: Served, written: Node | None, text: str | None, at: Node) -> Address:
        vendor = VENDORS[served.kind]
        address = read_address(text, vendor) if text else Address(None)
        if address.left_out:
            self.notes.changed("api_base", "what follows ? in an address was left out", at)
        needed = vendor.base_url is None
        if address.url is None and not address.is_default and (needed or written is not None):
            name = variable(written) or (served.base_variables[0] if written is None and served.base_variables else "")
            why = f"{name} is not set here" if name else "none is written that is a URL, and holds no secret"
            self.notes.open("base_url", f"{why}: put the address in the place of the one that ends in .invalid", at)
            label = name.lower().replace("_", "-") if name else "fill-in"
            address = replace(address, url=f"https://{label[:60].strip('-')}.invalid")
        return address

    def _with_key(self, account: Account, served: Served, deployment: Deployment) -> Account:
        if account.identity is not None:
            return account
        node = deployment.params.get("api_key")
        if (name := variable(node)) is not None:
            return replace(account, key=name)
        text = node.text.strip() if node and node.text else ""
        if not account.vendor.needs_key and (not text or is_dummy(text)):
            is_known = served.base_url is not None and account.base_url == served.base_url
            return replace(account, key=served.key if is_known else None)
        if not text:
            return replace(account, key=served.key)
        about = "a variable's name" if text.startswith("os.environ/") else "a key in clear"
        why = (
            "it is not written in upper case: the draft names another, to be set to the same value"
            if text.startswith("os.environ/")
            else "it was not copied: the draft names a variable to put it in. Who could read the config could read it"
        )
        self.notes.open(about, why, deployment.at)
        return replace(account, literal=self._literals.setdefault((account.kind, text), len(self._literals)))

    def _azure(self, account: Account, deployment: Deployment, address: Address) -> Account:
        params, at = deployment.params, deployment.at
        written = params.get("api_version")
        version = self.values.text(written) or address.api_version or self.values.variable("AZURE_API_VERSION")
        if version in ("v1", "latest", "preview"):
            version = None
        elif version is None and written is None:
            if not deployment.model.startswith("azure_ai/"):
                self.notes.changed("api_version", "none is written: the version-less surface /openai/v1 is called", at)
        elif version is None or not _API_VERSION.fullmatch(version):
            self.notes.open("api_version", "it cannot be read: the version-less surface is called, or name it", at)
            version = None
        keyless = not (params.get("api_key") and params["api_key"].value)
        if keyless and (self.uses_azure_identity or any(params.get(name) for name in _AZURE_IDENTITY)):
            self.notes.changed(
                "Azure's tokens",
                "identity: azure takes the pod's or the machine's identity, or AZURE_TENANT_ID, AZURE_CLIENT_ID and "
                "AZURE_CLIENT_SECRET: one for the whole process",
                at,
            )
            account = replace(account, identity="azure")
        if version is None and account.base_url and urlsplit(account.base_url).path:
            account = replace(account, base_url=f"{account.base_url}/v1")
        return replace(account, api_version=version)

    def _bedrock(self, account: Account, deployment: Deployment, model: str) -> tuple[Account, str]:
        params, at = deployment.params, deployment.at
        model = model.removeprefix("converse/")
        before, slash, rest = model.partition("/")
        region = self.values.text(params.get("aws_region_name"))
        if slash and _REGION.fullmatch(before):
            region, model = before, rest
        arn = model.split(":")
        if region is None and len(arn) > 5 and arn[0] == "arn":
            region = arn[3]
        region = region or self.values.variable(*_REGIONS)
        if region is None or not _REGION.fullmatch(region):
            self.notes.open("aws_region_name", "none that can be read: us-west-2 is written, as LiteLLM assumes", at)
            region = "us-west-2"
        account = replace(account, region=region)
        key = params.get("api_key")
        if key is not None and key.value:
            return self._with_key(account, SERVED["bedrock"], deployment), model
        if any(params.get(name) for name in _AWS_KEYS):
            self.notes.changed(
                "AWS credentials",
                "identity: aws is the SDK's usual chain (AWS_ACCESS_KEY_ID, a profile, the machine's role): one for "
                "the whole process, whatever each deployment names",
                at,
            )
        if any(params.get(name) for name in _AWS_ROLES):
            self.notes.missing("AWS roles", "a role of each deployment's own; run a process for each, or one role", at)
        return replace(account, identity="aws"), model

    def _vertex(self, account: Account, deployment: Deployment) -> Account:
        params, at = deployment.params, deployment.at
        project = self.values.text(params.get("vertex_project")) or self.values.variable("VERTEXAI_PROJECT")
        location = self.values.text(params.get("vertex_location")) or self.values.variable("VERTEXAI_LOCATION")
        if project is None or not _PROJECT.fullmatch(project):
            self.notes.open("vertex_project", "none that can be read: put it in the place of YOUR-PROJECT", at)
            project = "YOUR-PROJECT"
        if location is None or not _LOCATION.fullmatch(location):
            self.notes.changed(
                "vertex_location", "none that can be read: us-central1 is written, as LiteLLM assumes", at
            )
            location = "us-central1"
        account = replace(account, project=project, location=location)
        node = params.get("vertex_credentials")
        text = node.text.strip() if node and node.text else ""
        if (name := variable(node)) is not None:
            self.notes.open(
                "vertex_credentials", f"{name} must hold the JSON itself; for a path to it write api_key_file", at
            )
            return replace(account, key=name)
        if re.fullmatch(r"[\w./~ -]{1,200}\.json", text):
            return replace(account, key_file=text)
        if node is not None and node.value:
            text = "it was not copied: put the JSON into the variable that the draft names, or a file (api_key_file)"
            self.notes.open("a key in clear", text, at)
            number = self._literals.setdefault((account.kind, str(node.value)), len(self._literals))
            return replace(account, literal=number)
        return replace(account, identity="google")


def _model_at(account: Account, model: str) -> str:
    """Return a model's id as the provider itself has it, without what LiteLLM adds or leaves out."""
    if account.kind == "fireworks" and "/" not in model:
        return f"accounts/fireworks/models/{model}"
    if account.kind == "huggingface" and model.count("/") > 1:
        by, _, plain = model.partition("/")
        return f"{plain}:{by}"
    return _SURFACES.sub("", model, count=1) if account.kind == "openai" else model
