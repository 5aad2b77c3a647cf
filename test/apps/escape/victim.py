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


def own_address(family, other):
    """None: it has none of this family."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            one.connect((other, 9))
            return one.getsockname()[0]
    except OSError:
        return None


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        intact = all(open(place).read() == SECRET for place in ("/app/secret", "/tmp/secret"))
        body = {
            "dyno": os.environ["HEROKU_DYNO_ID"],
            "pid": os.getpid(),
            "address": own_address(socket.AF_INET, "192.0.2.1"),
            "address6": own_address(socket.AF_INET6, "2600::1"),
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


class Server(ThreadingHTTPServer):
    """Of both families, so that whoever could reach it by either would be answered."""

    address_family = socket.AF_INET6 if own_address(socket.AF_INET6, "2600::1") else socket.AF_INET

    def server_bind(self):
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


Server(("", int(os.environ["PORT"])), Handler).serve_forever()
