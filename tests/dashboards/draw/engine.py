"""An engine that speaks OpenAI's API and keeps the last prompt: it reads what is new of the next one, and says
how much it had."""

import http.server
import json
import threading
import time

READ, WRITE = 350, 24  # tokens per second


class Engine(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    kept, turn = [], threading.Lock()

    def do_GET(self):
        self.whole({"object": "list", "data": [{"id": "devstral-small", "object": "model"}], "status": "ok"})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        prompt = " ".join(str(message.get("content")) for message in asked["messages"]).split()
        with Engine.turn:
            had = 0
            for one, other in zip(Engine.kept, prompt):
                if one != other:
                    break
                had += 1
            Engine.kept = prompt
            time.sleep((len(prompt) - had) / READ)
            self.stream(len(prompt), had, min(asked.get("max_tokens") or 50, 200))

    def whole(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, read, had, answer):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for _ in range(answer):
            self.event({"choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]})
            time.sleep(1 / WRITE)
        self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        usage = {"prompt_tokens": read, "completion_tokens": answer, "total_tokens": read + answer,
                 "prompt_tokens_details": {"cached_tokens": had}}
        self.event({"choices": [], "usage": usage})
        self.chunk(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def event(self, value):
        value = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "devstral-small", **value}
        self.chunk(b"data: " + json.dumps(value).encode() + b"\n\n")

    def chunk(self, data):
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True  # The client left.

    def log_message(self, *_):
        pass


def start():
    """Starts it, and returns its port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]
