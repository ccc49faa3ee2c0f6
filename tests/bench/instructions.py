#!/usr/bin/env python3
"""Instructions that Crucible spends on a request and on a chunk, counted by callgrind: unlike times
they do not move with what else runs on the machine.

    cargo build --release -p crucible -p crucible-sim
    tests/bench/instructions.py target/release/crucible [BASELINE] --sim target/release/crucible-sim

BASELINE is the same program of another commit, built with the same profile; its counts are printed
beside, with the ratio. Each program runs twice per case in front of a simulated engine that speaks
OpenAI's API, with few and with many requests (or chunks) on one kept connection: the difference, over
the difference in number, is the cost of one, without start, polls and end. Chunks come as fast as the
engine writes them, so that many are read at once, and again one at a time, as from a model. With
--more, requests also come on 64 connections at once, for which the engine has as many permits, and with
prompts of lines and quotation marks, which JSON escapes. A clock
that the rate limits calibrate at the start takes between 1 and 16 million instructions, by what else
runs: they are left out, where the program has names of functions. Needs valgrind.
"""

import argparse
import http.client
import json
import pathlib
import re
import signal
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor

FEW, MANY = 200, 1200
# Chunks of each of some streams per second, which come one at a time.
PACED = 300
SMALL, LARGE = 2048, 64 * 1024
# Connections that ask at once, and the permits of their engine.
AT_ONCE = 64
# A line of a prompt that JSON writes with escapes, as files and code have them.
LINE = 'let name = "text";\n\t'


def started(command, **options):
    """A program that prints `listening on http://HOST:PORT`, and its address."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
    for line in child.stdout:
        found = re.search(r"listening on http://([^/\s]+)", line)
        if found:
            return child, found[1]
    raise SystemExit(f"{command[0]} ended before it listened")


def body(form, stream, tokens, size, line="x"):
    """The path and body of a request in a client format, and what each piece of text begins with."""
    asked = {"model": "sim-model", "stream": stream}
    said = [{"role": "user", "content": line * (size // len(json.dumps(line)[1:-1]))}]
    if form == "responses":
        asked |= {"max_output_tokens": tokens, "input": said}
        return "/v1/responses", asked, b"event: response.output_text.delta"
    asked |= {"max_tokens": tokens, "messages": said}
    if form == "messages":
        return "/v1/messages", asked, b"event: content_block_delta"
    return "/v1/chat/completions", asked, b"data: {"


def ask(connection, form, stream, tokens, size, line="x"):
    path, asked, piece = body(form, stream, tokens, size, line)
    connection.request("POST", path, json.dumps(asked))
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status}: {text[:300]}")
    return text.count(piece)


def instructions(program, engine, folder, form, requests, stream, tokens, size, line="x", connections=1):
    """Instructions of one run, and the events that it relayed."""
    counts = folder / "callgrind.out"
    config = folder / "crucible.toml"
    config.write_text(
        f'listen = "127.0.0.1:0"\nstate_dir = "{folder}/state"\n'
        f'[[engine]]\nname = "engine"\nkind = "openai"\nurl = "http://{engine}"\n'
        + (f"permits = {connections}\n" if connections > 1 else "")
    )
    child, address = started(
        ["valgrind", "--tool=callgrind", f"--callgrind-out-file={counts}", program]
        + ["serve", "--config", str(config)],
        stderr=subprocess.DEVNULL,
    )

    def asked(number):
        connection = http.client.HTTPConnection(address, timeout=120)
        share = range(number, requests, connections)
        events = sum(ask(connection, form, stream, tokens, size, line) for _ in share)
        connection.close()
        return events

    with ThreadPoolExecutor(connections) as clients:
        events = sum(clients.map(asked, range(connections)))
    child.send_signal(signal.SIGTERM)
    child.wait()
    total = re.search(r"^(?:summary|totals): (\d+)", counts.read_text(), re.MULTILINE)
    return int(total[1]) - calibration(counts), events


def calibration(counts):
    """Instructions of the calibration of the clock at the start."""
    command = ["callgrind_annotate", "--inclusive=yes", "--threshold=100", "--show-percs=no", counts]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^\s*([\d,]+) .*quanta::Calibration::calibrate", listed, re.MULTILINE)
    return max((int(number.replace(",", "")) for number in found), default=0)


def measured(program, engine, paced, form="chat"):
    """Instructions per request of 2 and of 64 KiB, per chunk and per chunk that comes alone; per chunk
    alone in other formats."""
    with tempfile.TemporaryDirectory() as name:
        run = lambda *how, of=engine: instructions(program, of, pathlib.Path(name), form, *how)
        (short, little), (long, much) = run(20, True, 20, SMALL), run(20, True, 1020, SMALL)
        chunk = (long - short) / (much - little)
        if form != "chat":
            return None, None, chunk, None
        (few, _), (many, _) = run(FEW, False, 8, SMALL), run(MANY, False, 8, SMALL)
        (some, _), (more, _) = run(50, False, 8, LARGE), run(250, False, 8, LARGE)
        (brief, one), (lasting, all) = (run(4, True, n, SMALL, of=paced) for n in (20, 1020))
        alone = (lasting - brief) / (all - one)
        return (many - few) / (MANY - FEW), (more - some) / 200, chunk, alone


def measured_more(program, engine):
    """Instructions per request of 2 KiB on many connections at once, and per request of 2 and of 64 KiB
    with escapes."""
    with tempfile.TemporaryDirectory() as name:
        run = lambda requests, size, *how: instructions(
            program, engine, pathlib.Path(name), "chat", requests, False, 8, size, *how
        )[0]
        each = lambda few, many, *how: (run(many, *how) - run(few, *how)) / (many - few)
        return (
            each(FEW, MANY, SMALL, "x", AT_ONCE),
            each(FEW, MANY, SMALL, LINE),
            each(50, 250, LARGE, LINE),
        )


def row(name, numbers, form="{:,.0f}"):
    print(f"| {name} | " + " | ".join("-" if n is None else form.format(n) for n in numbers) + " |")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("program")
    arguments.add_argument("baseline", nargs="?")
    arguments.add_argument("--sim", default="target/release/crucible-sim")
    arguments.add_argument("--formats", action="store_true", help="also Responses and Messages, per chunk")
    arguments.add_argument("--more", action="store_true", help="also many connections, and prompts with escapes")
    chosen = arguments.parse_args()
    command = [chosen.sim, "openai", "--context", "65536"]
    sim, engine = started(command)
    slow, paced = started([*command, "--rate", str(PACED)])
    try:
        ours = measured(chosen.program, engine, paced)
        old = chosen.baseline and measured(chosen.baseline, engine, paced)
        forms = ["responses", "messages"] if chosen.formats else []
        more = [measured_more(name, engine) for name in (chosen.program, chosen.baseline) if name and chosen.more]
        others = {form: measured(chosen.program, engine, paced, form) for form in forms}
    finally:
        sim.kill()
        slow.kill()
    print("| | per request, 2 KiB, whole | per request, 64 KiB, whole | per chunk, many at once | alone |")
    print("|---|---|---|---|---|")
    row("this build", ours)
    if old:
        row("baseline", old)
        row("ratio", [new / before for new, before in zip(ours, old)], "{:.3f}")
    for form, numbers in others.items():
        row(form, numbers)
        row(f"{form}, ratio to chat", [None, None, numbers[2] / ours[2], None], "{:.3f}")
    if more:
        print(f"\n| | 2 KiB, {AT_ONCE} connections at once | 2 KiB with escapes | 64 KiB with escapes |")
        print("|---|---|---|---|")
        for name, numbers in zip(["this build", "baseline"], more):
            row(name, numbers)
    if len(more) == 2:
        row("ratio", [new / before for new, before in zip(*more)], "{:.3f}")


main()
