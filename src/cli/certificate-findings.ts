import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Finding } from "../engine/local/probe-judge.ts";
import { factsOf } from "../model/certificate.ts";
import type { Instance } from "../model/instance.ts";

/** A certificate that the router shows. */
export interface ShownCertificate {
  readonly hosts: readonly string[];
  readonly expiresAt: number;
}

const [ID, TITLE] = ["certificates", "certificates"];
/** The platform renews its own 30 days before they end; what is later than this was not renewed. */
const SOON_MS = 14 * 86_400_000;
const SHOWN_MAX = 5;

/** When the certificates end that the router shows, from root's files; nothing before the first `up`. */
export async function certificateFindings({ paths }: Instance, now: number): Promise<readonly Finding[]> {
  const folder = join(paths.host, "certificates");
  try {
    const files = (await readdir(folder)).filter((name) => /^[0-9a-f-]{36}\.json$/.test(name));
    const apps = await Promise.all(
      files.map(async (name) => certificatesIn(await readFile(join(folder, name), "utf8"))),
    );
    const own = factsOf(await readFile(join(paths.host, "router.pem"), "utf8"));
    return [judgeCertificates([{ hosts: ["the platform's own"], expiresAt: own.expiresAt }, ...apps.flat()], now)];
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT") return [];
    if (code !== "EACCES") throw error;
    return [
      { id: ID, title: TITLE, verdict: "degraded", detail: "Whole only when asked by root: sudo stator doctor." },
    ];
  }
}

/** Pure. */
export function judgeCertificates(certificates: readonly ShownCertificate[], now: number): Finding {
  const ending = certificates
    .filter(({ expiresAt }) => expiresAt - now <= SOON_MS)
    .toSorted((a, b) => a.expiresAt - b.expiresAt)
    .map(({ hosts, expiresAt }) => {
      const day = new Date(expiresAt).toISOString().slice(0, 10);
      return `${hosts.join(", ")} ${expiresAt <= now ? "has expired" : "ends"} on ${day}`;
    });
  if (ending.length === 0) {
    const detail = `${certificates.length} that the router shows; none ends within 14 days.`;
    return { id: ID, title: TITLE, verdict: "ok", detail };
  }
  const more = ending.length > SHOWN_MAX ? `; and ${ending.length - SHOWN_MAX} more` : "";
  const detail = `${ending.slice(0, SHOWN_MAX).join("; ")}${more}. See stator certs and stator certs:auto of the app.`;
  return { id: ID, title: TITLE, verdict: "degraded", detail };
}

function certificatesIn(text: string): readonly ShownCertificate[] {
  const certificates = JSON.parse(text) as readonly { readonly hosts: readonly string[]; readonly pem: string }[]; // root's own file
  return certificates.map(({ hosts, pem }) => ({ hosts, expiresAt: factsOf(pem).expiresAt }));
}
