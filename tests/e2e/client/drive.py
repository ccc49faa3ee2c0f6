"""Drives Crucible with OpenAI's own Python client. Usage: drive.py BASE_URL, prints one JSON."""

import json
import sys

import openai

base = sys.argv[1]
client = openai.OpenAI(base_url=base, api_key="any", max_retries=0, timeout=60)
told = {}


def messages(text):
    return [{"role": "user", "content": text}]


def raised(call):
    try:
        call()
    except openai.OpenAIError as error:
        return {
            "class": type(error).__name__,
            "status": getattr(error, "status_code", None),
            "code": getattr(error, "code", None),
        }
    return None


# The client asks for base64 by itself and decodes it.
for model in ("studio-embed", "ollama-embed"):
    vectors = client.embeddings.create(model=model, input=["one", "two words"]).data
    told[f"{model} vectors"] = [len(vector.embedding) for vector in vectors]
    plain = client.embeddings.create(model=model, input="one", encoding_format="float")
    pairs = zip(vectors[0].embedding, plain.data[0].embedding)
    told[f"{model} agree"] = all(abs(a - b) < 1e-6 for a, b in pairs)
told["too long"] = raised(
    lambda: client.embeddings.create(model="ollama-embed", input="word " * 20000)
)

told["models"] = [model.id for model in client.models.list()]
told["retrieved"] = client.models.retrieve("qwen").id

for model in ("qwen", "llama3.2:3b"):
    answer = client.chat.completions.create(model=model, messages=messages("repeat 3"))
    told[f"{model} whole"] = answer.choices[0].message.content
    told[f"{model} usage"] = answer.usage.completion_tokens
    text = ""
    usage = None
    stream = client.chat.completions.create(
        model=model,
        messages=messages("repeat 4"),
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in stream:
        if chunk.usage:
            usage = chunk.usage.completion_tokens
        for choice in chunk.choices:
            text += choice.delta.content or ""
    told[f"{model} streamed"] = text
    told[f"{model} streamed usage"] = usage

    answer = client.completions.create(model=model, prompt="repeat 3")
    told[f"{model} text"] = answer.choices[0].text
    text, usage = "", None
    for chunk in client.completions.create(
        model=model, prompt="repeat 4", stream=True, stream_options={"include_usage": True}
    ):
        usage = chunk.usage.completion_tokens if chunk.usage else usage
        for choice in chunk.choices:
            text += choice.text
    told[f"{model} streamed text"] = [text, usage]

    tools = [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "parameters": {"type": "object", "properties": {"echo": {"type": "string"}}},
            },
        }
    ]
    asked = messages("call tool weather")
    answer = client.chat.completions.create(model=model, messages=asked, tools=tools)
    message = answer.choices[0].message
    call = message.tool_calls[0]
    told[f"{model} call"] = [call.function.name, isinstance(json.loads(call.function.arguments), dict)]
    asked += [
        message,
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
        {"role": "user", "content": "repeat 2"},
    ]
    answer = client.chat.completions.create(model=model, messages=asked, tools=tools)
    told[f"{model} after the tool"] = answer.choices[0].message.content

    with client.chat.completions.stream(
        model=model,
        messages=messages("hi"),
        response_format={
            "type": "json_schema",
            "json_schema": {
                "name": "answer",
                "schema": {
                    "type": "object",
                    "properties": {"a": {"type": "integer"}},
                    "required": ["a"],
                },
            },
        },
    ) as events:
        final = events.get_final_completion()
    told[f"{model} schema"] = type(json.loads(final.choices[0].message.content)["a"]).__name__

told["unknown model"] = raised(
    lambda: client.chat.completions.create(model="nope", messages=messages("hi"))
)
told["bad request"] = raised(
    lambda: client.chat.completions.create(model="qwen", messages=[])
)
told["broken stream"] = raised(
    lambda: list(
        client.chat.completions.create(model="breaks", messages=messages("repeat 9"), stream=True)
    )
)
patient = client.with_options(max_retries=2)
told["after a 429"] = (
    patient.chat.completions.create(model="busy", messages=messages("repeat 1"))
    .choices[0]
    .message.content
)
print(json.dumps(told))
