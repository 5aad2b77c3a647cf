import { before } from "node:test";
import { escapeSuite } from "./escape.ts";
import { needGvisor } from "./gvisor-host.ts";
import { statorOk } from "./harness.ts";

/**
 * Issue 3, "Walls": the escape suite in the class `gvisor`. Left out is what does not depend on the class (`attemptOnce`): a
 * hostile build, since builds are containers always, and words full of shell, which only the daemon and the root host process see.
 */
const DIFFERS: ReadonlyMap<string, RegExp> = new Map(
  Object.entries({
    // What its own kernel says of a process: it has no ambient capabilities and no filters to tell of; no_new_privs is always on.
    CapAmb: /^$/,
    NoNewPrivs: /^$/,
    Seccomp: /^0$/,
    uidMap: /^0 0 4294967295$/, // it does not know of the host's namespace around it; the host's map is looked at instead
    // Devices of its own kernel: no mount is made with them, and an interface in its own network stack alone (`nested tun`).
    "/dev/fuse": /^c 10:229$/,
    "/dev/net/tun": /^c 10:200$/,
    "/dev/net": /^$/,
    // Namespaces of its own kernel: "root of a user namespace of its own" looks at what can be done there.
    "unshare user": /^done 0$/,
    "unshare time": /^done 0$/,
    "clone user": /^done /,
    clone3: /^done /,
    keyctl: /^done \d+$/, // key rings of its own kernel
    "ptrace traceme": /^done 0$/, // of its own processes
    // Refused for what was asked: it looks at arguments first, and has no such namespaces and flags to give.
    setns: /^refused E(INVAL|PERM)$/,
    "personality read implies exec": /^refused EINVAL$/,
    // Its tmpfs takes nodes of devices, which it then does not have.
    "/dev/shm/made 24576": /^made, then absent ENXIO$/,
    "/dev/shm/made 8192": /^made, then absent ENXIO$/,
    syslog: /^done \d+$/, // its own kernel's log
    // Accepted, and without effect.
    mbind: /^done 0$/,
    set_mempolicy: /^done 0$/,
    get_mempolicy: /^done 0$/,
    "int 0x80 getpid": /^done -38$/, // ENOSYS: it has no 32 bit calls
    // Its own network stack's; what they send meets the same rules on the host.
    "bind 80": /^None$/,
    ping: /^made \d+$/,
    "netlink 15": /^(made \d+|refused .*)$/, // its own kernel's devices, of which it has none that come and go
    "127.0.0.1": /^answered /, // so an echo from elsewhere would be seen
    // Root of a user namespace rules its own network stack. What that sends has to pass the host's end of its interface, where
    // only its own address is believed: a packet of its own making is answered, one with a false sender reaches nothing.
    "nested tun": /^made /,
    "nested raw": /^made \d+$/,
    "nested packet": /^made \d+$/,
    "nested own sender": /^answered$/,
    "nested false sender": /^sent$/,
    lowered: /^wrote 5$/, // its own kernel's score; the host's stays
    "/sys/fs/cgroup": /^$/, // empty
  }),
);

before(needGvisor);

escapeSuite({
  name: "gvisor",
  prepare: async (app) => void (await statorOk(["isolation", "gvisor", "-a", app])),
  differs: DIFFERS,
});
