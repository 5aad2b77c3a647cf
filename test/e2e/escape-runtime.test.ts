import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import tar, { type Header } from "tar-stream";
import { specOf, until, untilEnded } from "../../src/engine/contract.ts";
import type { DynoSpec } from "../../src/engine/engine.ts";
import type { RuntimeName } from "../../src/engine/local/runtime.ts";
import { run } from "../../src/lib/command.ts";
import { BUILD_SIZE } from "../../src/model/size.ts";
import { EngineHost } from "./engine-host.ts";
import { putTar } from "./slugs.ts";

/**
 * Decision 17: the published holes of container runtimes against our use of them, with each runtime that Debian ships; and
 * slugs that only somebody who has a build dyno's place could send.
 */
let host: EngineHost;
let engine: Awaited<ReturnType<EngineHost["openEngine"]>>;

before(async () => {
  host = await EngineHost.open();
  engine = await host.openEngine({ runtimes: ["crun", "runc"] });
});
after(async () => {
  await removeAll();
  await engine.close();
  await host[Symbol.asyncDispose]();
});

async function removeAll(): Promise<void> {
  await Promise.all((await engine.list()).map(({ id }) => engine.remove(id)));
}

/** Opens the engine anew, with this runtime alone. */
async function withRuntime(name: RuntimeName): Promise<void> {
  await removeAll();
  await engine.close();
  await run("rm", ["-f", join(host.instance.paths.bundles, "runtime")]);
  engine = await host.openEngine({ runtimes: [name] });
}

async function output(command: string, change: Partial<DynoSpec> = {}): Promise<string> {
  const spec = specOf({ command, kind: "run", name: "run.1", ...change });
  await engine.start(spec);
  await untilEnded(engine, spec.id);
  const log = readFileSync(join(host.instance.paths.logs, `${spec.id}.log`), "utf8").replaceAll("\r", "");
  await engine.remove(spec.id);
  return log.replace(/^\S+ (?:stdout|stderr) F (.*\n)/gm, "$1").replace(/^\S+ (?:stdout|stderr) P (.*)\n/gm, "$1");
}

const PROGRAMS = ["/usr/bin/crun", "/usr/sbin/runc", "/usr/bin/conmon"];
/** What makes containers where crun is used, and watches over them: nobody can write to it. */
const copyOf = (name: string) => join(host.instance.paths.host, "mnt", "runtime", name);
const digests = () =>
  [...PROGRAMS, copyOf("crun"), copyOf("conmon")].map((path) =>
    createHash("sha256").update(readFileSync(path)).digest("hex"),
  );

/** One `<at> <type> <options>` for each mount. */
const MOUNTS = `while read -r _ _ _ root at options rest; do echo "$at $root $options"; done < /proc/self/mountinfo`;
/** Masked files that this kernel has. */
const MASKED = ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts"].filter((each) => existsSync(each));

function mustBeMasked(text: string): void {
  for (const path of MASKED)
    assert.match(
      text,
      new RegExp(`^${path} /null `, "m"),
      `${path} is covered by the host's /dev/null and nothing else`,
    );
  assert.match(text, /^\/proc\/sys \/sys ro/m);
  for (const [, at = "", root = ""] of text.matchAll(/^(\/dev\/\w+) (\S+) /gm))
    assert.ok(root === "/" || root === `/${at.slice(5)}` || /^\/\d+$/.test(root), `${at} is ${root}`);
}

for (const runtime of ["crun", "runc"] as const) {
  test(`${runtime}: descriptors, working folder and masked paths, with pipes and with a terminal (CVE-2024-21626, -2025-31133, -52565)`, async () => {
    await withRuntime(runtime);
    const before = digests();
    const look = [
      "echo open $(ls /proc/1/fd | tr '\\n' ' ')",
      'for n in $(seq 0 40); do (cd /proc/self/fd/$n/ 2>/dev/null && echo "went to $(pwd -P)"); (cd /proc/1/fd/$n/ 2>/dev/null && echo "went to $(pwd -P)"); done',
      "echo in $(readlink /proc/1/cwd) $(readlink /proc/self/cwd)",
      MOUNTS,
      "ls -l /dev/console /dev/ptmx; for f in /dev/null /dev/console /dev/pts/0; do rm -f $f; ln -sf /proc/sys/kernel/core_pattern $f; done",
      "echo x > /proc/self/exe; echo x > /proc/1/exe; printf '#!/proc/self/exe\\n' > /app/evil; chmod +x /app/evil; /app/evil",
      "grep -c 'null\\|core_pattern' /proc/self/mountinfo; cat /proc/keys | wc -c",
    ].join("\n");
    const pipes = await output(`{ ${look}\n} 2>&1`);
    assert.match(pipes, /^open 0 1 2 ?$/m);
    assert.doesNotMatch(pipes, /^went to /m);
    assert.match(pipes, /^in \/app \/app$/m);
    assert.match(pipes, /cannot remove '\/dev\/null': (Read-only file system|Permission denied)/);
    mustBeMasked(pipes);
    const terminal = await output(`{ ${look}\n} 2>&1`, { terminal: { rows: 24, columns: 200 } });
    assert.match(terminal, /^open 0 1 2( 255)? ?$/m); // bash keeps its terminal as 255
    assert.doesNotMatch(terminal, /^went to /m);
    assert.match(terminal, /^in \/app \/app$/m);
    assert.match(terminal, /cannot remove '\/dev\/console': (Permission denied|Device or resource busy)/);
    mustBeMasked(terminal);
    assert.deepEqual(digests(), before, "no runtime was changed (CVE-2019-5736)");
    for (const name of ["crun", "conmon"])
      assert.throws(() => openSync(copyOf(name), "r+"), { code: "EROFS" }, "not even by root");
  });

  test(`${runtime}: while a build dyno swaps links in what it shares with the next ones, these are made as they should (CVE-2025-52881)`, async () => {
    await withRuntime(runtime);
    const build: Partial<DynoSpec> = {
      appId: randomUUID(),
      kind: "build",
      name: "build.1",
      stack: "debian-12-build",
      size: BUILD_SIZE.name,
      io: true,
    };
    const swap = `cd /repo; mkdir -p a/dev a/proc; ln -sfn / b; echo swapping; while :; do
      for root in /repo /cache; do ln -sfn /proc/sys $root/proc; ln -sfn /dev $root/dev; ln -sfn /etc $root/.git; mv -T $root/dev $root/x; mv -T $root/x $root/dev; rm -f $root/proc; mkdir -p $root/proc; rmdir $root/proc; done
      done 2>/dev/null`;
    const racer = specOf({ ...build, command: swap });
    await engine.start(racer);
    await until(engine, racer.id, (state) => state.kind === "running" && Date.now() - state.since > 300);
    for (let count = 0; count < 8; count++) {
      const text = await output(`${MOUNTS}; ls -ld /repo /cache | cut -c1-10`, build);
      mustBeMasked(text);
      for (const place of ["/repo", "/cache"])
        assert.equal([...text.matchAll(new RegExp(`^${place}[ /].*`, "gm"))].length, 1, `${place} is mounted once`);
      assert.match(text, /^\/repo \/repo-\S+ rw,nosuid,nodev/m);
    }
    const alive = (await engine.list()).find(({ id }) => id === racer.id);
    assert.equal(alive?.state.kind, "running", "it raced all the time");
    await engine.remove(racer.id);
  });
}

test("slugs with set-uid files, odd names, loops and links give nobody any power", async () => {
  await withRuntime("crun");
  const long = "d/".repeat(200);
  const slug = await putSlug([
    [{ name: "./suid", mode: 0o6755 }, readFileSync("/usr/bin/id")],
    [{ name: "./-rf" }, "dash"],
    [{ name: "./new\nline" }, "x"],
    [{ name: "./$(touch pwned)" }, "x"],
    [{ name: "./loop", type: "symlink", linkname: "loop" }],
    [{ name: "./root", type: "symlink", linkname: "/" }],
    [{ name: "./up", type: "symlink", linkname: "../../../../../../.." }],
    [{ name: "./proc", type: "symlink", linkname: "/proc/sys/kernel/core_pattern" }],
    [{ name: "./.profile.d", type: "symlink", linkname: "/etc/profile.d" }],
    [{ name: "./first" }, "one"],
    [{ name: "./second", type: "link", linkname: "./first" }],
    [{ name: `./${long}deep` }, "deep"],
    [{ name: "./closed", mode: 0o000 }, "closed"],
  ]);
  const command = `./suid -u; ./suid -g; cat ./-rf; ls -1 | wc -l; cat ${long}deep second; cat closed; (echo x > proc) 2>&1; ls root | head -3; stat -c '%u %a' suid`;
  const text = await output(command, slug);
  assert.match(text, /^1000\n1000\ndash/);
  assert.match(text, /deepone/);
  assert.match(text, /proc: (Permission denied|Read-only file system)/);
  assert.doesNotMatch(text, /^0$/m);
  for (const type of ["block-device", "character-device"] as const)
    await assert.rejects(putSlug([[{ name: "./device", type, devmajor: 7, devminor: 0 }]]), /cannot be unpacked/);
});

type Entry = readonly [header: Partial<Header> & Pick<Header, "name">, content?: string | Buffer];

async function putSlug(entries: readonly Entry[]): ReturnType<typeof putTar> {
  const pack = tar.pack();
  for (const [header, content] of entries) {
    if (content === undefined) pack.entry(header);
    else pack.entry(header, content);
  }
  return putTar(engine, pack);
}
