import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, type Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { type Builds, openBuilds } from "../../src/build/builds.ts";
import {
  type ByteStream,
  type DynoSpec,
  type Engine,
  EngineError,
  type ObservedDyno,
  type SlugRef,
} from "../../src/engine/engine.ts";
import { type Clock, systemClock } from "../../src/lib/clock.ts";
import { type ChildProcess, ended, start } from "../../src/lib/command.ts";
import { jsonLogger, silentLogger } from "../../src/lib/logger.ts";
import { systemRandom } from "../../src/lib/random.ts";
import type { LogLine } from "../../src/logs/line.ts";
import type { App, User } from "../../src/model/app.ts";
import { instanceOf } from "../../src/model/instance.ts";
import type { ReleaseStatus } from "../../src/model/release.ts";
import { openStore } from "../../src/store/sqlite.ts";
import type { Store } from "../../src/store/store.ts";
import type { Supervision } from "../../src/supervisor/supervision.ts";

/** For the tests of `src/build`: an engine whose build dynos are the real driver, with the host's own node and git. */
export class StandInEngine implements Engine {
  readonly #root: string;
  readonly #dynos = new Map<string, Dyno>();
  readonly slugs = new Map<string, Buffer>();
  /** Added to the environment of build dynos. */
  env: Readonly<Record<string, string>> = {};
  /** A file that is run in npm's place. */
  npm: string | undefined;
  /** Instead of the driver: talks to the daemon in whatever way. */
  impostor: ((socket: Writable & Readable) => void) | undefined;
  /** Images of slugs are begun and never made. */
  makesNoImage = false;
  /** Images that were asked for. */
  imagesAsked = 0;
  started = 0;

  constructor(root: string) {
    this.#root = root;
  }

  async startMarks(): Promise<null> {
    return null;
  }

  async list(): Promise<readonly ObservedDyno[]> {
    return [...this.#dynos.values()].map(({ spec, ended: end }) => ({
      id: spec.id,
      appId: spec.appId,
      kind: spec.kind,
      name: spec.name,
      releaseId: null,
      state: end
        ? { kind: "ended", at: 0, status: 1, outOfMemory: false }
        : { kind: "running", since: 0, listening: false, address: null },
    }));
  }

  async usage(): Promise<readonly never[]> {
    return [];
  }

  expectStart(): void {}
  standbyId(): undefined {}
  prepare(): void {}
  async start(spec: DynoSpec): Promise<void> {
    this.started += 1;
    const folder = mkdtempSync(join(this.#root, "d-"));
    const path = join(folder, "io.sock");
    const server = createServer();
    server.listen(path);
    await once(server, "listening");
    const connected = once(server, "connection").then(([socket]) => socket as Socket);
    const dyno: Dyno = { spec, folder, server, connected, child: undefined, ended: false };
    this.#dynos.set(spec.id, dyno);
    if (this.impostor) return this.#playImpostor(path, this.impostor);
    const [repository, cache, work] = ["repo", "cache"]
      .map((name) => join(this.#root, `${name}-${spec.appId}`))
      .concat(join(folder, "work"));
    for (const each of [repository, cache, work]) mkdirSync(each ?? "", { recursive: true });
    const driver = join(import.meta.dirname, "..", "..", "buildkit", "driver.ts");
    dyno.child = start(process.execPath, [driver], {
      env: {
        ...spec.env,
        HOME: work ?? "",
        STATOR_IO_SOCKET: path,
        STATOR_REPOSITORY: repository ?? "",
        STATOR_CACHE: cache ?? "",
        STATOR_WORK: work ?? "",
        ...this.env,
        ...(this.npm !== undefined && { STATOR_NPM: this.npm }),
      },
      stdio: ["ignore", "inherit", "inherit"],
    });
    dyno.child.once("exit", () => {
      dyno.ended = true;
    });
  }

  #playImpostor(path: string, impostor: (socket: Writable & Readable) => void): void {
    void import("node:net").then(({ connect }) => {
      const socket = connect(path);
      socket.on("error", () => {});
      impostor(socket);
    });
  }

  async exec(): Promise<ByteStream> {
    throw new EngineError("invalid", "nothing is run beside a build");
  }

  async io(id: string): Promise<ByteStream> {
    const dyno = this.#dynos.get(id);
    if (!dyno) throw new Error(`no dyno ${id}`);
    const socket = await dyno.connected;
    socket.on("error", () => {});
    return { readable: socket, writable: socket, close: () => void socket.destroy() };
  }

  async remove(id: string): Promise<void> {
    const dyno = this.#dynos.get(id);
    if (!dyno) return;
    if (dyno.child && !dyno.ended) {
      const gone = ended(dyno.child, "driver");
      dyno.child.kill("SIGTERM");
      await gone;
    }
    dyno.server.close();
    rmSync(dyno.folder, { recursive: true, force: true });
    this.#dynos.delete(id);
  }

  async isolationRefusal(): Promise<string | null> {
    return null;
  }
  async hasSlug(slug: SlugRef): Promise<boolean> {
    return this.slugs.has(`${slug.digest} ${slug.uidIndex}`);
  }

  async putSlug(slug: SlugRef, tar: Readable): Promise<void> {
    this.imagesAsked += 1;
    if (this.makesNoImage) await new Promise<never>(() => {});
    this.slugs.set(`${slug.digest} ${slug.uidIndex}`, await buffer(tar));
  }

  async removeSlug(): Promise<void> {}
  async removeApp(): Promise<void> {}
  async setEgress(): Promise<void> {}
  async trimLog(): Promise<void> {}
  async signal(): Promise<void> {}
  async resize(): Promise<void> {}
  async input(): Promise<Writable> {
    throw new Error("not here");
  }
  watch(): Disposable {
    return { [Symbol.dispose]: () => {} };
  }
  notices(): Disposable {
    return { [Symbol.dispose]: () => {} };
  }
}

interface Dyno {
  readonly spec: DynoSpec;
  readonly folder: string;
  readonly server: Server;
  readonly connected: Promise<Socket>;
  child: ChildProcess | undefined;
  ended: boolean;
}

/** A small platform around `openBuilds`: a real store, a real HTTP server, and a supervisor that decides at once. */
export interface World extends AsyncDisposable {
  readonly folder: string;
  readonly engine: StandInEngine;
  readonly store: Store;
  readonly app: App;
  readonly user: User;
  readonly log: LogLine[];
  /** What becomes of the next releases; a promise keeps the push waiting. */
  /** Old dynos that the next release finds no room beside. */
  noRoom: readonly string[];
  outcome: Promise<{ readonly status: ReleaseStatus; readonly failure: string | null }>;
  /** What release commands say; undefined: nothing. */
  commandSays: string | Readable | undefined;
  /** What becomes of a release's command. */
  endCommand: (releaseId: string, signal: AbortSignal) => Promise<void>;
  builds: Builds;
  /** Address of the app's repository. */
  readonly url: string;
  /** Stops `builds` and opens it again, as another daemon would. */
  restart(): Promise<void>;
}

export interface WorldOptions {
  readonly clock?: Clock;
  /** Used instead of the stand-in. */
  readonly realEngine?: Engine;
}

export async function openWorld({ clock = systemClock, realEngine }: WorldOptions = {}): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), "stator-b-"));
  const engine = new StandInEngine(folder);
  const store = await openStore({ path: ":memory:", key: [new Uint8Array(32)], clock });
  const user = await store.users.ensure("me@example.com");
  const app = await store.apps.create({ name: "hello", ownerId: user.id, stack: "debian-12", domain: "localhost" });
  const log: LogLine[] = [];
  const config = {
    instance: instanceOf(join(folder, "home")),
    apiPort: 5480,
    tlsPort: 5443,
    httpPort: 8080,
    httpsPort: 8443,
    domain: "localhost",
    disk: "auto" as const,
    auditDays: 400,
    execAddress: null,
  };
  const open = (): Promise<Builds> =>
    openBuilds({
      store,
      engine: realEngine ?? engine,
      supervision: supervisionOf(
        () => world.outcome,
        () => world.noRoom,
        (releaseId, signal) => world.endCommand(releaseId, signal),
      ),
      commands: {
        stream: async () =>
          world.commandSays === undefined
            ? undefined
            : typeof world.commandSays === "string"
              ? Readable.from([world.commandSays])
              : world.commandSays,
      },
      logs: { append: (_appId, line) => void log.push(line) },
      config,
      history: async () => log,
      clock,
      random: systemRandom,
      logger: realEngine ? jsonLogger("builds") : silentLogger,
    });
  const server = createHttpServer((request, response) => {
    const rest = (request.url ?? "").replace(/^\/hello\.git\//, "");
    void world.builds.handleGit(request, response, { app, user, rest });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo; // a TCP server has one
  const world: World = {
    folder,
    engine,
    store,
    app,
    user,
    log,
    noRoom: [],
    commandSays: undefined,
    endCommand: (releaseId) => store.releases.setPhase(releaseId, "done"),
    outcome: Promise.resolve({ status: "succeeded", failure: null }),
    builds: undefined as unknown as Builds, // set before anybody sees it
    url: `http://127.0.0.1:${port}/hello.git`,
    async restart() {
      await world.builds[Symbol.asyncDispose]();
      world.builds = await open();
    },
    async [Symbol.asyncDispose]() {
      await world.builds[Symbol.asyncDispose]();
      server.closeAllConnections();
      server.close();
      await store[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  world.builds = await open();
  return world;
}

function supervisionOf(
  outcome: () => World["outcome"],
  noRoom: () => readonly string[],
  commandEnded: (releaseId: string, signal: AbortSignal) => Promise<void>,
): Supervision {
  return {
    prepare: async () => ({ newId: () => randomUUID(), begin: () => {} }),
    nudge: () => {},
    restart: async () => {},
    stop: async () => {},
    settled(_releaseId, signal, onNoRoom) {
      for (const name of noRoom()) onNoRoom?.(name);
      return Promise.race([
        outcome(),
        new Promise<never>((_resolve, reject) =>
          signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
        ),
      ]);
    },
    commandEnded,
    exited: async () => 0,
    health: async () => ({}),
    nextStarts: async () => ({}),
    idleDynos: async () => [],
    disconnect: async () => {},
    vanished: async () => {},
  };
}

export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A git repository of a developer. */
export class Checkout {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(world: World, files: Readonly<Record<string, string>>): Promise<Checkout> {
    const checkout = new Checkout(mkdtempSync(join(world.folder, "c-")));
    await checkout.git("init", "-q", "-b", "main");
    await checkout.commit(files);
    return checkout;
  }

  async commit(files: Readonly<Record<string, string>>): Promise<string> {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(this.folder, name, ".."), { recursive: true });
      writeFileSync(join(this.folder, name), text);
    }
    await this.git("add", "-A");
    await this.git("commit", "-q", "--allow-empty", "-m", "change");
    return (await this.git("rev-parse", "HEAD")).stdout.trim();
  }

  async git(...args: readonly string[]): Promise<Result> {
    return this.startGit(...args).result;
  }

  /** The program itself, and how it will end. */
  startGit(...args: readonly string[]): { readonly child: ChildProcess; readonly result: Promise<Result> } {
    const child = start("git", args, {
      cwd: this.folder,
      env: GIT_ENVIRONMENT,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    const texts = ["", ""];
    child.stdout?.setEncoding("utf8").on("data", (text: string) => (texts[0] += text));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (texts[1] += text));
    const result = ended(child, "git").then(({ code }) => ({ code, stdout: texts[0] ?? "", stderr: texts[1] ?? "" }));
    return { child, result };
  }
}

const GIT_ENVIRONMENT = {
  HOME: "/nonexistent",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_AUTHOR_NAME: "Test",
  GIT_AUTHOR_EMAIL: "test@example.com",
  GIT_COMMITTER_NAME: "Test",
  GIT_COMMITTER_EMAIL: "test@example.com",
  GIT_TERMINAL_PROMPT: "0",
};
