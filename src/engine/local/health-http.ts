import { request } from "node:http";
import { addAbortListener } from "../../lib/abort.ts";
import type { Clock } from "../../lib/clock.ts";
import type { HttpProbe, ProbeResult } from "../../model/health.ts";

export interface HttpTarget {
  readonly address: string;
  readonly port: number;
  readonly clock: Clock;
  /** Aborted: nobody wants to know any more. */
  readonly signal: AbortSignal;
}

/** Of an answer's body, where content is looked for. */
export const BODY_BYTES_MAX = 64 * 1024;
const HEAD_BYTES_MAX = 16 * 1024;
/** Answers such as `102 Processing` before the real one. */
const INTERIM_MAX = 8;

/**
 * One GET to a dyno, from the host. The dyno may answer whatever it likes, as long as it likes: time and bytes are bounded, and
 * nothing that it says leads anywhere. Never rejects.
 */
export function probeHttp(probe: HttpProbe, target: HttpTarget, timeoutMs: number): Promise<ProbeResult> {
  return ask(probe, target, timeoutMs).catch(() => ({ passed: false, text: "could not be sent" }));
}

function ask(probe: HttpProbe, target: HttpTarget, timeoutMs: number): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const done = new AbortController();
    const outgoing = request({
      host: target.address,
      port: target.port,
      path: probe.path,
      method: "GET",
      headers: headersOf(probe, target),
      agent: false,
      maxHeaderSize: HEAD_BYTES_MAX,
    });
    const finish = (passed: boolean, text: string) => {
      resolve({ passed, text });
      outgoing.destroy();
      done.abort();
      stopped[Symbol.dispose]();
    };
    const stopped = addAbortListener(target.signal, () => outgoing.destroy());
    const late = target.clock.sleep(timeoutMs, done.signal); // for the whole, not for a pause
    late.then(
      () => finish(false, `did not answer within ${timeoutMs / 1000} s`),
      () => {}, // done before
    );
    let interim = 0;
    outgoing.on("information", () => {
      if (++interim > INTERIM_MAX) finish(false, "answered without end");
    });
    outgoing.on("upgrade", (response, socket) => {
      socket.destroy(); // it is nobody's else
      finish(false, `answered ${response.statusCode}`);
    });
    outgoing.on("error", (error) => finish(false, reasonOf(error)));
    outgoing.on("response", (response) => {
      const status = response.statusCode ?? 0;
      if (!isExpected(probe, status)) return finish(false, `answered ${status}`);
      const { content } = probe;
      if (content === null) return finish(true, `answered ${status}`);
      const chunks: Buffer[] = [];
      let size = 0;
      const judge = () => {
        const isThere = Buffer.concat(chunks).subarray(0, BODY_BYTES_MAX).includes(content);
        finish(isThere, isThere ? `answered ${status}` : `answered ${status} without the expected content`);
      };
      response.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size >= BODY_BYTES_MAX) judge();
      });
      response.on("end", judge);
      response.on("error", (error) => finish(false, reasonOf(error)));
    });
    outgoing.end();
  });
}

function isExpected({ status: expected }: HttpProbe, status: number): boolean {
  return expected === null ? status >= 200 && status < 400 : status === expected;
}

/** Its own headers win. `X-Forwarded-Proto` as the router would say for HTTPS: else many an app only redirects. */
function headersOf({ headers }: HttpProbe, { address, port }: HttpTarget): Readonly<Record<string, string | string[]>> {
  const own = Map.groupBy(headers, ({ name }) => name.toLowerCase());
  return {
    "user-agent": "stator-health-check",
    accept: "*/*",
    "x-forwarded-proto": "https",
    connection: "close",
    ...Object.fromEntries([...own].map(([name, same]) => [name, same.map(({ value }) => value)])),
    host: own.get("host")?.[0]?.value ?? `${address}:${port}`,
  };
}

function reasonOf(error: Error): string {
  const code = "code" in error ? error.code : undefined;
  if (code === "ECONNREFUSED") return "could not be sent: connection refused";
  if (code === "ECONNRESET" || code === "EPIPE") return "had no answer: the connection was closed";
  if (typeof code === "string" && code.startsWith("HPE_")) return "had an answer that is not HTTP";
  return "could not be sent";
}
