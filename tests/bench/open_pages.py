#!/usr/bin/env python3
"""What open pages cost an instance with nothing to do: python3 tests/bench/open_pages.py CRUCIBLE SIM [--pages 50] [--seconds 60]

Starts a simulated engine and an instance, opens so many readers of GET /crucible/events, and prints the share of a
core and the resident memory of the instance without and with them. The readers are in this process, whose own time
is not counted. Linux only: it reads /proc.
"""

import argparse
import os
import selectors
import socket
import subprocess
import tempfile
import time


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid):
    with open(f"/proc/{pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


class Pages:
    """Readers that take all that comes."""

    def __init__(self, address, count):
        self.selector = selectors.DefaultSelector()
        self.taken = 0
        for _ in range(count):
            page = socket.create_connection(address)
            page.sendall(b"GET /crucible/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            page.setblocking(False)
            self.selector.register(page, selectors.EVENT_READ)

    def read(self, seconds):
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if not self.selector.get_map():
                time.sleep(left)
                return
            for key, _ in self.selector.select(left):
                piece = key.fileobj.recv(65536)
                if not piece:
                    raise SystemExit("a page was closed")
                self.taken += len(piece)


def measured(pid, pages, seconds):
    before = cpu_seconds(pid)
    pages.read(seconds)
    return 100 * (cpu_seconds(pid) - before) / seconds, resident_mib(pid)


def first_url(process):
    """The address in the first line of a program that tells one."""
    for line in process.stdout:
        if "http://" in line:
            return line.split("http://")[1].split()[0].rstrip("/")
    raise SystemExit("it did not start")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("crucible")
    parser.add_argument("sim")
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    args = parser.parse_args()
    started = []

    def start(*command):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        started.append(process)
        return process

    with tempfile.TemporaryDirectory() as folder:
        try:
            engine = first_url(start(args.sim, "lmstudio", "--port", "0", "--models", "one=4GB,two=4GB"))
            config = os.path.join(folder, "crucible.toml")
            with open(config, "w") as file:
                file.write(f'listen = "127.0.0.1:0"\nstate_dir = "{folder}/state"\n'
                           f'[[engine]]\nname = "gpu"\nkind = "lmstudio"\nurl = "http://{engine}"\n')
            instance = start(args.crucible, "serve", "--config", config)
            host, port = first_url(instance).rsplit(":", 1)
            time.sleep(5)
            print("pages  share of a core  resident memory")
            for count in (0, args.pages):
                pages = Pages((host, int(port)), count)
                pages.read(3)
                share, memory = measured(instance.pid, pages, args.seconds)
                print(f"{count:5}  {share:13.2f} %  {memory:11.1f} MiB")
            print(f"each page took {pages.taken / args.pages:.0f} bytes")
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait()


if __name__ == "__main__":
    main()
