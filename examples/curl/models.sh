#!/bin/sh
# Every name that can be asked for: models, aliases, virtual models.
set -eu
BASE_URL="${BASE_URL:-http://127.0.0.1:8484}"
curl -sS --fail-with-body "$BASE_URL/v1/models" -H "Authorization: Bearer ${API_KEY:-any}"
echo
