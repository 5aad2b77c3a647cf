import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  config,
  type DynoJson,
  deployed,
  eventually,
  type Files,
  logsOf,
  platform,
  statorOk,
  throughRouter,
  waitLog,
  waitUp,
} from "./harness.ts";

/** What dynos really do, and what the platform says that they use (spec 6.1, 8.5). */
const MIB = 1024 * 1024;

/** Does what it is asked for: holds memory, burns processor time, fills its disk, starts processes, answers at length. */
const glutton: Files = {
  Procfile: "web: exec python3 app.py\n",
  "app.py": `
import os, subprocess, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
held = []
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        what, amount = self.path.strip("/").split("/")
        amount = int(amount)
        text = b"done\\n"
        if what == "hold":
            held.append(bytearray(b"x") * (amount * 1024 * 1024))
        if what == "burn":
            until = time.process_time() + amount / 1000
            while time.process_time() < until: pass
        if what == "fill":
            with open("/tmp/filled", "wb") as file:
                for _ in range(amount): file.write(os.urandom(1024 * 1024))
                file.flush()
                os.fsync(file.fileno())
        if what == "spawn":
            for _ in range(amount): held.append(subprocess.Popen(["sleep", "1000"]))
        if what == "answer":
            text = b"x" * (amount * 1024)
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *args): pass
HTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
`,
};

interface Usage {
  readonly id: string;
  readonly name: string;
  readonly memory_rss_bytes: number;
  readonly memory_cache_bytes: number;
  readonly memory_quota_bytes: number;
  readonly memory_ceiling_bytes: number;
  readonly memory_percent: number;
  readonly cpu_time_ms: number;
  readonly processes: number;
  readonly disk_used_bytes: number | null;
  readonly io_write_bytes: number | null;
  readonly network_in_bytes: number;
  readonly network_out_bytes: number;
}

let app = "";
let dyno: DynoJson | undefined;
let dispose: () => Promise<void> = async () => {};
before(async () => {
  const made = await deployed("metrics", glutton);
  app = made.name;
  dispose = async () => made[Symbol.asyncDispose]();
  [dyno] = await waitUp(app, "web", 1);
});
after(() => dispose());

const ask = async (path: string) => assert.equal((await throughRouter(app, { path })).status, 200, path);
const usage = () => platform<Usage>("GET", `/apps/${app}/dynos/web.1/usage`);
/** Usage that was looked up after this instant. */
const freshUsage = async () => {
  await new Promise((resolve) => setTimeout(resolve, 2_100));
  return usage();
};

test("usage is what the dyno really did: memory, processor time, processes, disk, I/O, network", async () => {
  const idle = await freshUsage();
  assert.equal(idle.id, dyno?.id);
  assert.ok(idle.memory_rss_bytes > 2 * MIB && idle.memory_rss_bytes < 60 * MIB, JSON.stringify(idle));
  await ask("/hold/100");
  await ask("/burn/1500");
  await ask("/spawn/5");
  await ask("/fill/40");
  for (let n = 0; n < 10; n++) await ask("/answer/1024");
  const busy = await freshUsage();
  const grew = (field: keyof Usage) => Number(busy[field]) - Number(idle[field]);
  const within = (field: keyof Usage, least: number, most: number) =>
    assert.ok(grew(field) >= least && grew(field) <= most, `${field} grew by ${grew(field)}: ${JSON.stringify(busy)}`);
  within("memory_rss_bytes", 100 * MIB, 115 * MIB);
  within("cpu_time_ms", 1_500, 4_000);
  within("processes", 5, 5);
  within("network_out_bytes", 10 * MIB, 11 * MIB);
  within("network_in_bytes", 1_000, 2 * MIB);
  if (busy.io_write_bytes !== null) assert.ok(grew("io_write_bytes") >= 0);
  if (busy.disk_used_bytes !== null) {
    await eventually("the disk holds 40 MiB more", async () => {
      const now = await usage();
      const more = Number(now.disk_used_bytes) - Number(idle.disk_used_bytes);
      return more >= 40 * MIB && more < 45 * MIB;
    });
  }
  assert.equal(busy.memory_quota_bytes, 512 * MIB);
  const [listed] = await platform<readonly Usage[]>("GET", `/apps/${app}/usage`);
  assert.equal(listed?.name, "web.1");
  const table = await statorOk(["ps:usage", "web.1", "-a", app]);
  assert.match(table, /^web\.1 +1\d\dM\/512M \(2\d\.\d%\) .* \d+\/256 +4\dM\/2G /m);
  const seen = await statorOk(["routing:metrics", "-a", app]);
  const [, requests] = /^web\.1 +(\d+) +\d+\.\d\/s .*ms +\d+ +\d+$/m.exec(seen) ?? assert.fail(seen);
  assert.ok(Number(requests) >= 14, seen); // all that was asked here
});

test("spec 8.5: metrics lines come after labs:enable, in their exact form, and stop after labs:disable", async () => {
  const path = `/apps/${app}/features/log-runtime-metrics`;
  assert.doesNotMatch(await logsOf(app), /sample#/);
  await platform("PATCH", path, { enabled: true });
  const id = dyno?.id ?? "";
  const log = await waitLog(app, /sample#load_avg_1m=[\s\S]*sample#memory_total=/, 45_000);
  const load = new RegExp(
    `heroku\\[web\\.1\\]: source=web\\.1 dyno=heroku\\.\\d+\\.${id} sample#load_avg_1m=\\d+\\.\\d\\d sample#load_avg_5m=\\d+\\.\\d\\d sample#load_avg_15m=\\d+\\.\\d\\d$`,
    "m",
  );
  const memory = new RegExp(
    `heroku\\[web\\.1\\]: source=web\\.1 dyno=heroku\\.\\d+\\.${id} sample#memory_total=(\\d+\\.\\d\\d)MB sample#memory_rss=(\\d+\\.\\d\\d)MB sample#memory_cache=(\\d+\\.\\d\\d)MB sample#memory_swap=(\\d+\\.\\d\\d)MB( sample#memory_pgpgin=\\d+pages sample#memory_pgpgout=\\d+pages)? sample#memory_quota=512\\.00MB$`,
    "m",
  );
  assert.match(log, load);
  const [, total, rss, cache, swap] = (memory.exec(log) ?? assert.fail(log)).map(Number);
  assert.ok(Math.abs((total ?? 0) - ((rss ?? 0) + (cache ?? 0) + (swap ?? 0))) < 0.05);
  const now = await usage();
  assert.ok(Math.abs((rss ?? 0) - now.memory_rss_bytes / MIB) < 20, `${rss} MB, ${now.memory_rss_bytes}`);
  for (let round = 0; round < 2; round++) await ask("/burn/8000"); // each within the router's 30 s, on a busy machine too
  const busy = await eventually(
    "a load above 0.1",
    async () => [...(await logsOf(app)).matchAll(/load_avg_1m=(\d+\.\d\d)/g)].some(([, value]) => Number(value) > 0.1),
    60_000,
  );
  assert.ok(busy);
  await platform("PATCH", path, { enabled: false });
  const count = async () => [...(await logsOf(app)).matchAll(/sample#memory_total/g)].length;
  const before = await count();
  await new Promise((resolve) => setTimeout(resolve, 25_000));
  assert.equal(await count(), before, "a sample later");
});

test("spec 6.1: a dyno that holds more than its quota, and is not killed, has R14 with each sample", async () => {
  raiseCeiling(await usage());
  await ask("/hold/520");
  const held = await freshUsage();
  assert.ok(held.memory_percent > 100 && held.memory_ceiling_bytes > held.memory_quota_bytes, JSON.stringify(held));
  const twice =
    /Process running mem=(\d+)M\((\d+\.\d)%\)\n.*heroku\[web\.1\]: Error R14 \(Memory quota exceeded\)\n[\s\S]*Error R14 \(Memory quota exceeded\)/;
  const log = await waitLog(app, twice, 60_000);
  const [, megabytes, percent] = (twice.exec(log) ?? []).map(Number);
  assert.ok(
    Math.abs((megabytes ?? 0) - held.memory_rss_bytes / MIB) < 10,
    `${megabytes} M, ${held.memory_rss_bytes} bytes`,
  );
  assert.ok(Math.abs((percent ?? 0) - (100 * (megabytes ?? 0)) / 512) < 0.3, `${percent} %`);
  const times = [...log.matchAll(/^(\S+) heroku\[web\.1\]: Error R14/gm)].map(([, time]) => Date.parse(time ?? ""));
  const apart = (times[1] ?? 0) - (times[0] ?? 0);
  assert.ok(apart > 19_000 && apart < 25_000, `${apart} ms apart`);
  assert.equal((await usage()).id, dyno?.id, "it was not killed");
});

test("spec 6.1: at the ceiling R15 with the memory that it held, and status 137", async () => {
  const { memory_ceiling_bytes: ceiling } = await usage();
  await throughRouter(app, { path: `/hold/${Math.ceil(ceiling / MIB)}` });
  const ended =
    /heroku\[web\.1\]: Process running mem=(\d+)M\(\d+\.\d%\)\n\S+ heroku\[web\.1\]: Error R15 \(Memory quota vastly exceeded\)\n\S+ heroku\[web\.1\]: Stopping process with SIGKILL\n\S+ heroku\[web\.1\]: Process exited with status 137\n\S+ heroku\[web\.1\]: State changed from up to crashed/;
  const log = await waitLog(app, ended);
  const megabytes = Number(ended.exec(log)?.[1]);
  assert.ok(megabytes > ceiling / MIB - 16 && megabytes <= ceiling / MIB, `${megabytes} M of ${ceiling} bytes`);
});

/** Where the size's ceiling is its quota, the dyno's own group is given more, so that R14 can be seen. */
function raiseCeiling({ id, memory_quota_bytes: quota, memory_ceiling_bytes: ceiling }: Usage): void {
  if (ceiling > quota) return;
  const parent = process.env["STATOR_CGROUP_PARENT"] ?? "";
  const group = join(parent, config.instance.cgroup, id);
  const limits = [
    join("/sys/fs/cgroup/memory", group, "memory.memsw.limit_in_bytes"),
    join("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes"),
    join("/sys/fs/cgroup", group, "memory.max"),
  ].filter((file) => existsSync(file));
  assert.ok(limits.length > 0, `no memory limit of ${group}`);
  for (const file of limits) writeFileSync(file, String(2 * quota));
  for (const file of limits) assert.equal(Number(readFileSync(file, "utf8")), 2 * quota);
}
