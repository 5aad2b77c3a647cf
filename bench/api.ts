import { readdirSync, readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { ended, start } from "../src/lib/command.ts";
import type { Shape } from "./many-apps.ts";
import { median, percentile, type RowResult, type Sample } from "./statistics.ts";

/** 10,000 apps, 100,000 releases (a new app has two before its first), 50,000 dynos. */
const MANY: Shape = { apps: 10_000, releases: 8, dynos: ["web.1", "web.2", "web.3", "web.4", "worker.1"] };
const FEW: Shape = { ...MANY, apps: 10 };
const PER_SECOND = 100;
const SECONDS = 20;
const SCALES = 100;

/**
 * The API held to one processor, asked from another at an even rate whether or not it keeps up: the time of an answer counts
 * from when its request was due.
 */
export async function measureApi(): Promise<RowResult> {
  const asked: Sample[] = [];
  const many = await withApi(MANY, async (api) => {
    for (const { what, act } of calls(MANY.apps)) {
      await load(api, act, 2);
      asked.push({ who: what, unit: "ms", values: await load(api, act, SECONDS) });
    }
    return scaleCost(api);
  });
  const few = await withApi(FEW, scaleCost);
  return {
    samples: [
      ...asked,
      { who: `a batch scale, processor time, of one of ${MANY.apps} apps`, unit: "ms", values: many },
      { who: `the same, of one of ${FEW.apps} apps`, unit: "ms", values: few },
    ],
    verdicts: [
      ...asked.map(({ who, values }) => ({
        claim: `p99 of ${who}`,
        unit: "ms",
        value: percentile(values, 0.99),
        bound: { atMost: 25 },
      })),
      {
        claim: `a batch scale, over the same with ${FEW.apps} apps`,
        unit: "times",
        value: median(many) / median(few),
        bound: { atMost: 1.2 },
      },
    ],
    notes: [
      `${MANY.apps} apps, ${MANY.apps * (MANY.releases + 2)} releases, ${MANY.apps * MANY.dynos.length} dynos; ${PER_SECOND} requests a second of each kind in turn, for ${SECONDS} s; the supervisor is the real one, the engine is in memory.`,
    ],
  };
}

interface RunningApi {
  readonly pid: number;
  call(method: string, path: string, body?: unknown): Promise<number>;
}

type Act = (api: RunningApi, index: number) => Promise<number>;

function calls(apps: number): readonly { readonly what: string; readonly act: Act }[] {
  // Neither the same app again and again, nor one after the other.
  const app = (index: number) => `bench-${(index * 7919) % apps}`;
  return [
    { what: "GET /apps (a page)", act: (api) => api.call("GET", "/apps") },
    { what: "GET /apps/:app", act: (api, n) => api.call("GET", `/apps/${app(n)}`) },
    { what: "GET /apps/:app/dynos", act: (api, n) => api.call("GET", `/apps/${app(n)}/dynos`) },
    { what: "PATCH /apps/:app/formation", act: (api, n) => api.call("PATCH", `/apps/${app(n)}/formation`, scale(n)) },
  ];
}

const scale = (n: number) => ({
  updates: [
    { type: "web", quantity: 3 + (n % 3) },
    { type: "worker", quantity: 1 + (n % 2) },
  ],
});

/** Milliseconds of each answer, from when its request was due. */
async function load(api: RunningApi, act: Act, seconds: number): Promise<readonly number[]> {
  const took: Promise<number>[] = [];
  const begin = performance.now();
  for (let n = 0; n < seconds * PER_SECOND; n++) {
    const due = begin + (n * 1000) / PER_SECOND;
    await pause(Math.max(0, due - performance.now()));
    const answered = act(api, n).then((status) => {
      if (status !== 200 && status !== 206) throw new Error(`answered with ${status}`);
      return performance.now() - due;
    });
    answered.catch(() => {}); // told below
    took.push(answered);
  }
  return Promise.all(took);
}

/** Processor time of the API's process for one batch scale until its dynos are up, less what it uses when nothing happens. */
async function scaleCost(api: RunningApi): Promise<readonly number[]> {
  const values: number[] = [];
  for (let n = 0; n < SCALES; n++) {
    const idle = await cpuIn(api.pid, async () => {});
    const used = await cpuIn(api.pid, () => api.call("PATCH", "/apps/bench-5/formation", scale(n)));
    values.push(Math.max(0, used - idle));
  }
  return values;
}

const WINDOW_MS = 100;

async function cpuIn(pid: number, act: () => Promise<unknown>): Promise<number> {
  const before = cpuMs(pid);
  await act();
  await pause(WINDOW_MS);
  return cpuMs(pid) - before;
}

async function untilQuiet(pid: number): Promise<void> {
  const isQuiet = async () => (await cpuIn(pid, () => pause(1000))) < 100;
  for (let quiet = 0; quiet < 2; quiet = (await isQuiet()) ? quiet + 1 : 0);
}

/** Of all threads, in milliseconds, by the scheduler's own count. */
function cpuMs(pid: number): number {
  const tasks = `/proc/${pid}/task`;
  const ns = (task: string) => Number(readFileSync(join(tasks, task, "schedstat"), "utf8").split(" ")[0]);
  return readdirSync(tasks).reduce((sum, task) => sum + ns(task), 0) / 1e6;
}

async function withApi<T>(shape: Shape, body: (api: RunningApi) => Promise<T>): Promise<T> {
  const program = join(import.meta.dirname, "api-server.ts");
  const processor = availableParallelism() > 1 ? "1" : "0";
  const args = ["-c", processor, process.execPath, program, JSON.stringify(shape)];
  const child = start("taskset", args, { stdio: ["pipe", "pipe", 2] });
  const end = ended(child, "the API");
  const gone = end.then(({ code }) => Promise.reject(new Error(`the API ended (${code})`)));
  gone.catch(() => {}); // also when it is told to
  const agent = new Agent({ keepAlive: true, maxSockets: 50 });
  try {
    if (!child.stdout) throw new Error("it has no output");
    const line = await Promise.race([firstLine(child.stdout), gone]);
    const { url, token } = JSON.parse(line) as { url: string; token: string };
    const api = { pid: child.pid ?? 0, call: (...call: Call) => answer(url, token, agent, ...call) };
    await Promise.race([untilQuiet(api.pid), gone]); // it has taken up all of its dynos
    return await Promise.race([body(api), gone]);
  } finally {
    agent.destroy();
    child.stdin?.end();
    await end;
  }
}

async function firstLine(stream: NodeJS.ReadableStream): Promise<string> {
  for await (const line of createInterface({ input: stream })) return line;
  throw new Error("no line");
}

type Call = [method: string, path: string, body?: unknown];

/** The status of the answer, once all of it is there. */
function answer(url: string, token: string, agent: Agent, ...[method, path, body]: Call): Promise<number> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const headers = {
    Accept: "application/vnd.heroku+json; version=3",
    Authorization: `Bearer ${token}`,
    ...(text !== undefined && { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) }),
  };
  return new Promise((resolve, reject) => {
    const outgoing = request(`${url}${path}`, { method, agent, headers }, (incoming) => {
      incoming.resume().once("end", () => resolve(incoming.statusCode ?? 0));
      incoming.once("error", reject);
    });
    outgoing.once("error", reject);
    outgoing.end(text);
  });
}
