import assert from "node:assert/strict";
import { existsSync, globSync, readdirSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { ISOLATIONS, type Isolation } from "../../src/model/isolation.ts";
import { DNS_QUERY, echo } from "./apps.ts";
import { needGvisor } from "./gvisor-host.ts";
import {
  cgroupFolders,
  config,
  deployed,
  dynosOf,
  eventually,
  pidOf,
  platform,
  platformAnswers,
  processes,
  program,
  push,
  requestsUntil,
  stator,
  statorOk,
  temporaryRepository,
  throughRouter,
  waitLog,
  waitUp,
} from "./harness.ts";

/** What a dyno sees that depends on the class of its walls: all that differs between the two runs of the tests below. */
interface Differences {
  /** Which kernel it says it runs on. */
  readonly kernel: RegExp;
  /** What a fork bomb of 600 processes meets in a dyno of 256. */
  readonly forkBomb: RegExp;
  /** `unshare -U true`: whether namespaces of its own kernel may be made. */
  readonly userNamespace: RegExp;
  readonly writeToStack: RegExp;
  /** The names of the local machine that a browser takes for 127.0.0.1: whether they lead to the router. */
  readonly localhostIsRouter: boolean;
}

/** The exceptions of the class `gvisor`, as docs/dynos.md lists them. */
const DIFFERENCES: Readonly<Record<Isolation, Differences>> = {
  container: {
    kernel: new RegExp(`^${release().replaceAll(".", "\\.")}$`, "m"),
    forkBomb: /^stopped at \d+ .*Resource temporarily unavailable/m,
    userNamespace: /^no-userns/m,
    writeToStack: /Read-only file system/,
    localhostIsRouter: true,
  },
  gvisor: {
    kernel: /Starting gVisor/,
    forkBomb: /^(stopped at \d+ .*Resource temporarily unavailable\s*)?$/, // or its kernel ends, and the dyno with it
    userNamespace: /^userns/m, // of its own kernel: nothing of the machine's
    writeToStack: /Permission denied|Read-only file system/,
    localhostIsRouter: false,
  },
};

before(needGvisor);

for (const isolation of ISOLATIONS) describe(`isolation class ${isolation}`, () => checksOf(isolation));

function checksOf(isolation: Isolation): void {
  const differences = DIFFERENCES[isolation];
  let app = "";
  let dispose: () => Promise<void> = async () => {};
  const run = (script: string, timeoutMs = 120_000) =>
    stator(["run", "-a", app, "--no-tty", "--", script], { timeoutMs });

  before(async () => {
    const made = await deployed("walls", echo);
    app = made.name;
    dispose = async () => made[Symbol.asyncDispose]();
    await waitUp(app, "web", 1);
  });
  after(() => dispose());

  void test("the class is set by a release that is rolled out with no failing request, and shown", async () => {
    const before = await platform<{ readonly isolation: string }>("GET", `/apps/${app}`);
    assert.equal(before.isolation, "container");
    const failures = await requestsUntil(app, async () => {
      await statorOk(["isolation", isolation, "-a", app]);
      await settled(app);
    });
    assert.deepEqual(failures, []);
    assert.match(await statorOk(["apps:info", app]), new RegExp(`Isolation:\\s+${isolation}`));
    assert.equal(await statorOk(["isolation", "-a", app]), `${isolation}\n`);
    const current = await platform<{ readonly current: string }>("GET", `/apps/${app}/stator/isolation`);
    assert.equal(current.current, isolation);
    assert.equal((await throughRouter(app, { path: "/x?y=1" })).status, 200);
    const refused = await stator(["isolation", "kvm", "-a", app]);
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /container or gvisor/);
  });

  void test("the kernel that the dyno's programs run on", async () => {
    assert.match((await run("uname -r; dmesg 2>&1 | head -3")).stdout, differences.kernel);
  });

  void test("ps:scale starts the difference, and requests reach every web dyno", async () => {
    await statorOk(["ps:scale", "web=3", "worker=1", "-a", app]);
    await waitUp(app, "web", 3);
    await waitUp(app, "worker", 1);
    await eventually("all three answer", async () => {
      const bodies = await Promise.all(Array.from({ length: 30 }, () => throughRouter(app)));
      return new Set(bodies.map(({ body }) => body.slice(0, 5))).size === 3;
    });
    await waitLog(app, /app\[worker\.1\]: count 20/);
    await statorOk(["ps:scale", "web=2", "worker=0", "-a", app]);
    await waitUp(app, "web", 2);
    await eventually("the worker is gone", async () => (await dynosOf(app)).every(({ type }) => type === "web"));
  });

  void test("spec 3.9: an attached one-off gives its output and its exit status, and takes what is piped in", async () => {
    const failed = await stator(["run", "-a", app, "--", "echo $((6*7)); exit 3"]);
    assert.match(failed.stdout, /42/);
    assert.equal(failed.code, 3);
    const megabyte = Buffer.alloc(1_000_000, "abcdefghi\n");
    const piped = await stator(["run", "-a", app, "--no-tty", "--", "cat | md5sum"], { input: megabyte });
    const here = await program("md5sum", [], { input: megabyte });
    assert.match(piped.stdout, new RegExp(here.stdout.slice(0, 32)));
  });

  void test("walls: unprivileged, read-only stack, own /app and /tmp, no way out of the namespaces", async () => {
    const script = [
      "id -u; touch /usr/x 2>&1; touch /app/mine /tmp/mine && echo wrote; ls -ld /app",
      'python3 -c \'import ctypes; print("mount", ctypes.CDLL(None, use_errno=True).mount(b"none", b"/mnt", b"tmpfs", 0, None), ctypes.get_errno())\'',
      "unshare -U true 2>/dev/null && echo userns || echo no-userns",
      "echo environ $(cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -c ^STATOR_)",
      "grep CapBnd /proc/self/status",
    ].join("; ");
    const { stdout } = await run(script);
    assert.match(stdout, /^1000\r?\n/);
    assert.match(stdout, differences.writeToStack);
    assert.match(stdout, /wrote\r?\ndrwxr-xr-x \d+ dyno dyno .* \/app/);
    assert.match(stdout, /mount -1 1\r?\n/); // EPERM
    assert.match(stdout, differences.userNamespace);
    assert.match(stdout, /environ 0\r?\n/);
    assert.match(stdout, /CapBnd:\s+0{16}/);
  });

  void test("spec 11: it reaches neither the host, nor private networks, nor the metadata address; names resolve", async () => {
    const script = [
      "curl -sS -m 3 http://169.254.169.254/ 2>&1 || echo metadata-refused",
      "curl -sS -m 3 http://10.0.0.1:5432/ 2>&1 || echo private-refused",
      DNS_QUERY,
    ].join("; ");
    const { stdout } = await run(script);
    assert.match(stdout, /metadata-refused/);
    assert.match(stdout, /private-refused/);
    assert.match(stdout, /dns 1234/);
    await waitLog(app, /10\.0\.0\.1:5432/);
  });

  void test("an app is reached by its URL from inside, where the domain is not this machine's own name", async () => {
    const port = new URL((await platform<{ web_url: string }>("GET", `/apps/${app}`)).web_url).port || "80";
    const { stdout } = await run(`curl -sS -m 10 http://${app}.localhost:${port}/inside 2>&1 || echo not-by-localhost`);
    assert.match(stdout, differences.localhostIsRouter ? /path=\/inside/ : /not-by-localhost/);
    // By the address of the router, as with a domain that others know too: in both classes.
    const direct = `curl -sS -m 10 -H "Host: ${app}.localhost" http://$(sed -n 's/^nameserver //p' /etc/resolv.conf):${port}/inside`;
    assert.match((await run(direct)).stdout, /path=\/inside/);
  });

  void test("memory: the dyno that takes more than its quota is killed alone, 137 and R15", async () => {
    const { code } = await run("python3 -c 'x = bytearray(1400 * 1024 * 1024); print(len(x))'");
    assert.equal(code, 137);
    await waitLog(app, /heroku\[run\.\d+\]: Error R15 \(Memory quota vastly exceeded\)/);
    assert.equal((await throughRouter(app)).status, 200);
  });

  void test("processes: a fork bomb is stopped, and the app answers meanwhile", async () => {
    const script =
      "import os,time\nn=0\ntry:\n  while n < 600:\n    if os.fork()==0: time.sleep(60)\n    n+=1\nexcept OSError as e: print('stopped at', n, e, flush=True)\nelse: print('none stopped it', flush=True)\nos.kill(1, 15)\ntime.sleep(60)";
    const bomb = run(`python3 -c "${script}"`);
    const answers = await Promise.all(Array.from({ length: 20 }, () => throughRouter(app)));
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
    const { stdout, code } = await bomb;
    assert.match(stdout, differences.forkBomb);
    assert.doesNotMatch(stdout, /none stopped it/);
    assert.notEqual(code, 0);
  });

  void test("disk: /app and /tmp together are limited; the other dynos and the host notice nothing", async () => {
    const { stdout } = await run(
      "dd if=/dev/zero of=/tmp/a bs=1M count=1500 2>&1 | tail -1; dd if=/dev/zero of=/app/b bs=1M count=1500 2>&1; rm /tmp/a; echo again > /app/c && echo usable",
    );
    assert.match(stdout, /Disk quota exceeded|No space left on device/);
    assert.match(stdout, /usable/);
    assert.equal((await throughRouter(app)).status, 200);
  });

  void test("spec 9.6: config vars make releases that roll without a failed request, in the same class", async () => {
    const failures = await requestsUntil(app, async () => {
      await statorOk(["config:set", "GREETING=hello there", "-a", app]);
      await eventually("the new value is served", async () =>
        /greeting=hello there/.test((await throughRouter(app)).body),
      );
      await settled(app);
    });
    assert.deepEqual(failures, []);
    const { current } = await platform<{ readonly current: string }>("GET", `/apps/${app}/stator/isolation`);
    assert.equal(current, isolation);
  });

  void test("spec 3.3: a restart replaces the dyno while requests go on", async () => {
    const before = (await waitUp(app, "web", 2)).find((dyno) => dyno.name === "web.1");
    const failures = await requestsUntil(app, async () => {
      await statorOk(["ps:restart", "web.1", "-a", app]);
      await eventually("web.1 is another dyno", async () => {
        const now = (await dynosOf(app)).find((dyno) => dyno.name === "web.1");
        return now !== undefined && now.state === "up" && now.id !== before?.id;
      });
    });
    assert.deepEqual(failures, []);
  });

  void test("kill -9 of the daemon and the host process, while requests flow: dynos live on", async () => {
    const before = (await waitUp(app, "web", 2)).map(({ id }) => id).toSorted();
    const failures = await requestsUntil(app, async () => {
      const pids = await Promise.all(["daemon", "host"].map((role) => pidOf(role)));
      for (const pid of pids) process.kill(pid, "SIGKILL");
      await eventually("the platform answers", platformAnswers);
      await pause(1000);
    });
    assert.deepEqual(failures, []);
    assert.deepEqual((await waitUp(app, "web", 2)).map(({ id }) => id).toSorted(), before);
  });

  void test("kill -9 of the host process at any instant of a start: the dyno comes up, and nothing half made is left", async () => {
    for (const delayMs of [5, 60, 110, 160, 210, 260, 320]) {
      const pid = await pidOf("host");
      await statorOk(["ps:restart", "web.1", "-a", app]);
      await pause(delayMs);
      process.kill(pid, "SIGKILL");
      await eventually("there is another host process", async () =>
        (await processes()).some((each) => each.role === "host" && each.pid !== pid),
      );
      await settled(app);
      await waitUp(app, "web", 2);
    }
    await eventually("only what lives is on the host", async () => {
      const apps = await platform<readonly { readonly name: string }[]>("GET", "/apps");
      const dynos = await Promise.all(apps.map(({ name }) => dynosOf(name)));
      const live = dynos.flatMap((each) => each.map(({ id }) => id)).toSorted();
      return live.length >= 2 && onHost().every((kind) => isDeepStrictEqual(kind, live));
    });
  });

  void test("a release that does not come up leaves what ran, in its class", async () => {
    using dies = await temporaryRepository({ Procfile: "web: echo giving up; exit 7\n" });
    const crash = await push(dies.folder, app, "+HEAD:refs/heads/main");
    assert.notEqual(crash.code, 0);
    assert.match(crash.stderr, /exited with status 7/);
    assert.match(crash.stderr, /giving up/);
    assert.equal((await throughRouter(app)).status, 200);
  });
}

/** What is on the host of dynos of this instance, by their ids: control groups, disks, bundles. */
function onHost(): readonly (readonly string[])[] {
  const { paths } = config.instance;
  const groups = cgroupFolders(config.instance).flatMap((folder) => globSync("*-*-*-*-*", { cwd: folder }));
  const disks = readdirSync(join(paths.host, "store")).filter((name) => name.startsWith("dyno-"));
  const isDyno = (name: string) => existsSync(join(paths.bundles, name, "labels.json")); // else it stands by for one to come
  const bundles = readdirSync(paths.bundles).filter((name) => /^[0-9a-f]{8}-/.test(name) && isDyno(name));
  const kinds = [groups, disks.map((name) => name.slice("dyno-".length)), bundles];
  return kinds.map((kind) => [...new Set(kind)].toSorted());
}

/** Until the newest release serves and nothing is on its way. */
async function settled(app: string): Promise<void> {
  await eventually("the release is rolled out", async () => {
    const releases = await platform<readonly { version: number; status: string; current: boolean }[]>(
      "GET",
      `/apps/${app}/releases`,
    );
    const newest = releases.toSorted((one, other) => other.version - one.version)[0];
    const dynos = await dynosOf(app);
    return (
      newest?.current === true &&
      newest.status === "succeeded" &&
      dynos.some((dyno) => dyno.type === "web") && // one that was lost is being replaced
      dynos.every((dyno) => dyno.release.version === newest.version && dyno.state === "up")
    );
  });
}
