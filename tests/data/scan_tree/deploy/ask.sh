#!/bin/sh
# gpt-4-0613 in a comment
MODEL="${MODEL:-gpt-3.5-turbo-1106}"
curl https://api.openai.com/v1/chat/completions -d '{
  "model": "gpt-4o-2024-11-20",
  "user": "gpt-4-0613-tester"
}'
echo "gpt-4-0613 is not called here" > gpt-4-0613.log
