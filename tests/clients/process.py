"""Programs that run in the background until the run ends."""

import os
import pathlib
import re
import signal
import subprocess
import time

ADDRESS = re.compile(r"listening on (https?://[^\s/]+)")
PATIENCE = 30


def environment(home: pathlib.Path) -> dict[str, str]:
    """The environment of a program under test: no variable of the user's changes what it does."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}


def end(process: subprocess.Popen) -> None:
    """Ends a program that leads a session of its own with what it started there, at last by force."""
    for strength in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, strength)
            process.wait(10)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            pass
        return


class Background:
    """A program with the processes that it starts; its output is a log."""

    def __init__(self, command: list[str], log: pathlib.Path):
        self.log = log
        with log.open("w") as out:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment(log.parent),
                start_new_session=True,
            )

    def runs(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """Ends it and all that it started."""
        end(self.process)


class Server(Background):
    """A program that says on which address it listens."""

    def __init__(self, command: list[str], log: pathlib.Path):
        super().__init__(command, log)
        deadline = time.monotonic() + PATIENCE
        while not (found := ADDRESS.search(log.read_text())):
            if time.monotonic() > deadline or not self.runs():
                self.stop()
                raise SystemExit(f"{command[0]} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)
        self.url = found.group(1)
