#!/bin/sh
# Who answered and why: engine, model, reason, the defaults that were filled in.
. "$(dirname "$0")/common.sh"
post /v1/chat/completions -o /dev/null -D - <<JSON | tr -d '\r' | grep -i '^x-'
{"model": "$MODEL", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
JSON
