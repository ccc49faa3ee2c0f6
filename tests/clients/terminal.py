"""A program in a terminal: tmux runs it, types, and reads its screen.

Nothing here sleeps for a fixed time: the screen is read again until it shows what is waited for, or
the deadline has passed.
"""

import pathlib
import re
import subprocess
import time
from collections.abc import Callable

import client

PAUSE = 0.1
STILL = 3.0
DRAWING = re.compile(r"[\u2500-\u28ff]+")


def last_words(text: str) -> str:
    """The last lines of an output or a screen on one line, without frames."""
    lines = [" ".join(DRAWING.sub(" ", line).split()) for line in text.splitlines()]
    return " / ".join([line for line in lines if line][-5:])[-300:]


class ScreenTimeout(Exception):
    """What was waited for did not come; has the last screen."""

    def __init__(self, wanted: str, screen: str):
        super().__init__(f"no {wanted!r} on the screen, but: {last_words(screen)}")
        self.screen = screen


class Terminal:
    """A program in a terminal of its own; used with `with`, which ends it."""

    def __init__(self, used: client.Screen, folder: pathlib.Path, environment: dict[str, str]):
        self.dialogs = list(used.dialogs)
        self.tmux = ["tmux", "-S", str(folder.parent / "tmux"), "-f", "/dev/null"]
        variables = [f"{name}={value}" for name, value in environment.items()]
        # The screen stays when the program ends, so that its last words can be read.
        self._run("new-session", "-d", "-x", "150", "-y", "50", "-c", str(folder), "sleep 86400")
        self._run("set-option", "-g", "remain-on-exit", "on")
        self._run("respawn-pane", "-k", "-c", str(folder), "env", "-i", *variables, *used.command)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run([*self.tmux, "kill-server"], capture_output=True)

    def _run(self, *arguments: str) -> str:
        done = subprocess.run([*self.tmux, *arguments], capture_output=True, text=True, timeout=20)
        if done.returncode != 0:
            raise RuntimeError(f"tmux {arguments[0]}: {done.stderr.strip()}")
        return done.stdout

    def screen(self) -> str:
        """What is on the screen, and what scrolled off it."""
        return self._run("capture-pane", "-p", "-J", "-S", "-2000")

    def press(self, *keys: str) -> None:
        """Presses keys by tmux's names (`Enter`, `C-c`)."""
        self._run("send-keys", *keys)

    def wait(self, wanted: str, seconds: float, count: int = 1) -> str:
        """Waits until a text is on the screen that often; the screen."""
        return self.until(lambda screen: screen.count(wanted) >= count, wanted, seconds)

    def until(self, shown: Callable[[str], bool], wanted: str, seconds: float) -> str:
        """Waits until the screen is as wanted, answering the dialogs that come; the screen."""
        deadline = time.monotonic() + seconds
        while True:
            screen = self.screen()
            for dialog in [each for each in self.dialogs if each[0] in screen]:
                self.dialogs.remove(dialog)
                self.press(*dialog[1])
            if shown(screen):
                return screen
            if time.monotonic() > deadline:
                raise ScreenTimeout(wanted, screen)
            time.sleep(PAUSE)

    def type(self, text: str, seconds: float) -> str:
        """Types a text until it is shown, once more where a dialog took it; the screen."""
        deadline = time.monotonic() + seconds
        before = self.screen().count(text)
        while True:
            self._run("send-keys", "-l", text)
            try:
                return self.wait(text, STILL, before + 1)
            except ScreenTimeout:
                if time.monotonic() > deadline:
                    raise

    def submit(self, prompt: str, answer: str, seconds: float) -> None:
        """Types a prompt, waits until it is shown, presses Enter, and waits for the answer.

        Enter is pressed again while nothing moves: programs take keys that come at once for a paste, in
        which it is a line end, and some lose it while they draw.
        """
        last = self.type(prompt, seconds)
        self.press("Enter")
        moved = time.monotonic()

        def answered(screen: str) -> bool:
            nonlocal last, moved
            if screen != last:
                last, moved = screen, time.monotonic()
            elif time.monotonic() - moved > STILL:
                self.press("Enter")
                moved = time.monotonic()
            return answer in screen

        self.until(answered, answer, seconds)
