import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ended, start } from "../../src/lib/command.ts";
import { openWorld, type World } from "../support/api-world.ts";
import { needOfficialCli, OFFICIAL_CLI, tellDriven } from "../support/official-cli.ts";

/**
 * The unmodified official CLI about people: what it prints, its status, and what came of it. The platform is the API on real sockets with a
 * real store, as in `api.test.ts`: none of this touches a dyno. The native commands are in `src/cli/access.test.ts`.
 */
const home = mkdtempSync(join(tmpdir(), "stator-access-e2e-"));
let world: World;

before(async () => {
  await needOfficialCli();
  world = await openWorld();
  await world.deployed("hello");
  await world.store.users.ensure("friend@example.com");
});
after(async () => {
  await world?.[Symbol.asyncDispose]();
  rmSync(home, { recursive: true, force: true });
});

/** Standard output and error together, and the status. `token` null: nobody's. */
async function heroku(args: readonly string[], token: string | null = world.token) {
  const child = start(process.execPath, [OFFICIAL_CLI, ...args], {
    env: {
      HEROKU_HOST: world.url,
      ...(token !== null && { HEROKU_API_KEY: token }),
      HEROKU_PARTICLEBOARD_URL: world.url,
      DISABLE_TELEMETRY: "true",
      HOME: home,
      TERM: "dumb",
      NO_COLOR: "1",
    },
    cwd: home,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (part: string) => (text += part));
  const { code } = await ended(child, "heroku");
  tellDriven(args, code);
  return { text: text.replaceAll(/\s*\n ›\s+/g, " "), code }; // errors are folded at 80 columns
}

async function ok(...args: readonly string[]): Promise<string> {
  const { text, code } = await heroku(args);
  assert.equal(code, 0, `heroku ${args.join(" ")}: ${text}`);
  return text;
}

// Each command takes most of a second: what does not depend on another runs beside it.
test("heroku about people", { concurrency: 3 }, async (t) => {
  await Promise.all([
    t.test("access, access:add, access:update, access:remove", async () => {
      assert.match(
        await ok("access:add", "friend@example.com", "-a", "hello"),
        /Adding friend@example\.com access to the app hello\.\.\. done/,
      );
      const shown = await ok("access", "-a", "hello");
      assert.match(shown, /friend@example\.com +collaborator +deploy, operate, view/);
      assert.match(shown, /owner@example\.com +owner +deploy, manage, operate, view/);
      // It refuses by itself what has no team; `stator access:update` does it.
      const update = await heroku(["access:update", "friend@example.com", "-p", "manage", "-a", "hello"]);
      assert.notEqual(update.code, 0);
      assert.match(update.text, /cannot update permissions\. The app hello is not owned by a team/);
      assert.match(
        await ok("access:remove", "friend@example.com", "-a", "hello"),
        /Removing friend@example\.com access from the app hello\.\.\. done/,
      );
      const nobody = await heroku(["access:add", "nobody@example.com", "-a", "hello"]);
      assert.equal(nobody.code, 2, nobody.text);
      assert.match(nobody.text, /There is no user nobody@example\.com here/);
    }),
    t.test("keys, keys:add, keys:remove, keys:clear", async () => {
      const file = join(home, "id.pub");
      writeFileSync(
        file,
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFq5rGQ9SyTbGUWHrWAGsyqP4dHKn9YSVf9WW8ZkSXHv me@laptop\n",
      );
      const added = await ok("keys:add", file);
      assert.match(added, /Uploading .*id\.pub SSH key\.\.\. done/);
      assert.match(added, /git talks HTTPS here/);
      assert.match(await ok("keys"), /=== owner@example\.com keys\s+ssh-ed25519 AAAAC3NzaC\.\.\.9WW8ZkSXHv me@laptop/);
      assert.match(await ok("keys:remove", "me@laptop"), /Removing me@laptop SSH key\.\.\. done/);
      await ok("keys:clear");
      assert.deepEqual(await world.store.sshKeys.list(world.user.id), []);
    }),
    t.test("authorizations, their info, update, rotation and revocation", async () => {
      const token =
        (await ok("authorizations:create", "-d", "ci", "-s", "read,identity", "-e", "3600", "-S"))
          .trim()
          .split("\n")
          .at(-1) ?? "";
      assert.match(token, /^HRKU-ST/);
      const [, id = ""] = /ci +([0-9a-f-]{36}) +read,identity/.exec(await ok("authorizations")) ?? [];
      assert.match(
        await ok("authorizations:info", id),
        /Client: +<none>[\s\S]*Description: +ci\s+Scope: +read,identity[\s\S]*Expires at: /,
      );
      assert.match(await ok("authorizations:update", id, "-d", "other"), /Description: +other/);
      assert.match(await ok("authorizations:rotate", id), /Token: +HRKU-ST/);
      assert.equal((await world.call("GET", "/account", { token })).status, 401);
      assert.match(await ok("authorizations:revoke", id), /done, revoked authorization from other/);
      assert.equal(await world.store.tokens.byId(id), undefined);
    }),
    t.test("clients, their info, update, rotation and end", async () => {
      const made = await ok("clients:create", "Tool", "https://tool.example/back");
      const [, id = "", secret = ""] = /HEROKU_OAUTH_ID=(\S+)\s+HEROKU_OAUTH_SECRET=(\S+)/.exec(made) ?? [];
      assert.match(await ok("clients"), new RegExp(`Tool +${id} +https://tool\\.example/back`));
      await ok("clients:update", id, "-n", "Better");
      assert.match(await ok("clients:info", id), /=== Better[\s\S]*redirect_uri: +https:\/\/tool\.example\/back/);
      const rotated = await ok("clients:rotate", id, "--shell");
      assert.match(rotated, /HEROKU_OAUTH_SECRET=stator-client-/);
      assert.ok(!rotated.includes(secret));
      assert.match(await ok("clients:destroy", id), /Destroying .*done/);
    }),
    t.test("labs of the account; apps:transfer, apps:leave, apps:join, apps:lock, apps:unlock", async () => {
      await ok("labs:enable", "heroku-defaults");
      assert.match(await ok("labs"), /User Features owner@example\.com[^]*\[\+\] heroku-defaults/);
      assert.match(await ok("labs:info", "heroku-defaults"), /heroku-defaults[^]*true/);
      await ok("labs:disable", "heroku-defaults");
      const heir = await world.store.users.ensure("heir@example.com");
      const { text: theirs } = await world.store.tokens.create({
        userId: heir.id,
        description: "",
        scopes: ["global"],
        expiresAt: null,
      });
      await world.deployed("given");
      assert.match(await ok("apps:transfer", "heir@example.com", "-a", "given"), /Initiating transfer of .*email sent/);
      const accepted = { body: { state: "accepted" }, token: theirs };
      assert.equal((await world.call("PATCH", "/account/app-transfers/given", accepted)).status, 200);
      assert.match(await ok("apps:leave", "-a", "given"), /Leaving .*given\.\.\. done/);
      const refusals = [
        [["apps:transfer", "acme", "-a", "hello"], /There are no teams here/],
        [["apps:lock", "-a", "hello"], /Apps cannot be locked here/],
        [["apps:unlock", "-a", "hello"], /not locked/],
        [["apps:join", "-a", "hello"], /already a collaborator/],
        [["apps:leave", "-a", "hello"], /owns hello, and cannot leave it/],
      ] as const;
      await Promise.all(
        refusals.map(async ([args, words]) => {
          const { text, code } = await heroku(args);
          assert.notEqual(code, 0, text);
          assert.match(text, words);
        }),
      );
    }),
    t.test("auth:whoami, auth:token, sessions, logout", async () => {
      const fresh = { userId: world.user.id, description: "laptop", scopes: ["global"], expiresAt: null };
      const one = await world.store.tokens.create({ ...fresh, isSession: true });
      const two = await world.store.tokens.create({ ...fresh, isSession: true, description: "tower" });
      assert.match((await heroku(["auth:token"], one.text)).text, new RegExp(`^${one.text}$`, "m"));
      const listed = await ok("sessions");
      const [, id = ""] = /tower +([0-9a-f-]{36})/.exec(listed) ?? [];
      assert.match(listed, /laptop +[0-9a-f-]{36}/);
      assert.match(await ok("sessions:destroy", id), /Destroying .*done/);
      assert.equal(await world.store.tokens.find(two.text), undefined);
      const gone = await heroku(["auth:whoami"], two.text);
      assert.notEqual(gone.code, 0);
      assert.match(gone.text, /Invalid credentials provided/);
      assert.equal((await heroku(["auth:whoami"], null)).code, 100);
      assert.match((await heroku(["auth:whoami"], one.text)).text, /owner@example\.com/);
      const left = await heroku(["logout"], one.text);
      assert.equal(left.code, 0, left.text);
      assert.equal(await world.store.tokens.find(one.text), undefined);
    }),
  ]);
});

test("heroku of a collaborator: what they may do, and what they may not, in a sentence that says what it takes", async () => {
  const friend = await world.store.users.ensure("friend@example.com");
  const fresh = { userId: friend.id, description: "", scopes: ["global"], expiresAt: null };
  const { text: token } = await world.store.tokens.create(fresh);
  const { id } = await world.deployed("shared");
  await world.store.collaborators.add({ appId: id, userId: friend.id, permissions: ["view", "operate"] });
  const [apps, scaled, config, foreign] = await Promise.all([
    heroku(["apps"], token),
    heroku(["ps:scale", "web=2", "-a", "shared"], token),
    heroku(["config", "-a", "shared"], token),
    heroku(["apps:info", "-a", "hello"], token),
  ]);
  assert.match(apps.text, /Collaborated Apps[\s\S]*shared +owner@example\.com/);
  assert.match(scaled.text, /now running web at 2:Basic/);
  assert.equal(config.code, 2, config.text);
  assert.match(config.text, /That takes the permission deploy on shared/);
  assert.match(foreign.text, /Couldn't find that app/);
});
