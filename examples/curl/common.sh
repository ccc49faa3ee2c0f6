# Sourced by the scripts beside it: where Crucible is, which model, how to ask.
# BASE_URL, MODEL and API_KEY may be set; any key is accepted unless keys are configured.
set -eu
BASE_URL="${BASE_URL:-http://127.0.0.1:8484}"
API_KEY="${API_KEY:-any}"

# The first model that is listed, unless MODEL names one.
if [ -z "${MODEL:-}" ]; then
  MODEL="$(curl -fsS "$BASE_URL/v1/models" -H "Authorization: Bearer $API_KEY" |
    tr ',{}' '\n\n\n' | sed -n 's/^ *"id" *: *"\([^"]*\)".*/\1/p' | head -n 1)"
  [ -n "$MODEL" ] || { echo "no model is listed at $BASE_URL/v1/models" >&2; exit 1; }
fi

# post PATH [curl options] < body
post() {
  path="$1"
  shift
  curl -sS --fail-with-body "$BASE_URL$path" \
    -H "Authorization: Bearer $API_KEY" -H 'Content-Type: application/json' \
    --data-binary @- "$@"
}

# A shell string as the inside of a JSON string.
escape() {
  printf '%s' "$1" | tr '\n\t' '  ' | sed 's/\\/\\\\/g; s/"/\\"/g'
}
