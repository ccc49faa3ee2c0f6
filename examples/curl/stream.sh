#!/bin/sh
# The answer as it is generated, with the token counts at its end.
. "$(dirname "$0")/common.sh"
post /v1/chat/completions -N <<JSON
{
  "model": "$MODEL",
  "messages": [{"role": "user", "content": "$(escape "${1:-What is a crucible?}")"}],
  "max_tokens": 64,
  "stream": true,
  "stream_options": {"include_usage": true}
}
JSON
