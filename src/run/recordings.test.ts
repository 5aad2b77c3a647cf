import assert from "node:assert/strict";
import { appendFileSync, existsSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { openWorld, type Program, type World } from "../../test/support/api-world.ts";
import { attached } from "../../test/support/attached.ts";
import { eventually } from "../../test/support/eventually.ts";
import { encodeFrame } from "../lib/frames.ts";
import { RECORDING_BYTES_MAX, RECORDINGS_MAX } from "./recordings.ts";

const NOTICE = "This session is recorded: what it shows can be seen by those who manage the app.\r\n";
let world: World;
let appId = "";
const program: Program = async ({ output }) => {
  output.write("from the one-off\n");
  return 4;
};
before(async () => {
  world = await openWorld({ program });
  ({ id: appId } = await world.deployed("hello"));
  await world.call("PATCH", "/apps/hello/formation", { body: { updates: [{ type: "web", quantity: 1 }] } });
  await eventually(async () => (await world.call("GET", "/apps/hello/dynos/web.1")).status === 200);
});
after(() => world[Symbol.asyncDispose]());

const setting = "/apps/hello/stator/session-recording";
const all = "/apps/hello/stator/recordings";
const folder = () => join(world.home, "data", "recordings", appId);
const secretOf = (json: { attach_url: string }) => json.attach_url.split("/").at(-1) ?? "";

async function session(body: object, path = "/apps/hello/dynos/web.1") {
  const { json } = await world.call("POST", path, { body });
  return attached(world, secretOf(json), "secret typed", encodeFrame(1, Buffer.from('{"rows":50,"columns":132}')));
}

test("nothing is recorded until those who manage the app turn it on", async () => {
  assert.deepEqual((await world.call("GET", setting)).json, { enabled: false });
  await session({ command: "ls" });
  assert.equal(existsSync(folder()), false);
  assert.deepEqual((await world.call("PATCH", setting, { body: { enabled: true } })).json, { enabled: true });
  assert.equal((await world.call("PATCH", setting, { body: { enabled: "yes" } })).status, 422);
});

test("a session's output and resizes are recorded, its input is not; whoever is in it is told; letters stay whole", async () => {
  const letters = Buffer.from("grün ⬢\n");
  world.supervision.processes = async ({ stdin, stdout, stderr }) => {
    for await (const _ of stdin);
    for (const byte of letters) stdout(Buffer.of(byte));
    stderr("and an error\n");
    return 3;
  };
  const got = await session({ command: "show", force_no_tty: true });
  assert.deepEqual([got.out, got.err, got.status], ["grün ⬢\n", `${NOTICE}and an error\n`, 3]);
  const [facts, ...more] = (await world.call("GET", all)).json;
  assert.equal(more.length, 0);
  assert.deepEqual(
    [facts.command, facts.dyno, facts.user.email, facts.exit_status],
    ["show", "web.1", "owner@example.com", 3],
  );
  const cast = await world.call("GET", `${all}/${facts.id}/cast`);
  const [head, ...events] = cast.text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.deepEqual([head.version, head.width, head.height, head.title], [2, 80, 24, "web.1, owner@example.com"]);
  const of = (type: string) => events.flatMap(([, is, text]: [number, string, string]) => (is === type ? [text] : []));
  assert.equal(of("o").join("").replace("and an error\n", ""), "grün ⬢\n");
  assert.equal(of("o").join("").includes("and an error\n"), true);
  assert.deepEqual([of("r"), of("m")], [["132x50"], ["exit 3"]]);
  assert.equal(cast.text.includes("secret typed"), false);
  assert.equal(statSync(join(folder(), `${facts.id}.cast`)).mode & 0o777, 0o600);
});

test("with a terminal it is told in the output; attached one-off dynos are recorded too, connections and files are not", async () => {
  world.supervision.processes = async ({ stdout }) => {
    stdout("+shown");
    return 0;
  };
  assert.equal((await session({ command: "top", env: { LINES: 30, COLUMNS: 90 } })).out, `${NOTICE}+shown`);
  const oneOff = await session({ command: "task", attach: true, force_no_tty: true }, "/apps/hello/dynos");
  assert.deepEqual([oneOff.out, oneOff.err, oneOff.status], ["from the one-off\n", NOTICE, 4]);
  await session({ connect: { port: 5000 } });
  const listed = (await world.call("GET", all)).json.map((each: { command: string }) => each.command);
  assert.deepEqual(listed.toSorted(), ["show", "task", "top"]);
});

test("what a killed daemon leaves is there, with a half last line; what has no head is none; names lead nowhere else", async () => {
  const id = "00000000-0000-4000-8000-000000000001";
  const head = { version: 2, command: "cut", stator: { dyno: "web.1", user: "a@example.com", started_at: 1 } };
  writeFileSync(join(folder(), `${id}.cast`), `${JSON.stringify(head)}\n[0.1,"o","whole"]\n[0.2,"o","ha`);
  writeFileSync(join(folder(), "00000000-0000-4000-8000-000000000002.cast"), '{"version":2,"co');
  const { json } = await world.call("GET", `${all}/${id}`);
  assert.deepEqual([json.command, json.exit_status], ["cut", null]);
  assert.match((await world.call("GET", `${all}/${id}/cast`)).text, /whole/);
  for (const name of ["00000000-0000-4000-8000-000000000002", "..%2f..%2fstator.db", "x"])
    assert.equal((await world.call("GET", `${all}/${name}`)).status, 404, name);
  assert.equal((await world.call("DELETE", `${all}/${id}`)).status, 200);
  assert.equal((await world.call("DELETE", `${all}/${id}`)).status, 404);
});

test("one session takes so much and no more, one app so many, for so long", async () => {
  world.supervision.processes = async ({ stdout }) => {
    for (let part = 0; part < 200; part++) stdout("y".repeat(30_000));
    return 0;
  };
  const got = await session({ command: "yes", force_no_tty: true });
  assert.deepEqual([got.out.length, got.err, got.status], [6_000_000, NOTICE, 0], "what is not kept is shown");
  const listed: readonly { command: string; id: string; bytes: number }[] = (await world.call("GET", all)).json;
  const newest = listed.find(({ command }) => command === "yes") ?? assert.fail("it is not listed");
  assert.ok(newest.bytes > RECORDING_BYTES_MAX && newest.bytes < RECORDING_BYTES_MAX + 64 * 1024, String(newest.bytes));
  assert.match(
    readFileSync(join(folder(), `${newest.id}.cast`), "utf8").slice(-100),
    /no more than 4194304 bytes are kept/,
  );

  const old = join(folder(), `${newest.id}.cast`);
  utimesSync(old, new Date(0), new Date(0));
  for (let n = 10; n < 10 + RECORDINGS_MAX; n++)
    appendFileSync(join(folder(), `00000000-0000-4000-8000-0000000000${n.toString(16).padStart(2, "0")}.cast`), "{}\n");
  world.supervision.processes = async () => 0;
  await session({ command: "last" });
  assert.equal(existsSync(old), false);
  assert.equal(readdirSync(folder()).length, RECORDINGS_MAX);
});

test("a destroyed app's recordings go", async () => {
  await world.call("DELETE", "/apps/hello");
  await eventually(() => !existsSync(folder()));
});
