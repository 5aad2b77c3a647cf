import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../test/support/api-world.ts";
import { saidBy } from "../../test/support/command-line.ts";

/** The commands about people against the real API. */
let world: World;
before(async () => {
  world = await openWorld();
  await world.deployed("hello");
  await world.store.users.ensure("friend@example.com");
});
after(() => world[Symbol.asyncDispose]());

const stator = (args: readonly string[], token = world.token) =>
  saidBy(args, { HOME: world.home, STATOR_URL: world.url, STATOR_TOKEN: token });

/** What it prints; the test fails if it does not end with 0. */
async function ok(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await stator(args);
  assert.equal(code, 0, `${args.join(" ")}: ${stdout}${stderr}`);
  return `${stdout}${stderr}`;
}

test("access: added, shown, changed, removed", async () => {
  assert.equal(
    await ok("access:add", "friend@example.com", "-a", "hello"),
    "Adding friend@example.com access to the app hello... done\n",
  );
  assert.equal(
    await ok("access", "-a", "hello"),
    [
      "  email                role           permissions",
      " ───────────────────────────────────────────────────────────────────",
      "  friend@example.com   collaborator   deploy, operate, view",
      "  owner@example.com    owner          deploy, manage, operate, view",
      "",
      "",
    ].join("\n"),
  );
  assert.match(
    await ok("access:update", "friend@example.com", "-p", "deploy", "-a", "hello"),
    /with deploy, view perm/,
  );
  const listed = JSON.parse(await ok("access", "--json", "-a", "hello")) as { permissions: { name: string }[] }[];
  assert.ok(listed.some(({ permissions }) => permissions.map(({ name }) => name).join() === "view,deploy"));
  await ok("access:remove", "friend@example.com", "-a", "hello");
  assert.doesNotMatch(await ok("access", "-a", "hello"), /friend/);
  const none = await stator(["access:add", "nobody@example.com", "-a", "hello"]);
  assert.equal(none.code, 2);
  assert.match(none.stderr, /There is no user nobody@example\.com here/);
  assert.equal((await stator(["access:update", "x@example.com", "-a", "hello"])).code, 2);
  assert.equal((await stator(["access:add", "-a", "hello"])).code, 2);
});

test("keys: added from a file, listed, removed by comment, cleared; a private key stays where it is", async () => {
  const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFq5rGQ9SyTbGUWHrWAGsyqP4dHKn9YSVf9WW8ZkSXHv me@laptop";
  const file = join(world.home, "id.pub");
  writeFileSync(file, `${key}\n`);
  assert.match(await ok("keys"), /You have no SSH keys/);
  assert.match(await ok("keys:add", file), /SSH key\.\.\. done\n.*git talks HTTPS here/);
  assert.equal(await ok("keys"), "=== owner@example.com keys\n\nssh-ed25519 AAAAC3NzaC...9WW8ZkSXHv me@laptop\n");
  assert.ok((await ok("keys", "--long")).includes(key));
  assert.match((await stator(["keys:remove", "other"])).stderr, /SSH Key other not found\.\nFound keys: me@laptop\./);
  await ok("keys:remove", "me@laptop");
  await ok("keys:add", file);
  await ok("keys:clear");
  assert.match(await ok("keys"), /You have no SSH keys/);
  writeFileSync(file, "-----BEGIN OPENSSH PRIVATE KEY-----\n");
  assert.match((await stator(["keys:add", file])).stderr, /holds a private key/);
});

test("authorizations: made, listed, shown, described, rotated, revoked", async () => {
  const token = (await ok("authorizations:create", "-S", "-d", "ci", "-s", "read,identity", "-e", "3600"))
    .split("\n")
    .find((line) => line.startsWith("HRKU-"));
  assert.equal((await stator(["auth:whoami"], token)).stdout, "owner@example.com\n");
  const [, id = ""] = /ci +(\S+) +read,identity/.exec(await ok("authorizations")) ?? [];
  assert.match(
    await ok("authorizations:info", id),
    /Client: +<none>\nID: +\S+\nDescription: +ci\nScope: +read,identity/,
  );
  assert.match(await ok("authorizations:update", id, "-d", "other"), /Description: +other/);
  assert.match(await ok("authorizations:rotate", id), /Token: +HRKU-ST\S{64}\n/);
  assert.deepEqual(await stator(["auth:whoami"], token), {
    code: 100,
    stdout: "",
    stderr: " ›   Error: not logged in\n",
  });
  assert.match(await ok("authorizations:revoke", id), /done, revoked authorization from other/);
  assert.equal((await stator(["authorizations:info", id])).code, 2);
});

test("clients: made, listed, shown, changed, rotated, destroyed", async () => {
  const made = await ok("clients:create", "Tool", "https://tool.example/");
  const [, id = "", secret = ""] = /HEROKU_OAUTH_ID=(\S+)\nHEROKU_OAUTH_SECRET=(\S+)/.exec(made) ?? [];
  assert.match(await ok("clients"), new RegExp(`Tool +${id} +https://tool.example/`));
  assert.match(await ok("clients:info", id, "--shell"), new RegExp(`HEROKU_OAUTH_SECRET=${secret}`));
  await ok("clients:update", id, "-n", "Better");
  assert.doesNotMatch(await ok("clients:rotate", id), new RegExp(secret));
  await ok("clients:destroy", id);
  assert.equal(await ok("clients"), "No OAuth clients.\n");
});

test("sessions, auth:token and logout", async () => {
  const fresh = { userId: world.user.id, description: "laptop", scopes: ["global"], expiresAt: null, isSession: true };
  const [one, two] = await Promise.all([world.store.tokens.create(fresh), world.store.tokens.create(fresh)]);
  const ids = [...(await ok("sessions")).matchAll(/laptop +(\S+)/g)].map(([, id = ""]) => id);
  assert.equal(ids.length, 2);
  assert.equal((await stator(["auth:token"], one.text)).stdout, `${one.text}\n`);
  assert.equal((await stator(["logout"], one.text)).code, 0);
  assert.equal((await stator(["whoami"], one.text)).code, 100);
  assert.equal((await stator(["whoami"], two.text)).code, 0);
  const [, left = ""] = /laptop +(\S+)/.exec(await ok("sessions")) ?? [];
  await ok("sessions:destroy", left);
  assert.equal(await ok("sessions"), "No OAuth sessions.\n");
});

test("audit: of an app, and of the whole platform", async () => {
  await ok("config:set", "SECRET=hidden-value", "-a", "hello");
  const line = (await ok("audit", "-n", "1", "-a", "hello")).trimEnd();
  assert.match(line, /^\S+Z  owner@example\.com  127\.0\.0\.1  config-var:update  fields=SECRET$/);
  assert.match(await ok("audit", "--all"), / {2}hello {2,}fields=SECRET/);
  assert.doesNotMatch(await ok("audit", "--all", "--json"), /hidden-value/);
  assert.equal((await stator(["audit", "-n", "many"])).code, 2);
  await world.call("DELETE", "/apps/hello/dynos", { body: { "\u001b[2J\u009b": "x" } });
  const loud = await ok("audit", "-n", "1", "-a", "hello");
  assert.match(loud, /dyno:restart {2}fields=\?\[2J\?\n$/);
});

test("users: for operators", async () => {
  assert.match(await ok("users:add", "new@example.com"), /sudo stator token --new --email new@example\.com/);
  assert.match(await ok("users"), /^new@example\.com\nowner@example\.com +operator$/m);
  await ok("users:suspend", "new@example.com");
  assert.match(await ok("users"), /new@example\.com +suspended since 20/);
  await ok("users:resume", "new@example.com");
  await ok("users:remove", "new@example.com");
  assert.doesNotMatch(await ok("users"), /new@/);
  const friend = await world.store.users.byEmail("friend@example.com");
  const theirs = { userId: friend?.id ?? "", description: "", scopes: ["global"], expiresAt: null };
  const refused = await stator(["users"], (await world.store.tokens.create(theirs)).text);
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /for the operators of the platform/);
});

test("apps:transfer, apps:transfers, :accept, :decline, :cancel, apps:leave; apps:join, :lock and :unlock say why not", async () => {
  await world.deployed("given");
  const friend = await world.store.users.ensure("friend@example.com");
  const fresh = { userId: friend.id, description: "", scopes: ["global"], expiresAt: null };
  const { text: theirs } = await world.store.tokens.create(fresh);
  assert.equal(await ok("apps:transfers"), "No app was offered to you or by you.\n");
  const offered = await ok("apps:transfer", "friend@example.com", "-a", "given");
  assert.match(offered, /Initiating transfer of given to friend@example\.com\.\.\. done, theirs once they type/);
  await ok("apps:transfers:cancel", "given");
  await ok("apps:transfer", "friend@example.com", "-a", "given");
  assert.equal((await stator(["apps:transfers:decline", "given"], theirs)).code, 0);
  await ok("apps:transfer", "friend@example.com", "-a", "given");
  assert.equal((await stator(["apps:transfers:accept", "given"], theirs)).code, 0);
  assert.equal(await ok("apps:transfers"), "given  owner@example.com → friend@example.com  accepted\n");
  assert.match(await ok("apps:leave", "-a", "given"), /Leaving given\.\.\. done/);
  assert.equal((await stator(["apps:info", "-a", "given"])).code, 2);
  for (const [command, words] of [
    ["apps:join", /access:add/],
    ["apps:lock", /nobody joins an app without being asked/],
    ["apps:unlock", /There are no teams here/],
  ] as const) {
    const { code, stderr } = await stator([command, "-a", "hello"]);
    assert.equal(code, 1);
    assert.match(stderr, words);
  }
});
