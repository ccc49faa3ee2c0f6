#!/bin/sh
# A picture (one red pixel) with a question; MODEL must name a model that sees.
. "$(dirname "$0")/common.sh"
post /v1/chat/completions <<JSON
{
  "model": "$MODEL",
  "messages": [{
    "role": "user",
    "content": [
      {"type": "text", "text": "Which colour is this?"},
      {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"}}
    ]
  }],
  "max_tokens": 32
}
JSON
echo
