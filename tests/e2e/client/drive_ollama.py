"""Drives Crucible with Ollama's own Python client. Usage: drive_ollama.py URL MODEL..., prints one JSON."""

import asyncio
import base64
import json
import sys

import ollama

base, models = sys.argv[1], sys.argv[2:]
client = ollama.Client(host=base, timeout=60)
told = {}
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def raised(call):
    try:
        call()
    except ollama.ResponseError as error:
        return {"status": error.status_code, "text": error.error[:300]}
    return None


def user(text, **more):
    return [{"role": "user", "content": text, **more}]


def Bash(command: str) -> str:
    """Runs a command.

    Args:
      command: the command
    """
    return f"{command}: 7"


def end(answer):
    times = [answer.total_duration, answer.created_at]
    return [answer.done, answer.done_reason, answer.eval_count or 0, all(times)]


async def asynchronous(model):
    parts = []
    stream = await ollama.AsyncClient(host=base).chat(
        model=model, messages=user("repeat 2"), stream=True
    )
    async for part in stream:
        parts.append(part.message.content)
    return "".join(parts)


for model in models:
    of = told[model] = {}
    whole = client.chat(model=model, messages=user("repeat 3"), options={"num_ctx": 4096})
    of["whole"] = [whole.model, whole.message.content, end(whole)]
    of["thinking"] = bool(whole.message.thinking)
    lines = list(client.chat(model=model, messages=user("repeat 4"), stream=True, keep_alive="5m"))
    of["streamed"] = [
        "".join(line.message.content or "" for line in lines),
        [line.done for line in lines].count(True),
        end(lines[-1]),
        sorted({line.model for line in lines}),
    ]
    of["length"] = client.chat(
        model=model, messages=user("repeat 9"), options={"num_predict": 2}
    ).done_reason
    of["generated"] = client.generate(model=model, prompt="repeat 2", system="s").response
    lines = list(client.generate(model=model, prompt="repeat 3", stream=True))
    of["generated stream"] = ["".join(line.response for line in lines), lines[-1].done_reason]
    of["raw"] = client.generate(model=model, prompt="repeat 2", raw=True).response
    of["async"] = asyncio.run(asynchronous(model))
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    answer = client.chat(model=model, messages=user("a number"), format=schema).message.content
    of["schema"] = type(json.loads(answer)["n"]).__name__
    of["image"] = client.chat(model=model, messages=user("repeat 1", images=[PNG])).message.content

    messages = user("count the files")
    reasons = []
    for turn in range(3):
        lines = list(client.chat(model=model, messages=messages, tools=[Bash], stream=True))
        calls = [call for line in lines for call in line.message.tool_calls or []]
        text = "".join(line.message.content or "" for line in lines)
        reasons.append([len(calls), lines[-1].done_reason])
        messages.append({"role": "assistant", "content": text, "tool_calls": calls})
        for call in calls:
            result = Bash(**call.function.arguments)
            messages.append({"role": "tool", "tool_name": call.function.name, "content": result})
    of["loop"] = [reasons, text]
    of["load"] = client.generate(model=model).done_reason
    of["unload"] = client.chat(model=model, keep_alive=0).done_reason
    of["no option"] = raised(
        lambda: client.chat(model=model, messages=user("x"), options={"temperature": "hot"})
    )
    of["too long"] = raised(lambda: client.chat(model=model, messages=user("word " * 400000)))

for model in ["studio-embed", "ollama-embed", "other-embed"]:
    one = client.embed(model=model, input="a")
    two = client.embed(model=model, input=["a", "b"], truncate=True)
    told[model] = [
        [len(one.embeddings), len(two.embeddings), len(two.embeddings[1])],
        list(one.embeddings[0]) == list(two.embeddings[0]),
        len(client.embeddings(model=model, prompt="a").embedding),
    ]

told["unknown model"] = raised(lambda: client.chat(model="nope", messages=user("hi")))
told["unknown model in a stream"] = raised(
    lambda: list(client.generate(model="nope", prompt="hi", stream=True))
)
told["broken stream"] = raised(
    lambda: list(client.chat(model="breaks", messages=user("repeat 9"), stream=True))
)
told["a 429"] = raised(lambda: client.chat(model="busy", messages=user("repeat 1")))
told["closed"] = raised(lambda: client.delete("qwen"))
print(json.dumps(told))
