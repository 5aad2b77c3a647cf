import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import { parseDestination } from "../model/destination.ts";
import { type Instance, instanceOf } from "../model/instance.ts";
import { AllowFile, allowFileOf, appliedFileOf, changeAllowed, readAllowed } from "./network-allow.ts";

const APP = "00000000-0000-4000-8000-00000000000a";
const OTHER = "00000000-0000-4000-8000-00000000000b";
const folders: string[] = [];
let instance: Instance;

beforeEach(() => {
  const home = mkdtempSync(join(tmpdir(), "network-allow-"));
  folders.push(home);
  const plain = instanceOf(home);
  instance = { ...plain, paths: { ...plain.paths, run: join(home, "run") } };
});

after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

const allow = (appId: string, ...texts: readonly string[]) =>
  changeAllowed(instance, appId, (before) => [...before, ...texts.map(parseDestination)]);

async function read(): Promise<Readonly<Record<string, readonly string[]>>> {
  const { apps } = await readAllowed(instance);
  return Object.fromEntries([...apps].map(([appId, all]) => [appId, all.map(({ text }) => text)]));
}

test("without a file nothing is allowed", async () => {
  assert.deepEqual(await read(), {});
});

test("what is allowed is kept by app, readable by all and writable by its owner", async () => {
  await allow(APP, "10.0.0.5:5432");
  await allow(OTHER, "10.0.0.0/8");
  await allow(APP, "10.0.0.6");
  assert.deepEqual(await read(), { [APP]: ["10.0.0.5:5432", "10.0.0.6"], [OTHER]: ["10.0.0.0/8"] });
  assert.equal(statSync(allowFileOf(instance)).mode & 0o777, 0o644);
});

test("changes at the same time are all kept", async () => {
  await Promise.all(Array.from({ length: 6 }, (_, at) => allow(APP, `10.0.0.${at + 1}`)));
  assert.equal((await read())[APP]?.length, 6);
});

test("a refused change changes nothing", async () => {
  await allow(APP, "10.0.0.5");
  const before = readFileSync(allowFileOf(instance), "utf8");
  await assert.rejects(
    changeAllowed(instance, APP, () => {
      throw new Error("no");
    }),
    /no/,
  );
  assert.equal(readFileSync(allowFileOf(instance), "utf8"), before);
});

test("an app that is gone has nothing, and the others keep theirs", async () => {
  await allow(APP, "10.0.0.5");
  await allow(OTHER, "10.0.0.6");
  const file = new AllowFile(instance);
  await file.forget(APP);
  await file.forget(APP);
  assert.deepEqual(await read(), { [OTHER]: ["10.0.0.6"] });
});

test("forgetting an app that was allowed nothing touches nothing", async () => {
  await new AllowFile(instance).forget(APP);
  assert.throws(() => statSync(allowFileOf(instance)), { code: "ENOENT" });
});

for (const [what, text] of [
  ["not JSON", "{"],
  ["another shape", "[]"],
  ["a field too many", '{"apps":{},"more":1}'],
  ["an app that is none", '{"apps":{"hello":["10.0.0.5"]}}'],
  ["no text", `{"apps":{"${APP}":[5]}}`],
  ["a name", `{"apps":{"${APP}":["db.internal"]}}`],
  ["something of nft's", `{"apps":{"${APP}":["10.0.0.5 }; flush"]}}`],
  ["a destination twice", `{"apps":{"${APP}":["10.0.0.5","10.0.0.5"]}}`],
  [
    "more than an app may have",
    JSON.stringify({ apps: { [APP]: Array.from({ length: 101 }, (_, at) => `10.0.0.${at}`) } }),
  ],
] as const)
  test(`a file with ${what} is refused whole`, async () => {
    writeFileSync(allowFileOf(instance), text);
    await assert.rejects(readAllowed(instance));
  });

test("a file that others can write is not believed, nor a link", async () => {
  await allow(APP, "10.0.0.5");
  chmodSync(allowFileOf(instance), 0o664);
  await assert.rejects(readAllowed(instance), /can be changed by others/);
  chmodSync(allowFileOf(instance), 0o644);
  rmSync(join(instance.home, "elsewhere"), { force: true });
  writeFileSync(join(instance.home, "elsewhere"), '{"apps":{}}');
  rmSync(allowFileOf(instance));
  symlinkSync(join(instance.home, "elsewhere"), allowFileOf(instance));
  await assert.rejects(readAllowed(instance), { code: "ELOOP" });
});

test("a change is seen when it comes, and what was applied is told", async () => {
  const file = new AllowFile(instance);
  const seen = Promise.withResolvers<void>();
  using _watch = file.watch(() => seen.resolve());
  await allow(APP, "10.0.0.5");
  await seen.promise;
  const now = await file.read();
  await file.applied(now);
  assert.equal(readFileSync(appliedFileOf(instance), "utf8"), now.version);
});
