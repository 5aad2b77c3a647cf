"""A web process of Python's standard library alone; no Node, no packages."""

import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DYNO = os.environ.get("DYNO", "this machine")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = f"Hello from Python!\n\n{DYNO}, process {os.getpid()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        # A thread for each connection: one that idles would keep the dyno from ending.
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_):
        pass  # the router has a line for each request


class Server(ThreadingHTTPServer):
    daemon_threads = False  # server_close waits for requests that are under way
    request_queue_size = 256


def main():
    server = Server(("0.0.0.0", int(os.environ.get("PORT", "5000"))), Handler)

    def stop(*_):
        print("stopping: finishing requests", flush=True)
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    print("listening", flush=True)
    server.serve_forever()
    server.server_close()


main()
