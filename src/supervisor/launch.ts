import { type CallerMarks, type DynoSpec, EngineError, type StackName } from "../engine/engine.ts";
import { monotonicMs } from "../lib/monotonic.ts";
import { within } from "../lib/within.ts";
import type { App } from "../model/app.ts";
import type { DynoRecord } from "../model/dyno.ts";
import { environmentOf, portOf } from "../model/environment.ts";
import type { HealthCheck } from "../model/health.ts";
import { type Checks, checksOfType } from "../model/manifest-health.ts";
import type { ConfigVars, Release, Slug } from "../model/release.ts";
import type { Parts } from "./parts.ts";
import { START_MS, waitsForPort } from "./tend.ts";

/** What dynos of one release have in common; read once for a batch of starts. */
interface Basis {
  readonly app: App;
  readonly defaultDomain: string;
  readonly release: Release;
  readonly slug: Slug | null;
  readonly config: ConfigVars;
  /** Given through the API. */
  readonly checks: Checks;
}

export class Launches {
  readonly #appId: string;
  readonly #parts: Parts;
  readonly #bases = new Map<string, Promise<Basis>>();

  constructor(appId: string, parts: Parts) {
    this.#appId = appId;
    this.#parts = parts;
  }

  /** The basis of a release's dynos, its slug's image made. */
  of(releaseId: string): Promise<Basis> {
    const known = this.#bases.get(releaseId) ?? this.#prepare(releaseId);
    this.#bases.set(releaseId, known);
    return known;
  }

  async #prepare(releaseId: string): Promise<Basis> {
    const basis = await readBasis(this.#appId, releaseId, this.#parts);
    const { slug, app } = basis;
    if (slug !== null && !this.#parts.images.has(imageOf(slug, app))) await makeImage(slug, app, this.#parts);
    return basis;
  }
}

/** Read before the transaction that writes the dyno down: what fails to be read must not take that with it. */
export class Aheads {
  readonly #appId: string;
  readonly #parts: Parts;
  readonly #bases = new Map<string, Basis>();

  constructor(appId: string, parts: Parts) {
    this.#appId = appId;
    this.#parts = parts;
  }

  /** Reads what dynos of the release are started with, where its slug's image is known to be there. Never throws: a launch says what is wrong. */
  async read(releaseId: string): Promise<void> {
    if (this.#bases.has(releaseId)) return;
    try {
      const basis = await readBasis(this.#appId, releaseId, this.#parts);
      const { slug, app } = basis;
      if (slug === null || this.#parts.images.has(imageOf(slug, app))) this.#bases.set(releaseId, basis);
    } catch (error) {
      this.#parts.logger.warn("release.not_read", { appId: this.#appId, releaseId, error });
    }
  }

  /** Whether the release was read, and its dynos are containers. */
  isContainer(releaseId: string): boolean {
    return this.#bases.get(releaseId)?.release.isolation === "container";
  }

  /** What the engine will be asked for; undefined: its release was not read. */
  specOf(record: DynoRecord): DynoSpec | undefined {
    const basis = this.#bases.get(record.releaseId);
    return basis && specOf(record, basis, portOf(record.id, this.#parts.routerPorts));
  }
}

async function readBasis(appId: string, releaseId: string, { store, domain }: Parts): Promise<Basis> {
  const app = await store.apps.byId(appId);
  const release = await store.releases.byId(releaseId);
  if (app === undefined || release === undefined) throw new Error(`release ${releaseId} is gone`);
  const slug = release.slugId === null ? null : ((await store.slugs.byId(release.slugId)) ?? null);
  if (slug === null && release.slugId !== null) throw new Error(`slug ${release.slugId} is gone`);
  const domains = await store.domains.list(app.id);
  const defaultDomain = domains.find(({ kind }) => kind === "heroku")?.hostname ?? `${app.name}.${domain}`;
  return {
    app,
    defaultDomain,
    release,
    slug,
    config: await store.releases.config(releaseId),
    checks: await store.checks.list(app.id),
  };
}

const IMAGE_MS = 300_000;

/** Asks the engine for the dyno, once more if it must: an id that lives or has ended is not started again. */
export async function launch(
  record: DynoRecord,
  launches: Launches,
  parts: Parts,
  { marks, ahead }: { readonly marks: Omit<CallerMarks, "asked">; readonly ahead: DynoSpec | undefined },
): Promise<void> {
  const { engine, clock, routerPorts, images } = parts;
  const own = ahead ?? specOf(record, await launches.of(record.releaseId), portOf(record.id, routerPorts));
  const asked = monotonicMs() - Math.max(0, clock.now() - record.createdAt);
  const spec = {
    ...own,
    marks: { ...marks, asked: Math.max(0, asked) },
  };
  parts.observer.expect(record.id, record.appId);
  const start = () => within(clock, START_MS, "start", engine.start(spec));
  try {
    await start();
  } catch (error) {
    if (!(error instanceof EngineError && error.id === "not_found")) throw error;
    const { slug, app } = await launches.of(record.releaseId);
    if (slug === null || !images.has(imageOf(slug, app))) throw error;
    images.delete(imageOf(slug, app)); // the engine lost it since it was last asked
    await makeImage(slug, app, parts);
    await start();
  }
}

async function makeImage(slug: Slug, app: App, { slugs, images, clock }: Parts): Promise<void> {
  await within(clock, IMAGE_MS, "slug image", slugs.ensure(slug.id, app.uidIndex));
  images.add(imageOf(slug, app));
}

const imageOf = ({ id }: Slug, { uidIndex }: App): string => `${id} ${uidIndex}`;

function specOf(record: DynoRecord, basis: Basis, port: number): DynoSpec {
  const { app, defaultDomain, release, slug, config } = basis;
  const checks = record.kind === "formation" ? checksOf(record.type, basis) : [];
  return {
    id: record.id,
    appId: app.id,
    uidIndex: app.uidIndex,
    kind: record.kind,
    name: record.name,
    releaseId: record.releaseId,
    stack: stackOf(slug?.stack ?? app.stack),
    slugDigest: slug?.digest ?? null,
    command: record.command,
    env: environmentOf({
      dyno: record,
      app: { id: app.id, name: app.name, defaultDomain },
      release,
      slugCommit: slug?.commit ?? null,
      config,
      port,
      call: record.oneOff?.env ?? {},
    }),
    size: record.size,
    isolation: release.isolation,
    port: waitsForPort(record) ? port : null,
    terminal: record.oneOff?.terminal ?? null,
    stdin: record.oneOff?.attach ?? false,
    io: false,
    ...(checks.length > 0 && { checks }),
  };
}

/** The API's stand for those of `app.json`. Each is asked under the app's own name, unless it says another. */
function checksOf(type: string, { checks, slug, defaultDomain }: Basis): readonly HealthCheck[] {
  const those = Object.hasOwn(checks, type) ? checks : (slug?.manifest.checks ?? {});
  return checksOfType(those, type).map((check) => {
    const { probe } = check;
    if (probe.kind !== "http" || probe.headers.some(({ name }) => name.toLowerCase() === "host")) return check;
    return { ...check, probe: { ...probe, headers: [{ name: "Host", value: defaultDomain }, ...probe.headers] } };
  });
}

function stackOf(name: string): StackName {
  if (name !== "debian-12") throw new Error(`no stack ${name}`);
  return name;
}
