#!/usr/bin/env python3
# Answers like llama-server b11549, at once and with timings of its own. With a file `mute` beside its
# model it closes connections without an answer; with a file `old` beside the program it has no sockets.
import json, os, socket, socketserver, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

arguments = sys.argv[1:]
old = os.path.exists(os.path.join(os.path.dirname(sys.argv[0]), "old"))
if arguments == ["--help"]:
    also = "" if old else (", comma-separated, or UNIX socket paths\n"
                           + " " * 40 + "ending in .sock")
    print("----- server params -----\n\n"
          f"--host HOST                             IP addresses to listen on{also} (default:\n"
          + " " * 40 + "127.0.0.1)\n"
          "--port PORT                             port to listen (default: 8080)")
    sys.exit()
flags = dict(zip(arguments[::2], arguments[1::2]))
folder = os.path.dirname(flags["-m"])
own = ("-m", "--host", "--port")
told = " ".join(f"{key} {value}" for key, value in flags.items() if key not in own)
with open(os.path.join(folder, "starts"), "a") as notes:
    notes.write(f"{os.getpid()} {told}\n")
if flags.get("-fa") == "off":
    sys.exit("error: no flash attention here")
slots = int(flags["-np"])


class Answers(BaseHTTPRequestHandler):
    def send(self, kind, text, status=200):
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if os.path.exists(os.path.join(folder, "mute")):
            return
        slot = {"n_ctx": int(flags.get("-c", 4096)) // slots, "speculative": False, "is_processing": False}
        body = {
            "/slots": [{"id": number, **slot} for number in range(slots)],
            "/health": {"status": "ok"},
            "/v1/models": {"data": [{"id": flags["-m"], "meta": {"n_ctx_train": 8192}}]},
            "/props": {"total_slots": slots, "build_info": "b7",
                       "default_generation_settings": {"n_ctx": int(flags.get("-c", 4096)) // slots}},
        }.get(self.path.partition("?")[0])
        if body is None:
            return self.refuse(404, "not_found_error", "File Not Found")
        self.send("application/json", json.dumps(body))

    def refuse(self, status, kind, message):
        error = {"code": status, "message": message, "type": kind}
        self.send("application/json", json.dumps({"error": error}), status)

    # The words of a real one; the limit is all that is looked at.
    def refusal(self, body):
        for name in ("max_tokens", "max_completion_tokens"):
            limit = body.get(name)
            if isinstance(limit, (str, list, dict)):
                kind = {str: "string", list: "array", dict: "object"}[type(limit)]
                return (f"Field '{name}': [json.exception.type_error.302] type must be number, "
                        f"but is {kind}")
            if limit is not None and not -1 <= int(limit) < 2**31:
                return (f"Field '{name}': Value must be between -1 <= value <= 2147483647, "
                        f"but got {int(limit)}")
        return None if "messages" in body else "'messages' is required"

    def do_POST(self):
        message = self.refusal(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        if message:
            return self.refuse(400, "invalid_request_error", message)
        events = [
            {"choices": [{"finish_reason": None, "index": 0, "delta": {"role": "assistant", "content": None}}]},
            {"choices": [{"finish_reason": None, "index": 0, "delta": {"content": "word"}}]},
            {"choices": [{"finish_reason": "length", "index": 0, "delta": {}}]},
            {"choices": [], "usage": {"prompt_tokens": 400, "completion_tokens": 48},
             "timings": {"prompt_n": 400, "prompt_ms": 2000.0, "predicted_n": 48, "predicted_ms": 500.0}},
        ]
        lines = [json.dumps(event) for event in events] + ["[DONE]"]
        self.send("text/event-stream", "".join(f"data: {line}\n\n" for line in lines))

    def log_message(self, *_):
        pass


def watch():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=watch, daemon=True).start()


class OnSocket(ThreadingHTTPServer):
    address_family = getattr(socket, "AF_UNIX", None)
    server_bind = socketserver.TCPServer.server_bind


host = flags["--host"]
try:
    # Like a real one it replaces no file that is there, and leaves its own behind.
    if host.endswith(".sock") and not old:
        server = OnSocket(host, Answers)
    else:
        server = ThreadingHTTPServer((host, int(flags.get("--port", 8080))), Answers)
except OSError:
    sys.exit(f"start: couldn't bind HTTP server socket, hostname: {host}")
server.serve_forever()
