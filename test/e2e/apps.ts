import type { Files } from "./harness.ts";

/** Small apps that the end-to-end tests push; the stack's own python3 runs them, so that a push takes a second. */

/**
 * Answers with its dyno's name, pid and what it was asked; reads bodies whole; takes two seconds for /stream; /die ends it. Its worker counts
 * lines into its log.
 */
export const echo: Files = {
  Procfile: "web: exec python3 app.py\nworker: exec python3 worker.py\nnever: nosuchcommand --at-all\n",
  "app.py": `
import os, signal, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        text = "%s pid=%d bytes=%d path=%s id=%s greeting=%s\\n" % (os.environ["DYNO"], os.getpid(), len(body), self.path, os.environ.get("HEROKU_DYNO_ID", ""), os.environ.get("GREETING", "none"))
        data = text.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def stream(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for word in [os.environ["HEROKU_DYNO_ID"]] + ["."] * 19 + ["end"]:
            self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(word), word.encode()))
            time.sleep(0.1)
        self.wfile.write(b"0\\r\\n\\r\\n")
    def do_GET(self):
        if self.path == "/die":
            os._exit(1)
        self.stream() if self.path == "/stream" else self.answer()
    do_POST = answer
    def log_message(self, *args):
        pass

class Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 256
    def handle_error(self, *args):
        pass  # a router resets connections it needs no more; a traceback for each would bury the log

server = Server(("0.0.0.0", int(os.environ["PORT"])), Handler)
def stop(*args):
    threading.Thread(target=server.shutdown).start()
signal.signal(signal.SIGTERM, stop)
print("listening", flush=True)
server.serve_forever()
`,
  "worker.py": `
import time
n = 0
while True:
    n += 1
    print("count %d" % n, flush=True)
    time.sleep(0.02)
`,
};

/** As \`echo\`, but it takes 4 s before it listens. */
export const slow: Files = {
  Procfile: "web: sleep 4; exec python3 app.py\n",
  "app.py": echo["app.py"] ?? "",
};

/** Asks the dyno's name server for a name that there is not; prints the head of its answer. Needs no name of anybody's. */
export const DNS_QUERY = `python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.sendto(bytes.fromhex("12340100000100000000000007696e76616c69640000010001"), (open("/etc/resolv.conf").read().split()[1], 53)); print("dns", s.recv(512)[:2].hex())'`;
