#!/usr/bin/env python3
"""Instructions that Crucible spends on a request and on a chunk, counted by callgrind: unlike times
they do not move with what else runs on the machine.

    cargo build --release -p crucible -p crucible-sim
    tests/bench/instructions.py target/release/crucible [BASELINE] --sim target/release/crucible-sim

BASELINE is the same program of another commit, built with the same profile; its counts are printed
beside, with the ratio. Each program runs twice per case in front of a simulated engine that speaks
OpenAI's API, with few and with many requests (or chunks) on one kept connection: the difference, over
the difference in number, is the cost of one, without start, polls and end. Needs valgrind.
"""

import argparse
import http.client
import json
import pathlib
import re
import signal
import subprocess
import tempfile

FEW, MANY = 200, 1200
PROMPT = "x" * 2048


def started(command, **options):
    """A program that prints `listening on http://HOST:PORT`, and its address."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
    for line in child.stdout:
        found = re.search(r"listening on http://([^/\s]+)", line)
        if found:
            return child, found[1]
    raise SystemExit(f"{command[0]} ended before it listened")


def ask(connection, stream, tokens):
    body = {
        "model": "sim-model",
        "stream": stream,
        "max_tokens": tokens,
        "messages": [{"role": "user", "content": PROMPT}],
    }
    connection.request("POST", "/v1/chat/completions", json.dumps(body))
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{answer.status}: {text[:300]}")
    return text.count(b"data: {")


def instructions(program, engine, folder, requests, stream, tokens):
    """Instructions of one run, and the events that it relayed."""
    counts = folder / "callgrind.out"
    config = folder / "crucible.toml"
    config.write_text(
        f'listen = "127.0.0.1:0"\nstate_dir = "{folder}/state"\n'
        f'[[engine]]\nname = "engine"\nkind = "openai"\nurl = "http://{engine}"\n'
    )
    child, address = started(
        ["valgrind", "--tool=callgrind", f"--callgrind-out-file={counts}", program]
        + ["serve", "--config", str(config)],
        stderr=subprocess.DEVNULL,
    )
    connection = http.client.HTTPConnection(address, timeout=120)
    events = sum(ask(connection, stream, tokens) for _ in range(requests))
    connection.close()
    child.send_signal(signal.SIGTERM)
    child.wait()
    total = re.search(r"^(?:summary|totals): (\d+)", counts.read_text(), re.MULTILINE)
    return int(total[1]), events


def measured(program, engine):
    with tempfile.TemporaryDirectory() as name:
        run = lambda *how: instructions(program, engine, pathlib.Path(name), *how)
        (few, _), (many, _) = run(FEW, False, 8), run(MANY, False, 8)
        request = (many - few) / (MANY - FEW)
        (short, little), (long, much) = run(20, True, 20), run(20, True, 1020)
        return request, (long - short) / (much - little)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    arguments.add_argument("program")
    arguments.add_argument("baseline", nargs="?")
    arguments.add_argument("--sim", default="target/release/crucible-sim")
    chosen = arguments.parse_args()
    sim, engine = started([chosen.sim, "openai"])
    try:
        rows = {"this build": measured(chosen.program, engine)}
        if chosen.baseline:
            rows["baseline"] = measured(chosen.baseline, engine)
    finally:
        sim.kill()
    print("| | per request, 2 KiB, whole | per chunk, streamed |\n|---|---|---|")
    for name, (request, chunk) in rows.items():
        print(f"| {name} | {request:,.0f} | {chunk:,.0f} |")
    if chosen.baseline:
        (request, chunk), (old_request, old_chunk) = rows["this build"], rows["baseline"]
        print(f"| ratio | {request / old_request:.3f} | {chunk / old_chunk:.3f} |")


main()
