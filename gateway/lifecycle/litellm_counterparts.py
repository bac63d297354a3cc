"""What LiteLLM's config says and routes.yaml does not: each setting, and what there is in its place. As data."""

import re
from collections.abc import Mapping
from typing import Final

from gateway.config.yaml_source import Node
from gateway.lifecycle.litellm_config import LitellmConfig
from gateway.lifecycle.litellm_notes import Notes

_KNOWN_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,60}")

_RETRIES: Final = (
    "the gateway retries a target once, and only where the connection failed before anything was sent; then the next "
    "target answers"
)
_LIMITS: Final = "requests and tokens are not limited here; a provider's own 429 leads to the next target"
_CALLBACKS: Final = (
    "there are no callbacks: /metrics (Prometheus) and the ledger's table say who answered, at what cost"
)
_TEAMS: Final = "there are no keys of users and teams: one GATEWAY_KEY lets everybody call every route"
_BUDGETS: Final = "there are no budgets: the ledger tells what was spent"
_CACHE: Final = "answers are not cached here; providers' own prompt caches work, and are priced"
_GUARDRAILS: Final = "there are no guardrails and no hooks"
_PARAMETERS: Final = (
    "a table of what models take renames and drops parameters, or skips a target; `capabilities:` overrides it"
)
_RESTS: Final = "targets that fail are passed over by the gateway's own rule, which is not configured"
_ENDPOINTS: Final = "there is no such endpoint here"
_STORES_NOTHING: Final = "the gateway stores no content, whatever is set"
_ORGANISATION: Final = "no header for it is sent: use a key of that organisation or project"
_HEADERS: Final = "providers get no headers but the gateway's own"
_DATABASE: Final = "the gateway has a database of its own: GATEWAY_DATABASE_URL, by default state/gateway.db"

_SENTENCES: Final[tuple[tuple[str, str], ...]] = (
    (r"context_window_fallbacks", "a prompt that is too long is the caller's to mend: the error is passed on"),
    (r"content_policy_fallbacks", "a refusal for its content is passed on, not asked of somebody else"),
    (r"num_retries|max_retries|retry_.*|.*_retry_policy|retry_policy", _RETRIES),
    (r"rpm|tpm|itpm|otpm|.*parallel_requests|default_api_key_.*|.*_rpm_limit|.*_tpm_limit|priority.*", _LIMITS),
    (r".*budget.*|spend_.*|.*_spend.*", _BUDGETS),
    (r"cache|cache_.*|enable_caching.*|caching_groups|.*_cache", _CACHE),
    (r".*callbacks?|callback_settings|.*_message_logging|langfuse_.*|.*spend_logs.*|json_logs|.*verbose", _CALLBACKS),
    (r"redact_.*", _STORES_NOTHING),
    (r"drop_params|modify_params|additional_drop_params|allowed_openai_params", _PARAMETERS),
    (r"guardrails?|guardrail_.*|policies|policy_.*|prompt_id|prompts|custom_prompt_.*|.*_hooks?", _GUARDRAILS),
    (r"allowed_fails.*|cooldown_time|disable_cooldowns|.*health_check.*", _RESTS),
    (
        r"routing_strategy.*|enable_weighted_failover|routing_groups",
        "the first of a route's targets answers if it can",
    ),
    (r"redis_.*|coordination_redis", "replicas agree through one PostgreSQL: GATEWAY_DATABASE_URL"),
    (r"enable_pre_call_checks?", "nobody counts tokens beforehand: a provider that finds a prompt too long says so"),
    (r"tags?|.*tag_.*|tag_regex", "requests are not routed by tags: a route is what an application names"),
    (r"master_key", "put it, or better a new one, into GATEWAY_KEY: it was not copied"),
    (r"database_url", f"{_DATABASE}. Keys, teams and spend stay in LiteLLM's"),
    (r"database_.*|allow_requests_on_db_unavailable|proxy_batch_write_at", _DATABASE),
    (
        r"store_model_in_db|supported_db_objects",
        "models added in LiteLLM's UI are not in this file, and so not drafted",
    ),
    (r"(custom_|enable_)?(auth|jwt_auth|oauth2.*|sso)|litellm_jwtauth|.*key_generat.*|.*_user.*|.*team.*", _TEAMS),
    (r"access_groups|team_id|access_windows|.*_routes|allowed_ips|ui_.*|supported_environments", _TEAMS),
    (
        r"pass_through_endpoints|mcp_.*|files_settings|finetune_settings|assistant.*|vector_store.*|search_tools",
        _ENDPOINTS,
    ),
    (r"agents|batch.*|s3_.*|aws_batch_.*|use_in_pass_through|sandbox_tools|image_generation_model", _ENDPOINTS),
    (r"organization|openai_organization", _ORGANISATION),
    (r"(extra_|default_|forward_.*)?headers.*|forward_.*", _HEADERS),
    (r"extra_body|default_litellm_params", "nothing is added to requests; `parameters: {set: …}` overrules the caller"),
    (
        r"ssl_verify|ssl_.*|client_ttl|force_ipv4|keepalive_.*",
        "connections are not configured; certificates are checked",
    ),
    (r"mock_response|mock_.*", "nobody makes answers up; `kind: sandbox` is a stand-in provider"),
    (r"alert.*", "webhooks tell of shutdowns and switches, not of slow or failed calls: those are in /metrics"),
    (r"max_fallbacks|disable_fallbacks", "fallbacks are tried in their order, each once"),
)
_RULES: Final = tuple((re.compile(pattern), sentence) for pattern, sentence in _SENTENCES)
_UNKNOWN: Final = "nothing here says the same"

_READ: Final[Mapping[str, frozenset[str]]] = {
    "litellm_settings": frozenset(
        (
            "fallbacks",
            "default_fallbacks",
            "request_timeout",
            "timeout",
            "enable_azure_ad_token_refresh",
            "stream_timeout",
        )
    ),
    "router_settings": frozenset(
        ("fallbacks", "default_fallbacks", "timeout", "stream_timeout", "model_group_alias", "request_timeout")
    ),
    "general_settings": frozenset(),
}
_TOP: Final = frozenset(("model_list", "credential_list", "environment_variables", "include", "proxy_config", *_READ))
_PARAMS_READ: Final = frozenset(
    (
        "model", "custom_llm_provider", "api_base", "base_url", "api_key", "api_version", "litellm_credential_name",
        "timeout", "stream_timeout", "order", "weight", "base_model", "azure_ad_token", "tenant_id", "client_id",
        "client_secret", "azure_username", "azure_password", "azure_scope", "vertex_project", "vertex_location",
        "vertex_credentials", "input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost",
        "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "presence_penalty", "frequency_penalty",
        "n", "dimensions", "reasoning_effort", "verbosity", "service_tier", "aws_bedrock_runtime_endpoint",
    )
)  # fmt: skip
# What only describes a model: nobody here needs it.
_DESCRIPTIONS: Final = re.compile(
    r"id|mode|base_model|order|blocked|version|description|display_name|created_.*|updated_.*|db_model|key|metadata|"
    r"litellm_provider|supports_.*|max_(input_|output_)?tokens|supported_openai_params|tier|discoverable|health_check_.*"
)


def note_settings(config: LitellmConfig, notes: Notes) -> None:
    """Note everything that the draft has nothing for, section by section."""
    for name, section in config.sections.items():
        if name in _READ:
            _note_section(name, section, notes)
        elif name == "environment_variables" and section.entries:
            text = "routes.yaml sets none: set them where the gateway runs; their values were not copied"
            notes.missing(name, text, section)
        elif name not in _TOP and not name.startswith(("x-", ".")):
            _missing(name, name, section, notes)
    for group in config.groups.values():
        for deployment in group:
            for name, node in deployment.params.items():
                if name not in _PARAMS_READ and not name.startswith("aws_") and node.value not in (None, False):
                    _missing(f"litellm_params.{name}", name, node, notes)
            for name, node in deployment.info.items():
                if not _DESCRIPTIONS.fullmatch(name) and name not in _PARAMS_READ and node.value not in (None, False):
                    _missing(f"model_info.{name}", name, node, notes)


def _note_section(section: str, node: Node, notes: Notes) -> None:
    for name, value in node.entries.items():
        if name in _READ[section] or value.value in (None, False):
            continue
        if name == "alerting" and any(item.text == "slack" for item in value.items):
            text = "slack became a webhook; it tells of shutdowns and switches, not of slow or failed calls"
            notes.changed("general_settings.alerting", text, value)
            continue
        _missing(f"{section}.{name}", name, value, notes)


def _missing(about: str, name: str, at: Node, notes: Notes) -> None:
    if not _KNOWN_NAME.fullmatch(name):
        notes.missing("a key", "its name is none of LiteLLM's", at)
        return
    sentence = next((sentence for rule, sentence in _RULES if rule.fullmatch(name)), _UNKNOWN)
    notes.missing(about, sentence, at)
