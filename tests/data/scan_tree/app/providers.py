"""Everybody else."""

CLAUDE = "claude-3-opus-20240229"
ROUTED = "openrouter/anthropic/claude-3-7-sonnet-20250219"
PREFIXED = "anthropic/claude-3-5-haiku-20241022"
BEDROCK = "bedrock/anthropic.claude-sonnet-4-20250514-v1:0"
REGIONAL = "us.anthropic.claude-3-haiku-20240307-v1:0"
ARN = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-sonnet-20240229-v1:0"
GEMINI = "models/gemini-1.5-pro"
VERTEX = "vertex_ai/claude-3-opus@20240229"
RESOURCE = "projects/acme/locations/us-central1/publishers/google/models/gemini-2.5-pro"
GROQ = "groq/llama3-70b-8192"
XAI = "xai/grok-3"
MISTRAL = "mistral/codestral-2501"
COHERE = "command-r-plus-04-2024"
PYDANTIC_AI = "openai:gpt-4o-2024-11-20"

WEIGHTS = "Qwen/Qwen2.5-72B-Instruct-Turbo"
NEARLY = ["claude-3-opus-20240229-beta", "xclaude-3-opus-20240229", "gemini-1.5-pro-ours", "models/claude-2.1"]
STILL = ["claude-3-opus-latest", "llama3-70b", "grok-3x", "gemini-1.5-pro.json", "mistral/codestral", "gpt-5_custom"]
