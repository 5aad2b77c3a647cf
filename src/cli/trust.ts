import { createHash, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { connect, type DetailedPeerCertificate } from "node:tls";
import { UsageError } from "./command.ts";
import { note } from "./output.ts";
import { ask } from "./prompt.ts";

/** What Node says of a chain that ends at nobody who is trusted. */
const UNTRUSTED = new Set([
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "CERT_SIGNATURE_FAILURE",
]);
const CONNECT_MS = 15_000;

/** SHA-256 of a certificate, in lower case without colons. */
export function fingerprintOf(pem: string): string {
  return createHash("sha256").update(new X509Certificate(pem).raw).digest("hex");
}

/** `AB:CD:...`, as `openssl x509 -fingerprint -sha256` shows it. */
export function shownFingerprint(pem: string): string {
  return (fingerprintOf(pem).toUpperCase().match(/../g) ?? []).join(":");
}

/** What a person can do about a certificate; undefined: that is not what went wrong. */
export function trustHint(error: Error, url: string): string | undefined {
  const { code = "" } = error as NodeJS.ErrnoException;
  if (UNTRUSTED.has(code))
    return `its certificate is signed by nobody who is trusted for it. Look who it is now: stator login ${url}`;
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
    return `its certificate is not for ${new URL(url).hostname}. On its machine: sudo STATOR_API_HOST=${new URL(url).hostname} stator up`;
  return undefined;
}

export interface TrustOptions {
  /** PEM that was trusted until now. */
  readonly known: string | undefined;
  /** What the person was told by another way, instead of the question. */
  readonly fingerprint: string | undefined;
  /** Asks; the answer `yes` is one. */
  readonly ask?: (question: string) => Promise<string>;
}

/**
 * The authority to trust for a platform: undefined where the machine's own do; else the one that signed its certificate, once
 * the person has said that its fingerprint is right. Throws `UsageError` for one that is not, or is another than before.
 */
export async function trusted(url: string, options: TrustOptions): Promise<string | undefined> {
  const { known } = options;
  if (new URL(url).protocol !== "https:") return undefined;
  if (options.fingerprint === undefined && (await verifies(url, known))) return known;
  const root = await rootOf(url);
  if (root === undefined)
    throw new UsageError(
      `The certificate of ${url} is signed by nobody who is trusted, and it does not show its authority: give that with --ca FILE.`,
      1,
    );
  const shown = shownFingerprint(root);
  if (options.fingerprint !== undefined) {
    if (normal(options.fingerprint) === fingerprintOf(root)) return root;
    throw new UsageError(
      `The authority of ${url} has the fingerprint ${shown}, which is not the one that you gave.`,
      1,
    );
  }
  if (known !== undefined)
    throw new UsageError(
      `THE CERTIFICATE OF ${url} HAS CHANGED. Somebody may be listening in, or the platform was installed anew. Its authority had the fingerprint ${shownFingerprint(known)}, and now has ${shown}. If its operator says that this is right: stator login ${url} --fingerprint ${shown}`,
      1,
    );
  note(`The certificate of ${url} is signed by an authority of its own, with the SHA-256 fingerprint`);
  note(`  ${shown}`);
  note("On the platform's machine `stator status` shows it.");
  const answer = await (options.ask ?? ask)("Is it the same? (yes/no) ");
  if (answer.toLowerCase() === "yes") return root;
  throw new UsageError("Not trusted; nothing was sent.", 1);
}

function normal(fingerprint: string): string {
  return fingerprint
    .replace(/^sha-?256[:=]/i, "")
    .replaceAll(/[:\s]/g, "")
    .toLowerCase();
}

/** Whether a connection comes about with this authority, or with the machine's. Other failures are for who connects next. */
async function verifies(url: string, ca: string | undefined): Promise<boolean> {
  try {
    await chainOf(url, { ...(ca !== undefined && { ca }) });
    return true;
  } catch (error) {
    if (UNTRUSTED.has((error as NodeJS.ErrnoException).code ?? "")) return false;
    return true;
  }
}

/** The authority that signed itself at the end of the chain which the platform shows; nothing is sent to it. */
async function rootOf(url: string): Promise<string | undefined> {
  let at: DetailedPeerCertificate;
  try {
    at = await chainOf(url, { rejectUnauthorized: false });
  } catch (error) {
    throw new UsageError(`No answer from the platform at ${url}: ${(error as Error).message}.`, 1);
  }
  for (let steps = 0; steps < 10; steps++) {
    const certificate = new X509Certificate(at.raw);
    if (certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey))
      return certificate.toString();
    const issuer = at.issuerCertificate as DetailedPeerCertificate | undefined; // absent where the chain is not whole
    if (issuer === undefined || issuer === at) return undefined;
    at = issuer;
  }
  return undefined;
}

function chainOf(
  url: string,
  options: { readonly ca?: string; readonly rejectUnauthorized?: boolean },
): Promise<DetailedPeerCertificate> {
  const { hostname, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, "");
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port: Number(port || "443"),
      timeout: CONNECT_MS,
      ...(isIP(host) === 0 && { servername: host }),
      ...options,
    });
    socket.once("secureConnect", () => {
      const chain = socket.getPeerCertificate(true);
      socket.destroy();
      resolve(chain);
    });
    socket.once("timeout", () => socket.destroy(new Error(`no connection within ${CONNECT_MS / 1000} s`)));
    socket.once("error", reject);
  });
}
