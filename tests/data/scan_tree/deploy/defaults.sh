export OPENAI_MODEL=${OPENAI_MODEL:-gpt-4o-mini-2024-07-18}
ask --model ${JUDGE-gpt-4-0613} --tag ${TAG-gpt-4-0613-tag}
: "${WRITER:=gpt-4o-2024-08-06}" "${FLAG:+gpt-4-1106-preview}"
echo "${models[0]:-gpt-4-turbo}"
