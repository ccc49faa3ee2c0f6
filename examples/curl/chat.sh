#!/bin/sh
# One question, one answer. Usage: chat.sh [QUESTION]; set MODEL to choose.
. "$(dirname "$0")/common.sh"
post /v1/chat/completions <<JSON
{
  "model": "$MODEL",
  "messages": [{"role": "user", "content": "$(escape "${1:-What is a crucible?}")"}],
  "max_tokens": 64
}
JSON
echo
