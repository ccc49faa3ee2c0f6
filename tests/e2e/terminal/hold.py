"""A terminal that runs one line, and is closed when something comes on stdin.

Usage: hold.py exec|type LINE. `exec` starts the line as the terminal's first process, `type` types it
into an interactive shell.
"""

import os
import pty
import select
import signal
import sys

# Whoever runs the tests may ignore it, which all its children would inherit.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

how, line = sys.argv[1:3]
child, terminal = pty.fork()
if child == 0:
    if how == "exec":
        os.execvp("sh", ["sh", "-c", "exec " + line])
    os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
if how == "type":
    os.write(terminal, (line + "\n").encode())
while True:
    ready, _, _ = select.select([terminal, 0], [], [])
    if 0 in ready:
        os.read(0, 1)
        break
    try:
        os.read(terminal, 65536)
    except OSError:
        break
os.close(terminal)
os.waitpid(child, 0)
