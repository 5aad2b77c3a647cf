import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { makeAuthority, makeServerCertificate } from "../host/certificates.ts";
import { AcmeProblem, acmeHttp } from "./acme-http.ts";

/** What the server answers with; a real one, with TLS. */
let answer: (request: IncomingMessage, response: ServerResponse) => void = () => {};
const authority = await makeAuthority("Test CA", Date.now());
const made = await makeServerCertificate(authority, ["127.0.0.1"], Date.now());
const server = createServer({ cert: made.certificate, key: made.key }, (request, response) =>
  answer(request, response),
);
let url = "";
before(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/x`; // a TCP server has one
});
after(() => {
  server.closeAllConnections();
  server.close();
});

const NOW = Date.UTC(2026, 10, 27);
const ended = new AbortController();
const asking = (ca: string | undefined = authority.certificate, signal = ended.signal) =>
  acmeHttp({ ca, signal, now: () => NOW });
const problem =
  (status: number, type: string, headers = {}) =>
  (_: IncomingMessage, response: ServerResponse) =>
    void response
      .writeHead(status, headers)
      .end(JSON.stringify({ type: `urn:ietf:params:acme:error:${type}`, detail: "Because" }));

function refused(expected: Partial<AcmeProblem>) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof AcmeProblem, String(error));
    for (const [key, value] of Object.entries(expected)) assert.deepEqual(error[key as keyof AcmeProblem], value, key);
    return true;
  };
}

test("a request goes out as it was given, and its answer comes back", async () => {
  answer = (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () =>
      response
        .writeHead(201, { "Replay-Nonce": "n1", Location: "/account" })
        .end(`${request.method} ${request.headers["content-type"]} ${Buffer.concat(chunks).toString()}`),
    );
  };
  const headers = { toJSON: () => ({ "Content-Type": "application/jose+json", Accept: null }) };
  const got = await asking()({ url, method: "post", headers, data: '{"a":1}' });
  assert.deepEqual([got.status, got.data], [201, 'POST application/jose+json {"a":1}']);
  assert.deepEqual([got.headers["replay-nonce"], got.headers["location"]], ["n1", "/account"]);
});

test("every no is a problem, with the wait that the authority asks for; a bad nonce is the library's to repeat", async () => {
  answer = problem(429, "rateLimited", { "Retry-After": "90" });
  await assert.rejects(
    asking()({ url }),
    refused({ type: "rateLimited", message: "Because", status: 429, retryAfterMs: 90_000 }),
  );
  answer = (_request, response) =>
    void response.writeHead(503, { "Retry-After": new Date(NOW + 7000).toUTCString() }).end("<p>");
  await assert.rejects(asking()({ url }), refused({ type: "unknown", status: 503, retryAfterMs: 7000 }));
  answer = problem(400, "badNonce", { "Replay-Nonce": "n2" });
  assert.equal((await asking()({ url })).headers["replay-nonce"], "n2");
  answer = (_request, response) => void response.writeHead(302, { Location: "http://169.254.169.254/" }).end();
  assert.equal((await asking()({ url })).status, 302, "not followed");
});

test("an authority that is not there, not who it says, not https, endless or given up", async () => {
  await assert.rejects(
    asking(made.certificate.replace(/[A-Z]{3}/, "AAA"))({ url }),
    refused({ type: "unreachable", status: 0 }),
  );
  await assert.rejects(
    acmeHttp({ ca: undefined, signal: ended.signal, now: () => NOW })({ url }),
    refused({ type: "unreachable" }),
  );
  await assert.rejects(asking()({ url: url.replace("https", "http") }), refused({ type: "unreachable" }));
  await assert.rejects(asking()({ url: "https://127.0.0.1:1/" }), refused({ type: "unreachable" }));
  answer = (_request, response) => void response.end(Buffer.alloc(2 * 1024 * 1024));
  await assert.rejects(asking()({ url }), refused({ type: "unreachable" }));
  const stop = new AbortController();
  answer = () => stop.abort();
  await assert.rejects(asking(authority.certificate, stop.signal)({ url }), refused({ type: "unreachable" }));
});
