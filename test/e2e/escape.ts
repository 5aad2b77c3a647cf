import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import {
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { type Attached, attached } from "../support/attached.ts";
import {
  api,
  cgroupFolders,
  checkout,
  commit,
  config,
  dynosOf,
  eventually,
  type Files,
  hasIpv6,
  logsOf,
  platform,
  processes,
  push,
  pushOk,
  stator,
  statorOk,
  temporaryApp,
  temporaryRepository,
  throughRouter,
  token,
  waitLog,
  waitUp,
} from "./harness.ts";

/**
 * Attempts to leave a dyno, made inside real dynos of the installed platform, in one isolation class; after each the platform
 * must be as it was. `test/apps/escape/probe.py` makes the attempts and judges nothing; what must have come of them stands here.
 */
export interface Isolation {
  readonly name: "container" | "gvisor";
  /** Makes the app's dynos be of this class; called before anything is pushed to it. */
  prepare(app: string): Promise<void>;
  /** What differs in this class, each with its reason; a name is that of an attempt, as the probe calls it. */
  readonly differs: ReadonlyMap<string, RegExp>;
}

export const CONTAINER: Isolation = { name: "container", prepare: async () => {}, differs: new Map() };

interface Victim {
  readonly dyno: string;
  readonly pid: number;
  readonly address: string;
  /** null: the machine's kernel has no IPv6. */
  readonly address6: string | null;
  readonly port: number;
  readonly intact: boolean;
  readonly files: readonly string[];
}

type Outcomes = Readonly<Record<string, string>>;

const REFUSED = /^(refused|absent) /;
/** What must not change by anything that a dyno does. */
const HOST_PROGRAMS = ["crun", "runc", "runsc", "conmon", "nsenter", "ip", "nft"];
/** Dynos that share the scan of all ports: one alone may open 1000 connections a second, after 4000 at once. */
const SCANNERS = 8;
/** Where clouds answer with secrets, by its own address and by those that hide it behind IPv6, and networks nobody gave to dynos. */
const NEVER = [
  "169.254.169.254",
  "192.168.0.1",
  "172.17.0.1",
  "100.100.100.200",
  "::ffff:169.254.169.254",
  "fd00:ec2::254",
  "64:ff9b::a9fe:a9fe",
  "2002:a9fe:a9fe::1",
  "fd00::1",
  "fe80::a9fe:a9fe",
];
/** How often somebody enters a dyno that waits for it. gVisor's runtime stays outside, and takes its time. */
const SESSIONS = { container: 30, gvisor: 8 };
const SYSCTLS = [
  "kernel/core_pattern",
  "kernel/hostname",
  "kernel/domainname",
  "kernel/modprobe",
  "kernel/randomize_va_space",
  "net/ipv4/ip_forward",
  "net/ipv4/conf/all/rp_filter",
  "vm/overcommit_memory",
  "fs/suid_dumpable",
];

export function escapeSuite(isolation: Isolation): void {
  const word = `canary-${randomBytes(12).toString("hex")}`;
  const canaries = `/var/tmp/stator-escape-${word.slice(-8)}`;
  const pwned = `stator-pwned-${word.slice(-8)}`;
  let app = "";
  let other = "";
  let disposals: AsyncDisposable[] = [];
  let decoys: Server[] = [];
  let standing: Awaited<ReturnType<typeof snapshot>>;

  /** What one attempt gave. */
  async function probe<T>(name: string, given: unknown = {}, on = app): Promise<T> {
    const command = `python3 probe.py ${name} '${JSON.stringify(given)}'`;
    const { code, stdout, stderr } = await stator(["run", "-a", on, "--no-tty", "--", command], { timeoutMs: 180_000 });
    const line = stdout.split("\n").find((each) => each.startsWith("PROBE "));
    assert.ok(line, `${name}: status ${code}\n${stdout}\n${stderr}`);
    return JSON.parse(line.slice(6)) as T;
  }

  const scan = async (targets: readonly Target[], seconds = 10): Promise<readonly Scan[]> =>
    (await probe<{ results: readonly Scan[] }>("scan", { targets, seconds })).results;

  /** Every port of these addresses. */
  async function everyPort(addresses: readonly string[]): Promise<readonly Scan[]> {
    const share = 65_536 / SCANNERS;
    const parts = await Promise.all(
      Array.from({ length: SCANNERS }, (_, part) =>
        scan(addresses.map((address) => ({ address, first: part * share || 1, last: (part + 1) * share - 1 }))),
      ),
    );
    return addresses.map((address) => {
      const mine = parts.flat().filter((each) => each.address === address);
      return {
        address,
        accepted: mine.flatMap(({ accepted }) => accepted).toSorted((a, b) => a - b),
        silent: mine.flatMap(({ silent }) => silent),
      };
    });
  }

  const victim = async (of: string): Promise<Victim> => JSON.parse((await throughRouter(of)).body) as Victim;

  /** What must be the same after each attempt. */
  async function snapshot() {
    const [mine, theirs] = await Promise.all([victim(app), victim(other)]);
    return {
      victims: [mine, theirs],
      ours: (await processes()).filter(({ role }) => role !== "conmon").map(({ role, pid }) => `${role} ${pid}`),
      programs: HOST_PROGRAMS.map((each) => `${each} ${digestOf(each)}`),
      canary: readFileSync(join(canaries, "open"), "utf8"),
      sysctls: SYSCTLS.filter((each) => existsSync(`/proc/sys/${each}`)).map((each) =>
        readFileSync(`/proc/sys/${each}`, "utf8"),
      ),
      pwned: ["/", "/tmp", "/var/tmp", "/root", config.instance.home].flatMap((folder) =>
        readdirSync(folder).filter((each) => each.includes(pwned)),
      ),
    };
  }

  async function healthy(): Promise<void> {
    const account = await fetch(`${api}/account`, {
      headers: { Accept: "application/vnd.heroku+json; version=3", Authorization: `Bearer ${token()}` },
    });
    assert.equal(account.status, 200);
    let now = await snapshot();
    // A program that ours start has their command line, until it is itself a moment later.
    for (let looks = 0; looks < 20 && !isDeepStrictEqual(now, standing); looks++) {
      await pause(100);
      now = await snapshot();
    }
    assert.deepEqual(now, standing, "the platform and the other dynos are as they were");
  }

  /** Every attempt that was not refused, unless this class has another answer for it. */
  function mustBeRefused(outcomes: Outcomes, least = 1): void {
    const names = Object.keys(outcomes);
    assert.ok(names.length >= least, `only ${names.length} attempts were made`);
    const wrong = Object.entries(outcomes).filter(
      ([name, what]) => !(isolation.differs.get(name) ?? REFUSED).test(what),
    );
    assert.deepEqual(Object.fromEntries(wrong), {});
  }

  /** Dynos that answer to the host, by each of their addresses, and to no dyno. */
  async function mustNotReach(victims: readonly Victim[]): Promise<void> {
    const targets = victims.flatMap(({ address, address6, port }) =>
      [address, ...(address6 === null ? [] : [address6])].map((each) => ({
        address: each,
        ports: [port, 22, 80, 443],
      })),
    );
    for (const { address, ports } of targets)
      assert.ok(await answers(address, ports[0] ?? 0), `${address} is the dyno's`);
    for (const { address, accepted, silent } of await scan(targets))
      assert.deepEqual([accepted, silent], [[], []], address);
  }

  const attempt = (what: string, work: () => Promise<void>): void =>
    void test(what, async () => {
      await work();
      await healthy();
    });

  /** What does not depend on the class is tried in one of them: builds are containers, and names are the daemon's. */
  const attemptOnce: typeof attempt = isolation.name === "container" ? attempt : () => {};

  void describe(`escape: ${isolation.name}`, () => {
    before(async () => {
      mkdirSync(canaries, { mode: 0o777 });
      writeFileSync(join(canaries, "open"), word, { mode: 0o666 });
      writeFileSync(join(canaries, "secret"), word, { mode: 0o600 });
      decoys = await Promise.all(["0.0.0.0", "127.0.0.1", ...(hasIpv6 ? ["::", "::1"] : [])].map(listen));
      const deploy = async (prefix: string): Promise<string> => {
        const made = await temporaryApp(prefix);
        disposals = [...disposals, made];
        await isolation.prepare(made.name);
        using repository = await temporaryRepository("test/apps/escape");
        await pushOk(repository.folder, made.name);
        await waitUp(made.name, "web", 1);
        return made.name;
      };
      [app, other] = await Promise.all([deploy("escape"), deploy("other")]);
      standing = await snapshot();
      assert.ok(standing.victims.every(({ intact }) => intact));
      assert.ok(standing.victims.every(({ address6 }) => (address6 !== null) === hasIpv6));
    });
    after(async () => {
      for (const server of decoys) server.close();
      for (const each of disposals) await each[Symbol.asyncDispose]();
      rmSync(canaries, { recursive: true, force: true });
    });

    attempt(
      "a dyno is nobody: user, groups, capabilities, no_new_privs, filter, own hostname and own processes",
      async () => {
        const one = await probe<Identity>("identity");
        const { status } = one;
        assert.deepEqual([status["Uid"], status["Gid"]], ["1000\t1000\t1000\t1000", "1000\t1000\t1000\t1000"]);
        for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
          assert.match(status[set] ?? "", isolation.differs.get(set) ?? /^0{16}$/, set);
        assert.match(status["NoNewPrivs"] ?? "", isolation.differs.get("NoNewPrivs") ?? /^1$/);
        assert.match(status["Seccomp"] ?? "", isolation.differs.get("Seccomp") ?? /^2$/);
        assert.equal(one.noNewPrivs, 1);
        assert.equal(one.hostname, one.dyno);
        assert.equal(one.cwd, "/app");
        const allowed = ["tini-static", "bash", "python3", "sh"];
        assert.deepEqual(
          one.processes.filter((each) => !allowed.includes(each)),
          [],
        );
        assert.deepEqual(one.interfaces.toSorted(), ["eth0", "lo"]);
        assert.deepEqual(
          [one.limits["NPROC"], one.limits["CORE"]],
          [
            [256, 256],
            [0, 0],
          ],
        );
        assert.ok((one.limits["NOFILE"]?.[1] ?? 1e9) <= 10_000);
      },
    );

    attempt("root in the dyno is nobody on the host, and no two apps share a uid", async () => {
      const [mine, theirs] = await Promise.all([probe<Identity>("identity"), probe<Identity>("identity", {}, other)]);
      const [first = [], second = []] = standing.victims.map(({ dyno }) => hostMap(dyno));
      for (const map of [first, second]) {
        assert.equal(map.length, 3, "one range");
        assert.equal(map[0], "0");
        assert.equal(map[2], "65536");
        assert.ok(Number(map[1]) >= 65_536, "no user of the host's");
      }
      assert.ok(Math.abs(Number(first[1]) - Number(second[1])) >= 65_536, "the ranges do not overlap");
      for (const [seen, map] of [
        [mine, first],
        [theirs, second],
      ] as const)
        assert.match(seen.uidMap.join(" "), isolation.differs.get("uidMap") ?? new RegExp(`^${map.join(" ")}$`));
      assert.deepEqual(mine.gidMap, mine.uidMap);
    });

    attempt("no devices but the usual six and a pty, and none can be made", async () => {
      const { nodes, dev, made } = await probe<{ nodes: Outcomes; dev: readonly string[]; made: Outcomes }>("devices");
      const usual: Outcomes = {
        "/dev/null": "c 1:3",
        "/dev/zero": "c 1:5",
        "/dev/full": "c 1:7",
        "/dev/random": "c 1:8",
        "/dev/urandom": "c 1:9",
        "/dev/tty": "c 5:0",
        "/dev/pts/ptmx": "c 5:2",
      };
      const more = Object.entries(nodes).filter(
        ([path, what]) => usual[path] !== what && isolation.differs.get(path)?.test(what) !== true,
      );
      assert.deepEqual(more, []);
      const links = ["core", "fd", "mqueue", "ptmx", "pts", "shm", "stderr", "stdin", "stdout"];
      const unusual = dev.filter(
        (name) =>
          usual[`/dev/${name}`] === undefined && !links.includes(name) && !isolation.differs.has(`/dev/${name}`),
      );
      assert.deepEqual(unusual, []);
      mustBeRefused(made, 8);
    });

    attempt(
      "system calls: mounts, namespaces, keys, bpf, userfaultfd, io_uring, perf, kexec, ptrace and the rest",
      async () => {
        const { results } = await probe<{ results: Outcomes }>("syscalls");
        mustBeRefused(results, 60);
        // Refused for what they are, not for what they were asked: else the probe would prove nothing.
        const asked = Object.entries(results).filter(([, what]) => /EINVAL|EFAULT|EBADF|ENOENT|ESRCH/.test(what));
        assert.deepEqual(
          asked.filter(([name]) => !isolation.differs.has(name)),
          [],
        );
      },
    );

    attempt("sockets: no raw ones, no rare families, no ports below 1024, no change of the network", async () => {
      const refusing = standing.victims.flatMap(({ address, address6 }) => [address, address6]);
      const { results, usable, pings } = await probe<{ results: Outcomes; usable: Outcomes; pings: Outcomes }>(
        "sockets",
        {
          ping: ["127.0.0.1", ...NEVER, ...refusing].filter((each) => each !== null),
        },
      );
      mustBeRefused(pings, NEVER.length);
      mustBeRefused(results, 80);
      assert.deepEqual(usable, { inet: "made", inet6: "made", unix: "made", netlink: "made" });
    });

    attempt("root of a user namespace of its own, where it may have one, can do no more to the host", async () => {
      const { paths } = config.instance;
      const ports = [80, 443, config.apiPort, ...decoys.map(portOf)];
      const [gateway, falseSender] = ["0.1", "239.77"].map((end) =>
        standing.victims[0]?.address.replace(/\.\d+\.\d+$/, `.${end}`),
      );
      const addresses = [...NEVER, ...hostAddresses()];
      const given = JSON.stringify({
        paths: [join(canaries, "open"), join(canaries, "secret"), "/etc/shadow", paths.settings],
        words: [word],
        targets: addresses.map((address) => ({ address, ports })),
        router: { address: gateway, port: config.httpPort },
        falseSender,
      });
      await statorOk(["run:detached", "-a", app, "--", `python3 probe.py nested '${given}'; sleep 60`]);
      const line = /PROBE (\{.*\})/.exec(await waitLog(app, /PROBE \{.*\}/))?.[1] ?? "";
      const seen = JSON.parse(line) as Nested;
      const dyno = (await dynosOf(app)).find(({ type }) => type === "run");
      const outside = hostPidsOf(dyno?.id ?? "none").map(seenFromHost); // while it lives
      await statorOk(["ps:stop", dyno?.name ?? "", "-a", app]);
      assert.match(seen.unshare, isolation.differs.get("unshare user") ?? REFUSED);
      assert.ok(outside.length > 0);
      const namespaces = (all: typeof outside) => new Set(all.map(({ userNamespace }) => userNamespace));
      const usual = hostPidsOf(standing.victims[0]?.dyno ?? "none").map(seenFromHost);
      assert.equal(namespaces(outside).size, namespaces(usual).size, "it made none of the host's");
      assert.ok(!namespaces(outside).has(seenFromHost(process.pid).userNamespace));
      const scores = (all: typeof outside) =>
        [...new Set(all.map(({ oomScore }) => oomScore))].toSorted((a, b) => a - b);
      assert.deepEqual(
        scores(outside),
        scores(usual),
        "when the machine runs out of memory it goes as early as any dyno",
      );
      assert.equal(scores(usual).at(-1), 500);
      assert.deepEqual([seen.found, seen.written], [{}, {}]);
      const usable = Object.entries(seen.devices).filter(
        ([name, what]) => !(isolation.differs.get(`nested ${name}`) ?? /^(made, then )?(refused|absent) /).test(what),
      );
      assert.deepEqual([Object.keys(seen.devices).length, usable], [20, []]);
      assert.ok(!hasConnectionFrom(falseSender ?? ""), "a sender who is not there was believed");
      const router = [config.httpPort, config.httpsPort];
      assert.deepEqual(
        seen.scans.flatMap(({ accepted }) => accepted).filter((port) => !router.includes(port)),
        [],
      );
    });

    attempt("files of the host and of other dynos: by path, by link, by .., by /proc and by what is open", async () => {
      const [mine] = standing.victims;
      const { paths } = config.instance;
      const store = join(paths.host, "store");
      const volumes = standing.victims.flatMap(({ dyno }) =>
        ["upper/secret", "tmp/secret", "var-tmp/secret"].map((each) => join(store, `dyno-${dyno}`, each)),
      );
      const ofHost = [
        join(canaries, "open"),
        join(canaries, "secret"),
        "/etc/shadow",
        paths.settings,
        paths.data,
        ...ownSockets(),
        join(paths.bundles, mine?.dyno ?? "", "config.json"),
        join(paths.logs, `${mine?.dyno}.log`),
        "/usr/bin/crun",
        "/usr/sbin/runc",
        "/usr/bin/conmon",
      ];
      assert.ok(readFileSync(join(canaries, "open"), "utf8") === word, "whoever sees the host's files sees this one");
      const words = [
        word,
        "secret-of-",
        ...readFileSync("/etc/shadow", "utf8").split("\n").filter(Boolean).slice(0, 1),
      ];
      const seen = await probe<{ found: Outcomes; written: Outcomes; inProc: Outcomes }>("files", {
        paths: [...ofHost, ...volumes],
        words: words.map((each) => each.replaceAll("'", "")),
      });
      assert.deepEqual(seen.found, {});
      assert.deepEqual(seen.written, {});
      const own = Object.keys(seen.inProc).filter((path) => !path.endsWith("/cmdline")); // the words are its arguments
      assert.deepEqual(own, []);
    });

    attempt("processes and signals: none of the host's, none of another dyno's, not even of the same app", async () => {
      const host = await processes();
      const victims = standing.victims.map(({ dyno }) => hostPidsOf(dyno));
      assert.ok(victims.every(({ length }) => length > 0));
      const pids = [
        ...new Set([...host.map(({ pid }) => pid), ...victims.flatMap((each) => each.slice(0, 5)), process.pid]),
      ];
      const { results, highest } = await probe<{ results: Outcomes; highest: number }>("processes", { pids });
      assert.ok(highest < Math.min(...pids), "its numbers are its own");
      mustBeRefused(results, 7 * 3);
      await stator(["run", "-a", app, "--no-tty", "--", "python3 probe.py killall; kill -9 -1"]);
    });

    attempt("two dynos of one app: neither files, nor memory, nor sockets, nor signals", async () => {
      await statorOk(["ps:scale", "web=2", "-a", app]);
      await using _one = {
        [Symbol.asyncDispose]: async () => {
          await statorOk(["ps:scale", "web=1", "-a", app]);
          await waitUp(app, "web", 1);
        },
      };
      await waitUp(app, "web", 2);
      const both = await eventually("both dynos answer", async () => {
        const seen = new Map<string, Victim>();
        for (let count = 0; count < 12; count++) {
          const each = await victim(app);
          seen.set(each.dyno, each);
        }
        return seen.size === 2 ? [...seen.values()] : undefined;
      });
      assert.deepEqual(
        both.map(({ intact }) => intact),
        [true, true],
        "each has its own /app/secret and /tmp/secret",
      );
      const sockets = await probe<{ results: Outcomes }>("neighbours", {
        sockets: [...ownSockets(), join(config.instance.paths.bundles, both[0]?.dyno ?? "", "attach")],
      });
      mustBeRefused(sockets.results, 15);
      await mustNotReach(both);
    });

    attempt("control groups: only its own, and nothing in it can be changed", async () => {
      const seen = await probe<{
        names: readonly string[];
        opened: Outcomes;
        made: Outcomes;
        values: Outcomes;
        raised: Outcomes;
      }>("cgroups");
      assert.deepEqual(
        seen.names.filter((name) => /[0-9a-f]{8}-[0-9a-f]{4}-|stator/.test(name)),
        [],
      );
      assert.deepEqual(seen.opened, {});
      if (isolation.differs.has("/sys/fs/cgroup")) {
        assert.deepEqual(seen.names, []);
        return mustBeRefused(seen.made, 0);
      }
      // Of version 1 crun mounts the folder itself as a tmpfs of 1 MiB, which is the dyno's own and holds no groups.
      const { "/sys/fs/cgroup": _own, ...groups } = seen.made;
      mustBeRefused(seen.values["/sys/fs/cgroup/memory.max"] === undefined ? groups : seen.made);
      mustBeRefused(seen.raised);
      const limits = Object.values(seen.values).map(Number); // the quota, or a ceiling above it
      assert.ok(
        limits.some((each) => each >= 512 * 1024 ** 2 && each <= 2 * 1024 ** 3),
        "it sees its own limit",
      );
    });

    attempt("the kernel: no log, no memory, no setting, no trigger", async () => {
      const seen = await probe<{ written: Outcomes; every: Outcomes; lowered: string; reads: Outcomes }>("kernel");
      mustBeRefused(seen.written, 20);
      assert.deepEqual(seen.every, {}, "no sysctl can even be opened for writing");
      assert.match(seen.lowered, isolation.differs.get("lowered") ?? REFUSED);
      const masked = /^(refused|absent|hidden)|^read ''$|^lists \[\]$/;
      const wrong = Object.entries(seen.reads).filter(
        ([name, what]) => !(isolation.differs.get(name) ?? masked).test(what),
      );
      assert.deepEqual(Object.fromEntries(wrong), {});
    });

    attempt(
      "what all dynos share, and what a runtime looks at in a container, cannot be changed (CVE-2019-5736, -2025-31133, -52565)",
      async () => {
        const { results } = await probe<{ results: Outcomes }>("stack");
        mustBeRefused(results, 60);
      },
    );

    attempt("no descriptor of the runtime's is left open, and none leads out (CVE-2024-21626)", async () => {
      const seen = await probe<{
        found: Readonly<Record<string, { target: string; folder: string }>>;
        inherited: Outcomes;
        moved: Outcomes;
      }>("descriptors");
      assert.deepEqual(seen.inherited, {}, "the first process has its three standard streams alone");
      const folders = Object.entries(seen.found).filter(([, { folder }]) => folder === "folder");
      assert.deepEqual(folders, []);
      mustBeRefused(seen.moved, 100);
    });

    attempt(
      "a program that is a link to /proc/self/exe runs as itself, and changes no runtime (CVE-2019-5736)",
      async () => {
        const script = [
          "printf '#!/proc/self/exe\\n' > /app/evil && chmod +x /app/evil",
          "ln -sf /proc/self/exe /app/me",
          "(/app/evil || true) 2>&1; (/app/me --version || true) 2>&1",
          `for n in 1 2 3 4 5 6 7 8 9; do (echo ${pwned} > /proc/self/exe) 2>&1; (echo ${pwned} > /proc/1/exe) 2>&1; done; echo tried`,
        ].join("; ");
        const { stdout } = await stator(["run", "-a", app, "--no-tty", "--", script]);
        assert.match(stdout, /tried/);
      },
    );

    attempt(
      "while somebody looks into a dyno it gets hold of nothing of the runtime's: program, descriptors, folder, environment (CVE-2019-5736, -2024-21626)",
      async () => {
        const given = JSON.stringify({
          seconds: 60,
          runtime: "crun",
          paths: [join(canaries, "open"), "/etc/shadow"],
          words: [word, ...readFileSync("/etc/shadow", "utf8").split("\n").slice(0, 1)],
        });
        const before = new Set((await dynosOf(app)).map(({ name }) => name));
        await statorOk(["run:detached", "-a", app, "--", `echo begun; python3 probe.py watch '${given}'`]);
        const dyno = (await dynosOf(app)).find(({ name }) => !before.has(name))?.name ?? "none";
        const logged = (pattern: RegExp) =>
          eventually(`${dyno} writes ${pattern}`, async () => {
            const log = await logsOf(app);
            const mine = log.split("\n").filter((line) => line.includes(`app[${dyno}]`));
            return pattern.exec(mine.join("\n")) ?? undefined;
          });
        await logged(/WATCHING/);
        const enter = async (command: string, terminal: object): Promise<Attached> => {
          const path = `/apps/${app}/dynos/${dyno}`;
          const { attach_url: url } = await platform<{ attach_url: string }>("POST", path, { command, ...terminal });
          return attached({ api: { port: config.apiPort } }, new URL(url).pathname.slice(1), "");
        };
        const commands = Array.from({ length: SESSIONS[isolation.name] }, (_, n) =>
          n % 3 === 0 ? "true" : "sleep 0.05",
        );
        for (const command of commands) assert.equal((await enter(command, { force_no_tty: true })).status, 0);
        assert.equal((await enter("sleep 0.05", { env: { TERM: "xterm", COLUMNS: 80, LINES: 24 } })).status, 0);
        await enter("touch /tmp/enough", { force_no_tty: true });
        const seen = JSON.parse((await logged(/PROBE (\{.*\})/))[1] ?? "") as Watched;
        assert.ok(seen.count >= commands.length / 2, `it saw ${seen.count} processes come`);
        if (isolation.name === "container") mustBeRefused(seen.runtime, 6); // it was early enough to meet it
        assert.deepEqual([seen.found, seen.opened], [{}, {}]);
        const own = ["TERM", "COLUMNS", "LINES", "PS1"]; // of the terminal; bash takes the last away where there is none
        assert.deepEqual(
          Object.keys(seen.environ).filter((each) => !own.includes(each)),
          [],
        );
        const programs = /^(\/usr\/bin\/(tini-static|bash|sleep|touch|python3\.\d+|true)|(refused|absent) \w+)$/;
        assert.deepEqual(
          seen.programs.filter((each) => !programs.test(each)),
          [],
          "where the runtime's program lies cannot be read",
        );
      },
    );

    attempt("mounts: each at its place and none shared; masked paths are empty (CVE-2025-31133, -52881)", async () => {
      const { mounts } = await probe<{ mounts: readonly MountInfo[] }>("mounts");
      if (isolation.name === "container") mustBeOurMounts(mounts);
      assert.deepEqual(
        mounts.filter(({ optional }) => optional.some((each) => each.startsWith("shared"))),
        [],
      );
    });

    attempt("set-uid files of the stack and of its own give no power, nor do file capabilities", async () => {
      const { results, candidates } = await probe<{ results: Outcomes; candidates: readonly string[] }>("suid");
      assert.ok(candidates.includes("/app/suid-id"));
      const { "/app/suid-id": own, ...rest } = results;
      assert.equal(own, "1000");
      mustBeRefused(rest, 10);
    });

    attempt("ports: of all on the host only the router's two and names answer, by whatever address", async () => {
      const router = [config.httpPort, config.httpsPort].toSorted((a, b) => a - b);
      const [mine] = standing.victims;
      const gateways = [mine?.address.replace(/\.\d+\.\d+$/, ".0.1"), mine?.address6?.replace(/::\w+$/, "::1")];
      const all = await everyPort(gateways.filter((each) => each !== undefined));
      for (const { address, accepted, silent } of all) {
        const names = address.includes(":") ? [] : [53]; // of the name server, on the gateway alone
        assert.deepEqual(accepted, [...names, ...router], address);
        assert.deepEqual(silent, [], `${address}: refused at once, so that the scan was one`);
      }
      const ours = [config.apiPort, config.tlsPort, 22, ...decoys.map(portOf), ...router];
      const addresses = [...hostAddresses(), "127.0.0.1", "::1", "fe80::1", "ff02::1"];
      const targets = addresses.map((address) => ({ address, ports: ours }));
      for (const { address, accepted } of await scan(targets, 3)) // link-local ones are silent
        assert.deepEqual(
          accepted.filter((port) => !router.includes(port)),
          [],
          address, // 127.0.0.1 and ::1 are its own
        );
    });

    attempt("UDP: nothing of the host's but names answers, by whatever address of its own", async () => {
      const servers = await Promise.all((hasIpv6 ? (["udp4", "udp6"] as const) : (["udp4"] as const)).map(answering));
      try {
        const ports = servers.map((server) => server.address().port);
        const [mine] = standing.victims;
        const gateways = [mine?.address.replace(/\.\d+\.\d+$/, ".0.1"), mine?.address6?.replace(/::\w+$/, "::1")];
        const addresses = [...hostAddresses(), ...gateways.filter((each) => each !== undefined)];
        assert.ok(await heard("127.0.0.1", ports[0] ?? 0), "it answers the host");
        const targets = addresses.map((address) => ({ address, ports: [...ports, 123, 161, 5353] }));
        const seen = await probe<{ results: Outcomes }>("udp", { targets });
        mustBeRefused(seen.results, 5);
      } finally {
        for (const server of servers) server.close();
      }
    });

    attempt("ports: no other app's dyno, no metadata service, no private network", async () => {
      await mustNotReach(standing.victims.slice(1));
      const ports = [80, 443, 53, 22, config.apiPort];
      for (const { address, accepted, silent } of await scan(NEVER.map((each) => ({ address: each, ports }))))
        assert.deepEqual([accepted, silent], [[], []], address);
      assert.equal((await victim(other)).intact, true);
    });

    attempt("a repository of hostile names and links: what is in it stays inside", async () => {
      await using made = await temporaryApp("hostile");
      await isolation.prepare(made.name);
      using repository = await temporaryRepository(hostileFiles(pwned));
      const links = {
        shadow: "/etc/shadow",
        up: "../../../../../../../../etc",
        root: "/",
        loop: "loop",
        "proc-root": "/proc/1/root",
        canary: join(canaries, "open"),
        folder: canaries,
        home: config.instance.home,
      };
      for (const [name, target] of Object.entries(links)) symlinkSync(target, join(repository.folder, name));
      await commit(repository.folder, "links");
      const { code, stderr } = await push(repository.folder, made.name);
      assert.equal(code, 0, stderr);
      const script = [
        "ls -ld shadow up root loop canary folder home; cat shadow; cat canary; cat folder/*; ls home; cat proc-root/etc/shadow",
        `echo x > canary; touch folder/${pwned} home/${pwned} root/${pwned} up/${pwned}`,
        "cat -- '-rf'",
        "python3 probe.py identity | head -c 6",
      ].join("; ");
      const { stdout } = await stator(["run", "-a", made.name, "--no-tty", "--", script]);
      assert.match(stdout, /shadow -> \/etc\/shadow/, "links are kept as they are");
      assert.doesNotMatch(
        stdout,
        new RegExp(`${word}|stator\\.env|^root:\\$`, "m"),
        "and lead to the dyno's own files",
      );
      assert.match(stdout, /dash/);
      assert.match(stdout, /PROBE /);
    });

    attemptOnce(
      "Procfile, app.json, branches, config vars and app names full of shell, newlines, NUL and dashes",
      async () => {
        await using made = await temporaryApp("words");
        await isolation.prepare(made.name);
        const odd = `a'b"c\`touch /tmp/${pwned}\`$(touch /tmp/${pwned});touch /tmp/${pwned}|&\n-rf\n--help`;
        await platform("PATCH", `/apps/${made.name}/config-vars`, {
          ODD: odd,
          DASH: "--version",
          LD_LIKE: "/proc/self/exe",
        });
        for (const bad of [{ NUL: "a\0b" }, { "A=B": "x" }, { "A\nB": "x" }, { "": "x" }, { "-n": "x", "\0": "y" }])
          assert.ok((await call("PATCH", `/apps/${made.name}/config-vars`, bad)) >= 400, JSON.stringify(bad));
        for (const bad of ["-rf", "a;b", "../x", "a b", `$(touch /tmp/${pwned})`, "a\nb", "a\0b", "--help"])
          assert.ok((await call("POST", "/apps", { name: bad })) >= 400, JSON.stringify(bad));
        const procfile = [
          `web: exec python3 victim.py; touch /tmp/${pwned}`,
          `worker: $(touch /tmp/${pwned}) "\`touch /tmp/${pwned}\`" ; -rf --no-preserve-root`,
          `-rf: --help`,
          `; touch /tmp/${pwned}`,
          `$(id): x`,
          `../../x: y`,
        ].join("\n");
        using repository = await temporaryRepository({
          Procfile: `${procfile}\nnul: a\0b`,
          "app.json": JSON.stringify({
            name: `$(touch /tmp/${pwned})`,
            scripts: { postdeploy: `touch /tmp/${pwned}` },
            buildpacks: [{ url: `--upload-pack=touch /tmp/${pwned}` }, { url: "../../../etc" }, { url: "\0" }],
            formation: { "-rf": { quantity: 1 }, web: { quantity: 1, size: "$(id)" } },
            cron: [
              {
                command: `echo "as $(id -u)"; touch /tmp/${pwned}; -rf; echo \`id\` > /dev/null`,
                schedule: "0 0 1 1 *",
              },
            ],
            healthchecks: {
              web: [
                {
                  type: "liveness",
                  path: `/$(touch\${IFS}/tmp/${pwned})\`id\`;'"|&?--help=<>{}`,
                  httpHeaders: [{ name: "X-$`|", value: `$(touch /tmp/${pwned}) \`id\`; '"` }],
                  wait: 1,
                  attempts: 100,
                },
                { type: "liveness", command: ["touch", `/tmp/checked $(id);\`id\` -rf`], wait: 1, attempts: 100 },
              ],
            },
          }),
          "victim.py": readFileSync(join(checkout, "test/apps/escape/victim.py"), "utf8"),
        });
        for (const branch of [
          `refs/heads/$(touch\${IFS}/tmp/${pwned})`,
          "refs/heads/;id",
          "refs/heads/x--upload-pack=id",
          "refs/tags/-rf",
        ]) {
          const { stderr } = await push(repository.folder, made.name, `HEAD:${branch}`);
          assert.doesNotMatch(stderr, /uid=\d/, branch);
        }
        const withNul = await push(repository.folder, made.name);
        assert.match(withNul.stderr, /The command of nul holds a control character \(U\+0000\)/);
        writeFileSync(join(repository.folder, "Procfile"), procfile);
        await commit(repository.folder, "without NUL");
        const main = await push(repository.folder, made.name);
        assert.equal(main.code, 0, main.stderr);
        const [schedule] = await platform<readonly { id: string }[]>("GET", `/apps/${made.name}/schedules`);
        await platform("POST", `/apps/${made.name}/schedules/${schedule?.id}/runs`);
        await waitLog(made.name, /app\[scheduler\.\d+\]: as 1000$/m);
        await eventually("both checks pass, the command's word being one", async () => {
          const checked = await stator(["ps:exec", "-a", made.name, "--", "ls /tmp"]);
          return checked.stdout.includes("checked $(id);`id` -rf") || undefined;
        });
        assert.doesNotMatch(await logsOf(made.name), /Liveness check failed/);
        const { stdout } = await stator([
          "run",
          "-a",
          made.name,
          "--no-tty",
          "--",
          `printf '%s|%s|' "$ODD" "$DASH"; ls /tmp`,
        ]);
        assert.equal(stdout.replaceAll("\r", "").trimEnd(), `${odd}|--version|`);
      },
    );

    attemptOnce(
      "a hostile build: the build dyno has the same walls, and what it leaves in the slug has no power",
      async () => {
        await using made = await temporaryApp("hostile-build");
        await isolation.prepare(made.name);
        using repository = await temporaryRepository(hostileBuild(pwned));
        const { code, stderr } = await push(repository.folder, made.name);
        assert.equal(code, 0, stderr);
        const script = "cat built.json; cat seen-in-build; ls -l suid; ./suid -u; ls -la /app; cat into-host 2>&1";
        const { stdout } = await stator(["run", "-a", made.name, "--no-tty", "--", script]);
        const built = stdout.split("\n").filter((line) => line.startsWith("PROBE "));
        assert.equal(built.length, 2, stdout);
        const [calls, kernel] = built.map(
          (line) => JSON.parse(line.slice(6)) as { results?: Outcomes; every?: Outcomes },
        );
        mustBeRefused(calls?.results ?? {}, 60);
        assert.deepEqual(kernel?.every, {});
        assert.match(stdout, /^1000$/m, "set-uid has no effect");
        assert.doesNotMatch(stdout, new RegExp(word));
      },
    );
  });
}

interface Identity {
  readonly status: Readonly<Record<string, string>>;
  readonly uidMap: readonly string[];
  readonly gidMap: readonly string[];
  readonly noNewPrivs: number;
  readonly hostname: string;
  readonly dyno: string;
  readonly cwd: string;
  readonly processes: readonly string[];
  readonly limits: Readonly<Record<string, readonly [number, number]>>;
  readonly interfaces: readonly string[];
}

/** What a dyno got of the processes that came into it. */
interface Watched {
  readonly count: number;
  /** Of one that is still the runtime's program. */
  readonly runtime: Outcomes;
  /** As the processes call themselves. */
  readonly names: readonly string[];
  readonly programs: readonly string[];
  readonly found: Outcomes;
  readonly opened: Outcomes;
  readonly environ: Outcomes;
}

/** All of these ports, or all from the first to the last. */
type Target = { readonly address: string } & (
  | { readonly ports: readonly number[] }
  | { readonly first: number; readonly last: number }
);

interface Scan {
  readonly address: string;
  readonly accepted: readonly number[];
  /** Ports that gave no answer in time. */
  readonly silent: readonly number[];
}

/** What a process did that made a user namespace of its own, as root there. */
interface Nested {
  readonly unshare: string;
  readonly found: Outcomes;
  readonly written: Outcomes;
  readonly devices: Outcomes;
  readonly scans: readonly Pick<Scan, "address" | "accepted">[];
}

interface MountInfo {
  readonly root: string;
  readonly at: string;
  readonly type: string;
  readonly options: readonly string[];
  readonly optional: readonly string[];
}

/** Where what is mounted in a container, and how: nothing else, and nothing that a dyno chose. */
function mustBeOurMounts(mounts: readonly MountInfo[]): void {
  const expected: Readonly<Record<string, RegExp>> = {
    "/": /^erofs ro/,
    "/proc": /^proc rw,nosuid,nodev,noexec/,
    "/dev": /^tmpfs (ro,nosuid,noexec|rw,nosuid)/,
    "/dev/pts": /^devpts rw,nosuid,noexec/,
    "/dev/shm": /^tmpfs rw,nosuid,nodev,noexec/,
    "/dev/mqueue": /^mqueue rw,nosuid,nodev,noexec/,
    "/app": /^overlay rw,nosuid,nodev/,
    "/tmp": /^\w+ rw,nosuid,nodev/,
    "/var/tmp": /^\w+ rw,nosuid,nodev/,
    "/etc/hosts": /^tmpfs ro,nosuid,nodev/,
    "/etc/resolv.conf": /^tmpfs ro,nosuid,nodev/,
  };
  const seen = mounts.map(({ at, type, options }) => [at, `${type} ${options.join(",")}`] as const);
  for (const [at, how] of Object.entries(expected))
    assert.ok(
      seen.some(([where, what]) => where === at && how.test(what)),
      `${at}: ${JSON.stringify(seen)}`,
    );
  for (const [at, what] of seen) {
    if (expected[at] !== undefined) continue;
    const device = /^\/dev\/(null|zero|full|random|urandom|tty)$/.test(at);
    const group =
      at.startsWith("/sys/fs/cgroup") && (/^cgroup2? ro,/.test(what) || what.startsWith("tmpfs rw,nosuid,nodev"));
    const quota =
      /^\/sys\/fs\/cgroup\/(memory\/memory\.limit_in_bytes|memory\.max)$/.test(at) &&
      what.startsWith("tmpfs ro,nosuid,nodev");
    const proc = at.startsWith("/proc/") && (/ ro\b/.test(what) || /^(devtmpfs|tmpfs|udev)/.test(what));
    assert.ok(device || group || quota || proc, `${at}: ${what}`);
  }
  for (const path of ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"].filter(existsSync))
    assert.ok(
      seen.some(([at, what]) => at === path && / ro\b/.test(what)),
      `${path} is read-only`,
    );
}

/** Names and links as nobody in his right mind has them; the app is the probe. */
function hostileFiles(pwned: string): Files {
  const apps = join(checkout, "test/apps/escape");
  return {
    Procfile: "web: exec python3 victim.py\n",
    "victim.py": readFileSync(join(apps, "victim.py"), "utf8"),
    "probe.py": readFileSync(join(apps, "probe.py"), "utf8"),
    "-rf": "dash\n",
    "--checkpoint-action=exec=id": "dash\n",
    "--to-command=id": "",
    [`$(touch ${pwned})`]: "",
    [`\`touch ${pwned}\``]: "",
    [`; touch ${pwned} #`]: "",
    "new\nline": "",
    "tab\tand \u202e\u0007 bell": "",
    "'\"\\": "",
    "*": "",
    "~": "",
    [`${"long".repeat(60)}`]: "",
  };
}

/** A Node.js app whose build runs the probe in the build dyno, and leaves behind what it can. */
function hostileBuild(pwned: string): Files {
  const apps = join(checkout, "test/apps/escape");
  return {
    Procfile: "web: exec python3 victim.py\n",
    "package.json": JSON.stringify({
      name: "hostile",
      version: "1.0.0",
      // Node.js does not run in it: packing, unpacking and mounting 200 MB of it was most of the time.
      scripts: { build: "sh ./hostile.sh", "heroku-cleanup": "rm -rf .heroku/node/bin/node .heroku/node/include" },
    }),
    "package-lock.json": JSON.stringify({
      name: "hostile",
      version: "1.0.0",
      lockfileVersion: 3,
      requires: true,
      packages: { "": { name: "hostile", version: "1.0.0" } },
    }),
    "hostile.sh": `
HEROKU_DYNO_ID=build python3 probe.py syscalls > built.json 2>&1
HEROKU_DYNO_ID=build python3 probe.py kernel >> built.json 2>&1
cp /usr/bin/id suid; chmod 6755 suid
mknod device b 7 0; mkfifo fifo
ln -s /var/tmp into-host; ln -s / root; ln -s /proc/1/root proc-root; ln -s ../../../../../../../etc up; ln -s loop loop
touch -- -rf '--help' "$(printf 'new\\nline')" '$(touch /tmp/${pwned})'
mkdir -p .profile.d dev proc sys; ln -s /dev/null dev/null
echo "touch /app/${pwned}" > .profile.d/evil.sh
ln -sf /proc/sysrq-trigger node_modules 2>/dev/null
ln -s /repo/.. /cache/up 2>/dev/null; ln -s / /cache/root 2>/dev/null; ln -s / /repo/escape 2>/dev/null
mkdir -p /repo/hooks /repo/objects/info; printf '#!/bin/sh\\nid > /tmp/${pwned}\\n' > /repo/hooks/post-receive; chmod +x /repo/hooks/post-receive
ls / /repo /cache /run/stator > seen-in-build 2>&1
exit 0
`,
    "victim.py": readFileSync(join(apps, "victim.py"), "utf8"),
    "probe.py": readFileSync(join(apps, "probe.py"), "utf8"),
  };
}

/** On which the platform's processes are told what to do: the host process, HAProxy, the daemon. */
function ownSockets(): readonly string[] {
  const { paths } = config.instance;
  const sockets = [
    paths.hostSocket,
    join(paths.run, "router-sockets", "stats.sock"),
    join(paths.run, "router-sockets", "master.sock"),
    join(paths.daemonRun, "admin.sock"),
  ];
  for (const each of sockets) assert.ok(statSync(each).isSocket(), each);
  return sockets;
}

function digestOf(program: string): string {
  const path = ["/usr/bin", "/usr/sbin"].map((folder) => join(folder, program)).find((each) => existsSync(each));
  if (path === undefined) return "none";
  return `${createHash("sha256").update(readFileSync(path)).digest("hex")} ${statSync(path).mode}`;
}

/** The dyno's processes as the host numbers them, its own kernel's included. */
function hostPidsOf(dyno: string): readonly number[] {
  const files = cgroupFolders(config.instance).flatMap((folder) =>
    globSync("{,**/}cgroup.procs", { cwd: join(folder, dyno) }).map((path) => join(folder, dyno, path)),
  );
  const pids = files.flatMap((path) => readFileSync(path, "utf8").split("\n").filter(Boolean).map(Number));
  return [...new Set(pids)].toSorted((a, b) => a - b);
}

/** The range of user ids that all processes of the dyno have on the host, as in `/proc/self/uid_map`. */
function hostMap(dyno: string): readonly string[] {
  const maps = hostPidsOf(dyno).map((pid) => readFileSync(`/proc/${pid}/uid_map`, "utf8").trim().split(/\s+/));
  assert.equal(new Set(maps.map((map) => map.join(" "))).size, 1, `${dyno}: ${JSON.stringify(maps)}`);
  return maps[0] ?? [];
}

/** Whether the host holds a TCP connection from this address, half open ones included. */
function hasConnectionFrom(address: string): boolean {
  const hex = address
    .split(".")
    .toReversed()
    .map((each) => Number(each).toString(16).padStart(2, "0"));
  return readFileSync("/proc/net/tcp", "utf8").includes(` ${hex.join("").toUpperCase()}:`);
}

function seenFromHost(pid: number): { readonly userNamespace: string; readonly oomScore: number } {
  return {
    userNamespace: readlinkSync(`/proc/${pid}/ns/user`),
    oomScore: Number(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8")),
  };
}

function hostAddresses(): readonly string[] {
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return [...new Set(all.filter(({ internal }) => !internal).map(({ address }) => address))];
}

function listen(host: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.end("decoy"));
    server.once("error", reject);
    server.listen({ port: 0, host, ipv6Only: true }, () => resolve(server));
  });
}

/** Answers every datagram. */
function answering(family: "udp4" | "udp6"): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({ type: family, ipv6Only: family === "udp6" });
    socket.on("message", (_, { port, address }) => socket.send("decoy", port, address));
    socket.once("error", reject);
    socket.bind(0, () => resolve(socket));
  });
}

/** Whether a datagram of the host's own is answered. */
async function heard(host: string, port: number): Promise<boolean> {
  const socket = createSocket("udp4");
  try {
    socket.send("hello", port, host);
    await once(socket, "message", { signal: AbortSignal.timeout(5000) });
    return true;
  } finally {
    socket.close();
  }
}

/** Whether something accepts a connection of the host's own. */
function answers(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 5000 });
    const done = (is: boolean) => {
      socket.destroy();
      resolve(is);
    };
    socket.once("connect", () => done(true));
    socket.once("error", () => done(false));
    socket.once("timeout", () => done(false));
  });
}

function portOf(server: Server): number {
  const address = server?.address();
  assert.ok(typeof address === "object" && address !== null);
  return address.port;
}

async function call(method: string, path: string, body: unknown): Promise<number> {
  const response = await fetch(`${api}${path}`, {
    method,
    headers: {
      Accept: "application/vnd.heroku+json; version=3",
      Authorization: `Bearer ${token()}`,
      "Content-Type": "application/json",
    },
    body: JSON.stringify(body),
  });
  return response.status;
}
