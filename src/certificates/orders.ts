import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { LogSink } from "../logs/line.ts";
import type { AcmState, AcmStatus } from "../model/acm.ts";
import { checkPair, factsOf } from "../model/certificate.ts";
import type { CertificateTarget } from "../router/routes.ts";
import type { Store } from "../store/store.ts";
import { type AcmeOrder, type Authority, newKey } from "./acme-authority.ts";
import { AcmeProblem } from "./acme-http.ts";
import { FAILED_AFTER, type ManagedDomain, retryMs } from "./acme-plan.ts";

export interface OrdersOptions {
  readonly store: Store;
  readonly target: Pick<CertificateTarget, "setChallenge" | "removeChallenge">;
  readonly directory: string;
  readonly authority: () => Promise<Authority>;
  readonly logs: LogSink;
  readonly clock: Clock;
  readonly logger: Logger;
}

const POLL_MS = 200;
const POLL_MS_MAX = 5_000;
/** An order that takes longer is gone on with later. */
const ORDER_MS = 5 * 60_000;
/** However old the certificates are that an authority gives: not asked for another one so soon. */
const AGAIN_MS = 24 * 3_600_000;
/** Of an authority that says "too many" and not for how long. */
const PAUSE_MS = 3_600_000;
const PAUSE_MS_MAX = 24 * 3_600_000;

/**
 * Goes on with the order for a domain's certificate, from wherever it stands to the certificate or to a failure. What was done is
 * noted before the next step; killed at any instant, it is gone on with at the next look. Gives whether all went well.
 */
export async function obtain(domain: ManagedDomain, options: OrdersOptions, signal: AbortSignal): Promise<boolean> {
  let isGood = true;
  try {
    await advance(domain, options, signal);
  } catch (error) {
    if (signal.aborted) return false; // the order stands as it is
    isGood = false;
    await noteFailure(domain, error, options);
  }
  await options.target.removeChallenge(domain.hostname);
  return isGood;
}

async function advance(domain: ManagedDomain, options: OrdersOptions, signal: AbortSignal): Promise<void> {
  const { store, target, clock, authority: open } = options;
  const { domainId, hostname } = domain;
  const note = (status: AcmStatus, orderUrl: string | null) =>
    store.certificates.setState({ ...stateOf(domain), status, reason: null, orderUrl, nextAt: 0 });

  const authority = await open();
  let order = await orderUnderWay(domain, options.directory, authority);
  if (order === undefined) {
    await note("in-progress", null); // with it goes the key of an order before
    order = await authority.order(hostname);
    await note("in-progress", order.url);
  }
  const until = clock.now() + ORDER_MS;
  for (let wait = POLL_MS; ; wait = Math.min(POLL_MS_MAX, wait * 1.5)) {
    switch (order.status) {
      case "pending": {
        const proof = await authority.proofFor(order);
        if (proof === undefined) break;
        await target.setChallenge({ host: hostname, token: proof.token, keyAuthorization: proof.keyAuthorization });
        if (proof.isNew) await proof.accept();
        break;
      }
      case "ready": {
        await note("verified", order.url);
        await authority.finalize(order, hostname, await orderKey(domainId, store));
        break;
      }
      case "processing":
        break;
      case "valid":
        return install(domain, await authority.certificate(order), options);
      case "invalid":
        throw await authority.problemOf(order);
      default:
        throw new AcmeProblem("unknown", `The authority knows a state of orders that we do not.`);
    }
    if (clock.now() > until) throw new AcmeProblem("late", "The authority has not decided in time.");
    await clock.sleep(wait, signal);
    order = await authority.orderAt(order.url);
  }
}

/** The order that was begun, unless the authority does not know it any more, or it was another one's. */
async function orderUnderWay(
  { state }: ManagedDomain,
  directory: string,
  authority: Authority,
): Promise<AcmeOrder | undefined> {
  const url = state?.orderUrl ?? null;
  if (url === null || URL.parse(url)?.host !== URL.parse(directory)?.host) return undefined;
  try {
    return await authority.orderAt(url);
  } catch (error) {
    if (error instanceof AcmeProblem && (error.status === 404 || error.type === "malformed")) return undefined;
    throw error;
  }
}

/** Stored before it is used: the certificate that comes back may be asked for by our successor. */
async function orderKey(domainId: string, store: Store): Promise<string> {
  const known = await store.certificates.orderKey(domainId);
  if (known !== undefined) return known;
  const key = newKey();
  await store.certificates.setOrderKey(domainId, key);
  return key;
}

/** Endpoint, binding and state in one step, unless the domain or ACM went meanwhile. */
async function install(domain: ManagedDomain, chain: string, { store, clock, logger }: OrdersOptions): Promise<void> {
  const { domainId, appId, hostname } = domain;
  const key = await store.certificates.orderKey(domainId);
  if (key === undefined) throw new AcmeProblem("lost", "The key of the certificate is lost: it is ordered anew.");
  const pair = checkPair(chain, key, clock.now());
  const facts = factsOf(pair.chain);
  await store.transaction(async (inside) => {
    const found = (await inside.domains.list(appId)).find(({ id }) => id === domainId);
    if (found?.hostname !== hostname || !(await inside.certificates.isAutomatic(appId))) return;
    const endpoints = await inside.certificates.list(appId);
    const current = endpoints.find(({ id }) => id === found.sniEndpointId);
    if (current?.isAutomatic === false) return; // somebody uploaded one meanwhile
    if (current !== undefined) await inside.certificates.update(current.id, { ...pair, isAutomatic: true });
    else {
      const { id } = await inside.certificates.create({ ...pair, appId, isAutomatic: true });
      await inside.certificates.bind(domainId, id);
    }
    await inside.certificates.setState({
      domainId,
      hostname,
      status: "cert issued",
      reason: null,
      failures: 0,
      nextAt: clock.now() + Math.min(AGAIN_MS, (facts.expiresAt - facts.startsAt) / 4),
      orderUrl: null,
    });
  });
  logger.info("acme.issued", { appId, hostname });
}

/** What is known of the domain's orders; nothing yet. */
function stateOf({ domainId, hostname, state }: ManagedDomain): Omit<AcmState, "updatedAt"> {
  return state ?? { domainId, hostname, status: "in-progress", reason: null, failures: 0, nextAt: 0, orderUrl: null };
}

async function noteFailure(domain: ManagedDomain, error: unknown, options: OrdersOptions): Promise<void> {
  const { store, directory, logs, clock, logger } = options;
  const { domainId, appId, hostname } = domain;
  const now = clock.now();
  const problem = problemFrom(error);
  const isBusy = problem.type === "rateLimited" || problem.status === 429;
  const isAway = AWAY.has(problem.type) || problem.status >= 500;
  const before = (await store.certificates.states()).find((each) => each.domainId === domainId);
  const failures = (before?.failures ?? 0) + (isBusy ? 0 : 1);
  const asked = Math.min(PAUSE_MS_MAX, problem.retryAfterMs ?? (isBusy ? PAUSE_MS : 0));
  const nextAt = now + Math.max(asked, isBusy ? 0 : retryMs(failures, domainId));
  const isForAll = (isBusy && !isAbout(problem.message, hostname)) || (isAway && problem.retryAfterMs !== null);
  if (isForAll) await store.certificates.pause(directory, nextAt);
  const reason = `${sentence(problem, hostname)} Tried again after ${new Date(nextAt).toISOString().slice(0, 16)}Z.`;
  await store.certificates.setState({
    domainId,
    hostname,
    status: failures >= FAILED_AFTER ? "failed" : "failing",
    reason,
    failures,
    nextAt,
    // One that the authority did not refuse is gone on with.
    orderUrl: isBusy || isAway ? (before?.orderUrl ?? null) : null,
  });
  logs.append(appId, { at: now, source: "heroku", process: "acm", text: `No certificate for ${hostname}: ${reason}` });
  logger.warn("acme.failed", { appId, hostname, type: problem.type, error });
}

/**
 * Whether a limit was met for this name alone (too many failures, or certificates, of it or of the domain above it), by the
 * authority's words, since there is no other sign: one app's names must not hold back all others. Pure.
 */
export function isAbout(message: string, hostname: string): boolean {
  const labels = hostname.split(".");
  const domains = labels.slice(0, -1).map((_, index) => labels.slice(index).join("."));
  const words = message.toLowerCase().match(/(?<![\w-])[\w-]+(\.[\w-]+)+/g) ?? [];
  return /exact set of/i.test(message) || words.some((word) => domains.includes(word));
}

const AWAY: ReadonlySet<string> = new Set(["unreachable", "late", "router"]);

function problemFrom(error: unknown): AcmeProblem {
  if (error instanceof AcmeProblem) return error;
  const words = error instanceof Error ? error.message : String(error);
  // An `EngineError`, by whatever way it came: the host process is away.
  const isRouter = error instanceof Error && "id" in error && error.id === "unavailable";
  return new AcmeProblem(isRouter ? "router" : "unknown", words, { cause: error });
}

/** What happened, for the app's owner. The authority's own words say which name or address. Pure. */
export function sentence({ type, message }: Pick<AcmeProblem, "type" | "message">, hostname: string): string {
  const said = /[.!?]$/.test(message) ? message : `${message}.`;
  switch (type) {
    case "dns":
      return `The authority finds no address for ${hostname}: point its DNS here. ${said}`;
    case "connection":
      return `The authority cannot reach http://${hostname}/: its DNS must lead here, and port 80 must be open. ${said}`;
    case "unauthorized":
    case "incorrectResponse":
      return `http://${hostname}/ is answered by somebody else: its DNS must lead here alone. ${said}`;
    case "caa":
      return `A CAA record of ${hostname} forbids this authority: change it in its DNS. ${said}`;
    case "rejectedIdentifier":
    case "unsupportedIdentifier":
      return `The authority gives no certificate for ${hostname}. ${said}`;
    case "rateLimited":
      return `The authority has given too many certificates lately. ${said}`;
    case "router":
      return `The platform's router could not be told what to answer the authority. ${said}`;
    case "unreachable":
    case "late":
      return `The authority is away. ${said}`;
    default:
      return `The authority gave no certificate for ${hostname}. ${said}`;
  }
}
