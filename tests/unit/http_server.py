"""A server for test_http_client: prints "PID PORT", then answers until it is ended."""

import gzip
import http.server
import json
import os
import time


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body, *headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        part = self.path.strip("/").split("/")
        if part[0] == "slow":
            time.sleep(30)
        elif part[0] == "close":
            self.close_connection = True
        elif part[0] == "big":
            self.answer(200, b"x" * int(part[1]))
        elif part[0] == "packed":
            self.answer(200, gzip.compress(b"unpacked " * 100), ("Content-Encoding", "gzip"))
        elif part[0] == "status":
            self.answer(int(part[1]), b"", ("Location", "/echo"), ("X-Twice", "a"), ("X-Twice", "b"))
        else:
            headers = {name.lower(): value for name, value in self.headers.items()}
            said = {"method": self.command, "path": self.path, "headers": headers, "body": body.decode("latin-1")}
            self.answer(200, json.dumps(said).encode(), ("Content-Type", "application/json"))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = handle_any

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256

    def handle_error(self, *_):  # a client that went away is what some tests want
        pass


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    print(os.getpid(), server.server_port, flush=True)
    server.serve_forever()
