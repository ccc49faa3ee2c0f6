"""Asks a real model for responses with OpenAI's own Python client. Usage: responses_real.py BASE_URL MODEL,
prints one JSON."""

import json
import sys

import openai

base, model = sys.argv[1:]
client = openai.OpenAI(base_url=base, api_key="any", max_retries=0, timeout=300)
items = [{"role": "user", "content": "Say hi."}]
told = {}
with client.responses.stream(model=model, input=items, max_output_tokens=24, temperature=0) as stream:
    deltas = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
told["streamed"] = deltas
items += [{"role": "assistant", "content": deltas}, {"role": "user", "content": "And again."}]
whole = client.responses.create(model=model, input=items, max_output_tokens=24, temperature=0)
told["status"] = whole.status
told["whole"] = whole.output_text
told["usage"] = whole.usage.output_tokens
told["cached"] = whole.usage.input_tokens_details.cached_tokens
print(json.dumps(told))
