import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, request as httpsRequest, type Server } from "node:https";
import { type AddressInfo, createConnection } from "node:net";
import { after, before, test } from "node:test";
import { connect } from "node:tls";
import { openWorld, type World } from "../../test/support/api-world.ts";
import { freePort } from "../../test/support/free-port.ts";
import { attach, secretOf } from "../cli/attach.ts";
import { Client } from "../cli/client.ts";
import { readLog } from "../cli/log-stream.ts";
import { type KeyPair, makeAuthority, makeServerCertificate } from "../host/certificates.ts";
import { systemClock } from "../lib/clock.ts";
import { type Relay, startRelay } from "./relay.ts";

const SECRET = "HRKU-SLsecret-of-the-relay";
const CLIENT_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFq5rGQ9SyTbGUWHrWAGsyqP4dHKn9YSVf9WW8ZkSXHv";
/** It takes no privilege, as port 80 does. */
const EXEC_PORT = await freePort();
const EXEC_ADDRESS = "127.99.1.3";
const TOKEN = "HRKU-STtoken-of-the-platform";

interface Seen {
  readonly line: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** A platform that tells what it was sent. */
interface Fake {
  readonly url: string;
  readonly ca: string;
  readonly seen: Seen[];
  answer: (request: IncomingMessage, response: ServerResponse, body: Buffer) => void;
}

let authority: KeyPair;
let own: { readonly ca: string; readonly certificate: string; readonly key: string };
let server: Server;
let fake: Fake;
let relay: Relay;
let world: World;
let worldRelay: Relay;

before(async () => {
  authority = await makeAuthority("The platform's", Date.now());
  const pair = await makeServerCertificate(authority, ["127.0.0.1", "localhost"], Date.now());
  server = createServer({ cert: pair.certificate, key: pair.key });
  const ours = await makeAuthority("The relay's", Date.now());
  own = { ca: ours.certificate, ...(await makeServerCertificate(ours, ["127.0.0.1", "localhost"], Date.now())) };
  server.on("request", (request, response) => void serve(request, response));
  server.on("checkContinue", (request, response) => {
    response.writeContinue();
    void serve(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  fake = { url: `https://127.0.0.1:${port}`, ca: authority.certificate, seen: [], answer: ok };
  relay = await start(fake);
  world = await openWorld({
    async program({ command, input, output }) {
      if (command === "cat") for await (const chunk of input) output.write(chunk);
      else output.write(`ran ${command}\n`);
      return 7;
    },
  });
  const { id } = await world.deployed("hello");
  for (const dyno of await world.store.dynos.list(id)) await world.store.dynos.update(dyno.id, { state: "up" });
  worldRelay = await start({ url: `https://127.0.0.1:${world.api.tlsPort}`, ca: world.ca }, world.token, EXEC_ADDRESS);
});
after(async () => {
  await relay[Symbol.asyncDispose]();
  await worldRelay[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
  server.closeAllConnections();
  server.close();
});

function start(
  platform: { readonly url: string; readonly ca?: string },
  token = TOKEN,
  execAddress = "127.99.1.2",
): Promise<Relay> {
  return startRelay({
    platform: { ...platform, token },
    port: 0,
    secret: SECRET,
    ...own,
    execAddress,
    execPort: EXEC_PORT,
    clock: systemClock,
  });
}

function ok(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { "Content-Type": "application/json", "X-Kept": "yes" }).end("{}");
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer); // no encoding is set
  const body = Buffer.concat(chunks);
  fake.seen.push({ line: `${request.method} ${request.url}`, headers: request.headers, body: body.toString("latin1") });
  fake.answer(request, response, body);
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
}

interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  readonly secret?: string | null;
  readonly to?: Relay;
}

/** One request to the relay, with its secret unless another is given. */
function ask(path: string, { method = "GET", headers = {}, body, secret = SECRET, to = relay }: Asked = {}) {
  return new Promise<Answer>((resolve, reject) => {
    const credentials = secret === null ? {} : { Authorization: `Bearer ${secret}` };
    const outgoing = httpsRequest(
      {
        host: "127.0.0.1",
        port: to.port,
        ca: own.ca,
        path,
        method,
        servername: "localhost",
        agent: false,
        headers: { ...credentials, ...headers },
      },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
        incoming.on("error", reject);
        incoming.on("end", () =>
          resolve({
            status: incoming.statusCode ?? 0,
            headers: incoming.headers,
            text: Buffer.concat(chunks).toString(),
          }),
        );
      },
    );
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

/** Bytes as they are; all that comes back until the relay closes. */
async function raw(text: string, to = relay): Promise<string> {
  const socket = connect({ host: "127.0.0.1", port: to.port, ca: own.ca });
  socket.on("error", () => {}); // a reset is an end
  await once(socket, "secureConnect");
  socket.write(text);
  let all = "";
  socket.setEncoding("latin1").on("data", (part: string) => (all += part));
  if (!socket.closed) await once(socket, "close");
  return all;
}

const host = () => `127.0.0.1:${relay.port}`;

test("the platform gets its own token, its own Host and where the relay is; never the secret, nor what is the connection's", async () => {
  fake.seen.length = 0;
  const headers = {
    Accept: "application/vnd.heroku+json; version=3.sdk",
    Range: "version ..; max=15, order=desc",
    Connection: "X-Secret-Hop",
    "X-Secret-Hop": "1",
    "Proxy-Authorization": "Basic eA==",
    "Stator-Relay": "https://127.0.0.1:1/?relay=forged-forged-forged-forged",
    Cookie: "a=b",
  };
  const answer = await ask("/apps/hello/releases?eq[name]=x", { headers });
  assert.deepEqual([answer.status, answer.headers["x-kept"], answer.text], [200, "yes", "{}"]);
  const [seen] = fake.seen;
  assert.equal(seen?.line, "GET /apps/hello/releases?eq[name]=x");
  assert.equal(seen?.headers.authorization, `Bearer ${TOKEN}`);
  assert.equal(seen?.headers.host, new URL(fake.url).host);
  assert.equal(seen?.headers.range, headers.Range);
  assert.equal(seen?.headers.accept, headers.Accept);
  assert.match(
    String(seen?.headers["stator-relay"]),
    new RegExp(`^https://127\\.0\\.0\\.1:${relay.port}/\\?relay=[\\w-]{43}&exec=127\\.99\\.1\\.2$`),
  );
  for (const name of ["x-secret-hop", "proxy-authorization", "cookie"])
    assert.equal(seen?.headers[name], undefined, name);
  assert.equal(JSON.stringify(seen).includes(SECRET), false);
});

test("Basic with any user is the secret too, as git and older clients send it", async () => {
  for (const user of ["", "heroku", "ann@example.com"]) {
    const authorization = `Basic ${Buffer.from(`${user}:${SECRET}`).toString("base64")}`;
    assert.equal(
      (await ask("/account", { secret: null, headers: { Authorization: authorization } })).status,
      200,
      user,
    );
    const sent = String(fake.seen.at(-1)?.headers.authorization).replace("Basic ", "");
    assert.equal(Buffer.from(sent, "base64").toString(), `${user}:${TOKEN}`);
  }
});

test("without the secret nothing passes, wherever it leads: 401 that git understands, and the platform hears nothing", async () => {
  fake.seen.length = 0;
  for (const path of [
    "/account",
    "/hello.git/info/refs?service=git-receive-pack",
    "/stator/logs/x",
    "/stator/relay",
    "/",
  ]) {
    for (const secret of [null, "", "wrong", `${SECRET}x`, SECRET.slice(0, -1), TOKEN]) {
      const answer = await ask(path, { secret });
      assert.equal(answer.status, 401, `${path} ${secret}`);
      assert.match(String(answer.headers["www-authenticate"]), /^Basic /);
      assert.equal(answer.text.includes(SECRET) || answer.text.includes(TOKEN), false);
    }
  }
  assert.equal((await ask("/stator/logs/x?relay=forged-forged-forged-forged", { secret: null })).status, 401);
  assert.equal(fake.seen.length, 0);
});

test("a link of the platform's passes with the relay's ticket and without the token; the ticket opens nothing else", async () => {
  await ask("/account");
  const [, ticket = ""] = /relay=([\w-]+)/.exec(String(fake.seen.at(-1)?.headers["stator-relay"])) ?? [];
  fake.seen.length = 0;
  const link = await ask(`/stator/logs/sealed.word?relay=${ticket}`, { secret: null });
  assert.equal(link.status, 200);
  assert.equal(fake.seen[0]?.line, "GET /stator/logs/sealed.word");
  assert.equal(fake.seen[0]?.headers.authorization, undefined);
  assert.equal(
    (await ask(`/stator/sources/x?relay=${ticket}`, { secret: null, method: "PUT", body: "tar" })).status,
    200,
  );
  assert.equal(fake.seen[1]?.body, "tar");
  for (const path of [
    "/account",
    "/stator/logs/../../account",
    "/stator/../account",
    "//stator/logs/x",
    "/stator/relay",
  ])
    assert.notEqual((await ask(`${path}?relay=${ticket}`, { secret: null })).status, 200, path);
  assert.equal((await ask(`/stator/logs/x?relay=${ticket}`, { secret: null, method: "DELETE" })).status, 401);
  assert.equal(fake.seen.length, 2);
});

test("only its own names: another Host, none, or two are refused, whatever the secret (DNS rebinding)", async () => {
  fake.seen.length = 0;
  for (const name of [
    "evil.example",
    "evil.example:1",
    `127.0.0.1.evil.example:${relay.port}`,
    "127.0.0.1",
    "localhost:1",
  ]) {
    const answer = await ask("/account", { headers: { Host: name } });
    assert.equal(answer.status, 403, name);
  }
  const secret = `Authorization: Bearer ${SECRET}\r\n`;
  const two = await raw(
    `GET /account HTTP/1.1\r\nHost: ${host()}\r\nHost: evil.example\r\n${secret}Connection: close\r\n\r\n`,
  );
  assert.match(two, /^HTTP\/1\.1 4\d\d /);
  const none = await raw(`GET /account HTTP/1.1\r\n${secret}Connection: close\r\n\r\n`);
  assert.match(none, /^HTTP\/1\.1 4\d\d /);
  assert.equal(fake.seen.length, 0);
  assert.equal((await ask("/account", { headers: { Host: `LOCALHOST:${relay.port}` } })).status, 200);
});

test("it is no open proxy: absolute addresses, CONNECT and * are refused", async () => {
  fake.seen.length = 0;
  const rest = `Host: ${host()}\r\nAuthorization: Bearer ${SECRET}\r\nConnection: close\r\n\r\n`;
  for (const line of [
    "GET http://evil.example/account HTTP/1.1",
    `GET ${fake.url}/account HTTP/1.1`,
    "GET //evil.example/account HTTP/1.1",
    "CONNECT evil.example:443 HTTP/1.1",
    `CONNECT ${host()} HTTP/1.1`,
    "OPTIONS * HTTP/1.1",
  ]) {
    assert.match(await raw(`${line}\r\n${rest}`), /^HTTP\/1\.1 4\d\d /, line);
  }
  assert.equal(fake.seen.length, 0);
});

test("smuggling: what two readers could understand differently is refused, and what passes is framed anew", async () => {
  fake.seen.length = 0;
  const head = `Host: ${host()}\r\nAuthorization: Bearer ${SECRET}\r\n`;
  const hidden = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";
  for (const [what, text] of [
    [
      "both lengths",
      `POST /a HTTP/1.1\r\n${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${hidden}`,
    ],
    ["two lengths", `POST /b HTTP/1.1\r\n${head}Content-Length: 5\r\nContent-Length: 40\r\n\r\nhello${hidden}`],
    ["an unknown coding", `POST /c HTTP/1.1\r\n${head}Transfer-Encoding: xchunked\r\n\r\n${hidden}`],
    ["a blank before the colon", `POST /d HTTP/1.1\r\n${head}Content-Length : 5\r\n\r\nhello`],
    ["a folded line", `POST /e HTTP/1.1\r\n${head}X: a\r\n Transfer-Encoding: chunked\r\n\r\n`],
    ["a bare CR", `GET /f HTTP/1.1\r\n${head}X: a\rY: b\r\n\r\n`],
    ["two tokens", `GET /g HTTP/1.1\r\n${head}Authorization: Bearer x\r\nConnection: close\r\n\r\n`],
  ] as const) {
    assert.match(await raw(text), /^HTTP\/1\.1 4\d\d /, what);
  }
  assert.equal(fake.seen.length, 0);
  // A length that `Connection` would take away stays.
  const kept = `DELETE /h HTTP/1.1\r\n${head}Connection: close, content-length, authorization\r\nContent-Length: ${hidden.length}\r\n\r\n${hidden}`;
  assert.match(await raw(kept), /^HTTP\/1\.1 200 /);
  assert.deepEqual(
    fake.seen.map(({ line, body }) => [line, body]),
    [["DELETE /h", hidden]],
  );
  assert.equal(fake.seen[0]?.headers.authorization, `Bearer ${TOKEN}`);
});

test("heads and first lines without an end are cut off, and it goes on to answer", async () => {
  const long = "x".repeat(40_000);
  assert.match(await raw(`GET /account HTTP/1.1\r\nHost: ${host()}\r\nX: ${long}\r\n\r\n`), /^HTTP\/1\.1 431 /);
  assert.match(await raw(`GET /${long} HTTP/1.1\r\nHost: ${host()}\r\n\r\n`), /^HTTP\/1\.1 4(31|14|00) /);
  assert.match(await raw("x".repeat(2_000)), /^HTTP\/1\.1 400 |^$/);
  assert.equal(await raw(`${"a".repeat(43)}\r\n`), "");
  assert.equal(await raw(`${"a".repeat(43)}?relay=${"b".repeat(43)}\r\n`), "");
  assert.equal((await ask("/account")).status, 200);
});

test("bodies stream both ways, of any size and framing; an answer to what was not read comes all the same", async () => {
  const large = randomBytes(8 * 1024 * 1024);
  fake.answer = (_request, response, body) => void response.writeHead(200).end(body);
  const echoed = await ask("/hello.git/git-receive-pack", {
    method: "POST",
    body: large,
    headers: { Expect: "100-continue" },
  });
  assert.equal(echoed.text, large.toString());
  fake.seen.length = 0;
  const chunked = `POST /x HTTP/1.1\r\nHost: ${host()}\r\nAuthorization: Bearer ${SECRET}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`;
  assert.match(await raw(chunked), /abcde/);
  assert.equal(fake.seen[0]?.body, "abcde");
  fake.answer = (_request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write("data: one\n\n");
    setTimeout(() => response.end("data: two\n\n"), 50);
  };
  assert.equal((await ask("/stream")).text, "data: one\n\ndata: two\n\n");
  fake.answer = (_request, response) => void response.writeHead(304).end();
  assert.equal((await ask("/same", { headers: { "If-None-Match": '"x"' } })).status, 304);
  fake.answer = ok;
  assert.deepEqual([(await ask("/account", { method: "HEAD" })).text, fake.seen.at(-1)?.line], ["", "HEAD /account"]);
});

test("a platform that breaks off in the middle is seen as broken, not as an end", async () => {
  fake.answer = (_request, response) => {
    response.writeHead(200, { "Content-Length": "100" });
    response.write("half", () => response.destroy());
  };
  await assert.rejects(ask("/broken"), /aborted|ECONNRESET|hang up/);
  fake.answer = ok;
});

test("a platform that is down, has another certificate, or is not the one named: a sentence, no token in it", async () => {
  const other = await makeAuthority("Somebody else", Date.now());
  const cases: readonly (readonly [{ readonly url: string; readonly ca?: string }, RegExp])[] = [
    [{ url: "https://127.0.0.1:9", ca: fake.ca }, /nothing listens there/],
    [{ url: fake.url, ca: other.certificate }, /not signed by the CA that is trusted/],
    [{ url: fake.url }, /not signed by the CA that is trusted/],
  ];
  for (const [platform, why] of cases) {
    await using one = await start(platform);
    const answer = await ask("/account", { to: one });
    assert.equal(answer.status, 503);
    assert.match(answer.text, why);
    assert.match(answer.text, /No answer from the platform at https:\/\/127\.0\.0\.1/);
    assert.equal(answer.text.includes(TOKEN), false);
  }
  await assert.rejects(start({ url: "http://127.0.0.1:9" }), /not reached by TLS/);
});

test("it says who it is to its own person, and stops when told to", async () => {
  await using one = await start(fake);
  const answer = await ask("/stator/relay", { to: one });
  assert.deepEqual(JSON.parse(answer.text), { platform: fake.url, pid: process.pid, exec_address: null });
  assert.equal((await ask("/stator/relay", { to: one, method: "DELETE", secret: "wrong" })).status, 401);
  assert.equal((await ask("/stator/relay", { to: one, method: "DELETE" })).status, 200);
  await one.askedToStop;
});

/** As our own client would speak to the relay: what the API gives out must lead back through it. */
const throughRelay = () =>
  new Client({ url: `https://127.0.0.1:${worldRelay.port}`, token: SECRET, ca: own.ca, local: false });

test("a real platform through it: answers' addresses are the relay's, and a log stream comes by one", async () => {
  const client = throughRelay();
  const origin = client.platform.url;
  const app = await client.get<{ readonly git_url: string }>("/apps/hello");
  assert.equal(app.git_url, `${origin}/hello.git`);
  const { id } = (await world.store.apps.list()).find(({ name }) => name === "hello") ?? { id: "" };
  world.logs.append(id, { at: Date.now(), source: "app", process: "web.1", text: "one line" });
  const lines: string[] = [];
  await readLog(client, "hello", { tail: false }, (line) => lines.push(line), new AbortController().signal);
  assert.ok(
    lines.some((line) => line.includes("one line")),
    lines.join("\n"),
  );
  const source = await client.call<{ readonly source_blob: { readonly put_url: string } }>("POST", "/sources");
  const put = new URL(source.source_blob.put_url);
  assert.equal(put.origin, origin);
  const sent = await ask(`${put.pathname}${put.search}`, { to: worldRelay, method: "PUT", body: "tar", secret: null });
  assert.equal(sent.status, 200);
});

test("rendezvous through it: the greeting alone, then the dyno; the secret without the ticket gets nothing", async () => {
  const dyno = await throughRelay().call<{ readonly attach_url: string }>("POST", "/apps/hello/dynos", {
    body: { command: "says this", attach: true },
  });
  const url = new URL(dyno.attach_url);
  assert.equal(url.host, `127.0.0.1:${worldRelay.port}`);
  assert.equal(await raw(`${url.pathname.slice(1)}\r\n`, worldRelay), "");
  const socket = connect({ host: "127.0.0.1", port: worldRelay.port, ca: own.ca });
  await once(socket, "secureConnect");
  socket.write(`${url.pathname.slice(1)}${url.search}\r\n`);
  const chunks: string[] = [];
  socket.setEncoding("utf8").on("data", (chunk: string) => chunks.push(chunk));
  await once(socket, "end");
  socket.destroy();
  assert.equal(chunks[0], "rendezvous\r\n");
  assert.equal(chunks.slice(1).join(""), "ran says this\n");
});

test("our own terminals through it, by their upgrade; one without the secret is refused", async () => {
  const client = throughRelay();
  const dyno = await client.call<{ readonly attach_url: string }>("POST", "/apps/hello/dynos", {
    body: { command: "x", attach: true },
  });
  const secret = secretOf(dyno.attach_url);
  const nobody = new Client({ ...client.platform, token: "wrong" });
  await assert.rejects(attach(nobody, secret, false), /demands its own secret/);
  assert.equal(await attach(client, secret, false), 7);
  await assert.rejects(attach(client, secret, false), /used already/);
});

test("ps:exec of the official CLI through it: SSH comes in at a loopback address once a key was registered by the relay's person", async () => {
  const sshOf = async (): Promise<string> => {
    const socket = createConnection({ host: EXEC_ADDRESS, port: EXEC_PORT });
    socket.on("error", () => {}); // a reset is an end
    socket.write("SSH-2.0-me\r\n");
    let all = "";
    socket.setEncoding("latin1").on("data", (part: string) => {
      all += part;
      socket.end();
    });
    await once(socket, "close");
    return all;
  };
  assert.equal(worldRelay.execRefusal, null);
  assert.equal(await sshOf(), "", "nobody was let in before");
  const basic = (secret: string) => `Basic ${Buffer.from(`hello:${secret}`).toString("base64")}`;
  const register = (secret: string) =>
    ask("/api/v2/web.1", {
      to: worldRelay,
      method: "PUT",
      secret: null,
      body: JSON.stringify({ client_key: CLIENT_KEY }),
      headers: { Authorization: basic(secret), "Content-Type": "application/json" },
    });
  assert.equal((await register("wrong")).status, 401);
  assert.equal(await sshOf(), "", "nor by who knows no secret");
  const registered = await register(SECRET);
  assert.equal(registered.status, 200, registered.text);
  assert.equal(JSON.parse(registered.text).tunnel_host, EXEC_ADDRESS);
  assert.match(await sshOf(), /^SSH-2\.0-\S+ stator\r\n/);
});

test("a loopback address whose port cannot be had is said, and the rest works", async () => {
  await using one = await start(fake, TOKEN, EXEC_ADDRESS);
  assert.match(one.execRefusal ?? "", /is taken/);
  await ask("/account", { to: one });
  assert.doesNotMatch(String(fake.seen.at(-1)?.headers["stator-relay"]), /exec=/);
});
