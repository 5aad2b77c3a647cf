import { createHash } from "node:crypto";

const TYPES = [
  "ssh-rsa",
  "ssh-ed25519",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
  "sk-ssh-ed25519@openssh.com",
  "sk-ecdsa-sha2-nistp256@openssh.com",
];
const TEXT_MAX = 16_384;

export interface ParsedKey {
  /** Type, base64, comment: one line. */
  readonly text: string;
  readonly comment: string;
  /** MD5 of the key, two hex digits between colons. */
  readonly fingerprint: string;
}

/** A line of a `.pub` file; undefined if it is none. */
export function parseSshKey(text: string): ParsedKey | undefined {
  if (text.length > TEXT_MAX) return undefined;
  const [, type = "", base64 = "", comment = ""] =
    /^([\w@.-]+) ([A-Za-z0-9+/]+={0,2})(?: ([^\n\r]*))?$/.exec(text.trim()) ?? [];
  const blob = Buffer.from(base64, "base64");
  if (!TYPES.includes(type) || typeIn(blob) !== type) return undefined;
  // oxlint-disable-next-line no-control-regex
  const said = comment.replaceAll(/[\x00-\x1f\x7f]/g, "").trim();
  const digest = createHash("md5").update(blob).digest("hex");
  const fingerprint = (digest.match(/../g) ?? []).join(":");
  return { text: `${type} ${base64}${said === "" ? "" : ` ${said}`}`, comment: said, fingerprint };
}

/** A key says once more in itself of which type it is. */
function typeIn(blob: Buffer): string | undefined {
  if (blob.length < 36) return undefined; // shorter than any key
  const length = blob.readUInt32BE(0);
  return length > 64 ? undefined : blob.subarray(4, 4 + length).toString("latin1");
}
