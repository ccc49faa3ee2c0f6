"""Drives Crucible with Anthropic's own Python client. Usage: drive_anthropic.py URL MODEL..., prints one JSON."""

import json
import sys

import anthropic

base, models = sys.argv[1], sys.argv[2:]
client = anthropic.Anthropic(base_url=base, api_key="any", max_retries=0, timeout=60)
told = {}


def raised(call):
    try:
        call()
    except anthropic.AnthropicError as error:
        return {
            "class": type(error).__name__,
            "is status error": isinstance(error, anthropic.APIStatusError),
            "status": getattr(error, "status_code", None),
            "type": getattr(error, "type", None),
            "message": str(error)[:300],
        }
    return None


def texts(message):
    return "".join(block.text for block in message.content if block.type == "text")


def user(text):
    return [{"role": "user", "content": text}]


told["models"] = [model.id for model in client.models.list(limit=2)]
told["retrieved"] = client.models.retrieve(models[0]).display_name

tool = {
    "name": "Bash",
    "description": "runs a command",
    "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}},
}

for model in models:
    of = told[model] = {}
    message = client.messages.create(model=model, max_tokens=50, messages=user("repeat 3"))
    of["whole"] = [texts(message), message.stop_reason, message.usage.output_tokens > 0]
    with client.messages.stream(
        model=model,
        max_tokens=50,
        system=[{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        messages=user("repeat 4"),
    ) as stream:
        streamed = "".join(stream.text_stream)
        final = stream.get_final_message()
    of["streamed"] = [streamed, texts(final), final.stop_reason, final.usage.input_tokens > 0]
    of["thinking"] = [block.signature for block in final.content if block.type == "thinking"]

    messages = user("count the files")
    reasons = []
    for turn in range(3):
        with client.messages.stream(
            model=model, max_tokens=500, messages=messages, tools=[tool]
        ) as stream:
            final = stream.get_final_message()
        reasons.append(final.stop_reason)
        messages.append({"role": "assistant", "content": final.content})
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": f"{block.input['command']}: 7"}
            for block in final.content
            if block.type == "tool_use"
        ]
        if results:
            messages.append({"role": "user", "content": results})
    of["loop"] = [reasons, texts(final)]
    counted = client.messages.count_tokens(model=model, messages=user("one two three"))
    of["counted"] = counted.input_tokens > 0
    of["beta"] = texts(
        client.beta.messages.create(
            model=model,
            max_tokens=50,
            messages=user("repeat 1"),
            betas=["context-management-2025-06-27"],
            context_management={"edits": [{"type": "clear_tool_uses_20250919"}]},
        )
    )

told["unknown model"] = raised(
    lambda: client.messages.create(model="nope", max_tokens=5, messages=user("hi"))
)
told["bad request"] = raised(
    lambda: client.messages.create(model=models[0], max_tokens=5, messages=[])
)
told["too long"] = raised(
    lambda: client.messages.create(model=models[0], max_tokens=5, messages=user("word " * 400000))
)


def broken():
    with client.messages.stream(model="breaks", max_tokens=50, messages=user("repeat 9")) as stream:
        stream.get_final_message()


told["broken stream"] = raised(broken)
told["a 429"] = raised(
    lambda: client.messages.create(model="busy", max_tokens=5, messages=user("repeat 1"))
)
patient = client.with_options(max_retries=2)
told["after a 429"] = texts(
    patient.messages.create(model="busy", max_tokens=5, messages=user("repeat 1"))
)
print(json.dumps(told))
