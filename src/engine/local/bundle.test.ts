import assert from "node:assert/strict";
import { test } from "node:test";
import { BUILD_SIZE, HEROKU_SIZES } from "../../model/size.ts";
import { specOf } from "../contract.ts";
import type { DynoSpec } from "../engine.ts";
import {
  type BundleFolders,
  bundleOf,
  hostsOf,
  memoryLimitFile,
  memoryLimitOf,
  NOTHING_COMMON,
  resolvConfOf,
} from "./bundle.ts";
import { seccompProfile } from "./seccomp.ts";

const network = { index: 2, netnsPath: "/run/netns/st0-2", address: "10.1.0.2", gateway: "10.1.0.1", address6: null };
const folders: BundleFolders = {
  stack: "/h/mnt/stack",
  slug: "/h/mnt/slugs/s",
  disk: { upper: "/s/upper", work: "/s/work", tmp: "/s/tmp", varTmp: "/s/var-tmp" },
  hosts: "/b/hosts",
  resolvConf: "/b/resolv.conf",
  common: NOTHING_COMMON,
  build: null,
};

/** The parts of an OCI configuration that the tests look at. */
interface Config {
  readonly root: { readonly readonly: boolean };
  readonly hostname: string;
  readonly process: {
    readonly args: readonly string[];
    readonly cwd: string;
    readonly env: readonly string[];
    readonly terminal: boolean;
    readonly consoleSize?: unknown;
    readonly noNewPrivileges: boolean;
    readonly capabilities: Readonly<Record<string, readonly string[]>>;
    readonly rlimits: readonly { readonly type: string; readonly hard: number }[];
  };
  readonly mounts: readonly {
    readonly destination: string;
    readonly type: string;
    readonly source: string;
    readonly options: readonly string[];
  }[];
  readonly linux: {
    readonly namespaces: readonly { readonly type: string; readonly path?: string }[];
    readonly uidMappings: readonly unknown[];
    readonly maskedPaths: readonly string[];
    readonly readonlyPaths: readonly string[];
    readonly resources: {
      readonly memory: { readonly limit: number; readonly swap?: number };
      readonly cpu: { readonly quota?: number; readonly shares: number };
      readonly pids: { readonly limit: number };
    };
  };
}

function configOf(change: Partial<DynoSpec> = {}, more: Partial<Parameters<typeof bundleOf>[0]> = {}): Config {
  const [size = BUILD_SIZE] = HEROKU_SIZES;
  return bundleOf({
    spec: specOf(change),
    size,
    uidStart: 65_536_000,
    network,
    cgroupPath: "/stator-0/x",
    folders,
    hasProfile: true,
    limits: { cgroup: "v2", swapLimit: true, openFilesMax: 1024, processesMax: 100 },
    seccomp: seccompProfile("x64"),
    ...more,
  }) as Config;
}

test("every namespace, a range of user ids of its own, no capability, a read-only root", () => {
  const config = configOf();
  const types = config.linux.namespaces.map(({ type }) => type).sort();
  assert.deepEqual(types, ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"]);
  assert.equal(config.linux.namespaces.find(({ type }) => type === "network")?.path, network.netnsPath);
  assert.deepEqual(config.linux.uidMappings, [{ containerID: 0, hostID: 65_536_000, size: 65_536 }]);
  assert.ok(Object.values(config.process.capabilities).every((set) => set.length === 0));
  assert.equal(config.process.noNewPrivileges, true);
  assert.equal(config.root.readonly, true);
});

test("whatever a user's command and variables hold, each is one argument or one variable", () => {
  const odd = 'a; touch /x\n`id` "$(id)"';
  const config = configOf({ command: odd, env: { A: odd } });
  assert.equal(config.process.args.at(-1), odd);
  assert.equal(config.process.args.filter((each) => each.includes("touch")).length, 1);
  const bare = configOf({ command: odd }, { hasProfile: false }).process.args;
  assert.deepEqual(bare.slice(-4), ["/bin/bash", "-c", "--", odd]); // nothing comes before it, so one bash is enough
  assert.deepEqual(bare.slice(0, -4), config.process.args.slice(0, 3)); // init
  assert.ok(config.process.env.includes(`A=${odd}`));
});

test("a config var takes the place of a variable of the platform's (spec 4.4)", () => {
  const paths = configOf({ env: { PATH: "/app/bin" } }).process.env.filter((each) => each.startsWith("PATH="));
  assert.deepEqual(paths, ["PATH=/app/bin"]);
});

test("limits follow the size, and what the host can give", () => {
  const config = configOf();
  const { memory, cpu, pids } = config.linux.resources;
  assert.deepEqual([memory.limit, memory.swap, pids.limit], [1_073_741_824, 1_073_741_824, 256]);
  assert.equal(cpu.quota, 400_000);
  assert.deepEqual(
    config.process.rlimits.map(({ type, hard }) => [type, hard]),
    [
      ["RLIMIT_NOFILE", 1024],
      ["RLIMIT_NPROC", 100],
      ["RLIMIT_CORE", 0],
      ["RLIMIT_SIGPENDING", 1024],
      ["RLIMIT_MSGQUEUE", 98_304],
    ],
  );
  assert.equal(configOf({}, { size: BUILD_SIZE }).linux.resources.cpu.quota, undefined);
  const limits = { cgroup: "v1", swapLimit: false, openFilesMax: 1024, processesMax: 100 } as const;
  assert.equal(configOf({}, { limits }).linux.resources.memory.swap, undefined);
});

test("programs inside read the quota, not the ceiling, on either version; where both are the same, the kernel's own file", () => {
  const [size = BUILD_SIZE] = HEROKU_SIZES;
  assert.equal(memoryLimitFile(size, "v2"), "/sys/fs/cgroup/memory.max");
  assert.equal(memoryLimitFile(size, "v1"), "/sys/fs/cgroup/memory/memory.limit_in_bytes");
  assert.equal(memoryLimitFile(BUILD_SIZE, "v2"), undefined);
  assert.equal(memoryLimitOf(size), "536870912\n");
  const memoryLimit = { source: "/b/memory", destination: "/sys/fs/cgroup/memory.max" };
  const mounts = configOf({}, { folders: { ...folders, memoryLimit } }).mounts;
  const at = (path: string) => mounts.findIndex(({ destination }) => destination === path);
  assert.ok(at(memoryLimit.destination) > at("/sys/fs/cgroup"), "over the mounted hierarchy");
  assert.ok(mounts[at(memoryLimit.destination)]?.options.includes("ro"));
});

test("only build dynos see the repository, the cache and the build kit", () => {
  const build = { repo: "/r", cache: "/c", io: "/i", toolchain: "/t", buildkit: "/k", ca: null };
  const places = (config: Config) => config.mounts.map(({ destination }) => destination);
  const extra = ["/repo", "/cache", "/run/stator", "/opt/stator/toolchain", "/opt/stator/buildkit"];
  assert.deepEqual(
    places(configOf()).filter((each) => extra.includes(each)),
    [],
  );
  const config = configOf({}, { folders: { ...folders, build } });
  assert.deepEqual(
    places(config).filter((each) => extra.includes(each)),
    extra,
  );
  const writable = config.mounts.filter(
    ({ destination, options }) => extra.includes(destination) && !options.includes("ro"),
  );
  assert.deepEqual(places({ ...config, mounts: writable }), ["/repo", "/cache"]);
});

test("decision 17: a runtime meets nothing on its way that a dyno could have put there", () => {
  const build = { repo: "/r", cache: "/c", io: "/i", toolchain: "/t", buildkit: "/k", ca: "/ca" };
  const config = configOf({}, { folders: { ...folders, build } });
  const places = config.mounts.map(({ destination }) => destination);
  // What one dyno shares with another, or brings with it, is a leaf: no mount, no masked and no read-only path lies below it.
  const { maskedPaths, readonlyPaths } = config.linux;
  for (const own of ["/app", "/tmp", "/var/tmp", "/repo", "/cache", "/dev/shm"])
    for (const each of [...places, ...maskedPaths, ...readonlyPaths])
      assert.equal(each.startsWith(`${own}/`), false, `${each} lies below ${own}`);
  // All that masking uses is mounted fresh for this dyno: CVE-2025-31133 and -52565 put links in place of these.
  for (const fresh of ["/proc", "/dev", "/dev/pts"]) {
    const mount = config.mounts.find(({ destination }) => destination === fresh);
    assert.equal(mount?.source === mount?.type || mount?.source === "tmpfs", true, fresh);
  }
  assert.ok(places.indexOf("/dev") < places.indexOf("/dev/pts"));
  assert.equal(config.process.cwd, "/app", "CVE-2024-21626: never a user's, and a mount point, so no link");
  // CVE-2025-52881: nothing is written below /proc for a dyno but what the kernel asks for itself.
  assert.deepEqual(
    ["sysctl", "mountLabel", "rootfsPropagation"].filter((key) => key in config.linux),
    [],
  );
  assert.deepEqual(
    ["apparmorProfile", "selinuxLabel"].filter((key) => key in config.process),
    [],
  );
  assert.equal("hooks" in config, false);
});

test("what dynos have in common is read-only, and masked no second time; gVisor has its own", () => {
  const common = { devices: "/r/dev", cover: { empty: "/h/empty", folders: ["/proc/acpi"] } };
  const config = configOf({}, { folders: { ...folders, common } });
  const places = config.mounts.map(({ destination }) => destination);
  for (const [place, source] of [["/dev", "/r/dev"] as const, ["/proc/acpi", "/h/empty"] as const]) {
    const mount = config.mounts[places.indexOf(place)];
    assert.equal(mount?.source, source);
    for (const option of ["ro", "nosuid", "noexec"]) assert.ok(mount?.options.includes(option), `${place}: ${option}`);
  }
  assert.ok(places.indexOf("/proc") < places.indexOf("/proc/acpi"));
  assert.ok(places.indexOf("/dev") < places.indexOf("/dev/pts"));
  assert.equal(config.linux.maskedPaths.includes("/proc/acpi"), false);
  assert.ok(config.linux.maskedPaths.includes("/proc/kcore"));
  const gvisor = configOf({ isolation: "gvisor" }, { folders: { ...folders, common } });
  assert.equal(gvisor.mounts.find(({ destination }) => destination === "/dev")?.type, "tmpfs");
});

test("a terminal has a size; pipes have none", () => {
  assert.deepEqual(configOf({ terminal: { rows: 3, columns: 7 } }).process.consoleSize, { height: 3, width: 7 });
  assert.equal(configOf().process.consoleSize, undefined);
});

test("names inside: its own, and the gateway for all others", () => {
  const id = "0f2f6f60-0000-4000-8000-000000000000";
  assert.match(hostsOf(id, network), new RegExp(`^10\\.1\\.0\\.2\\t${id}$`, "m"));
  assert.equal(resolvConfOf(network), "nameserver 10.1.0.1\n");
});

test("system calls: nothing is both allowed and forbidden, and volumes of btrfs cannot be made", () => {
  const { syscalls } = seccompProfile("x64");
  const named = (action: string) =>
    new Set(syscalls.filter((each) => each.action === action).flatMap(({ names }) => names));
  const [allowed, forbidden] = [named("SCMP_ACT_ALLOW"), named("SCMP_ACT_ERRNO")];
  assert.deepEqual(
    [...allowed].filter((each) => forbidden.has(each)).sort(),
    ["prctl", "seccomp", "setsockopt"], // by their arguments, below
  );
  const never =
    "mount unshare setns bpf clone3 keyctl userfaultfd io_uring_setup perf_event_open kexec_load ptrace process_vm_writev";
  for (const name of never.split(" ")) assert.equal(allowed.has(name), false, name);
  const sockets = syscalls.filter(({ names }) => names.includes("socket")).map(({ args }) => args ?? []);
  assert.ok(sockets.flat().every(({ op }) => op === "SCMP_CMP_EQ"));
  assert.deepEqual(
    sockets.map((args) => args.map(({ index, value }) => `${index}=${value}`).join(" ")),
    [
      "0=1", // AF_UNIX
      ...[2, 10].flatMap((family) => [0, 6, 17, 262].map((protocol) => `0=${family} 2=${protocol}`)), // AF_INET, AF_INET6
      "0=16 2=0", // AF_NETLINK, NETLINK_ROUTE
    ],
  );
  const rules = syscalls.filter(({ names }) => names.includes("ioctl")).flatMap(({ args }) => args ?? []);
  const isAllowed = (request: number) =>
    rules.some(({ value, valueTwo }) => (request & value) >>> 0 === (valueTwo ?? 0) >>> 0);
  for (const request of [0x5000940e, 0x50009401, 0x50009418, 0x50009417]) assert.equal(isAllowed(request), false);
  for (const request of [0x5401, 0x5413, 0x541b, 0x80045430, 0x40049409, 0xc0189436])
    assert.equal(isAllowed(request), true);
});

test("system calls: of the arguments that attach a filter none is allowed, of all others each is, and no rule contradicts another", () => {
  const { syscalls } = seccompProfile("x64");
  const answers = (name: string, ...call: readonly number[]) =>
    syscalls
      .filter(({ names, args = [] }) => {
        const holds = ({ index, value, valueTwo }: (typeof args)[number]) =>
          ((call[index] ?? 0) & value) >>> 0 === (valueTwo ?? 0);
        return names.includes(name) && args.every(holds);
      })
      .map(({ action, errnoRet }) => errnoRet ?? action);
  const answerTo = (...call: Parameters<typeof answers>) => [...new Set(answers(...call))].join();
  for (let level = 0; level < 512; level++) {
    for (let option = 0; option < 128; option++) {
      const isFilter = level === 1 && [26, 50, 51, 52].includes(option);
      const answer = isFilter ? "92" : "SCMP_ACT_ALLOW";
      assert.equal(answerTo("setsockopt", 3, level, option), answer, `level ${level}, option ${option}`);
    }
  }
  for (const option of [...Array(128).keys(), 0x53564d41, 0x59616d61, 0x41555856])
    assert.equal(answerTo("prctl", option), option === 22 ? "22" : "SCMP_ACT_ALLOW", `prctl ${option}`);
  const seccomp = [0, 1, 2, 3].map((operation) => answerTo("seccomp", operation));
  assert.deepEqual(seccomp, ["22", "22", "SCMP_ACT_ALLOW", "SCMP_ACT_ALLOW"]);
});

test("gVisor: the same walls but those that its own kernel is; /app is the dyno's own copy, and no overlay is left to it", () => {
  const [container, gvisor] = [configOf(), configOf({ isolation: "gvisor" })];
  for (const key of ["seccomp", "maskedPaths", "readonlyPaths"]) {
    assert.ok(key in container.linux, key);
    assert.ok(!(key in gvisor.linux), key);
  }
  assert.deepEqual(gvisor.linux.uidMappings, container.linux.uidMappings);
  assert.deepEqual(gvisor.process, container.process);
  assert.deepEqual(gvisor.root, container.root);
  const { pids, ...limits } = gvisor.linux.resources;
  assert.deepEqual({ ...limits, pids: { limit: 256 } }, container.linux.resources);
  assert.equal(pids.limit, 576, "threads of its kernel, and two for each process");
  assert.deepEqual(
    gvisor.linux.namespaces.map(({ type }) => type),
    ["user", "mount", "pid", "ipc", "uts", "network"],
  );
  const places = (config: Config) => config.mounts.map(({ destination }) => destination);
  assert.deepEqual(
    places(container).filter((each) => !places(gvisor).includes(each)),
    ["/dev/mqueue", "/sys/fs/cgroup"],
  );
  const app = gvisor.mounts.find(({ destination }) => destination === "/app");
  assert.deepEqual(app, {
    destination: "/app",
    type: "bind",
    source: "/s/upper",
    options: ["rbind", "rprivate", "nosuid", "nodev"],
  });
  for (const { options } of gvisor.mounts) for (const option of options) assert.doesNotMatch(option, /dir=/);
});
