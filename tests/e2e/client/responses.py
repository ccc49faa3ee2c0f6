"""Drives Crucible's responses with OpenAI's own Python client. Usage: responses.py BASE_URL MODEL...,
prints one JSON."""

import asyncio
import json
import sys

import openai
from pydantic import BaseModel

base, models = sys.argv[1], sys.argv[2:]
client = openai.OpenAI(base_url=base, api_key="any", max_retries=0, timeout=60)


class Answer(BaseModel):
    a: int


def raised(call):
    try:
        call()
    except openai.OpenAIError as error:
        return {
            "class": type(error).__name__,
            "status": getattr(error, "status_code", None),
            "code": getattr(error, "code", None),
            "param": getattr(error, "param", None),
        }
    return None


TOOLS = [
    {"type": "function", "name": "list", "parameters": {"type": "object", "properties": {"echo": {"type": "string"}}}, "strict": False},
    {"type": "namespace", "name": "files", "description": "Files.", "tools": [{"type": "function", "name": "read"}]},
    {"type": "custom", "name": "patch"},
]


def loop(model):
    """A tool loop of three turns, as an agent runs it: every item goes back as it came."""
    called = []
    items = [{"role": "user", "content": "call tools list files__read"}]
    for following in ("call tool patch", "repeat 2", None):
        with client.responses.stream(model=model, input=items, tools=TOOLS) as stream:
            for event in stream:
                assert event.type != "error", event
            response = stream.get_final_response()
        for item in response.output:
            items.append(item.to_dict())
            if item.type == "function_call":
                called.append([item.name, item.namespace, isinstance(json.loads(item.arguments), dict)])
                items.append({"type": "function_call_output", "call_id": item.call_id, "output": "done"})
            if item.type == "custom_tool_call":
                called.append([item.name, item.input])
                items.append({"type": "custom_tool_call_output", "call_id": item.call_id, "output": "done"})
        if following:
            items.append({"role": "user", "content": following})
    return {"called": called, "text": response.output_text}


def drive(model):
    told = {}
    whole = client.responses.create(model=model, input="repeat 3", instructions="be brief", metadata={"k": "v"})
    told["whole"] = whole.output_text
    told["status"] = whole.status
    told["metadata"] = whole.metadata
    told["usage"] = [whole.usage.total_tokens - whole.usage.input_tokens, whole.usage.input_tokens_details.cached_tokens >= 0]

    kinds, text = [], ""
    for number, event in enumerate(client.responses.create(model=model, input="repeat 3", stream=True)):
        assert event.sequence_number == number
        kinds.append(event.type)
        if event.type == "response.output_text.delta":
            text += event.delta
    told["streamed"] = text
    told["kinds"] = list(dict.fromkeys(kinds))

    with client.responses.stream(model=model, input="repeat 4") as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        told["helper"] = stream.get_final_response().output_text
    told["snapshot"] = snapshots[-1]

    parsed = client.responses.parse(model=model, input="hi", text_format=Answer)
    told["parsed"] = type(parsed.output_parsed.a).__name__
    with client.responses.stream(model=model, input="hi", text_format=Answer) as stream:
        told["parsed stream"] = type(stream.get_final_response().output_parsed.a).__name__

    thinking = client.responses.create(model=model, input="repeat 1", reasoning={"effort": "high"}, stream=True)
    told["reasoning"] = "".join(e.delta for e in thinking if e.type == "response.reasoning_summary_text.delta")

    short = client.responses.create(model=model, input="repeat 9", max_output_tokens=2)
    told["short"] = [short.status, short.incomplete_details.reason, short.output_text]
    last = list(client.responses.create(model=model, input="repeat 9", max_output_tokens=2, stream=True))[-1]
    told["short stream"] = [last.type, last.response.incomplete_details.reason, last.response.output_text]
    with client.responses.stream(model=model, input="repeat 9", max_output_tokens=2) as stream:
        told["short helper"] = [event.type for event in stream][-1]

    told["loop"] = loop(model)
    return told


async def at_once(model):
    """Two streams at the same time with the asynchronous client."""
    other = openai.AsyncOpenAI(base_url=base, api_key="any", max_retries=0, timeout=60)

    async def one():
        async with other.responses.stream(model=model, input="repeat 5") as stream:
            return (await stream.get_final_response()).output_text

    return await asyncio.gather(one(), one())


told = {model: drive(model) for model in models}
told["at once"] = asyncio.run(at_once(models[0]))
told["unknown model"] = raised(lambda: client.responses.create(model="nope", input="hi"))
told["bad item"] = raised(
    lambda: client.responses.create(model=models[0], input=[{"type": "function_call_output", "call_id": "x", "output": "y"}])
)
told["stored"] = raised(lambda: client.responses.create(model=models[0], input="hi", previous_response_id="resp_1"))
told["retrieve"] = raised(lambda: client.responses.retrieve("resp_1"))
told["delete"] = raised(lambda: client.responses.delete("resp_1"))
broken = list(client.responses.create(model="breaks", input="repeat 9", stream=True))[-1]
told["broken stream"] = [broken.type, broken.response.error.code, broken.response.status]
patient = client.with_options(max_retries=2)
told["after a 429"] = patient.responses.create(model="busy", input="repeat 1").output_text
print(json.dumps(told))
