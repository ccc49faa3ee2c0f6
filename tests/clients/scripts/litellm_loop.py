"""Asks once with LiteLLM and runs the commands that the model asks for, until it says a text.

Usage: litellm_loop.py PROVIDER/MODEL PROMPT
"""

import json
import subprocess
import sys

import litellm

TOOL = {
    "type": "function",
    "function": {
        "name": "run_command",
        "description": "Runs a shell command and returns what it printed.",
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "string"}},
            "required": ["command"],
        },
    },
}


def run(call) -> dict:
    command = json.loads(call.function.arguments)["command"]
    done = subprocess.run(command, shell=True, check=True, capture_output=True, text=True)
    return {"role": "tool", "tool_call_id": call.id, "content": done.stdout}


def loop(model: str, prompt: str) -> str:
    messages = [{"role": "user", "content": prompt}]
    for _ in range(9):
        stream = litellm.completion(model, messages=messages, tools=[TOOL], stream=True)
        message = litellm.stream_chunk_builder(list(stream), messages=messages).choices[0].message
        if not message.tool_calls:
            return message.content
        messages.append(message.model_dump(exclude_none=True))
        messages += [run(call) for call in message.tool_calls]
    raise SystemExit("no text after nine turns")


print(loop(*sys.argv[1:]))
