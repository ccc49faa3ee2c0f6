"""What each client has to do, and how it is told that it did.

The simulated engine has the answers written down. For the tool loop it calls the client's own shell
tool twice: the first command computes a number into a file, the second changes that file's digits into
another one, and the last answer repeats what the second one printed. Neither number stands in a prompt
or an answer, so where both files and the text have them the tools ran, and their results came back.
"""

import dataclasses
import subprocess

import process
import terminal
from client import Client, Place
from engines import Engine
from terminal import last_words

HI = "say hi"
LOOP = "run the loop"
HELLO = "Hello from the engine."
DONE = "The loop is done:"
FIRST, SECOND = "5555", "7777"
COMMANDS = ("expr 1234 + 4321 | tee first.txt", "tr 5 7 <first.txt | tee second.txt")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Whether a client did it, and what went wrong. `None` means that it was not tried."""

    passed: bool | None
    note: str = ""


NOT_TRIED = Outcome(None)


def conversations(client: Client) -> list[dict]:
    """The answers that the simulated engine gives to this client."""
    hi = {"when": HI, "turns": [{"text": HELLO}]}
    edits = client.edits(FIRST, SECOND)
    if edits:
        return [hi, *edits]
    calls = [{"calls": client.shell(command)} for command in COMMANDS]
    return [hi, {"when": LOOP, "turns": [*calls, {"text": DONE + " {result}"}]}]


def environment(client: Client, place: Place) -> dict[str, str]:
    """The whole environment of a client: nothing of ours but the path."""
    base = {**process.environment(place.home), "TERM": "xterm-256color"}
    return {**base, **client.environment(place)}


def ask(client: Client, place: Place, prompt: str, seconds: float) -> tuple[str, str]:
    """Runs the client once; what it printed, and what went wrong."""
    command = client.once(place, prompt)
    output, errors = place.home / "output.txt", place.home / "errors.txt"
    with output.open("w") as out, errors.open("w") as err:
        streams = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err, "start_new_session": True}
        asked = subprocess.Popen(command, cwd=place.work, env=environment(client, place), **streams)
        try:
            status = asked.wait(seconds)
        except subprocess.TimeoutExpired:
            return "", f"no end after {seconds:.0f} s"
        finally:
            process.end(asked)
    said, complaint = (path.read_text(errors="replace") for path in (output, errors))
    return said, f"exit {status}: {last_words(complaint or said)}" if status else ""


def say_hi(client: Client, engine: Engine, place: Place, seconds: float) -> Outcome:
    """One prompt, one text. Any text is right of an engine whose answers are its own."""
    said, wrong = ask(client, place, HI, seconds)
    if wrong:
        return Outcome(False, wrong)
    if (HELLO in said) if engine.simulated else said.strip():
        return Outcome(True)
    return Outcome(False, f"no answer but: {last_words(said) or 'nothing'}")


def tool_loop(client: Client, engine: Engine, place: Place, seconds: float) -> Outcome:
    """Three turns: two calls and a text. A client without tools writes both files itself."""
    said, wrong = ask(client, place, LOOP, seconds)
    if wrong:
        return Outcome(False, wrong)
    if client.edits(FIRST, SECOND):
        return files_left(place, "client")
    if DONE not in said or SECOND not in said:
        return Outcome(False, f"no last answer but: {last_words(said) or 'nothing'}")
    return tools_ran(engine, place)


def tools_ran(engine: Engine, place: Place) -> Outcome:
    """Whether the tools left their files, and the engine saw both results."""
    left = files_left(place, "tool")
    if not left.passed:
        return left
    turns = loop_turns(engine)
    if not {0, 1, 2} <= turns.keys():
        return Outcome(False, f"the engine saw turns {sorted(turns)} of the loop")
    return Outcome(True)


def files_left(place: Place, writer: str) -> Outcome:
    """Whether both files are there."""
    for name, content in (("first.txt", FIRST), ("second.txt", SECOND)):
        path = place.work / name
        if not path.exists() or path.read_text().strip() != content:
            return Outcome(False, f"the {writer} left no {name} with {content} in it")
    return Outcome(True)


def interactive(client: Client, engine: Engine, place: Place, seconds: float) -> Outcome:
    """Both in one session under tmux."""
    screen = client.screen(place)
    if screen is None:
        return NOT_TRIED
    try:
        with terminal.Terminal(screen, place.work, environment(client, place)) as window:
            window.wait(screen.ready, seconds)
            window.submit(HI, HELLO, seconds)
            window.submit(LOOP, DONE, seconds)
            window.until(lambda shown: SECOND in shown.split(DONE)[-1], f"{SECOND} after {DONE}", seconds)
    except (terminal.ScreenTimeout, RuntimeError, FileNotFoundError) as error:
        return Outcome(False, str(error))
    return tools_ran(engine, place)


def loop_turns(engine: Engine) -> dict[int, dict]:
    """The bodies of the tool loop as the engine got them, by the number of results in them."""
    turns = {}
    for body in engine.chats():
        messages = body["messages"]
        begun = [at for at, message in enumerate(messages) if begins_loop(message)]
        if begun and body.get("tools"):
            since = messages[begun[-1]:]
            turns[sum(message["role"] == "tool" for message in since)] = body
    return turns


def begins_loop(message: dict) -> bool:
    """Whether a message is the prompt of the loop."""
    content = message.get("content") or ""
    if isinstance(content, list):
        content = " ".join(part.get("text", "") for part in content)
    return message["role"] == "user" and LOOP in content


def prefix(engine: Engine) -> str:
    """Whether each turn of the loop began, for the engine, with the whole turn before it.

    Only then does an engine read what is new alone.
    """
    turns = loop_turns(engine)
    ordered = [turns[count] for count in sorted(turns)]
    for before, after in zip(ordered, ordered[1:]):
        if repr(before.get("tools")) != repr(after.get("tools")):
            return "tools differ"
        for at, message in enumerate(before["messages"]):
            later = after["messages"][at] if at < len(after["messages"]) else None
            if repr(message) != repr(later):
                return f"message {at} differs"
    return "kept" if len(ordered) > 1 else ""
