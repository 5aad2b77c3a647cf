import { createHmac } from "node:crypto";
import { PlatformError } from "./errors.ts";

/** Who may come into an app with basic auth, as the router knows them: no password, only what proves one. */
export interface BasicAuthUser {
  readonly name: string;
  /** Base64 of 16 random bytes. */
  readonly salt: string;
  /** `passwordDigest` of the password, hex in capitals. */
  readonly digest: string;
}

export const BASIC_AUTH_USERS_MAX = 100;
export const BASIC_AUTH_NAME = /^[A-Za-z0-9_.@+-]{1,64}$/;
const PASSWORD_MIN = 8;
const PASSWORD_BYTES_MAX = 256;

/** Throws `invalid_params` with a sentence. */
export function checkBasicAuth(name: string, password: string): void {
  if (!BASIC_AUTH_NAME.test(name)) {
    throw new PlatformError(
      "invalid_params",
      "The name of a user is 1 to 64 letters, digits and . _ @ + - (no colon: it ends the name in a request).",
    );
  }
  if (password.length < PASSWORD_MIN || Buffer.byteLength(password) > PASSWORD_BYTES_MAX) {
    throw new PlatformError(
      "invalid_params",
      `A password has ${PASSWORD_MIN} characters at least and ${PASSWORD_BYTES_MAX} bytes at most; without one the platform makes one.`,
    );
  }
  if (/\p{Cc}/u.test(password))
    throw new PlatformError("invalid_params", "A password holds no control characters: browsers cannot send them.");
}

/**
 * HMAC-SHA-256 with the user's own salt: HAProxy computes it for each request, in microseconds. What takes milliseconds by
 * intent, as crypt(3), would let one client's wrong passwords stop the router for everybody.
 */
export function passwordDigest(password: string, salt: string): string {
  return createHmac("sha256", Buffer.from(salt, "base64")).update(password, "utf8").digest("hex").toUpperCase();
}
