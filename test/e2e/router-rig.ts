import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync } from "node:fs";
import {
  createServer as createHttpServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type Server,
} from "node:http";
import { type AddressInfo, connect, createServer, type Socket, type Server as TcpServer } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { selfSigned } from "../../src/host/certificates.ts";
import { Haproxy } from "../../src/host/haproxy.ts";
import type { HaproxyLayout, Timeouts } from "../../src/host/haproxy-config.ts";
import { HaproxySocket } from "../../src/host/haproxy-socket.ts";
import { RequestPark } from "../../src/host/request-park.ts";
import { RequestRingFiles } from "../../src/host/request-ring-files.ts";
import { systemClock } from "../../src/lib/clock.ts";
import { jsonLogger, silentLogger } from "../../src/lib/logger.ts";
import { type LogHub, openLogs } from "../../src/logs/hub.ts";
import { formatLine, type LogSink } from "../../src/logs/line.ts";
import { wakeSocket } from "../../src/model/sleep.ts";
import { RequestLog } from "../../src/router/request-log.ts";
import { requestRings, requestSocket } from "../../src/router/request-socket.ts";
import type { AppRoute, RouteState } from "../../src/router/routes.ts";
import { freePort } from "../support/free-port.ts";

/** A user that nobody is: HAProxy's, in these tests. */
export const ROUTER_UID = 64_321;

export interface RigOptions {
  readonly timeouts?: Partial<Timeouts>;
  readonly connectionsMax?: number;
  /** Default: a free one. */
  readonly httpPort?: number;
  /** `HaproxyOptions.spareAtStart`. */
  readonly spareAtStart?: number;
  /** false: nobody takes request lines yet. */
  readonly withDaemon?: boolean;
  /** true: HAProxy is taken for one whose rings nobody can read, and sends its request lines. */
  readonly sendsLines?: boolean;
}

/** HAProxy's files of request lines, on a disk where the machine has little memory for files; in these tests the daemon is root. */
class RingFiles extends RequestRingFiles {
  sendsLines = false;
  protected override async isInMemory(): Promise<boolean> {
    return true;
  }
  override async suits(program: string): Promise<boolean> {
    return (await super.suits(program)) && !this.sendsLines;
  }
}

/** A real HAProxy on free ports with dynos that are Node servers on 127.x.y.z; everything else is the real host side. */
export class RouterRig {
  readonly folder = mkdtempSync("/var/tmp/stator-router-");
  /** Of an installation `/run/stator-<id>`; on tmpfs if there is room for what tests leave in it. */
  readonly run: string = roomIn("/dev/shm") > 512 * 1024 * 1024 ? mkdtempSync("/dev/shm/stator-router-") : this.folder;
  readonly dynos = new Map<string, { readonly address: string; readonly port: number }>();
  readonly lines = new Map<string, string[]>();
  readonly names = new Map<string, string>();
  /** What the host side was warned of. */
  readonly warnings: string[] = [];
  readonly #servers: Server[] = [];
  readonly #standing = selfSigned(["localhost", "*.localhost"], Date.now());
  certificate = (): Promise<string> => this.#standing;
  readonly #spareAtStart: number | undefined;
  layout: HaproxyLayout;
  readonly rings: RingFiles;
  haproxy: Haproxy | undefined;
  requests: RequestLog | undefined;
  park: RequestPark | undefined;

  get instance(): { readonly paths: { readonly run: string; readonly daemonRun: string } } {
    return { paths: { run: this.run, daemonRun: join(this.folder, "daemon") } };
  }

  private constructor(ports: readonly [number, number], options: RigOptions) {
    this.#spareAtStart = options.spareAtStart;
    for (const each of [this.folder, this.run]) chmodSync(each, 0o755);
    const folder = join(this.folder, "router");
    const socketFolder = join(this.folder, "own");
    const ringFolder = requestRings(this.instance);
    for (const each of [folder, socketFolder, this.instance.paths.daemonRun]) mkdirSync(each, { mode: 0o755 });
    mkdirSync(ringFolder, { mode: 0o711 });
    chownSync(socketFolder, ROUTER_UID, ROUTER_UID);
    this.rings = new RingFiles({ folder: ringFolder, owner: { uid: ROUTER_UID, gid: 0 }, logger: silentLogger });
    this.layout = {
      folder,
      socketFolder,
      requestSocket: requestSocket(this.instance),
      wakeSocket: wakeSocket(this.instance),
      httpPort: ports[0],
      httpsPort: ports[1],
      ipv6: false,
      connectionsMax: 2000,
      ...options,
    };
  }

  static async open({ withDaemon = true, sendsLines = false, ...options }: RigOptions = {}): Promise<RouterRig> {
    const rig = new RouterRig([await freePort(), await freePort()], options);
    rig.rings.sendsLines = sendsLines;
    await using opening = new AsyncDisposableStack();
    opening.use(rig);
    await rig.startHost();
    if (withDaemon) await rig.startDaemon();
    await rig.haproxy?.reload(); // resolves once it is up
    opening.move();
    return rig;
  }

  /** The host process's part. */
  async startHost(): Promise<void> {
    this.haproxy = await Haproxy.open({
      layout: this.layout,
      user: { uid: ROUTER_UID, gid: ROUTER_UID },
      tables: { volatile: join(this.folder, "routes.json"), durable: join(this.folder, "routes-disk.json") },
      pidFile: join(this.folder, "haproxy.pid"),
      rings: this.rings,
      logFile: join(this.folder, "haproxy.log"),
      certificate: () => this.certificate(),
      addressOf: (dynoId) => this.dynos.get(dynoId),
      certificatesAtStart: 20,
      ...(this.#spareAtStart !== undefined && { spareAtStart: this.#spareAtStart }),
      isDynoAddress: (address) => address.startsWith("127."),
      clock: systemClock,
      logger: jsonLogger("router", (line) => {
        if (line.includes('"level":"warn"')) this.warnings.push(line);
        if (process.env["RIG_LOG"] !== undefined) process.stderr.write(line);
      }),
    });
  }

  /** The host process's part, too: who holds HAProxy's connection while the daemon is dead. */
  startPark(): void {
    this.park = new RequestPark({
      socket: this.layout.requestSocket,
      own: join(this.folder, "park.sock"),
      clock: systemClock,
      logger: jsonLogger("park", (line) => process.env["RIG_LOG"] !== undefined && process.stderr.write(line)),
    });
  }

  /** The apps' logs on disk. */
  openLogs(): Promise<LogHub> {
    return openLogs({
      folder: join(this.instance.paths.daemonRun, "logs"),
      rawFolder: this.instance.paths.daemonRun,
      engine: { trimLog: async () => {} },
      clock: systemClock,
      logger: silentLogger,
    });
  }

  /** The daemon's part; by default with logs in memory (`lines`). */
  async startDaemon(logs?: LogSink): Promise<void> {
    this.requests = await RequestLog.open({
      instance: this.instance,
      logs: logs ?? {
        append: (appId, line) => {
          const lines = this.lines.get(appId) ?? [];
          lines.push(formatLine(line));
          this.lines.set(appId, lines);
        },
      },
      nameOf: async (_appId, dynoId) => this.names.get(dynoId),
      clock: systemClock,
      logger: jsonLogger("requests", (line) => process.env["RIG_LOG"] !== undefined && process.stderr.write(line)),
    });
  }

  workers(): ReturnType<HaproxySocket["workers"]> {
    return new HaproxySocket(join(this.layout.socketFolder, "master.sock"), systemClock).workers();
  }

  /** Resident, of HAProxy's worker, in kB. */
  async workerKilobytes(): Promise<number> {
    const { current } = await this.workers();
    return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${current}/status`, "utf8"))?.[1]);
  }

  /** How often HAProxy was reloaded, as it says itself. */
  async reloads(): Promise<number> {
    const socket = connect(join(this.layout.socketFolder, "master.sock"));
    socket.end("show proc\n");
    let text = "";
    for await (const chunk of socket) text += String(chunk);
    const [, count] = /^\d+\s+master\s+(\d+)/m.exec(text) ?? [];
    assert.ok(count, text);
    return Number(count);
  }

  get pid(): number {
    const pid = this.haproxy?.pid;
    assert.ok(pid, "HAProxy runs");
    return pid;
  }

  /** A dyno that answers by itself, or by `answer`. */
  async dyno(name: string, answer?: Parameters<typeof createHttpServer>[1]): Promise<string> {
    const id = randomUUID();
    const server = createHttpServer(
      { keepAliveTimeout: 60_000 },
      answer ??
        ((request, response) => {
          let bytes = 0;
          request.on("data", (chunk: Buffer) => (bytes += chunk.length));
          request.on("end", () => response.end(JSON.stringify({ name, id, bytes, headers: request.headers })));
        }),
    );
    const address = `127.77.${this.dynos.size >> 8}.${(this.dynos.size & 255) + 1}`;
    server.listen(0, address);
    await once(server, "listening");
    this.#servers.push(server);
    this.dynos.set(id, { address, port: (server.address() as AddressInfo).port }); // a TCP server has one
    this.names.set(id, name);
    return id;
  }

  /** A dyno id with an address of its own choice. */
  dynoAt(name: string, address: string, port: number): string {
    const id = randomUUID();
    this.dynos.set(id, { address, port });
    this.names.set(id, name);
    return id;
  }

  app(state: RouteState = "serve"): App {
    return new App(this, state);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const pid = this.haproxy?.pid;
    await this.haproxy?.[Symbol.asyncDispose]();
    if (pid !== undefined) process.kill(pid, "SIGTERM");
    await this.requests?.[Symbol.asyncDispose]();
    await this.park?.[Symbol.asyncDispose]();
    for (const server of this.#servers) {
      server.closeAllConnections();
      server.close();
    }
    for (let i = 0; i < 100 && pid !== undefined && isThere(pid); i++) await pause(20);
    for (const each of [this.folder, this.run]) rmSync(each, { recursive: true, force: true });
  }
}

export class App {
  readonly id = randomUUID();
  readonly host = `app-${this.id.slice(0, 8)}.localhost`;
  readonly #rig: RouterRig;
  route: AppRoute;

  constructor(rig: RouterRig, state: RouteState) {
    this.#rig = rig;
    this.route = { appId: this.id, hosts: [this.host], state, dynoIds: [] };
  }

  async set(change: Partial<AppRoute>): Promise<void> {
    this.route = { ...this.route, ...change };
    assert.ok(this.#rig.haproxy);
    await this.#rig.haproxy.setRoute(this.route);
  }

  ask(options: Asked = {}): Promise<Answer> {
    return ask(this.#rig.layout.httpPort, { ...options, headers: { Host: this.host, ...options.headers } });
  }

  get log(): readonly string[] {
    return this.#rig.lines.get(this.id) ?? [];
  }

  /** The first line of its log that matches, once it is there. */
  async line(pattern: RegExp, timeoutMs = 5_000): Promise<string> {
    const until = performance.now() + timeoutMs;
    for (;;) {
      const found = this.log.find((line) => pattern.test(line));
      if (found !== undefined) return found;
      assert.ok(performance.now() < until, `${pattern} is not in the log:\n${this.log.join("\n")}`);
      await pause(10);
    }
  }
}

/** An upgraded connection through the router to an echo: what is sent comes back. */
export class Echo {
  readonly #socket: Socket;
  #text = "";
  #waiting: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("error", () => {}); // whoever waits is told by the close
    socket.on("data", (chunk: Buffer) => {
      this.#text += chunk.toString("latin1");
      this.#waiting?.();
    });
    socket.on("close", () => this.#waiting?.());
  }

  /** A server that answers any request with an upgrade, and then echoes. */
  static server(): TcpServer {
    return createServer((socket) => {
      socket.on("error", () => {}); // the client just leaves
      socket.once("data", () => {
        socket.write(
          "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        );
        socket.pipe(socket);
      });
    });
  }

  static async open(port: number, host: string): Promise<Echo> {
    const echo = new Echo(connect(port, "127.0.0.1"));
    const head = `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`;
    echo.#socket.write(head);
    await echo.#until((text) => text.startsWith("HTTP/1.1 101 ") && text.includes("\r\n\r\n"));
    return echo;
  }

  /** Resolves once it has come back; rejects if the connection ends before. */
  async say(word: string): Promise<void> {
    this.#text = "";
    this.#socket.write(word);
    await this.#until((text) => text === word);
  }

  close(): void {
    this.#socket.destroy();
  }

  async #until(isThere: (text: string) => boolean): Promise<void> {
    while (!isThere(this.#text)) {
      assert.ok(!this.#socket.destroyed, `the connection ended; it had said ${JSON.stringify(this.#text)}`);
      await new Promise<void>((resolve) => (this.#waiting = resolve));
    }
  }
}

export interface Asked {
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  readonly signal?: AbortSignal;
}
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export function ask(port: number, { path = "/", method, headers, body, signal }: Asked): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      host: "127.0.0.1",
      port,
      path,
      method: method ?? (body === undefined ? "GET" : "POST"),
      agent: false,
      ...(headers && { headers }),
      ...(signal && { signal }),
    });
    request.on("error", reject);
    request.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      response.on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
    });
    request.end(body);
  });
}

/** Bytes. */
function roomIn(folder: string): number {
  if (!existsSync(folder)) return 0;
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
