"""What a request can ask of a model, as words of a closed list: parameters by their names, and what values hold."""

from typing import Final

OPENAI_PARAMETERS: Final = frozenset((
    "audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
    "max_completion_tokens", "max_tokens", "metadata", "modalities", "moderation", "n", "parallel_tool_calls",
    "prediction", "presence_penalty", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
    "reasoning_effort", "response_format", "safety_identifier", "seed", "service_tier", "stop", "store",
    "stream", "stream_options", "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user",
    "verbosity", "web_search_options",
))  # fmt: skip
"""Every optional parameter of OpenAI's chat completions, by its own name; from the openai package 2.54, 2026-11-24."""

RESPONSE_PARAMETERS: Final = frozenset((
    "background", "context_management", "conversation", "include", "instructions", "max_output_tokens",
    "max_tool_calls", "metadata", "moderation", "parallel_tool_calls", "previous_response_id", "prompt",
    "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "reasoning", "safety_identifier",
    "service_tier", "store", "stream", "stream_options", "temperature", "text", "tool_choice", "tools", "top_logprobs",
    "top_p", "truncation", "user",
))  # fmt: skip
"""Every optional parameter of OpenAI's responses; from the openai package 2.54, 2026-11-24."""

OTHER_PARAMETERS: Final = frozenset((
    "best_of", "chat_template_kwargs", "guided_choice", "guided_grammar", "guided_json", "guided_regex",
    "ignore_eos", "length_penalty", "min_p", "min_tokens", "random_seed", "reasoning", "repetition_penalty",
    "safe_prompt", "stop_token_ids", "structured_outputs", "thinking", "top_a", "top_k", "use_beam_search",
))  # fmt: skip
"""What self-hosted servers and other vendors take besides, and OpenAI refuses."""

UNLISTED: Final = "unlisted_parameter"
"""A parameter that neither list has; its name is the caller's own, and never leaves the request."""

CONTENT: Final = frozenset((
    "audio_input", "developer_message", "file", "hosted_tools", "image", "json_object", "json_schema", "many_choices",
    "one_call_at_a_time", "parsed_history", "prefill", "reasoning_history", "remote_image", "tool_messages", "video",
))  # fmt: skip
"""What values and messages hold: kinds of content, an answer begun by the caller, calls of tools and their results."""

REASONING_FIELDS: Final = frozenset(("reasoning", "reasoning_content", "reasoning_details", "thinking_blocks"))
"""Fields of an assistant's message in which vendors return its reasoning, and some want it back."""

PARAMETERS: Final = OPENAI_PARAMETERS | OTHER_PARAMETERS
WORDS: Final = PARAMETERS | RESPONSE_PARAMETERS | CONTENT | {UNLISTED}
"""Every word there is."""
