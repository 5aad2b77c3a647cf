import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile, rm } from "node:fs/promises";
import { hostname, networkInterfaces } from "node:os";
import { join } from "node:path";
import { type Config, ConfigError } from "../config.ts";
import { writeFileAtomic } from "../lib/atomic-file.ts";
import type { SystemUser } from "../lib/system-user.ts";
import type { KeyPair } from "./certificates.ts";
import type { HostFolders } from "./folders.ts";

/** A certificate is made anew when it ends within this. */
const RENEW_MS = 30 * 86_400_000;

/**
 * The installation's own authority and the certificates of the API and the router: made at the first start, renewed before they
 * end or when a name is missing; and the operator's own one for the API. Gives whether the router's is new, and why the operator's
 * could not be taken.
 */
export async function ensureCertificates(
  config: Config,
  folders: HostFolders,
  daemon: SystemUser,
  now: number,
): Promise<{ readonly routerChanged: boolean; readonly objection: string | undefined }> {
  const { instance, domain, apiHosts = [] } = config;
  const known = namesOf(domain, instance.interfacePrefix);
  const names = [...new Set([...known, ...apiHosts])];
  const authority = await ensureAuthority(config, folders, now);
  const api = { certificate: join(folders.tls, "api.pem"), key: join(folders.tls, "api.key") };
  const toDaemon = { uid: 0, gid: daemon.gid };
  if (!(await isGood(api.certificate, names, authority, now)) || (await readOr(api.key)) === "") {
    const { makeServerCertificate } = await import("./certificates.ts");
    const made = await makeServerCertificate(authority, names, now);
    await writeFileAtomic(api.key, made.key, { mode: 0o640, ...toDaemon });
    await writeFileAtomic(api.certificate, `${made.certificate}\n${authority.certificate}\n`, { mode: 0o644 });
  }
  const objection = await takeOver(config, folders, daemon);
  const router = routerCertificatePath(config);
  if (await isGood(router, known, authority, now)) return { routerChanged: false, objection };
  const { makeServerCertificate } = await import("./certificates.ts");
  const made = await makeServerCertificate(authority, known, now);
  await writeFileAtomic(router, `${made.certificate}\n${authority.certificate}\n${made.key}`, { mode: 0o600 });
  return { routerChanged: true, objection };
}

/** The operator's own certificate as it stands in the files that the settings name. Throws with a sentence for one that cannot be used. */
export async function ownCertificate({ apiCertificate }: Pick<Config, "apiCertificate">): Promise<KeyPair | undefined> {
  if (apiCertificate === undefined) return undefined;
  const { chainFile, keyFile } = apiCertificate;
  const read = (file: string) =>
    readFile(file, "utf8").catch((cause: Error) => {
      throw new ConfigError(`STATOR_API_CERTIFICATE, STATOR_API_KEY: ${cause.message}`, { cause });
    });
  const pair = { certificate: await read(chainFile), key: await read(keyFile) };
  let fits = false;
  try {
    fits = new X509Certificate(pair.certificate).checkPrivateKey(createPrivateKey(pair.key));
  } catch (cause) {
    throw new ConfigError(`${chainFile} or ${keyFile} is no PEM of a certificate and its key`, { cause });
  }
  if (!fits) throw new ConfigError(`${keyFile} is not the key of the certificate in ${chainFile}`);
  return pair;
}

/**
 * Copies the operator's certificate to where the daemon may read it, or removes it with the setting. Gives why that could not
 * be: what was there stays then, so that clients go on to reach the API.
 */
async function takeOver(config: Config, { tls }: HostFolders, daemon: SystemUser): Promise<string | undefined> {
  const [chain, key] = [join(tls, "own.pem"), join(tls, "own.key")];
  try {
    const own = await ownCertificate(config);
    if (own === undefined) {
      await Promise.all([chain, key].map((file) => rm(file, { force: true })));
    } else if ((await readOr(chain)) !== own.certificate || (await readOr(key)) !== own.key) {
      await writeFileAtomic(key, own.key, { mode: 0o640, uid: 0, gid: daemon.gid });
      await writeFileAtomic(chain, own.certificate, { mode: 0o644 });
    }
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Certificate chain and key in one file, as HAProxy wants it. */
export const routerCertificatePath = ({ instance }: Config): string => join(instance.paths.host, "router.pem");

async function ensureAuthority({ instance }: Config, folders: HostFolders, now: number): Promise<KeyPair> {
  const paths = { certificate: join(folders.authority, "ca.pem"), key: join(folders.authority, "ca.key") };
  let pair: KeyPair = { certificate: await readOr(paths.certificate), key: await readOr(paths.key) };
  if (pair.certificate === "" || pair.key === "") {
    const { makeAuthority } = await import("./certificates.ts");
    pair = await makeAuthority(`Stator ${instance.id} ${hostname()}`, now);
    await writeFileAtomic(paths.key, pair.key, { mode: 0o600 });
    await writeFileAtomic(paths.certificate, pair.certificate, { mode: 0o644 });
  }
  if ((await readOr(instance.paths.caCertificate)) !== pair.certificate)
    await writeFileAtomic(instance.paths.caCertificate, pair.certificate, { mode: 0o644 });
  return pair;
}

/** Everything this machine is called, as far as it knows. */
function namesOf(domain: string, ownInterfaces: string): readonly string[] {
  const addresses = Object.entries(networkInterfaces())
    .filter(([name]) => !name.startsWith(ownInterfaces))
    .flatMap(([, all]) => all ?? [])
    .filter(({ internal, scopeid }) => !internal && (scopeid ?? 0) === 0)
    .map(({ address }) => address);
  const dns = ["localhost", domain, `*.${domain}`, hostname().toLowerCase()].filter((name) =>
    /^[\w*][\w.-]*$/.test(name),
  );
  return [...new Set(["127.0.0.1", "::1", ...dns, ...addresses])];
}

/** Whether the certificate is the authority's, has every name, and lasts. */
async function isGood(path: string, names: readonly string[], authority: KeyPair, now: number): Promise<boolean> {
  try {
    const certificate = new X509Certificate(await readOr(path));
    const issuer = new X509Certificate(authority.certificate);
    const has = (name: string) =>
      /^[\d.]+$|:/.test(name)
        ? certificate.checkIP(name) !== undefined
        : (certificate.subjectAltName ?? "").split(", ").includes(`DNS:${name}`);
    return (
      certificate.verify(issuer.publicKey) &&
      Date.parse(certificate.validTo) - now > RENEW_MS &&
      names.every((name) => has(name))
    );
  } catch {
    return false; // missing, or no certificate
  }
}

async function readOr(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => ""); // not made yet
}
