# Answers like llama-server b11434, at once and with timings of its own. With a file `mute` beside its
# model it closes connections without an answer.
import json, os, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

arguments = sys.argv[1:]
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
    def send(self, kind, text):
        data = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if os.path.exists(os.path.join(folder, "mute")):
            return
        body = {
            "/health": {"status": "ok"},
            "/v1/models": {"data": [{"id": flags["-m"], "meta": {"n_ctx_train": 8192}}]},
            "/props": {"total_slots": slots, "build_info": "b7",
                       "default_generation_settings": {"n_ctx": int(flags.get("-c", 4096)) // slots}},
        }[self.path]
        self.send("application/json", json.dumps(body))

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        events = [
            {"choices": [{"index": 0, "delta": {"content": "word"}}]},
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
ThreadingHTTPServer((flags["--host"], int(flags["--port"])), Answers).serve_forever()
