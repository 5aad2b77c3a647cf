import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import type { GitJob, GitService } from "../../buildkit/messages.ts";

/** Git's smart HTTP protocol, as much of it as does not need git (spec platform-api 3.5). Pure but for the body's stream. */
export type GitRequest =
  | { readonly kind: "git"; readonly job: GitJob; readonly contentType: string }
  /** A client's question whether it may push at all: answered without git. */
  | { readonly kind: "probe"; readonly contentType: string }
  | { readonly kind: "refuse"; readonly status: number; readonly text: string };

const SERVICES: readonly GitService[] = ["git-upload-pack", "git-receive-pack"];

/** `rest`: what follows `/<app>.git/` in the address, with or without the query. */
export function parseGitRequest(
  request: Pick<IncomingMessage, "method" | "url" | "headers">,
  rest: string,
): GitRequest {
  const [path = "", ownQuery] = rest.replace(/^\//, "").split("?", 2);
  const query = new URLSearchParams(ownQuery ?? request.url?.split("?", 2)[1] ?? "");
  const protocol = request.headers["git-protocol"];
  const version = typeof protocol === "string" && /^[\w=:.-]{1,100}$/.test(protocol) ? protocol : null;
  if (path === "info/refs") {
    const service = SERVICES.find((each) => each === query.get("service"));
    if (request.method !== "GET") return refuse(405, "Only GET here.");
    if (!service) return refuse(403, "Only git's smart HTTP protocol is spoken here: use git 1.6.6 or newer.");
    return {
      kind: "git",
      job: { service, advertise: true, protocol: version },
      contentType: `application/x-${service}-advertisement`,
    };
  }
  const service = SERVICES.find((each) => each === path);
  if (!service) return refuse(404, "No such thing in a repository here. Only git's smart HTTP protocol is spoken.");
  if (request.method !== "POST") return refuse(405, "Only POST here.");
  if (request.headers["content-type"] !== `application/x-${service}-request`)
    return refuse(415, `Not an ${service} request.`);
  const contentType = `application/x-${service}-result`;
  // Before a large push git sends a lone flush packet, to learn whether it may.
  if (request.headers["content-length"] === "4") return { kind: "probe", contentType };
  return { kind: "git", job: { service, advertise: false, protocol: version }, contentType };
}

function refuse(status: number, text: string): GitRequest {
  return { kind: "refuse", status, text };
}

/** What git's own HTTP server writes before the advertisement. */
export function advertisementPrefix(job: GitJob): string {
  return /\bversion=2\b/.test(job.protocol ?? "") ? "" : `${packet(`# service=${job.service}\n`)}0000`;
}

/** Words for a person, in a form that git shows: `fatal: remote error: ...`. */
export function errorMessage(job: GitJob, text: string): Buffer {
  if (job.advertise) return Buffer.from(`${advertisementPrefix(job)}${packet(`ERR ${text}\n`)}`);
  if (job.service === "git-upload-pack") return Buffer.from(packet(`ERR ${text}\n`));
  return Buffer.from(packet(`\x03${text}\n`)); // side-band 3: fatal
}

function packet(text: string): string {
  return `${(Buffer.byteLength(text) + 4).toString(16).padStart(4, "0")}${text}`;
}

/** More than git itself takes of a push (`receive.maxInputSize`), so that git can say it. */
const BODY_BYTES_MAX = 1024 ** 3 + 16 * 1024 ** 2;

/** The request's body, unpacked if the client packed it, and bounded either way. */
export async function* bodyOf(request: IncomingMessage): AsyncGenerator<Uint8Array> {
  const coding = request.headers["content-encoding"] ?? "identity";
  if (!["identity", "gzip", "x-gzip"].includes(coding)) throw new Error(`content encoding ${coding}`);
  const plain = coding === "identity" ? request : request.pipe(createGunzip());
  request.once("error", (error) => plain.destroy(error));
  plain.on("error", () => {}); // whoever reads is told; a client that breaks off when git has ended breaks nothing else
  let bytes = 0;
  // The answer must still be able to leave on this connection when git wants no more.
  for await (const chunk of Readable.prototype.iterator.call(plain, { destroyOnReturn: false })) {
    const piece = chunk as Buffer; // no encoding is set
    bytes += piece.length;
    if (bytes > BODY_BYTES_MAX) throw new Error("the request's body is too large");
    yield piece;
  }
}
