"""
Does what apps should not, on request or by config var, so that one can see what the platform makes of it.

    BIND_AFTER=90      web: sleeps that many seconds before it binds to $PORT (R10 after 60)
    CRASH_AFTER=5      any: ends with status 1 after that many seconds
    FLOOD_LINES=100000 any: writes that many lines at its start
    GET /crash         ends at once with status 1
    GET /exit/3        ends with status 3
    GET /sleep/40      answers after 40 seconds
    GET /flood/1000    writes 1,000 numbered lines to its log, then answers
    GET /memory/600    takes 600 MB and keeps them
    GET /reset         closes the connection without an answer
"""

import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

hoard = []


def flood(lines):
    for number in range(1, lines + 1):
        print(f"flood {number} of {lines} " + "x" * 60)
    sys.stdout.flush()


def end(status):
    sys.stdout.flush()
    os._exit(status)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        what, _, amount = self.path.lstrip("/").partition("/")
        number = int(amount) if amount.isdecimal() else 0
        if what == "crash":
            end(1)
        if what == "exit":
            end(number)
        if what == "reset":
            self.close_connection = True
            return
        if what == "sleep":
            time.sleep(number)
        if what == "flood":
            flood(number)
        if what == "memory":
            hoard.append(bytearray(os.urandom(1024)) * (number * 1024))
        body = f"{os.environ.get('DYNO', 'web')} did {self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve():
    time.sleep(float(os.environ.get("BIND_AFTER", "0")))
    server = ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "5000"))), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print("listening", flush=True)
    server.serve_forever()


def stubborn():
    signal.signal(signal.SIGTERM, lambda *_: print("SIGTERM? no.", flush=True))
    print("will not stop", flush=True)
    while True:
        time.sleep(1)


def main(role):
    print(f"misbehave: {role}", flush=True)
    if "FLOOD_LINES" in os.environ:
        flood(int(os.environ["FLOOD_LINES"]))
    if "CRASH_AFTER" in os.environ:
        timer = threading.Timer(float(os.environ["CRASH_AFTER"]), end, [1])
        timer.daemon = True
        timer.start()
    if role == "crash":
        print("giving up", flush=True)
        end(1)
    if role == "flood":
        while True:
            flood(10_000)
    if role == "stubborn":
        stubborn()
    serve()


main(sys.argv[1] if len(sys.argv) > 1 else "web")
