import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { createSecureContext, rootCertificates } from "node:tls";
import type { Instant } from "../lib/clock.ts";
import { constantId } from "../lib/constant-id.ts";
import { PlatformError } from "./errors.ts";

/** A certificate with its key, which an app's domains may be bound to. The key is asked for by itself. */
export interface SniEndpoint {
  readonly id: string;
  readonly appId: string;
  /** Unique within the app. */
  readonly name: string;
  /** Got and renewed by the platform (ACM). */
  readonly isAutomatic: boolean;
  /** PEM, the leaf first. */
  readonly chain: string;
  /** The same as it was written, where only blanks and line ends are other: clients compare it with what they sent. */
  readonly given: string | null;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}

export interface CertificateFacts {
  /** Host names, lower case; `*.example.com` for a wildcard. */
  readonly names: readonly string[];
  /** `/C=US/O=Example/CN=example.com` */
  readonly subject: string;
  readonly issuer: string;
  readonly startsAt: Instant;
  readonly expiresAt: Instant;
  /** By an authority that clients know (Mozilla's list). */
  readonly isTrusted: boolean;
  readonly isSelfSigned: boolean;
  /** SHA-256, hex. */
  readonly fingerprint: string;
}

/** As clients send them, text around the blocks included. */
const TEXT_MAX = 64 * 1024;
const CHAIN_MAX = 10;
const RSA_BITS_MIN = 2048;
const CURVES: ReadonlySet<string> = new Set(["prime256v1", "secp384r1", "secp521r1"]);
const CERTIFICATE = /-----BEGIN (?:X509 )?CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END (?:X509 )?CERTIFICATE-----/g;
const KEY = /-----BEGIN ([A-Z]+ )?PRIVATE KEY-----[A-Za-z0-9+/=\s]+-----END \1?PRIVATE KEY-----/g;

/**
 * Checks a chain and its key, and gives both in one form: leaf first, each block with 64 letters a line, the key as PKCS #8. Throws
 * `invalid_params` for anything that a client could not be shown.
 */
export function checkPair(
  chainText: string,
  keyText: string,
  now: Instant,
): { readonly chain: string; readonly key: string; readonly given: string | null } {
  const key = parseKey(keyText);
  const chain = orderChain(parseCertificates(chainText), key);
  for (const certificate of chain) {
    if (endOf(certificate) > now) continue;
    const what = certificate === chain[0] ? "The certificate" : `The intermediate ${subjectOf(certificate)}`;
    throw refused(`${what} expired on ${dayOf(endOf(certificate))}.`);
  }
  const text = chain.map((each) => each.toString()).join("");
  const pair = { chain: text, key: pemOf(key), given: givenOf(chainText, text) };
  if (factsOf(pair.chain).names.length === 0) throw refused("The certificate names no host.");
  try {
    createSecureContext({ cert: pair.chain, key: pair.key, minVersion: "TLSv1.2" });
  } catch (error) {
    throw refused(`The certificate cannot be used: ${reasonOf(error)}.`);
  }
  return pair;
}

/** Never a text that holds more than the chain does: somebody may have written the private key below it. */
function givenOf(written: string, chain: string): string | null {
  const bare = (text: string) => text.replaceAll(/\s/g, "");
  return written !== chain && bare(written) === bare(chain) ? written : null;
}

/** Of a chain that passed `checkPair`. */
export function factsOf(chain: string): CertificateFacts {
  const all = blocks(chain, CERTIFICATE).map((text) => new X509Certificate(text));
  const [leaf] = all;
  const last = all.at(-1);
  if (leaf === undefined || last === undefined) throw new Error("a stored chain has no certificate");
  return {
    names: namesOf(leaf),
    subject: subjectOf(leaf),
    issuer: slashed(leaf.issuer),
    startsAt: leaf.validFromDate.getTime(),
    expiresAt: endOf(leaf),
    isTrusted: isTrusted(last),
    isSelfSigned: leaf.subject === leaf.issuer && leaf.verify(leaf.publicKey),
    fingerprint: leaf.fingerprint256.replaceAll(":", "").toLowerCase(),
  };
}

/** `ssl_cert` of an endpoint, as clients are told. */
export function shownCertificate({ id, chain, isAutomatic }: Pick<SniEndpoint, "id" | "chain" | "isAutomatic">) {
  const facts = factsOf(chain);
  const time = (at: Instant) => `${new Date(at).toISOString().slice(0, 19)}Z`;
  return {
    acm: isAutomatic,
    "ca_signed?": facts.isTrusted,
    cert_domains: [...facts.names],
    expires_at: time(facts.expiresAt),
    id: constantId("ssl-cert", `${id}/${facts.fingerprint}`),
    issuer: facts.issuer,
    "self_signed?": facts.isSelfSigned,
    starts_at: time(facts.startsAt),
    subject: facts.subject,
  };
}

/** Whether clients that ask for the host accept a certificate with these names. `*.example.com` stands for one label. */
export function covers(names: readonly string[], hostname: string): boolean {
  return names.includes(hostname) || names.includes(hostname.replace(/^[^.]+/, "*"));
}

function parseCertificates(text: string): readonly X509Certificate[] {
  const found = blocks(text, CERTIFICATE);
  if (found.length === 0) throw refused("No PEM certificate found: it begins with -----BEGIN CERTIFICATE-----.");
  if (found.length > CHAIN_MAX) throw refused(`The chain has ${found.length} certificates: at most ${CHAIN_MAX}.`);
  const parsed = found.map((block, index) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw refused(`Certificate ${index + 1} of the chain cannot be read: ${reasonOf(error)}.`);
    }
  });
  return [...new Map(parsed.map((each) => [each.fingerprint256, each])).values()];
}

function parseKey(text: string): KeyObject {
  if (/-----BEGIN ENCRYPTED|Proc-Type: 4,ENCRYPTED/.test(text.slice(0, TEXT_MAX)))
    throw refused("The private key has a passphrase: take it away first (openssl pkey -in KEY -out NEW).");
  const found = blocks(text, KEY);
  const [block] = found;
  if (block === undefined || found.length > 1)
    throw refused(
      `${found.length} PEM private keys found: give exactly one, which begins with -----BEGIN PRIVATE KEY.`,
    );
  let key: KeyObject;
  try {
    key = createPrivateKey(block);
  } catch (error) {
    throw refused(`The private key cannot be read: ${reasonOf(error)}.`);
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === "rsa" && (details?.modulusLength ?? 0) >= RSA_BITS_MIN) return key;
  if (type === "ec" && CURVES.has(details?.namedCurve ?? "")) return key;
  throw refused(`The private key must be RSA of ${RSA_BITS_MIN} bits or more, or ECDSA on P-256, P-384 or P-521.`);
}

/** The leaf is the one that the key belongs to; each is followed by its issuer. */
function orderChain(all: readonly X509Certificate[], key: KeyObject): readonly X509Certificate[] {
  const leaf = all.find((each) => each.checkPrivateKey(key));
  if (leaf === undefined)
    throw refused(`The private key does not belong to the certificate of ${namesOf(all[0]).join(", ") || "no host"}.`);
  const chain = [leaf];
  for (let last = leaf; ; ) {
    const issuer = all.find((each) => !chain.includes(each) && last.checkIssued(each) && last.verify(each.publicKey));
    if (issuer === undefined) break;
    chain.push(issuer);
    last = issuer;
  }
  const [stranger] = all.filter((each) => !chain.includes(each));
  if (stranger === undefined) return chain;
  throw refused(
    `${subjectOf(stranger)} is no part of the chain: ${subjectOf(chain.at(-1) ?? leaf)} was issued by ${slashed((chain.at(-1) ?? leaf).issuer)}.`,
  );
}

function namesOf(certificate: X509Certificate | undefined): readonly string[] {
  const alternatives = (certificate?.subjectAltName ?? "").split(", ").flatMap((each) => {
    const [, name] = /^DNS:((?:\*\.)?[\w-]+(?:\.[\w-]+)*)$/.exec(each) ?? [];
    return name === undefined ? [] : [name.toLowerCase()];
  });
  const [, common] = /^CN=((?:\*\.)?[\w-]+(?:\.[\w-]+)+)$/m.exec(certificate?.subject ?? "") ?? [];
  return [...new Set(alternatives.length > 0 || common === undefined ? alternatives : [common.toLowerCase()])];
}

let roots: ReadonlyMap<string, readonly X509Certificate[]> | undefined;

/** Whether the chain's last certificate is by one of the authorities, or is one. */
function isTrusted(last: X509Certificate): boolean {
  roots ??= Map.groupBy(
    rootCertificates.map((text) => new X509Certificate(text)),
    ({ subject }) => subject,
  );
  return (roots.get(last.issuer) ?? []).some(
    (root) => root.fingerprint256 === last.fingerprint256 || last.verify(root.publicKey),
  );
}

function blocks(text: string, pattern: RegExp): readonly string[] {
  if (text.length > TEXT_MAX) throw refused(`A chain and a key are at most ${TEXT_MAX / 1024} kB each.`);
  return [...text.matchAll(pattern)].map(([block]) => block);
}

const pemOf = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" }).toString();
const endOf = (certificate: X509Certificate): Instant => certificate.validToDate.getTime();
const subjectOf = ({ subject }: X509Certificate): string => slashed(subject);
const dayOf = (at: Instant): string => new Date(at).toISOString().slice(0, 10);

/** `CN=a\nO=b` to `/CN=a/O=b`. */
function slashed(name: string | undefined): string {
  return name === undefined || name === "" ? "" : `/${name.replaceAll("\n", "/")}`;
}

/** OpenSSL's words, without its numbers. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text
    .replace(/^error:[0-9A-F]+:/i, "")
    .replaceAll("::", ": ")
    .slice(0, 200);
}

function refused(message: string): PlatformError {
  return new PlatformError("invalid_params", message);
}
