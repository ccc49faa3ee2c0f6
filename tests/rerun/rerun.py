"""Runs the tests with a time limit, and those end-to-end tests once more that failed beside all others.

    python3 tests/rerun/rerun.py cargo test --locked --workspace

Many end-to-end tests watch real clocks of real programs, and two noisy cores can hold any one of them up. So a
failed one is run again, alone. It counts as passed only if it passes then, and is named as flaky at the end of the
output with what it said at first: a test that is named there twice is to be mended. Everything else fails at once:
tests of other targets, more than `LIMIT` failed tests, a target that does not end properly, a run that does not end
within `--minutes` (default 40).
"""

import argparse
import dataclasses
import os
import re
import signal
import subprocess
import sys
import threading

# The only target whose tests may be run again, as cargo names it.
TARGET = "-p crucible-tests --test e2e"

# The command for it, which takes what is built: with `-p` its dependencies would have other features.
ALONE = ["cargo", "test", "--locked", "--workspace", "--test", "e2e", "--", "--exact", "--test-threads=1"]

# The most tests that may fail beside the others.
LIMIT = 3

# The most lines that are repeated of a failed test's own words.
QUOTED_LINES = 12

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
FAILED_TARGETS = re.compile(r"^error: \d+ targets? failed:$")
UNFINISHED = re.compile(r"^test (\S+) has been running for over ")
RESULT = re.compile(r"^test (\S+) \.\.\. (ok|FAILED|ignored)")
STDOUT = re.compile(r"^---- (\S+) stdout ----$")
PANIC = re.compile(r"^thread '.*' (\(\d+\) )?panicked at ")


@dataclasses.dataclass
class Run:
    """What the output of `cargo test --no-fail-fast` says."""

    targets: list[str]  # those that failed, as cargo names them
    failed: list[str]  # names of tests
    unfinished: list[str]  # names of tests that ran for over a minute and told no result
    words: dict[str, list[str]]  # what each failed test said when it panicked


def read(output: str) -> Run:
    """Reads the whole output of a run."""
    run = Run([], [], [], {})
    lines = COLOURS.sub("", output).splitlines()
    long, ended = [], set()
    test, quoting = None, 0
    for number, line in enumerate(lines):
        if FAILED_TARGETS.match(line):
            for target in lines[number + 1 :]:
                if not target.startswith("    `"):
                    break
                run.targets.append(target.strip().strip("`"))
        elif found := UNFINISHED.match(line):
            long.append(found[1])
        elif found := RESULT.match(line):
            ended.add(found[1])
            if found[2] == "FAILED":
                run.failed.append(found[1])
        elif found := STDOUT.match(line):
            test, quoting = found[1], 0
        elif line == "failures:":
            test = None
        elif test and (quoting or PANIC.match(line)):
            # From the panic on: many print the logs of their programs behind it, which are above.
            quoting = quoting or QUOTED_LINES
            run.words.setdefault(test, []).append(line)
            quoting -= 1
            if not quoting or line.startswith("--- log of "):
                quoting = 0
    run.unfinished = [name for name in long if name not in ended]
    return run


def again(run: Run) -> str | None:
    """Why the failed tests of a run are not run again; `None` where they are."""
    if run.targets != [TARGET]:
        return f"failed targets: {', '.join(run.targets) or 'none, the run ended otherwise'}"
    if not run.failed:
        return "the end-to-end tests ended without a failed test"
    if len(run.failed) > LIMIT:
        return f"{len(run.failed)} tests failed, and at most {LIMIT} are run again"
    return None


def shown(command: list[str], seconds: float) -> tuple[int | None, str]:
    """Runs a command and shows its output as it comes; its exit status (`None` if it took too long) and output."""
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    late = threading.Event()

    def end():
        late.set()
        os.killpg(child.pid, signal.SIGKILL)

    timer = threading.Timer(seconds, end)
    timer.start()
    output = []
    try:
        for line in child.stdout:
            output.append(line)
            print(line, end="", flush=True)
        status = child.wait()
    finally:
        timer.cancel()
        child.stdout.close()
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
    return (None if late.is_set() else status), "".join(output)


def told(run: Run) -> None:
    """Prints what each failed test said, where a reader of the last lines sees it."""
    for name in run.failed:
        print(f"\n{name} said:")
        for line in run.words.get(name, ["nothing"]):
            print(f"    {line}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    status, output = shown([*args.command, "--no-fail-fast"], args.minutes * 60)
    if status == 0:
        return 0
    run = read(output)
    if status is None:
        print(f"\nthe tests did not end within {args.minutes:g} minutes; still running: {run.unfinished}")
        return 1
    refused = again(run)
    if refused:
        told(run)
        print(f"\nnothing is run again: {refused}")
        return 1
    # One after the other: what fails alone fails.
    print(f"\nonce more, alone: {' '.join(run.failed)}", flush=True)
    status, second = shown([*ALONE, *run.failed], args.minutes * 60)
    told(run)
    if status != 0:
        told(read(second))
        print("\nfailed beside the others and alone")
        return 1
    print(f"\nflaky, failed beside the others and passed alone: {len(run.failed)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
