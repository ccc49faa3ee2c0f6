"""Drives Crucible with LiteLLM, by its provider of OpenAI and by that of Ollama.

Usage: drive.py URL MODEL..., prints one JSON.
"""

import json
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm  # noqa: E402

# Else it prints advice beside the JSON when an answer is an error.
litellm.suppress_debug_info = True

base, models = sys.argv[1], sys.argv[2:]
PROVIDERS = {"openai": f"{base}/v1", "ollama_chat": base}
TOOL = {
    "type": "function",
    "function": {
        "name": "Bash",
        "description": "Runs a command.",
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "string"}},
            "required": ["command"],
        },
    },
}


def ask(provider, model, messages, **more):
    return litellm.completion(
        f"{provider}/{model}",
        messages=messages,
        api_base=PROVIDERS[provider],
        api_key="any",
        num_retries=0,
        timeout=60,
        **more,
    )


def user(text):
    return [{"role": "user", "content": text}]


def usage(answer):
    return [answer.usage.prompt_tokens > 0, answer.usage.completion_tokens]


def streamed(provider, model, messages, **more):
    chunks = list(ask(provider, model, messages, stream=True, **more))
    return litellm.stream_chunk_builder(chunks, messages=messages)


def loop(provider, model, ask_once):
    """A conversation in which the model calls a tool twice, as the agents on top of LiteLLM have it."""
    messages, calls = user("count the files"), []
    for _ in range(4):
        message = ask_once(provider, model, messages, tools=[TOOL]).choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        if not message.tool_calls:
            return [calls, message.content]
        for call in message.tool_calls:
            calls.append([call.function.name, json.loads(call.function.arguments)["command"]])
            messages.append({"role": "tool", "tool_call_id": call.id, "content": "7"})
    return [calls, None]


def raised(call):
    try:
        call()
    except Exception as error:
        return [type(error).__name__, getattr(error, "status_code", None)]
    return None


told = {}
for provider in PROVIDERS:
    of_provider = told[provider] = {}
    for model in models:
        whole = ask(provider, model, user("repeat 3"))
        stream = streamed(provider, model, user("repeat 4"), stream_options={"include_usage": True})
        short = ask(provider, model, user("repeat 9"), max_tokens=2)
        of_provider[model] = {
            "whole": [whole.choices[0].message.content, whole.choices[0].finish_reason, usage(whole)],
            "streamed": [stream.choices[0].message.content, stream.choices[0].finish_reason, usage(stream)],
            "short": short.choices[0].finish_reason,
            "loop": loop(provider, model, ask),
            "streamed loop": loop(provider, model, streamed),
        }
    of_provider["unknown model"] = raised(lambda: ask(provider, "nope", user("hi")))
print(json.dumps(told))
