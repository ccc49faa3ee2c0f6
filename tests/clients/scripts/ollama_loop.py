"""Asks once with Ollama's library and runs the commands that the model asks for, until it says a text.

Usage: ollama_loop.py MODEL PROMPT
"""

import subprocess
import sys

import ollama


def run_command(command: str) -> str:
    """Runs a shell command and returns what it printed.

    Args:
        command: the shell command
    """
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout


def streamed(model: str, messages: list) -> tuple[str, list]:
    text, calls, ended = "", [], False
    for part in ollama.chat(model, messages=messages, tools=[run_command], stream=True):
        text += part.message.content or ""
        calls += part.message.tool_calls or []
        ended = part.done
    if not ended:
        raise SystemExit("the last line is not done")
    return text, calls


def loop(model: str, prompt: str) -> str:
    messages = [{"role": "user", "content": prompt}]
    for _ in range(9):
        text, calls = streamed(model, messages)
        if not calls:
            return text
        messages.append({"role": "assistant", "content": text, "tool_calls": calls})
        for call in calls:
            result = run_command(**call.function.arguments)
            messages.append({"role": "tool", "tool_name": call.function.name, "content": result})
    raise SystemExit("no text after nine turns")


print(loop(*sys.argv[1:]))
