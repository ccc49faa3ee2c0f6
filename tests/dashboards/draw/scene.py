#!/usr/bin/env python3
"""Runs Crucible in front of three simulated engines for some minutes, and draws the dashboards of that time.

    cargo build -p crucible -p crucible-sim
    python3 tests/dashboards/draw/scene.py [SECONDS]

Needs `prometheus` and `rsvg-convert` (Debian's packages `prometheus` and `librsvg2-bin`). The pictures go to
`docs/images/`. Graphics cards and energy are those of `machine.prom` beside this file, a stand-in that is
scraped as a second instance; everything else is measured.
"""

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import engine

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../../..")
BIN = os.path.join(ROOT, "target/debug")
MACHINE = os.path.join(HERE, "machine.prom")


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def post(url, body, read=True):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            return answer.read() if read else answer.read(200)
    except (urllib.error.URLError, OSError, ValueError) as error:
        return str(error).encode()


class Scene:
    """The programs and the traffic of some minutes."""

    def __init__(self, seconds, folder):
        self.until, self.folder, self.children = time.time() + seconds, folder, []
        self.lmstudio, self.ollama, self.crucible, self.prometheus = (free_port() for _ in range(4))
        self.chat_url = f"http://127.0.0.1:{self.crucible}/v1/chat/completions"

    def spawn(self, *command):
        name = os.path.basename(command[0])
        with open(os.path.join(self.folder, name + ".log"), "ab") as log:
            child = subprocess.Popen(command, stdout=log, stderr=log)
        self.children.append(child)
        return child

    def start_ollama(self):
        return self.spawn(
            f"{BIN}/crucible-sim", "ollama", "--port", str(self.ollama), "--models",
            "llama3.2:3b=2GB,nomic-embed-text=300MB:embedding", "--load-time", "3s", "--rate", "14",
            "--prefill", "120", "--parallel", "2", "--context", "32768",
        )

    def start(self):
        self.spawn(
            f"{BIN}/crucible-sim", "lmstudio", "--port", str(self.lmstudio), "--models",
            "qwen2.5-coder-7b=5GB,gemma-3-4b=4GB", "--load-time", "5s", "--rate", "45", "--prefill", "900",
            "--memory", "16GB", "--context", "32768",
        )
        self.start_ollama()
        config = os.path.join(self.folder, "crucible.toml")
        with open(config, "w", encoding="utf-8") as written:
            written.write(
                f'listen = "127.0.0.1:{self.crucible}"\nstate_dir = "{self.folder}/state"\n'
                '[pool.gpu]\nmemory = "10GB"\nbudget = "8GB"\n[pool.cpu]\nbudget = "12GB"\n'
                f'[[engine]]\nname = "lmstudio"\nkind = "lmstudio"\nurl = "http://127.0.0.1:{self.lmstudio}"\n'
                f'[[engine]]\nname = "ollama"\nkind = "ollama"\nurl = "http://127.0.0.1:{self.ollama}"\n'
                f'[[engine]]\nname = "caching"\nkind = "openai"\nurl = "http://127.0.0.1:{engine.start()}"\n'
                '[[model]]\nname = "gemma-3-4b"\nfallback = ["ollama/llama3.2:3b"]\n'
            )
        crucible = self.spawn(f"{BIN}/crucible", "serve", "--config", config)
        targets = [f"127.0.0.1:{self.crucible}", f"127.0.0.1:{serve_machine()}"]
        rules = os.path.join(ROOT, "dashboards/prometheus/rules/crucible.yml")
        scrape = os.path.join(self.folder, "prometheus.yml")
        with open(scrape, "w", encoding="utf-8") as written:
            written.write(
                "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
                f"rule_files: ['{os.path.abspath(rules)}']\n"
                f"scrape_configs: [{{job_name: llm, static_configs: [{{targets: {json.dumps(targets)}}}]}}]\n"
            )
        self.spawn(
            "prometheus", f"--config.file={scrape}", f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address=127.0.0.1:{self.prometheus}",
        )
        time.sleep(4)
        return crucible

    def goes_on(self, pause):
        time.sleep(pause)
        return time.time() < self.until

    def ask(self, model, words, answer, **more):
        messages = [{"role": "user", "content": f"repeat {answer} " + "word " * words}]
        return post(self.chat_url, {"model": model, "stream": True, "messages": messages, **more})

    def editor(self):
        """An editor that asks one model again and again."""
        while self.goes_on(3):
            self.ask("qwen2.5-coder-7b", 700, 60)

    def agent(self):
        """An agent that sends its whole conversation with each turn, and later one with a clock in front."""
        said, begun = ["word"] * 900, time.time()
        while self.goes_on(2):
            said = said + ["more"] * 120 if len(said) < 3000 else ["word"] * 900
            late = time.time() - begun > (self.until - begun) * 0.75
            text = (f"{time.time()} " if late else "") + " ".join(said)
            messages = [{"role": "user", "content": text}]
            post(self.chat_url, {"model": "devstral-small", "stream": True, "messages": messages})

    def chat(self):
        """A person who now and then asks a model that does not fit beside the agent's."""
        while self.goes_on(38):
            for _ in range(2):
                self.ask("gemma-3-4b", 120, 90)

    def crowd(self):
        """Bursts on an engine that takes two requests at once."""
        while self.goes_on(20):
            asking = [threading.Thread(target=self.ask, args=("llama3.2:3b", 150, 25)) for _ in range(6)]
            for one in asking:
                one.start()
            for one in asking:
                one.join()

    def mishaps(self):
        """Clients that leave, names that do not exist, engines that fail."""
        faults = [("http_500", self.ollama), ("cut", self.ollama), ("http_500", self.lmstudio)]
        number = 0
        while self.goes_on(13):
            kind, port = faults[number % len(faults)]
            number += 1
            post(f"http://127.0.0.1:{port}/sim/fault", {"kind": kind})
            self.ask("unheard-of", 1, 1)
            post(
                self.chat_url,
                {"model": "llama3.2:3b", "stream": True, "logit_bias": {"1": 1},
                 "messages": [{"role": "user", "content": "repeat 200"}]},
                read=False,
            )

    def run(self, seconds):
        crucible = self.start()
        for part in (self.editor, self.agent, self.chat, self.crowd, self.mishaps):
            threading.Thread(target=part, daemon=True).start()
        time.sleep(seconds * 0.55)
        crucible.send_signal(signal.SIGHUP)
        # An engine that is away for a quarter of the time: an alert fires until it is back.
        self.children[1].kill()
        time.sleep(seconds * 0.3)
        self.start_ollama()
        time.sleep(seconds * 0.1)

    def draw(self, seconds):
        subprocess.run(
            [sys.executable, os.path.join(HERE, "draw.py"), f"http://127.0.0.1:{self.prometheus}",
             str(seconds), os.path.join(ROOT, "docs/images"), "lmstudio"],
            check=True,
        )

    def stop(self):
        for child in reversed(self.children):
            if child.poll() is None:
                child.terminate()
        for child in self.children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()


class Machine(http.server.BaseHTTPRequestHandler):
    """Graphics cards and energy, which the machine that draws need not have; the values sway a little."""

    def do_GET(self):
        with open(MACHINE, encoding="utf-8") as opened:
            text = opened.read()
        now = int(time.time())
        text = text.replace("{sway}", f"{now % 40:02}")
        text = text.replace("{joules}", str(now % 100000 * 180)).replace("{package}", str(now % 100000 * 45))
        self.send_response(200)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


def serve_machine():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Machine)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(seconds, folder)
        try:
            scene.run(seconds)
            scene.draw(seconds)
        finally:
            scene.stop()


if __name__ == "__main__":
    main()
