import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { sql } from "kysely";
import { systemClock } from "../lib/clock.ts";
import { ended, start } from "../lib/command.ts";
import { accessContract } from "./access-contract.ts";
import { storeContract } from "./contract.ts";
import { migrate } from "./migrate.ts";
import { MIGRATIONS } from "./migrations/list.ts";
import { openKeyFile, Secrets } from "./secrets.ts";
import { openDatabase, openStore } from "./sqlite.ts";

const KEY = [Buffer.alloc(32, 7)];

async function folder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "stator-store-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

accessContract("memory", (clock) => openStore({ path: ":memory:", key: KEY, clock }));
storeContract("memory", (clock) => openStore({ path: ":memory:", key: KEY, clock }));

storeContract("file", async (clock) => {
  const home = await folder();
  const store = await openStore({ path: join(home.path, "stator.db"), key: KEY, clock });
  const close = async () => {
    await store[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
  };
  return { ...store, [Symbol.asyncDispose]: close };
});

test("who was the owner before there were operators is one afterwards, and nobody else", async () => {
  await using home = await folder();
  const path = join(home.path, "stator.db");
  const db = openDatabase(path);
  await migrate(db, Object.fromEntries(Object.entries(MIGRATIONS).filter(([name]) => name < "0009")));
  for (const id of ["owner", "other"])
    await sql`insert into users (id, email, name, created_at, updated_at) values (${id}, ${`${id}@x`}, null, 1, 1)`.execute(
      db,
    );
  await sql`insert into meta (name, value) values ('owner', 'owner')`.execute(db);
  await db.destroy();
  await using store = await openStore({ path, key: KEY, clock: systemClock });
  const users = (await store.users.list()).map(({ email, isOperator, suspendedAt }) => [
    email,
    isOperator,
    suspendedAt,
  ]);
  assert.deepEqual(users, [
    ["other@x", false, null],
    ["owner@x", true, null],
  ]);
});

test("what was answered is there after kill -9", async () => {
  await using home = await folder();
  const path = join(home.path, "stator.db");
  const script = join(home.path, "writer.ts");
  await writeFile(
    script,
    `
    import { openStore } from ${JSON.stringify(join(import.meta.dirname, "sqlite.ts"))};
    import { systemClock } from ${JSON.stringify(join(import.meta.dirname, "../lib/clock.ts"))};
    const key = [Buffer.alloc(32, 7)];
    const store = await openStore({ path: ${JSON.stringify(path)}, key, clock: systemClock });
    const user = await store.users.ensure("a@example.com");
    const app = await store.apps.create({ name: "hello", ownerId: user.id, stack: "debian-12", domain: "localhost" });
    for (let n = 1; ; n++) {
      await store.transaction(async (inner) => {
        await inner.config.change(app.id, { ["K" + n]: "v" });
        await inner.releases.create({ appId: app.id, slugId: null, description: "n" + n, userId: user.id, status: "pending" });
      });
      process.stdout.write(n + "\\n");
    }
    `,
  );
  const child = start(process.execPath, [script], { stdio: ["ignore", "pipe", "inherit"] });
  const end = ended(child, "writer");
  assert.ok(child.stdout);
  let answered = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    answered = Number(line);
    if (answered === 50) child.kill("SIGKILL");
  }
  assert.equal((await end).signal, "SIGKILL");
  await using store = await openStore({ path, key: KEY, clock: systemClock });
  const app = await store.apps.find("hello");
  assert.ok(app);
  const kept = Object.keys(await store.config.get(app.id)).length;
  assert.ok(answered >= 50 && kept >= answered, `${kept} of ${answered}`);
  assert.equal((await store.releases.newest(app.id))?.version, kept + 2, "each transaction whole");
});

test("commits are flushed to disk before they are answered, and references are kept", async () => {
  await using home = await folder();
  const db = openDatabase(join(home.path, "stator.db"));
  const pragma = async (name: string) =>
    Object.values((await sql.raw<object>(`pragma ${name}`).execute(db)).rows[0] ?? {})[0];
  assert.deepEqual(
    [await pragma("journal_mode"), await pragma("synchronous"), await pragma("foreign_keys")],
    ["wal", 2, 1],
  );
  await db.destroy();
});

test("a database of a newer version is refused with a sentence", async () => {
  await using home = await folder();
  const path = join(home.path, "stator.db");
  await (await openStore({ path, key: KEY, clock: systemClock }))[Symbol.asyncDispose]();
  {
    using database = new DatabaseSync(path);
    database.exec("insert into kysely_migration values ('9999-later', '2030-01-01')");
  }
  await assert.rejects(openStore({ path, key: KEY, clock: systemClock }), /newer version of Stator .*9999-later/);
});

test("another key than the database's is refused at once; a new one beside the old is not", async () => {
  await using home = await folder();
  const path = join(home.path, "stator.db");
  await (await openStore({ path, key: KEY, clock: systemClock }))[Symbol.asyncDispose]();
  const other = Buffer.alloc(32, 8);
  await assert.rejects(openStore({ path, key: [other], clock: systemClock }), /restore it from a backup/);
  await (await openStore({ path, key: [other, ...KEY], clock: systemClock }))[Symbol.asyncDispose]();
});

test("no secret is in the files", async () => {
  await using home = await folder();
  const path = join(home.path, "stator.db");
  await using store = await openStore({ path, key: KEY, clock: systemClock });
  const user = await store.users.ensure("a@example.com");
  const app = await store.apps.create({ name: "hello", ownerId: user.id, stack: "debian-12", domain: "localhost" });
  await store.config.change(app.id, { PASSWORD_NAME: "geheimes-wort" });
  await store.releases.create({ appId: app.id, slugId: null, description: "", userId: user.id, status: "pending" });
  const { text } = await store.tokens.create({ userId: user.id, description: "", scopes: [], expiresAt: null });
  const bytes = Buffer.concat([await readFile(path), await readFile(`${path}-wal`)]);
  assert.ok(bytes.includes("hello.localhost"), "the test looks at the right bytes");
  for (const secret of ["geheimes-wort", "PASSWORD_NAME", text, text.slice(-30)]) assert.ok(!bytes.includes(secret));
});

test("a sealed text opens at its place only, unchanged only, and never looks the same twice", () => {
  const secrets = new Secrets(KEY);
  const sealed = secrets.seal("text", "releases/1");
  assert.equal(secrets.open(sealed, "releases/1"), "text");
  assert.notEqual(secrets.seal("text", "releases/1"), sealed);
  assert.throws(() => secrets.open(sealed, "releases/2"));
  const at = sealed.indexOf(".") + 20;
  const changed = `${sealed.slice(0, at)}${sealed[at] === "A" ? "B" : "A"}${sealed.slice(at + 1)}`;
  assert.throws(() => secrets.open(changed, "releases/1"));
  assert.throws(() => secrets.open(sealed.slice(0, -8), "releases/1"));
  assert.throws(() => new Secrets([Buffer.alloc(32, 9)]).open(sealed, "releases/1"), /not in the key file/);
});

test("the key file is made once, for its owner only; a broken one is refused", async () => {
  await using home = await folder();
  const path = join(home.path, "secret.key");
  const [made] = await openKeyFile(path);
  assert.equal(made?.length, 32);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.deepEqual(await openKeyFile(path), [made]);
  await writeFile(path, "abc\n");
  await assert.rejects(openKeyFile(path), /restore it|Restore it/);
});
