#!/bin/sh
# Where a request would go and why, with all candidates; nothing is sent to an engine.
. "$(dirname "$0")/common.sh"
post /crucible/explain <<JSON
{"model": "$MODEL", "messages": [{"role": "user", "content": "Hello"}]}
JSON
echo
