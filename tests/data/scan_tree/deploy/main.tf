# Was gpt-4-0613.
variable "model" { default = "gpt-4.1-mini-2025-04-14" }

resource "aws_lambda_function" "chat" {
  function_name = "gpt-4-0613-lambda"
  environment { variables = { MODEL_ID = "anthropic.claude-3-5-sonnet-20240620-v1:0", NAME = "o3" } }
}
