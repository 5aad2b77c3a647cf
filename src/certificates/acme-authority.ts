import { generateKeyPairSync } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Clock } from "../lib/clock.ts";
import type { AcmeSettings } from "../model/acm.ts";
import type { Store } from "../store/store.ts";
import { AcmeProblem, acmeHttp, problemOf } from "./acme-http.ts";

/** An order for one name (RFC 8555, 7.1.3). */
export interface AcmeOrder {
  readonly url: string;
  readonly status: "pending" | "ready" | "processing" | "valid" | "invalid";
}

/** What the authority wants to see before it gives the certificate. */
export interface AcmeProof {
  readonly token: string;
  readonly keyAuthorization: string;
  /** It was not asked to look yet. */
  readonly isNew: boolean;
  /** Tells it to look. */
  accept(): Promise<void>;
}

/** An ACME authority, spoken to with the installation's account. Every call throws `AcmeProblem`. */
export interface Authority {
  order(hostname: string): Promise<AcmeOrder>;
  orderAt(url: string): Promise<AcmeOrder>;
  /** Undefined: there is nothing to prove (any more). */
  proofFor(order: AcmeOrder): Promise<AcmeProof | undefined>;
  /** Why the order is invalid. */
  problemOf(order: AcmeOrder): Promise<AcmeProblem>;
  finalize(order: AcmeOrder, hostname: string, key: string): Promise<void>;
  /** PEM, the leaf first. */
  certificate(order: AcmeOrder): Promise<string>;
}

export interface AuthorityOptions {
  readonly settings: AcmeSettings;
  readonly store: Pick<Store, "certificates">;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** A new key, PEM: for an account, or for a certificate. */
export function newKey(): string {
  return generateKeyPairSync("ec", { namedCurve: "P-256" })
    .privateKey.export({ type: "pkcs8", format: "pem" })
    .toString();
}

/** The authority of the settings. Makes the account if there is none yet: its key is stored before it is asked for. */
export async function openAuthority({ settings, store, clock, signal }: AuthorityOptions): Promise<Authority> {
  const { directory, email, caFile } = settings;
  // Loaded where it is used: it brings an HTTP client and two libraries of certificates with it.
  const { default: acme } = await import("acme-client");
  const adapter = acmeHttp({ ca: await authorityOf(caFile), signal, now: () => clock.now() });
  acme.axios.defaults.adapter = adapter as unknown as NonNullable<typeof acme.axios.defaults.adapter>; // it uses no more than these fields

  const known = await store.certificates.account(directory);
  const account = known ?? { key: newKey(), url: null, pausedUntil: null };
  if (known === undefined) await store.certificates.setAccount(directory, account);
  const client = new acme.Client({
    directoryUrl: directory,
    accountKey: account.key,
    ...(account.url !== null && { accountUrl: account.url }),
  });
  if (account.url === null) {
    const contact = email === null ? {} : { contact: [`mailto:${email}`] };
    await client.createAccount({ termsOfServiceAgreed: true, ...contact });
    await store.certificates.setAccount(directory, { ...account, url: client.getAccountUrl() });
  }

  /** An account that the authority has forgotten is made anew at the next try. */
  async function asked<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof AcmeProblem && error.type === "accountDoesNotExist")
        await store.certificates.setAccount(directory, { ...account, url: null });
      throw error instanceof AcmeProblem ? error : new AcmeProblem("unknown", String(error), { cause: error });
    }
  }
  const whole = (url: string) => client.getOrder({ url } as Parameters<typeof client.getOrder>[0]); // it reads only the address
  return {
    order: (hostname) => asked(() => client.createOrder({ identifiers: [{ type: "dns", value: hostname }] })),
    orderAt: (url) => asked(() => whole(url)),
    proofFor: (order) =>
      asked(async () => {
        const [authorization] = await client.getAuthorizations(await whole(order.url));
        if (authorization === undefined || authorization.status !== "pending") return undefined;
        const challenge = authorization.challenges.find(({ type }) => type === "http-01");
        if (challenge === undefined) throw new AcmeProblem("unsupported", "The authority offers no proof by HTTP.");
        return {
          token: challenge.token,
          keyAuthorization: await client.getChallengeKeyAuthorization(challenge),
          isNew: challenge.status === "pending",
          accept: () => asked(async () => void (await client.completeChallenge(challenge))),
        };
      }),
    problemOf: (order) =>
      asked(async () => {
        const found = await whole(order.url);
        const [authorization] = await client.getAuthorizations(found);
        const failed = authorization?.challenges.find(({ error }) => error !== undefined);
        const { type, detail } = problemOf(failed?.error ?? found.error);
        return new AcmeProblem(type, detail === "" ? "The authority gave no reason." : detail);
      }),
    finalize: (order, hostname, key) =>
      asked(async () => {
        const [, request] = await acme.crypto.createCsr({ altNames: [hostname] }, key);
        await client.finalizeOrder(await whole(order.url), request);
      }),
    certificate: (order) => asked(async () => client.getCertificate(await whole(order.url))),
  };
}

async function authorityOf(file: string | null): Promise<string | undefined> {
  if (file === null) return undefined;
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new AcmeProblem("unreachable", `STATOR_ACME_CA_FILE=${file} cannot be read by the platform's user.`, {
      cause: error,
    });
  }
}
