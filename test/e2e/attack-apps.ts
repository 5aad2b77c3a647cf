import type { Files } from "./harness.ts";

/** Answers every request at once from one process, so that what a request waits for is the machine. */
export const victim: Files = {
  Procfile: "web: exec python3 app.py\n",
  "app.py": `
import asyncio, os, signal

class Answer(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.read = b""
    def data_received(self, data):
        self.read += data
        while b"\\r\\n\\r\\n" in self.read:
            self.read = self.read.split(b"\\r\\n\\r\\n", 1)[1]
            self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 3\\r\\n\\r\\nhi\\n")

async def main():
    server = await asyncio.get_running_loop().create_server(Answer, "0.0.0.0", int(os.environ["PORT"]))
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    await server.serve_forever()

asyncio.run(main())
`,
};

/**
 * `python3 attack.py <name>`: takes all it can get until it is killed, and says once, after `met`, what it met.
 */
export const attacker: Files = {
  Procfile: "worker: sleep 1000\n",
  "attack.py": `
import ctypes, errno, fcntl, mmap, os, socket, sys, time

libc = ctypes.CDLL(None, use_errno=True)

def met(text):
    print("met", text, flush=True)

def many(count, body):
    for _ in range(count):
        if os.fork() == 0:
            body()
    body()

def spin():
    while True:
        pass

def until_full(take):
    """How many could be taken, and the error that said no to one more."""
    count = 0
    try:
        while True:
            take(count)
            count += 1
    except OSError as error:
        return count, errno.errorcode[error.errno]

def fork():
    parent = os.getpid()
    told = False
    while True:
        try:
            os.fork()
        except OSError as error:
            if os.getpid() == parent and not told:
                told = True
                met(errno.errorcode[error.errno])

def cpu():
    met("processors")
    many(8, spin)

def memory():
    met("memory")
    while True:
        child = os.fork()
        if child == 0:
            held = []
            while True:
                held.append(bytearray(16 << 20))
        _, status = os.waitpid(child, 0)

def page_cache():
    met("cache")
    block = b"x" * (1 << 20)
    while True:
        with open("/tmp/cache", "wb") as file:
            for _ in range(700):
                file.write(block)
        with open("/tmp/cache", "rb") as file:
            while file.read(1 << 20):
                pass

def disk_rate():
    block = mmap.mmap(-1, 1 << 20)
    block.write(b"x" * (1 << 20))
    def write(path):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT)
        began, count = time.monotonic(), 0
        while True:
            os.pwrite(file, block, (count % 100) << 20)
            count += 1
            if count % 200 == 0:
                took = time.monotonic() - began
                met("%d MiB/s" % (count / took))
    if os.fork() == 0:
        write("/tmp/direct")
    while True:
        with open("/tmp/synced", "wb") as file:
            file.write(b"x" * 4096)
            os.fsync(file.fileno())

def disk():
    block = b"x" * (1 << 20)
    told = False
    os.makedirs("/tmp/many")
    while True:
        try:
            with open("/tmp/spare", "wb") as file:
                file.write(block * 2)
        except OSError:
            pass # what was removed is not yet given back
        def take(count):
            with open("/tmp/full%d" % (count % 10), "ab") as file:
                file.write(block * 8)
        count, error = until_full(take)
        if not told:
            told = True
            met("%s after %d MiB" % (error, count * 8))
        os.unlink("/tmp/spare")
        def make(count):
            os.close(os.open("/tmp/many/%d" % count, os.O_CREAT | os.O_WRONLY))
        count, error = until_full(make)
        if count > 0:
            met("%s after %d files" % (error, count))
        for name in os.listdir("/tmp/many"):
            os.unlink("/tmp/many/" + name)
        for at in range(10):
            try:
                os.unlink("/tmp/full%d" % at)
            except FileNotFoundError:
                pass

def log():
    met("log")
    line = b"y" * 100 + b"\\n"
    while True:
        os.write(1, line * 100)

def files():
    def take():
        count, error = until_full(lambda _: os.open("/dev/null", os.O_RDONLY))
        return count, error
    for _ in range(60):
        if os.fork() == 0:
            take()
            while True:
                try:
                    os.close(3)
                except OSError:
                    pass
                take()
    count, error = take()
    met("%s after %d" % (error, count))
    while True:
        time.sleep(1)

def inotify():
    def take(_):
        if libc.inotify_init() < 0:
            raise OSError(ctypes.get_errno(), "inotify_init")
    count, error = until_full(take)
    met("%s after %d" % (error, count))
    while True:
        until_full(take)
        time.sleep(0.01)

def keyring():
    add_key = {"x86_64": 248, "aarch64": 217}[os.uname().machine]
    def take(count):
        if libc.syscall(add_key, b"user", b"k%d" % count, b"x" * 1000, 1000, -2) < 0:
            raise OSError(ctypes.get_errno(), "add_key")
    count, error = until_full(take)
    met("%s after %d" % (error, count))
    while True:
        until_full(take)

def pipes():
    held = []
    def take(_):
        reader, writer = os.pipe()
        held.append((reader, writer))
        fcntl.fcntl(writer, 1031, 1 << 20)
        os.set_blocking(writer, False)
        os.write(writer, b"x" * (1 << 20))
    count, error = until_full(take)
    met("%s after %d" % (error, count))
    while True:
        until_full(take)
        for pair in held:
            for one in pair:
                os.close(one)
        held.clear()

def gateway():
    with open("/etc/resolv.conf") as file:
        return file.read().split()[1]

def connections():
    port = int(sys.argv[2])
    told = False
    while True:
        held = []
        began = time.monotonic()
        while len(held) < 5000 and time.monotonic() - began < 4:
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex((gateway(), port))
            held.append(one)
        if not told:
            told = True
            met("%d tried" % len(held))
        for one in held:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\\1\\0\\0\\0\\0\\0\\0\\0")
            one.close()

def bandwidth():
    met("network")
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.connect((gateway(), 9))
    block = b"x" * 1400
    while True:
        try:
            one.send(block)
        except OSError:
            pass

{name: body for name, body in globals().items()}[sys.argv[1]]()
`,
};
