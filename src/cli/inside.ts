import { Duplex } from "node:stream";
import type { DynoJson } from "./api.ts";
import { secretOf, upgrade } from "./attach.ts";
import type { Client } from "./client.ts";
import { type Input, UsageError } from "./command.ts";
import { encodeFrame, FRAME, FrameReader } from "./frames.ts";

/** One of a running app's dynos. */
export interface Place {
  readonly client: Client;
  readonly app: string;
  readonly dyno: string;
}

/** What is wanted inside it: exactly one of the three. */
export interface Wanted {
  readonly command?: string;
  readonly env?: Readonly<Record<string, string | number | undefined>>;
  readonly force_no_tty?: boolean;
  readonly connect?: { readonly host?: string; readonly port: number };
  readonly file?: string;
}

/** The dyno of `--dyno`, by default the first web dyno, as with the official command line. */
export function dynoOf(input: Input): string {
  return input.text("dyno") ?? "web.1";
}

/** Whether a person sits at both ends. */
export const isTerminal = (): boolean => process.stdin.isTTY === true && process.stdout.isTTY === true;

/** A command's environment and terminal, as the body of the call. */
export function commandWanted(command: string): Wanted {
  if (!isTerminal()) return { command, force_no_tty: true };
  const { rows, columns } = process.stdout;
  return { command, env: { TERM: process.env["TERM"] ?? "xterm", COLUMNS: columns, LINES: rows } };
}

/** Asks for it, and gives the secret that `attach` takes. */
export async function enter({ client, app, dyno }: Place, wanted: Wanted): Promise<string> {
  const path = `/apps/${app}/dynos/${encodeURIComponent(dyno)}`;
  const { attach_url: attachUrl } = await client.call<DynoJson>("POST", path, { body: wanted });
  return secretOf(attachUrl);
}

/** A connection to a port, made from within the dyno. Throws with the dyno's own reason where it cannot be made. */
export async function connectInside(
  place: Place,
  to: { readonly host?: string; readonly port: number },
): Promise<Duplex> {
  const secret = await enter(place, { connect: to });
  const socket = await upgrade(place.client, `/stator/attach/${secret}`);
  const begun = Promise.withResolvers<void>();
  const reader = new FrameReader();
  let complaint = "";
  const connection = new Duplex({
    allowHalfOpen: true,
    read: () => void socket.resume(),
    write: (chunk: Buffer, _encoding, done) => {
      if (socket.write(encodeFrame(FRAME.data, chunk))) done();
      else socket.once("drain", () => done());
    },
    final: (done) => {
      socket.write(encodeFrame(FRAME.endOfInput));
      done();
    },
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  const ended = () => {
    begun.reject(new Error(complaint.trim() === "" ? "The connection to the dyno was lost." : complaint.trim()));
    connection.push(null);
  };
  socket.on("data", (chunk: Buffer) => {
    try {
      for (const { type, body } of reader.push(chunk)) {
        if (type === FRAME.begun) begun.resolve();
        if (type === FRAME.error) complaint += body.toString("utf8");
        if (type === FRAME.exit) ended();
        if (type === FRAME.data && !connection.push(body)) socket.pause();
      }
    } catch (error) {
      connection.destroy(error as Error); // of our own reader
    }
  });
  socket.once("error", () => {}).once("close", ended);
  await begun.promise.catch((error: unknown) => {
    socket.destroy();
    throw error;
  });
  return connection;
}

/** `8080`, `9000:9001`, a list of them: local port, then the dyno's, or `byDefault`. Throws `UsageError`. */
export function portsOf(
  text: string,
  byDefault?: string,
): readonly { readonly local: number; readonly remote: number }[] {
  return text.split(",").map((mapping) => {
    const [local = "", remote = byDefault ?? local, ...more] = mapping.split(":");
    if (more.length > 0 || !isPort(local) || !isPort(remote))
      throw new UsageError(`${text}: ports are given as 8080, 9000:9001 or a list of these with commas.`);
    return { local: Number(local), remote: Number(remote) };
  });
}

export function isPort(text: string): boolean {
  return /^[1-9]\d{0,4}$/.test(text) && Number(text) <= 65_535;
}
