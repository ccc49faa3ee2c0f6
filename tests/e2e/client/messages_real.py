"""Asks a real model for messages with Anthropic's own Python client. Usage: messages_real.py BASE_URL MODEL,
prints one JSON."""

import json
import sys

import anthropic

base, model = sys.argv[1:]
client = anthropic.Anthropic(base_url=base, api_key="any", max_retries=0, timeout=300)
system = "Answer in one short sentence."
messages = [{"role": "user", "content": "Say hi."}]
asked = {"model": model, "max_tokens": 24, "system": system, "extra_body": {"temperature": 0}}
told = {"counted": client.messages.count_tokens(model=model, system=system, messages=messages).input_tokens}
with client.messages.stream(**asked, messages=messages) as stream:
    told["streamed"] = "".join(stream.text_stream)
    told["read"] = stream.get_final_message().usage.input_tokens
messages += [{"role": "assistant", "content": told["streamed"]}, {"role": "user", "content": "And again."}]
whole = client.messages.create(**asked, messages=messages)
told["stop"] = whole.stop_reason
told["whole"] = "".join(block.text for block in whole.content if block.type == "text")
told["usage"] = whole.usage.output_tokens
told["cached"] = whole.usage.cache_read_input_tokens
print(json.dumps(told))
