import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { ended, start } from "../../lib/command.ts";
import { jsonLogger } from "../../lib/logger.ts";
import { SimClock } from "../../lib/sim-clock.ts";
import type { HealthCheck } from "../../model/health.ts";
import { sizeNamed } from "../../model/size.ts";
import { type DynoSpec, EngineError } from "../engine.ts";
import { DynoFolder, EXITS, isAlive, type Labels, type ProcessRef } from "./dyno-folder.ts";
import { LocalEngine } from "./local-engine.ts";
import { Standbys } from "./standbys.ts";
import { StartsAhead } from "./starts-ahead.ts";
import { Tombstones } from "./tombstones.ts";
import { takeApart, type Workshop } from "./workshop.ts";

const GONE: ProcessRef = { pid: 0, startedAt: "" };

test("a dyno whose network is gone does not run; one whose network is there does, and only then the rest is nobody's", async () => {
  await using host = new Host();
  const [whole, cut] = [await host.dyno({ index: 5 }), await host.dyno({ index: 6 })];
  for (const folder of [whole, cut]) {
    await host.conmonOf(folder);
    await folder.setStarted({ at: 1, conmon: (await folder.conmon()) ?? GONE });
  }
  host.networks.delete(6);
  await using engine = await host.open();
  assert.deepEqual(
    (await engine.list()).map(({ id, state }) => [id, state.kind]),
    [[host.idOf(whole), "running"]],
  );
  assert.ok(!existsSync(cut.path), "it is taken apart, as what was never whole is");
  assert.deepEqual(host.calls.toSorted(), ["adopt 5", "adopt 6", "adopted", "release 6"]);
  assert.equal(host.calls.at(-1), "adopted");
});

test("a network is given back once: later its number may be another dyno's", async () => {
  await using host = new Host();
  const folder = await host.dyno({ index: 5 });
  await takeApart(host.shop, folder, host.idOf(folder));
  await takeApart(host.shop, folder, host.idOf(folder));
  assert.deepEqual(host.calls, ["release 5"]);
});

test("a network that could not be given back is given back the next time", async () => {
  await using host = new Host();
  const folder = await host.dyno({ index: 5 });
  host.failing = true;
  await assert.rejects(takeApart(host.shop, folder, host.idOf(folder)));
  host.failing = false;
  await takeApart(host.shop, folder, host.idOf(folder));
  assert.deepEqual(host.calls, ["release 5", "release 5"]);
});

for (const [title, watchers] of [
  ["its conmon is moved to the watchers", "conmon"],
  ["it is adopted also where its conmon cannot be moved", "nowhere"],
] as const)
  test(`a dyno that was let begin just before the host process died: ${title}`, async () => {
    await using host = new Host();
    const procs = join(host.groups, watchers, "cgroup.procs");
    mkdirSync(join(host.groups, watchers));
    const folder = await host.dyno({ index: 5 });
    const conmon = await host.conmonOf(folder);
    host.state = "running";
    await using engine = await host.open();
    assert.deepEqual(
      (await engine.list()).map(({ state }) => state.kind),
      ["running"],
    );
    assert.equal((await folder.started())?.conmon.pid, conmon);
    if (watchers === "conmon") assert.equal(readFileSync(procs, "utf8"), String(conmon));
    else assert.match(host.log, /dyno\.watcher_not_moved/);
  });

test("a process that has conmon's number and is another is neither moved nor killed", async () => {
  await using host = new Host();
  const folder = await host.dyno({ index: 5 });
  const stranger = await host.conmonOf(folder, randomUUID());
  assert.equal(await folder.conmon(), undefined);
  await takeApart(host.shop, folder, host.idOf(folder));
  process.kill(stranger, 0);
});

test("takeApart kills a conmon that hangs", async () => {
  await using host = new Host();
  const folder = await host.dyno({ index: 5 });
  await host.conmonOf(folder);
  const conmon = await folder.conmon();
  assert.ok(conmon);
  await takeApart(host.shop, folder, host.idOf(folder));
  await until(() => !isAlive(conmon));
});

test("an end that could not be noted is noted by a later look, and the patrol goes on meanwhile", async () => {
  await using host = new Host();
  const folder = await host.dyno({ index: 5 });
  await folder.setStarted({ at: 1, conmon: GONE });
  const inTheWay = folder.file(".ended.json.tmp");
  mkdirSync(inTheWay);
  writeFileSync(join(host.bundles, EXITS, host.idOf(folder)), "3");
  await using engine = await host.open();
  const stateOf = async () => (await engine.list())[0]?.state;
  const failures = () => host.log.split("dyno.look_failed").length - 1;
  await until(async () => {
    await host.clock.advance(1000);
    return failures() >= 3;
  });
  assert.equal((await stateOf())?.kind, "running");
  await assert.rejects(engine.remove(host.idOf(folder)));
  rmSync(inTheWay, { recursive: true });
  await until(async () => {
    await host.clock.advance(1000);
    return (await stateOf())?.kind === "ended";
  });
  await engine.remove(host.idOf(folder));
  assert.deepEqual(await engine.list(), []);
});

test("a dyno that was killed below its own ceiling is noted as such, with a warning", async () => {
  await using host = new Host();
  const folder = await host.dyno({ index: 5 });
  await folder.setStarted({ at: 1, conmon: GONE });
  const group = join(host.groups, host.idOf(folder));
  mkdirSync(group);
  writeFileSync(join(group, "memory.events"), "max 0\noom 0\noom_kill 1\n");
  writeFileSync(join(host.bundles, EXITS, host.idOf(folder)), "137");
  await using engine = await host.open();
  const [dyno] = await engine.list();
  rmSync(group, { recursive: true });
  assert.ok(dyno?.state.kind === "ended");
  const { status, outOfMemory, machineOutOfMemory } = dyno.state;
  assert.deepEqual(
    { status, outOfMemory, machineOutOfMemory },
    { status: 137, outOfMemory: false, machineOutOfMemory: true },
  );
  assert.deepEqual(await folder.ended(), dyno.state);
  assert.match(host.log, /"warn".*dyno\.machine_out_of_memory/);
  let isRemoved = false;
  const removed = engine.remove(host.idOf(folder)).then(() => {
    isRemoved = true;
  });
  await until(async () => {
    await host.clock.advance(1000); // its group was looked at while the file was still in it
    return isRemoved;
  });
  await removed;
});

test("an adopted dyno takes up what it was started with, whatever its size's name means by now", async () => {
  await using host = new Host();
  const basic = sizeNamed("Basic") ?? assert.fail();
  const told = await host.dyno({ index: 5, size: "Gone", limits: { ...basic, name: "Gone", memoryMb: 3072 } });
  const untold = await host.dyno({ index: 6 });
  for (const folder of [told, untold]) {
    await host.conmonOf(folder);
    await folder.setStarted({ at: 1, conmon: (await folder.conmon()) ?? GONE });
  }
  await using engine = await host.open();
  const free = 4 * 4096 - 3072 - basic.memoryMb;
  const large = { ...spec(), size: "Performance-L" };
  await assert.rejects(engine.start(large), new RegExp(`${free} MB of the 16384 MB for dynos are free`));
});

test("a dyno is asked, and what it says counts, also while nothing can be written down", async () => {
  await using host = new Host();
  host.address = "127.0.0.1";
  const server = createServer((_request, response) => response.end()).listen(0, host.address);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // it listens on TCP
  const folder = await host.dyno({ index: 5, port, checks: [READINESS] });
  await host.conmonOf(folder);
  await folder.setStarted({ at: 1, conmon: (await folder.conmon()) ?? GONE });
  const inTheWay = ["listening", "health.json", "marks.json"].map((name) => folder.file(`.${name}.tmp`));
  for (const path of inTheWay) mkdirSync(path);
  try {
    await using engine = await host.open();
    const isSeen = async (isReady: boolean): Promise<boolean> => {
      await host.clock.advance(1000);
      const state = (await engine.list())[0]?.state;
      return state?.kind === "running" && state.listening && state.health?.ready === isReady;
    };
    await until(() => isSeen(true));
    assert.equal(host.log.split("dyno.note_failed").length - 1 >= 3, true, host.log);
    for (const path of inTheWay) rmSync(path, { recursive: true });
    await until(async () => (await isSeen(true)) && existsSync(folder.file("health.json")));
    server.closeAllConnections();
    server.close();
    await until(() => isSeen(false));
  } finally {
    server.close();
  }
});

test("starts at the same time cannot take the same memory, however long each is looked at", async () => {
  await using host = new Host();
  await using engine = await host.open({ memoryMb: 512 / 4, refusal: () => pause(5, null) });
  const specs = [1, 2, 3].map((ordinal): DynoSpec => ({ ...spec(), name: `web.${ordinal}` }));
  const ends = await Promise.all(specs.map((each) => engine.start(each).catch((error: unknown) => error)));
  assert.deepEqual(
    ends.map((end) => end instanceof EngineError && end.id),
    ["failed", "no_capacity", "no_capacity"], // there is nothing here to start one with
  );
});

/** What the engine stands on, without root: no program of the runtime, the kernel's network and disks are there only by name. */
class Host implements AsyncDisposable {
  readonly clock = new SimClock();
  readonly networks = new Set([5, 6]);
  /** What was asked of the network. */
  readonly calls: string[] = [];
  readonly groups: string;
  readonly bundles: string;
  readonly shop: Workshop;
  log = "";
  /** What the runtime says of every container. */
  state: "none" | "running" = "none";
  failing = false;
  /** Of every dyno; null: one in its network. */
  address: string | null = null;
  readonly #base = mkdtempSync(join(tmpdir(), "stator-local-engine-"));
  readonly #ends: (() => Promise<unknown>)[] = [];

  constructor() {
    [this.groups, this.bundles] = [join(this.#base, "groups"), join(this.#base, "bundles")];
    for (const folder of [this.groups, this.bundles, join(this.bundles, EXITS)]) mkdirSync(folder);
    const runtime = { canExec: true, delete: async () => {}, state: async () => this.state };
    const disposable = { [Symbol.asyncDispose]: async () => {} };
    const network = {
      adopt: (index: number) => {
        this.calls.push(`adopt ${index}`);
        return this.networks.has(index) ? { index, address: this.address ?? `10.0.0.${index}` } : undefined;
      },
      adopted: () => void this.calls.push("adopted"),
      release: async (index: number) => {
        this.calls.push(`release ${index}`);
        if (this.failing) throw new Error("no");
      },
      onRefused: () => ({ [Symbol.dispose]: () => {} }),
    };
    // Only what these tests come to.
    this.shop = {
      instance: { paths: { run: this.#base } },
      network,
      runtime,
      gvisor: runtime,
      cgroups: { kind: "v2", hybridMount: null, folders: [this.groups] },
      store: { ...disposable, list: async () => [], remove: async () => {} },
      logs: {
        list: async () => new Map(),
        remove: async () => {},
        mayHaveFilled: () => false,
        mayHaveGrown: () => false,
      },
      fifos: { end: async () => {} },
      userLimits: disposable,
      migration: disposable,
      clock: this.clock,
      logger: jsonLogger("test", (line) => {
        this.log += line;
      }),
    } as unknown as Workshop;
  }

  /** One that an earlier host process made. */
  async dyno({
    index,
    ...change
  }: { readonly index: number } & Partial<DynoSpec> & Partial<Labels>): Promise<DynoFolder> {
    const { env: _env, ...labels } = { ...spec(), ...change };
    const folder = new DynoFolder(this.bundles, labels.id);
    await folder.create({ createdAt: 0, ...labels });
    await folder.setNetwork({ index });
    return folder;
  }

  idOf(folder: DynoFolder): string {
    return folder.path.slice(this.bundles.length + 1);
  }

  /** A process with the words that conmon has, as the dyno's. */
  async conmonOf(folder: DynoFolder, id = this.idOf(folder)): Promise<number> {
    const child = start("perl", ["-e", "$| = 1; print 1; sleep 60", "conmon", id], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    const end = ended(child, "perl");
    this.#ends.push(() => {
      child.kill("SIGKILL");
      return end;
    });
    await new Promise((resolve) => child.stdout?.once("data", resolve));
    const { pid = 0 } = child;
    writeFileSync(folder.file("conmon.pid"), String(pid));
    return pid;
  }

  async open({ memoryMb = 4096, refusal = async () => null }: Opening = {}): Promise<LocalEngine> {
    const standbys = new Standbys(this.shop, this.bundles);
    return LocalEngine.open({
      shop: this.shop,
      ahead: new StartsAhead(this.shop, this.bundles, standbys),
      standbys,
      bundles: this.bundles,
      tombstones: await Tombstones.open(join(this.#base, "removed")),
      isolations: { refusal },
      memoryMb,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of this.#ends) await end();
    rmSync(this.#base, { recursive: true, force: true });
  }
}

const READINESS: HealthCheck = {
  kind: "readiness",
  name: null,
  probe: { kind: "http", path: "/", headers: [], status: null, content: null },
  intervalMs: 1000,
  timeoutMs: 1000,
  initialDelayMs: 0,
  attempts: 1,
  successes: 1,
};

interface Opening {
  readonly memoryMb?: number;
  readonly refusal?: () => Promise<null>;
}

function spec(): DynoSpec {
  return {
    id: randomUUID(),
    appId: randomUUID(),
    uidIndex: 1,
    kind: "formation",
    name: "web.1",
    releaseId: null,
    stack: "debian-12",
    slugDigest: null,
    command: "true",
    env: {},
    size: "Basic",
    port: null,
    terminal: null,
    stdin: false,
    isolation: "container",
    io: false,
  };
}

async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + 10_000; performance.now() < deadline; await pause(5))
    if (await isTrue()) return;
  assert.fail("it did not become true in 10 s");
}
