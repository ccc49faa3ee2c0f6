"""A network namespace that has loopback only, so that no client can reach anything else.

It has processes of its own too: those that a client leaves behind end with this program.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys

INSIDE = "TEST_CLIENTS_INSIDE"
UNSHARE = ["unshare", "-rn", "--pid", "--fork", "--mount-proc", "--kill-child=SIGTERM", "--"]
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1


def inside() -> bool:
    """Whether this process is in such a namespace. The interface is brought up there."""
    if os.environ.get(INSIDE) != "1":
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14s", b"lo", IFF_UP, b"")
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, request)
    return True


def possible() -> bool:
    """Whether this user may make one."""
    try:
        tried = subprocess.run([*UNSHARE, "true"], capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0


def enter(more: list[str]) -> None:
    """Starts this program again in a new namespace, with more arguments; does not return."""
    environment = {**os.environ, INSIDE: "1"}
    command = [*UNSHARE, sys.executable, *sys.argv, *more]
    sys.stdout.flush()
    os.execvpe(command[0], command, environment)
