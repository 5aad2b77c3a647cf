import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ended, run, start } from "../../src/lib/command.ts";
import { ensurePackages } from "../packages.ts";
import { boot, HOST_PACKAGES, type Machine, makeImage, makeStacksImage } from "./machine.ts";

/**
 * `npm run test:vm`: a Debian machine with systemd and cgroup v2, the checkout brought in, `bin/up` from nothing, end-to-end tests and
 * `test/vm/inside` against what it installed, restarts of the units, a reboot, an uninstall. Prints what it saw with the
 * seconds it took; ends with 1 if anything failed (docs/reliability.md). STATOR_VM_FOLDER keeps the image between runs; STATOR_VM_STACKS names a
 * folder of stacks that are built (`$STATOR_HOME/host/stacks`), so that the emulated machine need not build them.
 */
const checkout = join(import.meta.dirname, "..", "..");
const folder = process.env["STATOR_VM_FOLDER"] ?? "/var/tmp/stator-vm";
const stacks = process.env["STATOR_VM_STACKS"];
/** Titles of what is run inside; none: all. */
const chosen = process.argv.slice(2);
const begun = performance.now();

function say(text: string): void {
  process.stdout.write(`[${((performance.now() - begun) / 1000).toFixed(0).padStart(4)} s] ${text}\n`);
}

async function main(): Promise<void> {
  await ensurePackages(HOST_PACKAGES, (missing) => say(`installing ${missing.join(" ")}`));
  mkdirSync(folder, { recursive: true });
  if (!existsSync(join(folder, "pristine.img"))) {
    say("making a Debian disk image");
    await makeImage(folder);
    await run("cp", ["--sparse=always", "--", join(folder, "disk.img"), join(folder, "pristine.img")], {
      timeoutMs: 300_000,
    });
  }
  await run("cp", ["--sparse=always", "--", join(folder, "pristine.img"), join(folder, "disk.img")], {
    timeoutMs: 300_000,
  });
  if (stacks !== undefined) await makeStacksImage(folder, stacks);
  say("booting");
  await using machine = await boot(folder);
  say("the machine is up");
  await bringCheckout(machine);
  if (stacks !== undefined) await bringStacks(machine);
  await checks(machine);
  for (const each of failures) say(`FAILED: ${each}`);
  if (failures.length > 0) throw new Error(`${failures.length} failed`);
  say("all passed");
}

/** What is run of the end-to-end tests: what systemd and cgroup v2 make different. All of them would take the emulated machine hours. */
const INSIDE: readonly (readonly [title: string, file: string, only?: string])[] = [
  ["cgroup v2", "test/vm/inside/cgroup2.test.ts"],
  ["limits", "test/e2e/limits.test.ts"],
  ["sizes", "test/e2e/sizes.test.ts"],
  ["disks", "test/e2e/disks.test.ts", "project|cleaned"],
  ["usage, R14, R15", "test/e2e/metrics.test.ts", "usage is|R14|R15"],
  [
    "kill -9",
    "test/e2e/platform.test.ts",
    "pushed app|walls|kill -9|metadata|leaves nothing running|nothing privileged",
  ],
  ["health checks", "test/e2e/health.test.ts"],
  ["escape", "test/e2e/escape.test.ts"],
];
const NODE = "/root/node"; // a copy, which an uninstall leaves
const TEST_MS = 600_000;

const failures: string[] = [];
const seconds = (since: number): string => ((performance.now() - since) / 1000).toFixed(0);

async function checks(machine: Machine): Promise<void> {
  const ask = async (commandLine: string, timeoutMs = 120_000): Promise<string> => {
    const { code, output } = await machine.shell(commandLine, { timeoutMs });
    if (code !== 0) throw new Error(`status ${code}\n$ ${commandLine}\n${output}`);
    return output.trim();
  };
  /** Goes on after a failure: each run costs a quarter of an hour. */
  const check = async (title: string, body: () => Promise<string>): Promise<void> => {
    const since = performance.now();
    try {
      const detail = await body();
      say(`ok: ${title} (${seconds(since)} s) ${detail}`.trimEnd());
    } catch (error) {
      failures.push(title);
      say(`FAILED: ${title} (${seconds(since)} s): ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const must = (is: boolean, text: string): string => {
    if (!is) throw new Error(text);
    return "";
  };
  const inside = `cd /root/stator && STATOR_TEST_MACHINE=throw-away ${NODE}`;
  const shown = async (expected?: unknown, forSeconds = 0): Promise<Shown> => {
    const text = expected === undefined ? "" : JSON.stringify(expected).replaceAll("'", "'\\''");
    return JSON.parse(await ask(`${inside} test/vm/inside/apps.ts show '${text}' ${forSeconds}`, 300_000)) as Shown;
  };

  await check("cgroup v2 and systemd", () =>
    ask("test $(stat -fc %T /sys/fs/cgroup) = cgroup2fs; uname -r; systemctl --version | head -1"),
  );
  const route = "ip -6 route show default | cut -d' ' -f1-5"; // without the seconds it is good for
  const route6 = await ask(route);
  must(route6.startsWith("default via"), "QEMU's network has no IPv6");
  const since = performance.now();
  const up = await machine.shell("cd /root/stator && ./bin/up", { timeoutMs: 1_500_000, loud: true });
  if (up.code !== 0) throw new Error(`bin/up: status ${up.code}`);
  say(`ok: bin/up from nothing (${seconds(since)} s)`);
  await ask(`cp /opt/stator/current/toolchain/node_modules/node-linux-*/bin/node ${NODE}`);
  await ask("ln -sfn /opt/stator/current/node_modules /root/stator/node_modules"); // the tests' own `stator` is the checkout's
  await check("IPv6 by router advertisements goes on while the machine forwards", async () => {
    const forwards = await ask("cat /proc/sys/net/ipv6/conf/all/forwarding");
    return must(forwards === "1" && (await ask(route)) === route6, `${route6}, forwarding ${forwards}`);
  });
  for (const [title, file, only] of INSIDE.filter(([name]) => chosen.length === 0 || chosen.includes(name))) {
    await check(`inside: ${title}`, async () => {
      const pattern = only === undefined ? "" : ` --test-name-pattern='${only}'`;
      const options = `--test --test-timeout=${TEST_MS} --test-reporter=spec${pattern}`;
      const { code, output } = await machine.shell(`${inside} ${options} ${file}`, { timeoutMs: 900_000, loud: true });
      const passed = /\bpass (\d+)/.exec(output)?.[1];
      return must(code === 0 && Number(passed) > 0, `status ${code}`) || `${passed} tests`;
    });
  }

  await ask(`${inside} test/vm/inside/apps.ts make`, 300_000);
  const before = await shown();
  await check("systemctl restart of all units leaves dynos running", async () => {
    await ask("systemctl restart 'stator-*.service'");
    const after = await shown(before.as, 60);
    return must(same(before, after), `${JSON.stringify(before)}\n${JSON.stringify(after)}`);
  });
  await check("systemctl stop leaves dynos and router answering, and start finds them", async () => {
    await ask("systemctl stop 'stator-*.service'");
    const hello = "curl -sS -f -m 20 -H 'Host: hello.localhost' http://127.0.0.1/";
    await ask(hello);
    await ask("systemctl start $(systemctl list-unit-files --no-legend 'stator-*.service' | cut -d' ' -f1)");
    const after = await shown(before.as, 60);
    return must(same(before, after), `${JSON.stringify(before)}\n${JSON.stringify(after)}`);
  });
  await check("kill -9 of all our processes at once", async () => {
    await ask("systemctl kill -s KILL --kill-whom=main 'stator-*.service' || true"); // the unit of the dynos' scope has no process
    const after = await shown(before.as, 60);
    return must(same(before, after), `${JSON.stringify(before)}\n${JSON.stringify(after)}`);
  });
  await check("a reboot brings every app back as it was, without a person", async () => {
    await machine.reboot();
    const after = await shown(before.as, 240);
    const fresh = after.ids.every((id) => !before.ids.includes(id));
    return must(
      JSON.stringify(after.as) === JSON.stringify(before.as) && fresh,
      `${JSON.stringify(before)}\n${JSON.stringify(after)}`,
    );
  });
  await check("after it: IPv6, units, nothing failed", async () => {
    must((await ask(route)) === route6, "the IPv6 route has gone");
    must((await ask("systemctl --failed --no-legend")) === "", await ask("systemctl --failed --no-legend"));
    return "";
  });
  await check("a power cut brings every app back too", async () => {
    await machine.powerCut();
    const after = await shown(before.as, 240);
    return must(
      JSON.stringify(after.as) === JSON.stringify(before.as),
      `${JSON.stringify(before)}\n${JSON.stringify(after)}`,
    );
  });
  await check("uninstall leaves nothing", async () => {
    await ask("cd /root/stator && ./bin/stator uninstall --yes", 300_000);
    const left = await ask(`${inside} test/vm/inside/leftovers.ts`);
    const units = await ask(
      "systemctl list-units --all --no-legend 'stator*'; ls /opt /usr/local/bin | grep -i stator; true",
    );
    return must(/^0 left$/m.test(left) && units === "", `${left}\n${units}`);
  });
}

interface Shown {
  readonly as: unknown;
  readonly ids: readonly string[];
}

const same = (one: Shown, other: Shown): boolean => JSON.stringify(one) === JSON.stringify(other);

async function bringStacks(machine: Machine): Promise<void> {
  const to = "/var/lib/stator/host/stacks";
  const { code, output } = await machine.shell(
    `mkdir -p ${to} && mount -o ro /dev/vdb /mnt && cp /mnt/debian* ${to} && umount /mnt`,
    {
      timeoutMs: 120_000,
    },
  );
  if (code !== 0) throw new Error(`the stacks could not be brought in: ${output}`);
  say("stacks that were built before are in: bin/up will not build them");
}

async function bringCheckout(machine: Machine): Promise<void> {
  const { stdout: names } = await run("git", [
    "-C",
    checkout,
    "ls-files",
    "-z",
    "--cached",
    "--others",
    "--exclude-standard",
  ]);
  const present = names.split("\0").filter((name) => name !== "" && existsSync(join(checkout, name)));
  const tar = start("tar", ["-C", checkout, "-c", "--null", "-T", "-"], { stdio: ["pipe", "pipe", "inherit"] });
  tar.stdin?.end(present.join("\0"));
  const chunks: Buffer[] = [];
  tar.stdout?.on("data", (chunk: Buffer) => chunks.push(chunk));
  await ended(tar, "tar");
  const { code, output } = await machine.shell("mkdir -p /root/stator && tar -C /root/stator -x", {
    input: Buffer.concat(chunks),
    timeoutMs: 120_000,
  });
  if (code !== 0) throw new Error(`the checkout could not be brought in: ${output}`);
  say("the checkout is in");
}

try {
  await main();
} catch (error) {
  say(`FAILED: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
} finally {
  if (process.env["STATOR_VM_FOLDER"] === undefined) rmSync(folder, { recursive: true, force: true });
}
