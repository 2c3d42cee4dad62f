"""A provider with OpenAI's API that always says the same: a model outside of the cluster, for stories.

With STATUS it lists its model as any other, and answers every request with that status.
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SAYS = os.environ.get("SAYS", "the provider says so")
STATUS = int(os.environ.get("STATUS", "200"))
USAGE = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}


class Provider(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self._send({"object": "list", "data": [{"id": "large-1", "object": "model"}]})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if STATUS != 200:
            self._send({"error": {"message": "out of order"}}, STATUS)
            return
        head = {"id": "chatcmpl-1", "created": 1, "model": asked.get("model", "large-1")}
        if not asked.get("stream"):
            message = {"role": "assistant", "content": SAYS}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self._send({**head, "object": "chat.completion", "choices": [choice], "usage": USAGE})
            return
        said = {"index": 0, "delta": {"role": "assistant", "content": SAYS}, "finish_reason": None}
        end = {"index": 0, "delta": {}, "finish_reason": "stop"}
        chunks = [{"choices": [said]}, {"choices": [end]}, {"choices": [], "usage": USAGE}]
        lines = [json.dumps({**head, "object": "chat.completion.chunk", **each}) for each in chunks]
        text = "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"])
        self._write(text.encode(), "text/event-stream")

    def _send(self, body, status=200):
        self._write(json.dumps(body).encode(), "application/json", status)

    def _write(self, content, kind, status=200):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("", 9000), Provider).serve_forever()
