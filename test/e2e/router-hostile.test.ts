import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { ownLimits } from "../../src/engine/local/host-limits.ts";
import { RawClient, RawDyno, requestsIn } from "./raw-http.ts";
import { ERROR, FLAG, type Frame, fields, frame, RawHttp2, statusOf, TYPE } from "./raw-http2.ts";
import { type App, RouterRig } from "./router-rig.ts";

/** Clients that mean harm. What the dyno got is what counts: a TCP server that keeps every byte. Needs root. */
const HEAD_MS = 1_000;
const CLIENT_MS = 3_000;
let rig: RouterRig;
/** Another app, which is served meanwhile. */
let other: App;
before(async () => {
  rig = await RouterRig.open({ timeouts: { head: HEAD_MS, client: CLIENT_MS }, connectionsMax: 1_000 });
  other = rig.app();
  await other.set({ dynoIds: [await rig.dyno("web.1")] });
});
after(() => rig[Symbol.asyncDispose]());

async function rawApp(answer?: Parameters<typeof RawDyno.open>[1]): Promise<{ app: App; dyno: RawDyno }> {
  const dyno = await RawDyno.open(rig, answer);
  const app = rig.app();
  await app.set({ dynoIds: [dyno.id] });
  return { app, dyno };
}
async function othersAreServed(): Promise<void> {
  const since = performance.now();
  assert.equal((await other.ask()).status, 200);
  const took = performance.now() - since;
  assert.ok(took < 2_000, `${Math.round(took)} ms`);
}
/** Answers each whole request, bodies too. */
const answerWhole = (text: string, socket: Socket): void => {
  const whole = requestsIn(text).filter(({ head, body }) => {
    const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
    return /^transfer-encoding/im.test(head) ? /(^|\r\n)0\r\n[^]*\r\n$/.test(body) : body.length === length;
  });
  for (let i = answered.get(socket) ?? 0; i < whole.length; i++)
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  answered.set(socket, whole.length);
};
const answered = new WeakMap<Socket, number>();

/**
 * What is sent ({host} stands for the app), and the requests that may reach the dyno. Whatever it is, the dyno must see the requests
 * that the router has logged and no others, each with one length, and every line ended by CR LF.
 */
const SMUGGLING: Readonly<Record<string, readonly [sent: string, reaches: readonly string[]]>> = {
  "CL.TE: the length is dropped": [
    "POST /a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    ["POST /a"],
  ],
  "CL.TE with a whole request behind": [
    "POST /a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 70\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ["POST /a"],
  ],
  "TE.CL": [
    "POST /a HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n2b\r\nGET /smuggled HTTP/1.1\r\nHost: x.example\r\n\r\n\r\n0\r\n\r\n",
    ["POST /a"],
  ],
  "TE.TE: another coding": [
    "POST /a HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    [],
  ],
  "a coding that is none": [
    "POST /a HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: xchunked\r\nContent-Length: 3\r\n\r\nabc",
    [],
  ],
  "chunked, but not last": [
    "POST /a HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    [],
  ],
  "chunked twice": ["POST /a HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", []],
  "blank before the colon": [
    "POST /a HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\nabc",
    [],
  ],
  "vertical tab before the coding": [
    "POST /a HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding:\x0bchunked\r\nContent-Length: 3\r\n\r\nabc",
    [],
  ],
  "two equal lengths are one": [
    "POST /a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    ["POST /a"],
  ],
  "two different lengths": [
    "POST /a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    [],
  ],
  "a list of lengths": ["POST /a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3, 4\r\n\r\nabcd", []],
  "a length with a sign": ["POST /a HTTP/1.1\r\nHost: {host}\r\nContent-Length: +3\r\n\r\nabc", []],
  "a negative length": ["POST /a HTTP/1.1\r\nHost: {host}\r\nContent-Length: -3\r\n\r\nabc", []],
  "a length in hex": ["POST /a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0x3\r\n\r\nabc", []],
  "two numbers as a length": ["POST /a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3 3\r\n\r\nabc", []],
  "a length of 2^64 + 3, which HAProxy 2.6 takes for 3": [
    "POST /a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 18446744073709551619\r\n\r\nabc",
    [],
  ],
  "a length beyond 64 bits": [
    "POST /a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99999999999999999999\r\n\r\nabc",
    [],
  ],
  "an empty length": ["POST /a HTTP/1.1\r\nHost: {host}\r\nContent-Length: \r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n", []],
  "bare LF at line ends: made whole": ["GET /a HTTP/1.1\nHost: {host}\nX-A: b\n\n", ["GET /a"]],
  "bare LF inside of a value": [
    "GET /a HTTP/1.1\r\nHost: {host}\r\nX-A: b\nContent-Length: 40\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x.example\r\n",
    ["GET /a"],
  ],
  "bare CR in a value": ["GET /a HTTP/1.1\r\nHost: {host}\r\nX-A: b\rX-B: c\r\n\r\n", []],
  "bare CR as a line end": ["GET /a HTTP/1.1\rHost: {host}\r\r", []],
  "NUL in a value: passed on": ["GET /a HTTP/1.1\r\nHost: {host}\r\nX-A: b\0c\r\n\r\n", ["GET /a"]],
  "obs-fold: made one line": [
    "GET /a HTTP/1.1\r\nHost: {host}\r\nX-A: b\r\n Transfer-Encoding: chunked\r\n\r\n",
    ["GET /a"],
  ],
  "obs-fold before the first header": ["GET /a HTTP/1.1\r\n X-A: b\r\nHost: {host}\r\n\r\n", []],
  "chunk extensions: dropped": [
    'POST /a HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b;c="d"\r\nabc\r\n0;e\r\n\r\n',
    ["POST /a"],
  ],
  "bare LF in a chunk extension: a line end here, and so for the dyno": [
    "POST /a HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3;\nabc\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ["POST /a", "GET /b"],
  ],
  "a chunk's size with a sign": [
    "POST /a HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
    ["POST /a"],
  ],
  "a chunk's size in 0x": [
    "POST /a HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    ["POST /a"],
  ],
  "a chunk's size beyond 64 bits": [
    "POST /a HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n",
    ["POST /a"],
  ],
  "a chunk longer than its size": [
    "POST /a HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
    ["POST /a"],
  ],
  "a header name with a blank": ["GET /a HTTP/1.1\r\nHost: {host}\r\nX A: b\r\n\r\n", []],
  "a header without a name": ["GET /a HTTP/1.1\r\nHost: {host}\r\n: b\r\n\r\n", []],
  "a line without a colon": ["GET /a HTTP/1.1\r\nHost: {host}\r\nX-A\r\n\r\n", []],
  "no host": ["GET /a HTTP/1.1\r\n\r\n", []],
  "two hosts": ["GET /a HTTP/1.1\r\nHost: {host}\r\nHost: x.example\r\n\r\n", []],
  "the same host twice: made one": ["GET /a HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n", ["GET /a"]],
  "an empty host": ["GET /a HTTP/1.1\r\nHost:\r\n\r\n", []],
  "a list of hosts": ["GET /a HTTP/1.1\r\nHost: {host}, x.example\r\n\r\n", []],
  "a whole URI for another host": ["GET http://x.example/a HTTP/1.1\r\nHost: {host}\r\n\r\n", []],
  "HTTP/1.0 with chunks": [
    "POST /a HTTP/1.0\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ["POST /a"],
  ],
  "a version that is none": ["GET /a HTTP/3.7x\r\nHost: {host}\r\n\r\n", []],
  "more blanks in the first line: made one each": ["GET  /a  HTTP/1.1\r\nHost: {host}\r\n\r\n", ["GET /a"]],
  "a path with a control character": ["GET /a\x01 HTTP/1.1\r\nHost: {host}\r\n\r\n", []],
  "two requests at once are two": [
    "GET /a HTTP/1.1\r\nHost: {host}\r\n\r\nGET /b HTTP/1.1\r\nHost: {host}\r\n\r\n",
    ["GET /a", "GET /b"],
  ],
  "a body on a GET is a body": [
    "GET /a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 44\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x.example\r\n\r\nG",
    ["GET /a"],
  ],
};

describe("request smuggling", { concurrency: true }, () => {
  for (const [name, [sent, reaches]] of Object.entries(SMUGGLING))
    test(name, async () => {
      const { app, dyno } = await rawApp(answerWhole);
      await using _ = dyno;
      const client = await RawClient.open(rig);
      client.send(sent.replaceAll("{host}", app.host));
      await client.until(/ 4\d\d |ok.*ok/s, 400);
      client.leave();
      assert.equal((await app.ask({ path: "/marker" })).status, 200); // on a connection that another left to be used again
      await app.line(/"\/marker"/);
      const seen = dyno.requests;
      const logged = () => app.log.filter((line) => / dyno=web\.1 /.test(line)).map(requestOf);
      while (logged().length < seen.length) await pause(5);
      assert.deepEqual(logged().toSorted(), seen.toSorted(), "the dyno and the router read the same requests");
      assert.ok(
        seen.every((each) => each === "GET /marker" || reaches.includes(each)),
        seen.join(),
      );
      if (reaches.length === 0 || client.text.includes(" 200 "))
        assert.deepEqual(seen.toSorted(), [...reaches, "GET /marker"].toSorted());
      for (const { head } of dyno.texts.flatMap(requestsIn)) {
        assert.ok((head.match(/^(content-length|transfer-encoding):/gim) ?? []).length <= 1, head);
        assert.doesNotMatch(head.replaceAll("\r\n", ""), /[\r\n]/, "lines end with CR LF");
        assert.doesNotMatch(head, /^[ \t]/m, "no folded line");
      }
      assert.ok(!client.text.includes(" 200 ") || reaches.length > 0, client.text);
    });
});
const requestOf = (line: string): string => (/method=(\S+) path="([^"]*)"/.exec(line) ?? []).slice(1).join(" ");

const get = (host: string, ...more: readonly (readonly [string, string])[]) =>
  fields([":method", "GET"], [":scheme", "https"], [":path", "/h2"], [":authority", host], ...more);
const headers = (stream: number, block: Uint8Array, flags: number = FLAG.endHeaders | FLAG.endStream) =>
  frame(TYPE.headers, flags, stream, block);

describe("HTTP/2, frame by frame (RFC 9113)", { concurrency: true }, () => {
  const window = (increment: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(increment);
    return bytes;
  };
  const errorIn = ({ type, payload }: Frame) => payload.readUInt32BE(type === TYPE.goAway ? 4 : 0);

  test("a good request is answered; PING is acknowledged; what is unknown is ignored", async () => {
    const { app, dyno } = await rawApp();
    await using _ = dyno;
    const client = await RawHttp2.open(rig, app.host);
    client.send(
      frame(TYPE.ping, FLAG.none, 0, "12345678"),
      frame(0x77, 0xff, 0, "whatever"),
      headers(1, get(app.host)),
    );
    const pong = await client.frame(({ type, flags }) => type === TYPE.ping && flags === FLAG.ack);
    assert.equal(pong?.payload.toString(), "12345678");
    const answer = await client.frame(({ type, stream }) => type === TYPE.headers && stream === 1);
    assert.equal(answer && statusOf(answer), "200");
    const half = get(app.host).length >> 1;
    client.send(
      headers(3, get(app.host).subarray(0, half), FLAG.endStream),
      frame(TYPE.continuation, FLAG.endHeaders, 3, get(app.host).subarray(half)),
      headers(
        5,
        Buffer.concat([Buffer.of(3, 0, 0, 0, 0, 9), get(app.host), Buffer.alloc(3)]),
        FLAG.endHeaders | FLAG.endStream | FLAG.padded | FLAG.priority,
      ),
    );
    for (const id of [3, 5]) {
      const found = await client.frame(({ type, stream }) => type === TYPE.headers && stream === id);
      assert.equal(found && statusOf(found), "200", `stream ${id}`);
    }
    client.leave();
    assert.deepEqual(dyno.requests, ["GET /h2", "GET /h2", "GET /h2"]);
  });

  const fatal: Readonly<Record<string, readonly [frames: (host: string) => readonly Buffer[], error: number]>> = {
    "DATA on stream 0": [() => [frame(TYPE.data, 0, 0, "x")], ERROR.protocol],
    "HEADERS on stream 0": [(host) => [headers(0, get(host))], ERROR.protocol],
    "a stream with an even number": [(host) => [headers(2, get(host))], ERROR.protocol],
    "a stream's number that goes back": [(host) => [headers(5, get(host)), headers(3, get(host))], ERROR.streamClosed],
    "DATA on a stream that never was": [() => [frame(TYPE.data, 0, 1, "x")], ERROR.protocol],
    "RST_STREAM on a stream that never was": [() => [frame(TYPE.reset, 0, 1, window(0))], ERROR.protocol],
    "WINDOW_UPDATE on a stream that never was": [() => [frame(TYPE.window, 0, 1, window(1))], ERROR.protocol],
    "CONTINUATION without HEADERS": [() => [frame(TYPE.continuation, FLAG.endHeaders, 1, "")], ERROR.protocol],
    "another frame inside of HEADERS": [
      (host) => [headers(1, get(host), FLAG.none), frame(TYPE.ping, 0, 0, "12345678")],
      ERROR.protocol,
    ],
    "fields that cannot be decoded": [() => [headers(1, Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff))], ERROR.compression],
    "an index beyond the table": [() => [headers(1, Buffer.of(0x80 | 90))], ERROR.compression],
    "a frame beyond the limit": [() => [frame(TYPE.data, 0, 1, "x".repeat(16_385))], ERROR.frameSize],
    "PING of 7 bytes": [() => [frame(TYPE.ping, 0, 0, "1234567")], ERROR.frameSize],
    "PING on a stream": [() => [frame(TYPE.ping, 0, 1, "12345678")], ERROR.protocol],
    "SETTINGS of 5 bytes": [() => [frame(TYPE.settings, 0, 0, "12345")], ERROR.frameSize],
    "SETTINGS acknowledged with a payload": [() => [frame(TYPE.settings, FLAG.ack, 0, "123456")], ERROR.frameSize],
    "SETTINGS on a stream": [() => [frame(TYPE.settings, 0, 1, "")], ERROR.protocol],
    "a first window beyond 2^31": [
      () => [frame(TYPE.settings, 0, 0, Buffer.of(0, 4, 0xff, 0xff, 0xff, 0xff))],
      ERROR.flowControl,
    ],
    "WINDOW_UPDATE by 0": [() => [frame(TYPE.window, 0, 0, window(0))], ERROR.protocol],
    "WINDOW_UPDATE of 3 bytes": [() => [frame(TYPE.window, 0, 0, "abc")], ERROR.frameSize],
    "a window beyond 2^31": [() => [frame(TYPE.window, 0, 0, window(0x7fff_ffff))], ERROR.flowControl],
    "padding longer than the frame": [
      (host) => [headers(1, Buffer.concat([Buffer.of(255), get(host).subarray(0, 60)]), FLAG.endHeaders | FLAG.padded)],
      ERROR.protocol,
    ],
    "PUSH_PROMISE of a client": [() => [frame(TYPE.push, FLAG.endHeaders, 1, "1234")], ERROR.protocol],
  };
  for (const [name, [frames, error]] of Object.entries(fatal))
    test(`${name}: the connection ends`, async () => {
      const { app, dyno } = await rawApp(() => {});
      await using _ = dyno;
      const client = await RawHttp2.open(rig, app.host);
      client.send(...frames(app.host));
      const last = await client.frame(({ type }) => type === TYPE.goAway);
      assert.equal(last && errorIn(last), error);
      client.leave();
    });

  test("another preface: the connection ends", async () => {
    const client = await RawHttp2.open(rig, other.host, Buffer.from("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"));
    await client.frame(() => client.closed);
    assert.ok(client.closed);
    const none = await RawHttp2.open(rig, other.host, Buffer.from("GET /no/http2/at/all HTTP/1.1\r\n\r\n"));
    await none.frame(() => none.closed);
    assert.ok(none.closed);
  });

  type List = readonly (readonly [string, string])[];
  const method: List = [[":method", "POST"]];
  const rest: List = [
    [":scheme", "https"],
    [":path", "/h2"],
  ];
  /** Requests that HTTP/1.1 would carry as something else: none may reach the dyno. */
  const malformed: Readonly<Record<string, (host: string) => List>> = {
    "CR LF in a value": (host) => [...method, ...rest, [":authority", host], ["x-a", "b\r\nx-b: c"]],
    "LF in a value": (host) => [...method, ...rest, [":authority", host], ["x-a", "b\n\nGET /smuggled HTTP/1.1"]],
    "NUL in a value": (host) => [...method, ...rest, [":authority", host], ["x-a", "b\0c"]],
    "CR LF in a name": (host) => [...method, ...rest, [":authority", host], ["x-a: b\r\nx-b", "c"]],
    "a colon in a name": (host) => [...method, ...rest, [":authority", host], ["x-a:b", "c"]],
    "an empty name": (host) => [...method, ...rest, [":authority", host], ["", "c"]],
    "capitals in a name": (host) => [...method, ...rest, [":authority", host], ["X-A", "b"]],
    "a blank in the method": (host) => [[":method", "GET /smuggled HTTP/1.1"], ...rest, [":authority", host]],
    "CR LF in the method": (host) => [[":method", "GET / HTTP/1.1\r\nx: "], ...rest, [":authority", host]],
    "a blank in the path": (host) => [...method, [":scheme", "https"], [":path", "/ HTTP/1.1"], [":authority", host]],
    "CR LF in the path": (host) => [...method, [":scheme", "https"], [":path", "/\r\nx: y"], [":authority", host]],
    "an empty path": (host) => [...method, [":scheme", "https"], [":path", ""], [":authority", host]],
    "no path": (host) => [...method, [":scheme", "https"], [":authority", host]],
    "no method": (host) => [...rest, [":authority", host]],
    "no scheme": (host) => [...method, [":path", "/h2"], [":authority", host]],
    "two paths": (host) => [...method, ...rest, [":path", "/smuggled"], [":authority", host]],
    "a pseudo-header of an answer": (host) => [...method, ...rest, [":authority", host], [":status", "200"]],
    "an unknown pseudo-header": (host) => [...method, ...rest, [":authority", host], [":x", "y"]],
    "a pseudo-header after others": (host) => [
      ...method,
      [":scheme", "https"],
      ["x-a", "b"],
      [":path", "/h2"],
      [":authority", host],
    ],
    Connection: (host) => [...method, ...rest, [":authority", host], ["connection", "x-forwarded-for"]],
    "Transfer-Encoding": (host) => [...method, ...rest, [":authority", host], ["transfer-encoding", "chunked"]],
    Upgrade: (host) => [...method, ...rest, [":authority", host], ["upgrade", "h2c"]],
    "two lengths": (host) => [
      ...method,
      ...rest,
      [":authority", host],
      ["content-length", "1"],
      ["content-length", "2"],
    ],
    "a length that is none": (host) => [...method, ...rest, [":authority", host], ["content-length", "1x"]],
    "a length of 2^64 + 3": (host) => [
      ...method,
      ...rest,
      [":authority", host],
      ["content-length", "18446744073709551619"],
    ],
    "CR LF in the authority": (host) => [...method, ...rest, [":authority", `${host}\r\nx: y`]],
  };
  for (const [name, list] of Object.entries(malformed))
    test(`downgrade: ${name}`, async () => {
      const { app, dyno } = await rawApp();
      await using _ = dyno;
      const client = await RawHttp2.open(rig, app.host);
      client.send(headers(1, fields(...list(app.host))));
      const ended = await client.frame(
        ({ type, stream }) => (stream === 1 && (type === TYPE.reset || type === TYPE.headers)) || type === TYPE.goAway,
      );
      assert.ok(ended ?? client.closed, "refused, not left alone");
      if (ended?.type === TYPE.headers) assert.match(statusOf(ended), /^4\d\d$/);
      client.leave();
      assert.equal((await app.ask({ path: "/marker" })).status, 200);
      assert.deepEqual(dyno.requests, ["GET /marker"]);
    });

  test("downgrade: a host beside the authority does not count", async () => {
    const { app, dyno } = await rawApp();
    await using _ = dyno;
    const client = await RawHttp2.open(rig, app.host);
    client.send(headers(1, get(app.host, ["host", other.host])));
    const answer = await client.frame(({ type, stream }) => type === TYPE.headers && stream === 1);
    assert.equal(answer && statusOf(answer), "200");
    client.leave();
    const [request] = dyno.texts.flatMap(requestsIn);
    assert.deepEqual(
      request?.head.match(/^host: .*$/gim)?.map((line) => line.trim()),
      [`host: ${app.host}`],
    );
  });

  test("downgrade: a length that the body does not have", async () => {
    for (const [length, body] of [
      ["3", "abcGET /smuggled HTTP/1.1\r\n\r\n"],
      ["60", "abc"],
    ] as const) {
      const { app, dyno } = await rawApp(answerWhole);
      await using _ = dyno;
      const client = await RawHttp2.open(rig, app.host);
      const list = fields(...method, ...rest, [":authority", app.host], ["content-length", length]);
      client.send(headers(1, list, FLAG.endHeaders), frame(TYPE.data, FLAG.endStream, 1, body));
      const ended = await client.frame(({ type, stream }) => stream === 1 && type === TYPE.reset);
      assert.equal(ended && errorIn(ended), ERROR.protocol);
      client.leave();
      assert.equal((await app.ask({ path: "/marker" })).status, 200);
      assert.ok(
        dyno.requests.every((each) => each === "POST /h2" || each === "GET /marker"),
        dyno.requests.join(),
      );
      assert.ok(!dyno.texts.some((text) => text.includes("/smuggled")));
    }
  });

  test("CONTINUATION without end: the connection ends before it costs much; others are served", async () => {
    const client = await RawHttp2.open(rig, other.host);
    client.send(headers(1, get(other.host), FLAG.none));
    const more = frame(TYPE.continuation, FLAG.none, 1, fields(["x-a", "y".repeat(4_000)]));
    let sent = 0;
    for (; sent < 200 && !client.closed && !client.frames.some(({ type }) => type === TYPE.goAway); sent++) {
      client.send(more);
      await pause(1);
    }
    assert.ok(sent < 200, `${sent} frames of 4 kB were taken`);
    client.leave();
    await othersAreServed();
  });

  test("streams opened and reset at once, thousands: others are served, and the dyno is not drowned", async () => {
    const { app, dyno } = await rawApp(() => {});
    await using _ = dyno;
    const client = await RawHttp2.open(rig, app.host);
    for (let id = 1; id < 6_000 && !client.closed; id += 2) {
      client.send(headers(id, get(app.host)), frame(TYPE.reset, 0, id, window(8)));
      if (id % 500 === 1) await pause(1);
    }
    await othersAreServed();
    const open = dyno.sockets.filter((socket) => !socket.destroyed && !socket.readableEnded).length;
    assert.ok(open < 300, `${open} connections`);
    client.leave();
  });
});

describe("clients that take what they can", { concurrency: true }, () => {
  test("slowloris: a head that comes byte by byte ends in time; others are served", async () => {
    const clients = await Promise.all(Array.from({ length: 200 }, () => RawClient.open(rig)));
    const since = performance.now();
    for (const client of clients) client.send(`GET / HTTP/1.1\r\nHost: ${other.host}\r\nX-Slow: `);
    while (clients.some(({ closed }) => !closed)) {
      for (const client of clients) if (!client.closed) client.send("x");
      await othersAreServed();
      await pause(50);
      assert.ok(performance.now() - since < 5 * HEAD_MS, "they are still there");
    }
    assert.match(clients[0]?.text ?? "", /^(HTTP\/1\.1 408 [^]*)?$/);
  });

  test("slowloris over TLS and HTTP/2: hellos and heads that come byte by byte, and mere PINGs, end in time", async () => {
    const hello = Buffer.concat([Buffer.of(22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3), Buffer.alloc(501)]);
    const ping = frame(TYPE.ping, FLAG.none, 0, "12345678");
    const open = () => Promise.all(Array.from({ length: 20 }, () => RawHttp2.open(rig, other.host)));
    const [slowHeads, slowContinuations, pings] = [await open(), await open(), await open()];
    const shaking = Array.from({ length: 20 }, () =>
      connect(rig.layout.httpsPort, "127.0.0.1")
        .on("error", () => {})
        .resume(),
    ); // they are told by the close
    const block = frame(TYPE.headers, FLAG.endHeaders, 1, "x".repeat(400));
    const since = performance.now();
    for (const client of slowContinuations) client.send(frame(TYPE.headers, FLAG.none, 1, fields([":method", "GET"])));
    const all = [slowHeads, slowContinuations, pings, shaking];
    for (let at = 0; all.flat().some(({ closed }) => !closed); at++) {
      for (const client of slowHeads) if (!client.closed) client.send(block.subarray(at, at + 1));
      for (const client of slowContinuations)
        if (!client.closed) client.send(frame(TYPE.continuation, FLAG.none, 1, at === 0 ? fields(["x-a", "b"]) : ""));
      for (const client of pings) if (!client.closed) client.send(ping);
      for (const client of shaking) if (!client.closed) client.write(hello.subarray(at, at + 1));
      await othersAreServed();
      await pause(50);
      const left = all.map((clients) => clients.filter(({ closed }) => !closed).length);
      assert.ok(performance.now() - since < 3 * CLIENT_MS, `they are still there: ${left.join()}`);
    }
  });

  test("huge heads: refused once they do not fit, in HTTP/1.1 and HTTP/2", async () => {
    const { app, dyno } = await rawApp();
    await using _ = dyno;
    const client = await RawClient.open(rig);
    client.send(`GET / HTTP/1.1\r\nHost: ${app.host}\r\n`);
    let sent = 0;
    for (; sent < 1_000 && !client.closed && client.text === ""; sent++) {
      client.send(`X-${sent}: ${"y".repeat(1_000)}\r\n`);
      await pause(1);
    }
    assert.ok(sent < 100, `${sent} kB were taken`);
    assert.match(client.text, /^(HTTP\/1\.1 400 [^]*)?$/);
    const line = await RawClient.open(rig);
    line.send(`GET /${"x".repeat(100_000)}`);
    assert.match(await line.ended(), /^(HTTP\/1\.1 400 [^]*)?$/);
    assert.deepEqual(dyno.requests, []);
    const many = await RawClient.open(rig);
    many.send(`GET / HTTP/1.1\r\nHost: ${app.host}\r\n${"a:\r\n".repeat(1_100)}\r\n`);
    assert.match(await many.ended(), /^(HTTP\/1\.1 400 [^]*)?$/);
    assert.deepEqual(dyno.requests, []);
  });

  test("clients that never read: the dyno's answer waits, others of the same app are served", async () => {
    let written = 0;
    const { app, dyno } = await rawApp((text, socket) => {
      if (!text.startsWith("GET /big")) return void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n");
      const block = Buffer.alloc(1 << 16);
      const write = () => {
        while (!socket.destroyed && socket.write(block)) written += block.length;
      };
      socket.on("drain", write);
      write();
    });
    await using _ = dyno;
    const before = await rig.workerKilobytes();
    const clients = await Promise.all(Array.from({ length: 20 }, () => RawClient.open(rig)));
    for (const client of clients) {
      client.socket.pause();
      client.send(`GET /big HTTP/1.1\r\nHost: ${app.host}\r\n\r\n`);
    }
    let last = -1;
    while (written !== last) {
      last = written;
      await pause(200);
    }
    assert.equal((await app.ask({ path: "/small" })).status, 200);
    await othersAreServed();
    const grown = (await rig.workerKilobytes()) - before;
    assert.ok(grown < 30_000, `HAProxy took ${grown} kB more for 20 of them`);
    for (const client of clients) client.leave();
  });

  test("a client of HTTP/2 that opens no window, and pings: its request ends, others are served", async () => {
    const { app, dyno } = await rawApp((_text, socket) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n${"x".repeat(1_000_000)}`);
    });
    await using _ = dyno;
    const client = await RawHttp2.open(rig, app.host);
    client.send(frame(TYPE.settings, FLAG.none, 0, Buffer.of(0, 4, 0, 0, 0, 0)), headers(1, get(app.host)));
    const answer = await client.frame(({ type, stream }) => type === TYPE.headers && stream === 1);
    assert.equal(answer && statusOf(answer), "200");
    const since = performance.now();
    while (app.log.length === 0) {
      client.send(frame(TYPE.ping, FLAG.none, 0, "12345678"));
      await othersAreServed();
      await pause(50);
      assert.ok(performance.now() - since < 3 * CLIENT_MS, "it is still there");
    }
    assert.match(await app.line(/h2/), /code=H28 .* status=499 /);
    client.leave();
  });

  test("header injection: nothing that a client says becomes a header of an answer or of another request", async () => {
    const { app, dyno } = await rawApp();
    await using _ = dyno;
    const answer = await app.ask({
      path: "/%0d%0aSet-Cookie:%20a=b",
      headers: { "X-Request-Id": "aaaaaaaaaaaaaaaaaaaaaaaa%0d%0aX-B:1", "X-Forwarded-For": "1%0d%0aX-C: 1" },
    });
    assert.deepEqual(Object.keys(answer.headers).toSorted(), ["connection", "content-length", "via"]);
    const [request] = dyno.texts.flatMap(requestsIn);
    assert.match(request?.line ?? "", /^GET \/%0d%0aSet-Cookie:%20a=b HTTP\/1\.1$/);
    assert.match(request?.head ?? "", /^x-request-id: [0-9a-f-]{36}\r$/m);
    const unknown = await RawClient.open(rig);
    unknown.send("GET /<script> HTTP/1.1\r\nHost: <script>alert(1)</script>\r\n\r\n");
    assert.doesNotMatch(await unknown.until(/html>/), /<script>/, "no page repeats what was asked");
    unknown.leave();
  });

  test("one address has half of all connections, and no more", async () => {
    const from = (localAddress: string) => {
      const socket = connect({ port: rig.layout.httpPort, host: "127.0.0.1", localAddress });
      let isOpen = true;
      socket.on("error", () => {}); // it is told by the close
      socket.on("close", () => (isOpen = false));
      return { socket, isOpen: () => isOpen };
    };
    const greedy = Array.from({ length: 520 }, () => from("127.0.8.8"));
    while (greedy.filter(({ isOpen }) => isOpen()).length > 500) await pause(10);
    await pause(50);
    assert.equal(greedy.filter(({ isOpen }) => isOpen()).length, 500);
    await othersAreServed();
    for (const { socket } of greedy) socket.destroy();
  });
});

test("as many idle connections as this host can hold: an app is served meanwhile", async () => {
  const { openFilesMax } = await ownLimits();
  const connectionsMax = Math.min(10_000, Math.floor((openFilesMax - 200) / 2));
  await using big = await RouterRig.open({ connectionsMax });
  const app = big.app();
  await app.set({ dynoIds: [await big.dyno("web.1")] });
  const idle: Socket[] = [];
  let open = 0;
  const wanted = connectionsMax - 100;
  for (let i = 0; i < wanted; i++) {
    const socket = connect({ port: big.layout.httpPort, host: "127.0.0.1", localAddress: `127.0.7.${1 + (i % 50)}` });
    socket.on("connect", () => open++);
    socket.on("error", () => {}); // counted by what is open
    idle.push(socket);
    if (i % 500 === 499) while (open < i - 400) await pause(2); // the kernel's queue is short
  }
  while (open < wanted) await pause(5);
  const since = performance.now();
  for (let i = 0; i < 20; i++) assert.equal((await app.ask()).status, 200);
  const took = performance.now() - since;
  assert.ok(took < 2_000, `20 requests took ${Math.round(took)} ms beside ${open} idle connections`);
  assert.equal(idle.filter(({ destroyed }) => destroyed).length, 0);
  for (const socket of idle) socket.destroy();
});
