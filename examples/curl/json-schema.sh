#!/bin/sh
# An answer that is JSON of a given shape.
. "$(dirname "$0")/common.sh"
post /v1/chat/completions <<JSON
{
  "model": "$MODEL",
  "messages": [{"role": "user", "content": "Name a metal and its melting point in Celsius."}],
  "response_format": {
    "type": "json_schema",
    "json_schema": {
      "name": "metal",
      "strict": true,
      "schema": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "melting_point": {"type": "integer"}},
        "required": ["name", "melting_point"],
        "additionalProperties": false
      }
    }
  },
  "max_tokens": 64
}
JSON
echo
