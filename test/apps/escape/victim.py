"""Holds secrets wherever a dyno can have them, and says so to whoever asks through the router."""
import json
import os
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = "secret-of-" + os.environ["HEROKU_DYNO_ID"]
for place in ("/app/secret", "/tmp/secret", "/var/tmp/secret", "/dev/shm/secret"):
    with open(place, "w") as file:
        file.write(SECRET)
    os.chmod(place, 0o666)
quiet = socket.socket(socket.AF_UNIX)
quiet.bind("\0victim")
quiet.listen()


def own_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect(("192.0.2.1", 9))
        return one.getsockname()[0]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        intact = all(open(place).read() == SECRET for place in ("/app/secret", "/tmp/secret"))
        body = {
            "dyno": os.environ["HEROKU_DYNO_ID"],
            "pid": os.getpid(),
            "address": own_address(),
            "port": int(os.environ["PORT"]),
            "intact": intact,
            "files": sorted(os.listdir("/app") + os.listdir("/tmp")),
        }
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
