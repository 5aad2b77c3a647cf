import { randomUUID } from "node:crypto";
import { PassThrough, type Readable, Writable } from "node:stream";
import type {
  ByteStream,
  DynoSpec,
  Engine,
  EngineNotice,
  ExecRequest,
  ObservedDyno,
  SlugRef,
  StandbyOffers,
  StartMarks,
} from "../engine/engine.ts";
import { EngineError } from "../engine/engine.ts";
import { type SimProcess, simProcess } from "../engine/sim/process.ts";
import type { EgressRule } from "../model/egress-rule.ts";
import type { DynoUsage } from "../model/usage.ts";
import {
  type AppRoute,
  type CertificateTarget,
  type Challenge,
  digestOf,
  type RouteCertificate,
  type RouteTarget,
} from "../router/routes.ts";

/** For tests of the protocol: remembers what it was asked for, and runs nothing. */
export class FakeEngine implements Engine, StandbyOffers {
  readonly asked: string[] = [];
  readonly dynos = new Map<string, DynoSpec>();
  readonly removed = new Set<string>();
  readonly slugs = new Map<string, Buffer>();
  readonly written = new Map<string, string>();
  readonly watchers = new Set<(dynoId: string | undefined) => void>();
  readonly listeners = new Set<(notice: EngineNotice) => void>();
  /** Nothing is answered any more. */
  isSilent = false;

  async list(_appId?: string): Promise<readonly ObservedDyno[]> {
    this.asked.push("list");
    if (this.isSilent) await new Promise<never>(() => {});
    return [...this.dynos.values()].map(({ id, appId, kind, name, releaseId }) => ({
      id,
      appId,
      kind,
      name,
      releaseId,
      state: { kind: "creating", since: 1 },
    }));
  }
  async usage(tasksOf: readonly string[] = []): Promise<readonly DynoUsage[]> {
    this.asked.push(`usage ${tasksOf.length}`);
    return [];
  }
  async startMarks(id: string): Promise<StartMarks | null> {
    this.asked.push(`startMarks ${id}`);
    return this.dynos.get(id)?.marks ?? null;
  }
  expectStart(): void {
    this.asked.push("expectStart");
  }
  /** The ids of what stands by. */
  standbys: string[] = [];
  /** Who is told of them. */
  offers = 0;
  standbyId(): string | undefined {
    return this.standbys.shift();
  }
  offerStandbys(listener: (id: string) => void): Disposable {
    for (const id of this.standbys.splice(0)) listener(id);
    this.offers++;
    return { [Symbol.dispose]: () => void this.offers-- };
  }
  standbyGiven(id: string): void {
    this.asked.push(`standbyGiven ${id}`);
  }
  prepare({ id, env }: DynoSpec): void {
    this.asked.push(`prepare ${id} ${JSON.stringify(env)}`);
  }
  async start(spec: DynoSpec): Promise<void> {
    this.asked.push("start");
    if (this.removed.has(spec.id)) throw new EngineError("gone", "this dyno was removed");
    this.dynos.set(spec.id, spec);
  }
  async signal(id: string, signal: string): Promise<void> {
    this.asked.push(`signal ${id} ${signal}`);
  }
  async remove(id: string): Promise<void> {
    this.asked.push(`remove ${id}`);
    this.dynos.delete(id);
    this.removed.add(id);
  }
  async resize(id: string, rows: number, columns: number): Promise<void> {
    this.asked.push(`resize ${id} ${rows} ${columns}`);
  }
  async input(id: string): Promise<Writable> {
    if (!this.dynos.has(id)) throw new EngineError("not_found", "no such dyno");
    return new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        this.written.set(id, (this.written.get(id) ?? "") + chunk.toString());
        done();
      },
      final: (done) => {
        this.written.set(id, `${this.written.get(id) ?? ""}<end>`);
        done();
      },
    });
  }
  /** Gives back what comes in. */
  /** `cat` ends with 7 at the end of its input. */
  async exec(id: string, request: ExecRequest, signal: AbortSignal): Promise<ByteStream> {
    this.asked.push(`exec ${id} ${JSON.stringify(request)}`);
    if (!this.dynos.has(id)) throw new EngineError("not_found", "no such dyno");
    const cat: SimProcess = async ({ stdin, stdout, told }) => {
      for await (const chunk of stdin) stdout(chunk as Buffer);
      stdout(told.join());
      return 7;
    };
    return simProcess(cat, request, signal);
  }
  async io(id: string, signal: AbortSignal): Promise<ByteStream> {
    this.asked.push(`io ${id}`);
    if (!this.dynos.has(id))
      await new Promise((_resolve, reject) =>
        signal.addEventListener("abort", () => {
          this.asked.push(`io given up ${id}`);
          reject(new EngineError("not_found", "given up"));
        }),
      );
    const echo = new PassThrough();
    return { readable: echo, writable: echo, close: () => echo.destroy() };
  }
  watch(listener: (dynoId: string | undefined) => void): Disposable {
    this.watchers.add(listener);
    return { [Symbol.dispose]: () => void this.watchers.delete(listener) };
  }
  notices(listener: (notice: EngineNotice) => void): Disposable {
    this.listeners.add(listener);
    return { [Symbol.dispose]: () => void this.listeners.delete(listener) };
  }
  async isolationRefusal(isolation: string): Promise<string | null> {
    return isolation === "gvisor" ? "gVisor is not installed" : null;
  }
  async hasSlug({ digest }: SlugRef): Promise<boolean> {
    return this.slugs.has(digest);
  }
  async putSlug({ digest }: SlugRef, tar: Readable): Promise<void> {
    this.asked.push("putSlug");
    if (this.isSilent) await new Promise<never>(() => {});
    const chunks: Buffer[] = [];
    for await (const chunk of tar) chunks.push(chunk as Buffer);
    this.slugs.set(digest, Buffer.concat(chunks));
  }
  async removeSlug({ digest }: SlugRef): Promise<void> {
    this.slugs.delete(digest);
  }
  async removeApp(appId: string, uidIndex: number): Promise<void> {
    this.asked.push(`removeApp ${appId} ${uidIndex}`);
  }
  async setEgress(appId: string, rules: readonly EgressRule[]): Promise<void> {
    this.asked.push(`setEgress ${appId} ${JSON.stringify(rules)}`);
  }
  async trimLog(id: string, segment: number): Promise<void> {
    this.asked.push(`trimLog ${id} ${segment}`);
  }
}

/** For tests: a router that only remembers. */
export class FakeTarget implements RouteTarget, CertificateTarget {
  readonly routes = new Map<string, AppRoute>();
  readonly certificates = new Map<string, readonly RouteCertificate[]>();
  readonly challenges = new Map<string, Challenge>();
  /** What every certificate is refused with. */
  refusal: string | null = null;
  async setCertificates(appId: string, certificates: readonly RouteCertificate[]): Promise<void> {
    if (this.refusal !== null) throw new EngineError("invalid", this.refusal);
    if (certificates.length === 0) this.certificates.delete(appId);
    else this.certificates.set(appId, certificates);
  }
  async listCertificates() {
    return [...this.certificates].map(([appId, all]) => ({ appId, digest: digestOf(all) }));
  }
  async certificateRefusal(): Promise<string | null> {
    return this.refusal;
  }
  async setChallenge(challenge: Challenge): Promise<void> {
    this.challenges.set(challenge.host, challenge);
  }
  async removeChallenge(host: string): Promise<void> {
    this.challenges.delete(host);
  }
  async listChallenges(): Promise<readonly string[]> {
    return [...this.challenges.keys()];
  }
  /** Apps with a request open. */
  readonly busy = new Set<string>();
  async isBusy(appId: string): Promise<boolean> {
    return this.busy.has(appId);
  }
  async setRoute(route: AppRoute): Promise<void> {
    this.routes.set(route.appId, route);
  }
  async removeRoute(appId: string): Promise<void> {
    this.routes.delete(appId);
  }
  async untilLeft(): Promise<void> {}
  async listRoutes(): Promise<readonly string[]> {
    return [...this.routes.keys()];
  }
}

/** A start that passes every check. */
export function goodSpec(change: Partial<DynoSpec> = {}): DynoSpec {
  return {
    id: randomUUID(),
    appId: randomUUID(),
    uidIndex: 7,
    kind: "formation",
    name: "web.1",
    releaseId: randomUUID(),
    stack: "debian-12",
    slugDigest: "ab".repeat(32),
    command: "node server.js",
    env: { PORT: "5000", GREETING: 'ä\n"quoted"' },
    size: "Basic",
    port: 5000,
    terminal: null,
    stdin: false,
    isolation: "container",
    io: false,
    ...change,
  };
}
