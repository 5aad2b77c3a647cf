import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Gaps } from "./request-gaps.ts";
import { formatRequest, parseRequest, requestLogLine } from "./request-line.ts";
import { splitFrames } from "./request-log.ts";

const APP = "11111111-2222-3333-4444-555555555555";
const DYNO = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";
const base64 = (text: string) => (text === "" ? "-" : Buffer.from(text, "latin1").toString("base64"));
/** As HAProxy writes what users wrote. */
const encoded = (text: string) =>
  text.replace(/[^\x20-\x7e]|["#{|}]/g, (char) => `#${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);

function line(
  change: Partial<
    Record<
      | "code"
      | "flags"
      | "dyno"
      | "path"
      | "host"
      | "fwd"
      | "method"
      | "status"
      | "times"
      | "held"
      | "retries"
      | "sent"
      | "length"
      | "version",
      string
    >
  > = {},
): string {
  const {
    code = "-",
    flags = "----",
    dyno = DYNO,
    path = "/",
    host = "a.localhost",
    fwd = "",
    method = "GET",
    status = "200",
    times = "0 0 1 12 3 16",
    held = "-",
    retries = "0",
    sent = "99",
    length = "",
    version = "HTTP/1.1",
  } = change;
  const users = `"${encoded(`${method} ${path} ${version}`)}"{${encoded(host)}|${length}|${encoded(fwd)}}"`;
  return `stator3 42 7 1795460667012173 ${APP} ${dyno} ${code} ${status} 123 ${flags} ${times} 00000000-0000-4000-8000-000000000000 http 9.8.7.6 ${sent} ${held} ${retries}${users}`;
}
function shown(text: string): string {
  const record = parseRequest(text);
  assert.ok(record);
  return formatRequest(record, record.dynoId === null ? null : "web.1");
}

test("spec 7.10: the line of an answered request", () => {
  assert.equal(
    shown(line({ path: "/x?y=1", fwd: "1.2.3.4" })),
    'at=info method=GET path="/x?y=1" host=a.localhost request_id=00000000-0000-4000-8000-000000000000 fwd="1.2.3.4, 9.8.7.6" dyno=web.1 connect=1ms service=15ms status=200 bytes=123 protocol=http1.1 tls=false tls_version=unknown',
  );
  const record = parseRequest(line());
  assert.ok(record);
  const { at, micros, source, process } = requestLogLine(record, "web.1");
  assert.deepEqual(
    { at, micros, source, process },
    { at: 1795460667012, micros: 173, source: "heroku", process: "router" },
  );
});

test("the path is that of the request, however the client asked for it", () => {
  for (const [asked, path] of [
    ["https://a.localhost/x?y=http://z/", "/x?y=http://z/"],
    ["http://a.localhost", ""],
    ["*", ""],
    ["/a b", "/a b"],
  ] as const)
    assert.equal(parseRequest(line({ path: asked }))?.path, path);
});

test("spec 6.4: codes of rules and of how requests end", () => {
  const refused = { dyno: DYNO, times: "0 0 -1 -1 -1 3003" };
  const cases: readonly (readonly [Parameters<typeof line>[0], RegExp])[] = [
    [
      { code: "H10", flags: "LR--", dyno: "<NOSRV>", times: "0 -1 -1 -1 -1 0" },
      /^at=error code=H10 desc="App crashed" .*dyno= connect= service= status=503 bytes= protocol=http1\.1 tls=false tls_version=unknown$/,
    ],
    [
      { code: "H14", flags: "LR--", dyno: "<NOSRV>", times: "0 -1 -1 -1 -1 0" },
      /code=H14 desc="No web processes running"/,
    ],
    [{ code: "H80", flags: "LR--", dyno: "<NOSRV>", times: "0 -1 -1 -1 -1 0" }, /^at=info code=H80 .*status=503/],
    [
      { code: "H81", flags: "LR--", dyno: "<NOSRV>", times: "0 -1 -1 -1 -1 0" },
      /^at=info code=H81 desc="Blank app" .*status=502/,
    ],
    [
      { flags: "SC--", status: "503", ...refused },
      /code=H21 desc="Backend connection refused" .*dyno=web\.1 connect=3003ms service= status=503 bytes= /,
    ],
    [{ flags: "sC--", status: "503", ...refused }, /code=H19/],
    [
      { flags: "sH--", status: "504", times: "0 0 1 -1 -1 30001" },
      /code=H12 desc="Request timeout" .*connect=1ms service=30000ms status=503 bytes=0 /,
    ],
    [{ flags: "SH--", status: "502" }, /code=H13 .*status=503/],
    [{ flags: "PH--", status: "502" }, /code=H17 .*status=503/],
    [{ flags: "SD--" }, /^sock=backend at=error code=H18 .*status=503/],
    [{ flags: "sD--" }, /code=H15/],
    [{ flags: "CD--" }, /^sock=client at=warning code=H27 .*status=499/],
    [{ flags: "cD--" }, /^at=warning code=H28 .*status=499/],
    [{ flags: "RC--", status: "500" }, /code=H99 .*status=503/],
  ];
  for (const [change, pattern] of cases) assert.match(shown(line(change)), pattern, JSON.stringify(change));
});

test("what is counted of a request beside its line: held, tried again", () => {
  const counted = (change: Parameters<typeof line>[0]) => {
    const { isHeld, retries } = parseRequest(line(change)) ?? {};
    return [isHeld, retries];
  };
  assert.deepEqual(counted({}), [false, 0]);
  assert.deepEqual(counted({ held: "1", retries: "+2" }), [true, 2]);
  assert.deepEqual(counted({ retries: "x" }), [false, 0]);
});

test("spec 6.4: what is known beyond HAProxy's flags", () => {
  assert.match(shown(line({ flags: "PH--", status: "400" })), /^at=info method=GET .* status=400 bytes=0 /);
  const silent = { code: "H12", flags: "LR--", status: "503" };
  assert.match(shown(line({ ...silent, length: "10", sent: "200" })), / code=H12 /);
  const missing = (sent: number, promised: string) =>
    line({ flags: "sH--", status: "504", times: "0 0 1 -1 -1 30001", sent: String(sent), length: promised });
  assert.match(shown(missing(500, "1000")), /^at=warning code=H28 .*status=499 bytes=0 /);
  assert.match(shown(missing(1000, "1000")), /code=H12 /);
  assert.match(shown(missing(500, "")), /code=H12 /);
  for (const flags of ["cD--", "sD--"]) assert.match(shown(line({ flags, status: "101" })), /^at=error code=H15 /);
  assert.match(
    shown(line({ code: "H25-length", flags: "LH--", status: "502" })),
    /code=H25 desc="HTTP restriction: invalid content length" .*dyno=web\.1 connect=1ms service=\d+ms status=502 bytes=0 /,
  );
  const misdirected = line({
    code: "H31",
    flags: "LR--",
    dyno: "<NOSRV>",
    times: "0 -1 -1 -1 -1 0",
    version: "HTTP/2.0",
  });
  assert.match(
    shown(misdirected.replace(' http 9.8.7.6 99 - 0"', ` https 9.8.7.6 99 - 0 TLSv1.3 ${base64('a" b=c\x7f')}"`)),
    /status=421 bytes= protocol=http2\.0 tls=true tls_version=tls1\.3 agent="a%22 b=c%7F"$/,
  );
  assert.match(
    shown(line().replace(/00000000-0000-4000-[^ ]+/, "Ab+/=_-Ab+/=_-Ab+/=_-")),
    / request_id=Ab\+\/=_-Ab\S+ /,
  );
});

test("nothing that a visitor sends can pose as another field or another line", () => {
  const bytes = fc.uint8Array({ maxLength: 60 }).map((each) => Buffer.from(each).toString("latin1"));
  fc.assert(
    fc.property(bytes, bytes, bytes, bytes, (path, host, fwd, method) => {
      assert.match(
        shown(line({ path, host, fwd, method })),
        /^at=info method=\S* path="[ !#-~]*" host=[^\s"=]* request_id=\S+ fwd="[ !#-~]*" dyno=web\.1 connect=1ms service=15ms status=200 bytes=123 protocol=http1\.1 tls=false tls_version=unknown$/,
      );
    }),
  );
});

test("a visitor's own address is not cut off by what the visitor says of others", () => {
  const { forwardedFor } = parseRequest(line({ fwd: "1.1.1.1, ".repeat(110) })) ?? {};
  assert.match(forwardedFor ?? "", /, 9\.8\.7\.6$/);
  assert.match(shown(line({ fwd: "1.1.1.1, ".repeat(110) })), /, 9\.8\.7\.6" dyno=/);
});

test("a line has the fields of its own frontend", () => {
  assert.ok(parseRequest(line()));
  assert.equal(parseRequest(line({ code: "- - -" })), undefined, "as many as one of https");
  assert.equal(parseRequest(line().replace(" http ", " https ")), undefined);
});

test("HAProxy's other messages are no requests", () => {
  for (const text of [
    "",
    "Server a1/D is UP",
    line().replace("stator3", "stator2"),
    `${line()} more`,
    line().replace(" 42 ", " x "),
  ])
    assert.equal(parseRequest(text), undefined);
});

test("frames are cut at any byte, and what is none is told", () => {
  const frames = ["hello world", line(), "x"].map((text) => `${text.length} ${text}`).join("");
  fc.assert(
    fc.property(fc.nat(frames.length), (at) => {
      const first = splitFrames(Buffer.from(frames.slice(0, at)));
      assert.ok(first.left);
      const second = splitFrames(Buffer.concat([first.left, Buffer.from(frames.slice(at))]));
      assert.deepEqual([...first.lines, ...second.lines], ["hello world", line(), "x"]);
      assert.equal(second.left?.length, 0);
    }),
  );
  for (const bad of ["GET / HTTP/1.1\r\n", "99999999 x", "-1 x", "0 x", "12345678901"])
    assert.equal(splitFrames(Buffer.from(bad)).left, undefined);
});

test("lines that never came are counted once; swapped and twice given numbers are not lost", () => {
  const gaps = new Gaps();
  for (const number of [5, 6, 9, 8, 12, 12, 14]) gaps.saw(1, number); // 13 was given to the second 12
  gaps.saw(2, 1000);
  assert.equal(gaps.takeLost(), 0, "they may still come");
  assert.equal(gaps.takeLost(), 3); // 7, 10, 11
  assert.equal(gaps.takeLost(), 0);
  gaps.saw(1, 16);
  assert.equal(gaps.takeLost(), 0);
  gaps.saw(1, 15);
  assert.equal(gaps.takeLost(), 0);
  gaps.saw(1, 1_000_017);
  gaps.takeLost();
  assert.equal(gaps.takeLost(), 1_000_000);
});
