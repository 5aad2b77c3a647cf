import { once } from "node:events";
import { chownSync, mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { cpus } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { type ChildProcess, ended, run, start } from "../src/lib/command.ts";
import { type App, RouterRig } from "../test/e2e/router-rig.ts";
import { freePort } from "../test/support/free-port.ts";
import type { ReaderCounts } from "./router-reader.ts";
import { median, type RowResult, type Sample, type Verdict } from "./statistics.ts";

/** Connections of `wrk`, each with one request at a time. */
const CONNECTIONS = 32;
const DYNO = "127.78.0.1";
const HOST = "bench.localhost";
const NOBODY = 65_534;
const PLAIN = "plain HAProxy";
/** The same with what every request gets here, and nothing of what finds its app and its dyno. */
const LOGGING = "plain HAProxy with lines and headers";
/** That as cheap as we know how, and each request's app by its name: what is left of the rate to a router of many apps. */
const NAMING = "the least HAProxy for many apps";
/** In a session of its own, as our HAProxy is: where the kernel shares processors among sessions, that is a share of its own. */
const ALONE = { detached: true } as const;

/** Which processors do what, and which app it is. */
interface Layout {
  readonly name: string;
  readonly dyno: "node" | "static";
  /** Client, proxies and dyno. */
  readonly all: string;
  readonly reader: string;
}

/**
 * Requests each second, and how long they take, of the same trivial dyno through the platform's router, a plain HAProxy (and
 * one that logs and adds our headers), nginx, and directly: in turn, a few seconds each, all on the same processors. Once with
 * the reader of request lines on them too, and once with that on a processor of its own.
 */
export async function measureRate(rounds: number, seconds: number): Promise<RowResult> {
  const last = cpus().length - 1;
  const shared = { place: "reader on the same cores", all: `0-${last}`, reader: `0-${last}` };
  const apart = { place: "reader apart", all: last > 1 ? `0-${last - 1}` : "0", reader: String(last) };
  const layouts = (last === 0 ? [shared] : [shared, apart]).flatMap(({ place, ...where }): readonly Layout[] => [
    { ...where, dyno: "node", name: `Node.js app, ${place}` },
    { ...where, dyno: "static", name: `static page, ${place}` },
  ]);
  const results: RowResult[] = [];
  try {
    for (const layout of layouts) results.push(await measureWith(layout, rounds, seconds));
  } finally {
    await pinOurselves(shared.all);
  }
  return {
    samples: results.flatMap(({ samples }) => samples),
    verdicts: results.flatMap(({ verdicts }) => verdicts),
    notes: [
      `wrk: 1 thread, ${CONNECTIONS} connections, ${seconds} s each time; every request of the router's is logged.`,
      "The app is a first Node.js app (bench/hello.ts), and then nginx with one worker that answers by itself: of that, next to nothing is the app's.",
      ...(last === 0 ? ["One processor: the reader cannot be set apart."] : []),
    ],
  };
}

interface Measured {
  readonly requests: number;
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
}

async function measureWith(layout: Layout, rounds: number, seconds: number): Promise<RowResult> {
  await pinOurselves(layout.all); // what we start is where we are
  await using rig = await RouterRig.open({ withDaemon: false });
  const app = rig.app();
  await using peers = await startPeers(rig, layout.dyno);
  await app.set({ hosts: [HOST], dynoIds: [rig.dynoAt("web.1", DYNO, peers.dynoPort)] });
  await using reader = await Reader.start(rig, app, layout.reader);
  const targets = [
    { who: "through the router", port: rig.layout.httpPort, address: "127.0.0.1" },
    { who: PLAIN, port: peers.haproxyPort, address: "127.0.0.1" },
    { who: LOGGING, port: peers.loggingPort, address: "127.0.0.1" },
    { who: NAMING, port: peers.namingPort, address: "127.0.0.1" },
    { who: "nginx", port: peers.nginxPort, address: "127.0.0.1" },
    { who: "the dyno directly", port: peers.dynoPort, address: DYNO },
  ];
  const found = new Map<string, Measured[]>(targets.map(({ who }) => [who, []]));
  for (const { port, address } of targets) await wrk(`http://${address}:${port}/`, 1); // warm
  const before = await reader.drained();
  for (let round = 0; round < rounds; round++) {
    for (const [index] of targets.entries()) {
      const target = targets[(index + round) % targets.length]; // nobody is always the first
      if (target === undefined) continue;
      found.get(target.who)?.push(await wrk(`http://${target.address}:${target.port}/`, seconds));
      await pause(200); // what is left of it ends
    }
  }
  const after = await reader.drained();
  return resultOf(layout, found, before, after);
}

function resultOf(
  { name }: Layout,
  found: ReadonlyMap<string, readonly Measured[]>,
  before: ReaderCounts,
  after: ReaderCounts,
): RowResult {
  const of = (who: string, pick: (each: Measured) => number) => (found.get(who) ?? []).map(pick);
  const samples: Sample[] = [...found.keys()].flatMap((who) => [
    { who: `${name}: ${who}`, unit: "requests/s", values: of(who, ({ rate }) => rate) },
    { who: `${name}: ${who}, p50`, unit: "ms", values: of(who, ({ p50 }) => p50) },
    { who: `${name}: ${who}, p99`, unit: "ms", values: of(who, ({ p99 }) => p99) },
  ]);
  const middle = (who: string, pick: (each: Measured) => number) => median(of(who, pick));
  const ours = "through the router";
  const rateOf = (who: string) => 100 * (middle(ours, ({ rate }) => rate) / middle(who, ({ rate }) => rate));
  const later = middle(ours, ({ p99 }) => p99) - middle(PLAIN, ({ p99 }) => p99);
  const requests = of(ours, ({ requests: each }) => each).reduce((sum, each) => sum + each, 0);
  const stored = after.stored - before.stored;
  const dropped = Math.max(0, 100 * (1 - stored / requests));
  const verdicts: Verdict[] = [
    { claim: `${name}: rate, of plain HAProxy's`, unit: "%", value: rateOf(PLAIN), bound: { atLeast: 90 } },
    { claim: `${name}: rate, of ${LOGGING}'s`, unit: "%", value: rateOf(LOGGING), bound: { atLeast: 90 } },
    { claim: `${name}: rate, of ${NAMING}'s`, unit: "%", value: rateOf(NAMING), bound: { atLeast: 90 } },
    { claim: `${name}: p99 beyond plain HAProxy's`, unit: "ms", value: later, bound: { atMost: 1 } },
    { claim: `${name}: requests without a line in the app's log`, unit: "%", value: dropped, bound: { atMost: 0.1 } },
    {
      claim: `${name}: reader's processor time a line, log and counts`,
      unit: "us",
      value: (after.cpuMicros - before.cpuMicros) / (after.linesRead - before.linesRead),
      bound: { atMost: 10 },
    },
  ];
  return { samples, verdicts, notes: [] };
}

/** Our side of the reader's process. */
class Reader implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    if (child.stdout === null) throw new Error("the reader has no output");
    this.#lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  }

  static async start(rig: RouterRig, app: App, processors: string): Promise<Reader> {
    const program = join(import.meta.dirname, "router-reader.ts");
    const child = start(
      "taskset",
      ["-c", processors, process.execPath, program, rig.run, join(rig.folder, "daemon"), app.id],
      {
        ...ALONE,
        stdio: ["pipe", "pipe", "inherit"],
      },
    );
    const reader = new Reader(child);
    await reader.#lines.next(); // it listens
    return reader;
  }

  /** Its counts, once nothing comes any more. */
  async drained(): Promise<ReaderCounts> {
    for (let last = -1; ; ) {
      await pause(1_500); // HAProxy connects anew once a second
      const counts = await this.#ask();
      if (counts.linesRead === last) return counts;
      last = counts.linesRead;
    }
  }

  async #ask(): Promise<ReaderCounts> {
    this.#child.stdin?.write("?");
    const { value } = (await this.#lines.next()) as { value: string };
    return JSON.parse(value) as ReaderCounts; // its own
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin?.end();
    await ended(this.#child, "reader", { timeoutMs: 10_000 });
  }
}

interface Peers extends AsyncDisposable {
  readonly dynoPort: number;
  readonly haproxyPort: number;
  readonly loggingPort: number;
  readonly namingPort: number;
  readonly nginxPort: number;
}

/** What no router of ours could leave out: a line for each request, kept in memory as ours are, an id, and the headers of spec 7.3. */
const OUR_HEADERS = `  log ring@requests len 16384 local0 info
  option httplog
  unique-id-format %[uuid]
  unique-id-header X-Request-Id
  option forwardfor
  http-request set-header X-Request-Start %[date(0,ms)]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Port 80
  http-request add-header Via "1.1 plain"
  http-response add-header Via "1.1 plain"
`;

/** The same with our ways of making them cheap: one header with all lines in it, a visitor's address once a connection, the line as it is read. */
const LEAST = (hosts: string) => `  log ring@requests len 16384 local0 info
  capture request header Host len 300
  log-format "stator3 %pid %lc %[date(0,us)] %[var(txn.app)] %s - %ST %B %tsc %TR %Tw %Tc %Tr %Td %Ta %[var(txn.request_id)] %f %[var(sess.ip)] %U - %rc\\"%r\\"%hr\\""
  tcp-request session set-var-fmt(sess.ip) %[src]
  http-request set-var(txn.request_id) uuid
  http-request set-var(txn.app) req.fhdr(host),host_only,lower,map_str(${hosts})
  http-request set-var(txn.start) date(0,ms)
  http-request add-header X-Request-Id "%[var(txn.request_id)]\\r\\nX-Request-Start: %[var(txn.start)]\\r\\nX-Forwarded-For: %[var(sess.ip)]\\r\\nX-Forwarded-Proto: %f\\r\\nX-Forwarded-Port: %fp\\r\\nVia: 1.1 least"
  http-response add-header Via "1.1 least"
  use_backend %[var(txn.app)]
`;

/** The dyno, three HAProxies with static configurations, and nginx as a proxy. */
async function startPeers(rig: RouterRig, dyno: Layout["dyno"]): Promise<Peers> {
  const folder = join(rig.folder, "peers");
  mkdirSync(folder, { mode: 0o755 });
  chownSync(folder, NOBODY, NOBODY);
  const [dynoPort, haproxyPort, loggingPort] = [await freePort(), await freePort(), await freePort()];
  const [namingPort, nginxPort] = [await freePort(), await freePort()];
  const nginx = (name: string, workers: string, http: string) => {
    const text = `user nobody nogroup;\nworker_processes ${workers};\npid ${folder}/${name}.pid;\nerror_log ${folder}/${name}.log;\ndaemon off;\nevents { worker_connections 4096; }\nhttp {\n  access_log off;\n  keepalive_requests 100000000;\n${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `  ${kind}_temp_path ${folder}/${name}-${kind};\n`).join("")}${http}}\n`;
    writeFileSync(join(folder, `${name}.conf`), text);
    return start("nginx", ["-c", join(folder, `${name}.conf`), "-e", join(folder, `${name}.log`)], ALONE);
  };
  const haproxy = (name: string, port: number, { ring = "", more = "" } = {}) => {
    const text = `global\n  maxconn 9900\n${ring}defaults\n  mode http\n  timeout client 55s\n  timeout connect 5s\n  timeout server 30s\nfrontend plain\n  bind 127.0.0.1:${port}\n${more}  default_backend app\nbackend app\n  server dyno ${DYNO}:${dynoPort}\n`;
    writeFileSync(join(folder, `${name}.cfg`), text);
    return start("haproxy", ["-db", "-f", join(folder, `${name}.cfg`)], ALONE);
  };
  const ring = (file: string) =>
    `ring requests\n  format raw\n  maxlen 16384\n  size 8388608\n  backing-file ${rig.run}/${file}\n`;
  const hosts = join(folder, "hosts.map");
  writeFileSync(hosts, `${HOST} app\n`);
  const children = [
    dyno === "node"
      ? start(process.execPath, [join(import.meta.dirname, "hello.ts"), DYNO, String(dynoPort)], ALONE)
      : nginx("dyno", "1", `  server { listen ${DYNO}:${dynoPort}; location / { return 200 "hello\\n"; } }\n`),
    nginx(
      "proxy",
      "auto",
      `  upstream app { server ${DYNO}:${dynoPort}; keepalive 64; }\n  server { listen 127.0.0.1:${nginxPort}; location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; } }\n`,
    ),
    haproxy("plain", haproxyPort),
    haproxy("logging", loggingPort, { ring: ring("logging-ring"), more: OUR_HEADERS }),
    haproxy("naming", namingPort, { ring: ring("naming-ring"), more: LEAST(hosts) }),
  ];
  const proxies = [haproxyPort, loggingPort, namingPort, nginxPort].map((port) => accepts("127.0.0.1", port));
  await Promise.all([accepts(DYNO, dynoPort), ...proxies]);
  return {
    dynoPort,
    haproxyPort,
    loggingPort,
    namingPort,
    nginxPort,
    async [Symbol.asyncDispose]() {
      for (const child of children) child.kill("SIGTERM");
      await Promise.all(children.map((child) => ended(child, "peer", { timeoutMs: 5_000 })));
    },
  };
}

async function accepts(host: string, port: number): Promise<void> {
  for (const until = performance.now() + 10_000; ; await pause(20)) {
    const socket = connect(port, host);
    try {
      await once(socket, "connect");
      return;
    } catch (error) {
      if (performance.now() > until) throw error;
    } finally {
      socket.destroy();
    }
  }
}

async function wrk(url: string, seconds: number): Promise<Measured> {
  const args = ["-t1", `-c${CONNECTIONS}`, `-d${seconds}s`, "--latency", "-H", `Host: ${HOST}`, url];
  const { stdout } = await run("wrk", args, { timeoutMs: (seconds + 20) * 1000 });
  const ms = (share: string) => {
    const [, value, unit] = new RegExp(`^\\s+${share}%\\s+([\\d.]+)(us|ms|s)$`, "m").exec(stdout) ?? [];
    return Number(value) * (unit === "us" ? 0.001 : unit === "s" ? 1000 : 1);
  };
  const requests = Number(/(\d+) requests in/.exec(stdout)?.[1]);
  if (/Non-2xx|errors: connect (?!0, read 0, write 0)/.test(stdout) || !(requests > 0))
    throw new Error(`wrk ${url}:\n${stdout}`);
  return { requests, rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]), p50: ms("50"), p99: ms("99") };
}

async function pinOurselves(processors: string): Promise<void> {
  await run("taskset", ["-a", "-c", "-p", processors, String(process.pid)]);
}
