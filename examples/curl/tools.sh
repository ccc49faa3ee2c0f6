#!/bin/sh
# Offers a function; a model that can use tools answers with "tool_calls".
. "$(dirname "$0")/common.sh"
post /v1/chat/completions <<JSON
{
  "model": "$MODEL",
  "messages": [{"role": "user", "content": "What is the weather in Oslo?"}],
  "tools": [{
    "type": "function",
    "function": {
      "name": "get_weather",
      "description": "The current weather of a city",
      "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"]
      }
    }
  }],
  "max_tokens": 128
}
JSON
echo
