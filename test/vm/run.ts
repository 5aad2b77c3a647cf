import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ended, run, start } from "../../src/lib/command.ts";
import { ensurePackages } from "../packages.ts";
import { boot, HOST_PACKAGES, type Machine, makeImage } from "./machine.ts";

/**
 * `npm run test:vm`: a Debian machine with systemd and cgroup v2, the checkout brought in, `bin/up` from nothing, what only such
 * a machine can show, a reboot, and an uninstall. Prints what it saw with the seconds it took; ends with 1 at the first failure.
 */
const checkout = join(import.meta.dirname, "..", "..");
const folder = process.env["STATOR_VM_FOLDER"] ?? "/var/tmp/stator-vm";
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
  say("booting");
  await using machine = await boot(folder);
  say("the machine is up");
  await bringCheckout(machine);
  await checks(machine);
  say("all passed");
}

async function checks(machine: Machine): Promise<void> {
  const expect = async (title: string, commandLine: string, pattern: RegExp, timeoutMs = 60_000): Promise<string> => {
    const { code, output } = await machine.shell(commandLine, { timeoutMs });
    if (!pattern.test(output)) throw new Error(`${title}: status ${code}\n$ ${commandLine}\n${output}`);
    say(`ok: ${title}`);
    return output;
  };
  const hello = "curl -sS -m 20 -H 'Host: hello.localhost' http://127.0.0.1/";
  await expect("cgroup v2 and systemd", "stat -fc %T /sys/fs/cgroup; systemctl --version", /cgroup2fs[\s\S]*systemd/);
  const up = await machine.shell("cd /root/stator && ./bin/up", { timeoutMs: 1_500_000, loud: true });
  if (up.code !== 0) throw new Error(`bin/up: status ${up.code}`);
  say("ok: bin/up from nothing");
  await expect("hello answers", hello, /./);
  await expect("doctor", "stator doctor; true", /cgroup/i);
  await expect(
    "units",
    "systemctl list-units 'stator*' --no-legend",
    /stator-\w+-host\.service\s+loaded active running[\s\S]*|stator-\w+\.service/,
  );
  await expect(
    "limits are in cgroup v2",
    "cat $(find /sys/fs/cgroup -path '*stator*' -name memory.max) | sort -u",
    /536870912/,
  );
  const before = await expect(
    "a dyno's id",
    "stator run -a hello -- true >/dev/null 2>&1; pgrep -f 'node.*(server|index|web)' | sort | head -3",
    /\d/,
  );
  await expect(
    "systemctl restart leaves dynos running",
    `systemctl restart 'stator-*.service'; sleep 3; pgrep -f 'node.*(server|index|web)' | sort | head -3`,
    new RegExp(before.trim().split("\n")[0] ?? "never"),
    120_000,
  );
  await expect("hello still answers", hello, /./);
  await expect(
    "kill -9 of both processes",
    `systemctl kill -s KILL --kill-whom=main 'stator-*.service'; ${hello}; sleep 8; stator ps -a hello`,
    /web\.1: up/,
    120_000,
  );
  say("rebooting");
  await machine.reboot();
  await expect(
    "after a reboot hello answers, without a person",
    `for i in $(seq 60); do ${hello} -f && break; sleep 2; done`,
    /hello/i,
    240_000,
  );
  await expect("the apps are as they were", "stator ps -a hello", /web\.1: up/, 120_000);
  await expect(
    "uninstall",
    "cd /root/stator && ./bin/stator uninstall --yes; ls /etc/systemd/system | grep -c stator; nft list tables | grep -c stator; ls /var/lib/stator 2>&1",
    /0\n0\n.*No such/,
    240_000,
  );
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
