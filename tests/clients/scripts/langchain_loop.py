"""Asks once with LangChain and runs the commands that the model asks for, until it says a text.

Usage: langchain_loop.py openai|ollama MODEL PROMPT
"""

import subprocess
import sys

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool


@tool
def run_command(command: str) -> str:
    """Runs a shell command and returns what it printed."""
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout


def streamed(model, messages):
    whole = None
    for chunk in model.stream(messages):
        whole = chunk if whole is None else whole + chunk
    return whole


def chat_model(provider: str, name: str):
    if provider == "ollama":
        from langchain_ollama import ChatOllama

        return ChatOllama(model=name)
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model=name)


def loop(provider: str, name: str, prompt: str) -> str:
    model = chat_model(provider, name).bind_tools([run_command])
    messages = [HumanMessage(prompt)]
    for _ in range(9):
        answer = streamed(model, messages)
        if not answer.tool_calls:
            return answer.content
        messages.append(answer)
        messages += [run_command.invoke(call) for call in answer.tool_calls]
    raise SystemExit("no text after nine turns")


print(loop(*sys.argv[1:]))
