import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { api, platform, statorOk, temporaryApp } from "./harness.ts";
import { type Official, openOfficial } from "./heroku.ts";

/**
 * The unmodified official CLI about people, on the real platform: what it prints, its status, and what came of it.
 * The native commands are in `src/cli/access.test.ts`.
 */
const [FRIEND, HEIR] = ["friend@example.com", "heir@example.com"] as const;
const disposer = new AsyncDisposableStack();
let official: Official;
/** An app of the test's own, and who owns it. */
let app = "";
let owner = "";

before(async () => {
  official = disposer.use(await openOfficial());
  app = disposer.use(await temporaryApp("access")).name;
  ({ email: owner } = await platform<{ readonly email: string }>("GET", "/account"));
  for (const email of [FRIEND, HEIR]) {
    await platform("POST", "/stator/users", { email, operator: false });
    disposer.defer(async () => {
      await platform("DELETE", `/stator/users/${email}`, { apps_to: owner });
    });
  }
});
after(() => disposer.disposeAsync());

/** Standard output and error together, and the status. `token` null: nobody's. */
async function heroku(args: readonly string[], token?: string | null) {
  const env = token === undefined ? {} : { HEROKU_API_KEY: token ?? "" };
  const { code, stdout, stderr } = await official.run(args, { env });
  return { text: `${stdout}${stderr}`.replaceAll(/\s*\n ›\s+/g, " "), code }; // errors are folded at 80 columns
}

async function ok(...args: readonly string[]): Promise<string> {
  const { text, code } = await heroku(args);
  assert.equal(code, 0, `heroku ${args.join(" ")}: ${text}`);
  return text;
}

/** Of a person, as it is handed out on the platform's machine: a session. */
async function newToken(description: string, email = owner): Promise<string> {
  return (await statorOk(["token", "--new", "--email", email, "--description", description])).trim();
}

/** Whether the platform knows it (still). */
async function isToken(token: string): Promise<boolean> {
  return (await fetch(`${api}/account`, { headers: { Authorization: `Bearer ${token}` } })).ok;
}

// Each command takes most of a second: what does not depend on another runs beside it.
test("heroku about people", { concurrency: 3 }, async (t) => {
  await Promise.all([
    t.test("access, access:add, access:update, access:remove", async () => {
      assert.match(
        await ok("access:add", FRIEND, "-a", app),
        /Adding friend@example\.com access to the app \S+\.\.\. done/,
      );
      const shown = await ok("access", "-a", app);
      assert.match(shown, /friend@example\.com +collaborator +deploy, operate, view/);
      assert.match(shown, /\S+@\S+ +owner +deploy, manage, operate, view/);
      // It refuses by itself what has no team; `stator access:update` does it.
      const update = await heroku(["access:update", FRIEND, "-p", "manage", "-a", app]);
      assert.notEqual(update.code, 0);
      assert.match(update.text, /cannot update permissions\. The app \S+ is not owned by a team/);
      assert.match(
        await ok("access:remove", FRIEND, "-a", app),
        /Removing friend@example\.com access from the app \S+\.\.\. done/,
      );
      const nobody = await heroku(["access:add", "nobody@example.com", "-a", app]);
      assert.equal(nobody.code, 2, nobody.text);
      assert.match(nobody.text, /There is no user nobody@example\.com here/);
    }),
    t.test("keys, keys:add, keys:remove, keys:clear", async () => {
      const file = join(official.home, "id.pub");
      writeFileSync(
        file,
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFq5rGQ9SyTbGUWHrWAGsyqP4dHKn9YSVf9WW8ZkSXHv me@laptop\n",
      );
      const added = await ok("keys:add", file);
      assert.match(added, /Uploading .*id\.pub SSH key\.\.\. done/);
      assert.match(added, /git talks HTTPS here/);
      assert.match(await ok("keys"), /=== \S+@\S+ keys\s+ssh-ed25519 AAAAC3NzaC\.\.\.9WW8ZkSXHv me@laptop/);
      assert.match(await ok("keys:remove", "me@laptop"), /Removing me@laptop SSH key\.\.\. done/);
      assert.match(await ok("keys:clear"), /Removing all SSH keys\.\.\. done/);
      assert.deepEqual(await platform("GET", "/account/keys"), []);
    }),
    t.test("authorizations, their info, update, rotation and revocation", async () => {
      const create = ["authorizations:create", "-d", "ci", "-s", "read,identity", "-e", "3600", "-S"];
      const { stdout, code } = await official.run(create);
      const token = stdout.trim();
      assert.equal(code, 0);
      assert.match(token, /^HRKU-ST/);
      const [, id = ""] = /ci +([0-9a-f-]{36}) +read,identity/.exec(await ok("authorizations")) ?? [];
      assert.match(
        await ok("authorizations:info", id),
        /Client: +<none>[\s\S]*Description: +ci\s+Scope: +read,identity[\s\S]*Expires at: /,
      );
      assert.match(await ok("authorizations:update", id, "-d", "other"), /Description: +other/);
      assert.match(await ok("authorizations:rotate", id), /Token: +HRKU-ST/);
      assert.equal(await isToken(token), false);
      assert.match(await ok("authorizations:revoke", id), /done, revoked authorization from other/);
      assert.doesNotMatch(await ok("authorizations"), new RegExp(id));
    }),
    t.test("clients, their info, update, rotation and end", async () => {
      const made = await ok("clients:create", "Tool", "https://tool.example/back");
      const [, id = "", secret = ""] = /HEROKU_OAUTH_ID=(\S+)\s+HEROKU_OAUTH_SECRET=(\S+)/.exec(made) ?? [];
      assert.match(await ok("clients"), new RegExp(`Tool +${id} +https://tool\\.example/back`));
      assert.match(await ok("clients:update", id, "-n", "Better"), /Updating .*done/);
      assert.match(await ok("clients:info", id), /=== Better[\s\S]*redirect_uri: +https:\/\/tool\.example\/back/);
      const rotated = await ok("clients:rotate", id, "--shell");
      assert.match(rotated, /HEROKU_OAUTH_SECRET=stator-client-/);
      assert.ok(!rotated.includes(secret));
      assert.match(await ok("clients:destroy", id), /Destroying .*done/);
    }),
    t.test("labs of the account; apps:transfer, apps:leave, apps:join, apps:lock, apps:unlock", async () => {
      assert.match(await ok("labs:enable", "heroku-defaults"), /Enabling heroku-defaults for \S+@\S+\.\.\. done/);
      assert.match(await ok("labs"), /User Features \S+@\S+[^]*\[\+\] heroku-defaults/);
      assert.match(await ok("labs:info", "heroku-defaults"), /heroku-defaults[^]*true/);
      assert.match(await ok("labs:disable", "heroku-defaults"), /Disabling heroku-defaults for \S+@\S+\.\.\. done/);
      await using given = await temporaryApp("given");
      const transfer = await ok("apps:transfer", HEIR, "-a", given.name);
      assert.match(transfer, /Initiating transfer of .*email sent/);
      const env = { STATOR_TOKEN: await newToken("heir", HEIR) };
      await statorOk(["apps:transfers:accept", given.name], { env });
      assert.match(await ok("apps:leave", "-a", given.name), /Leaving .*given-\S+\.\.\. done/);
      await statorOk(["apps:destroy", given.name, "--confirm", given.name], { env });
      const refusals = [
        [["apps:transfer", "acme", "-a", app], /There are no teams here/],
        [["apps:lock", "-a", app], /Apps cannot be locked here/],
        [["apps:unlock", "-a", app], /not locked/],
        [["apps:join", "-a", app], /already a collaborator/],
        [["apps:leave", "-a", app], /owns \S+, and cannot leave it/],
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
      const [one, two] = [await newToken("laptop"), await newToken("tower")];
      assert.match((await heroku(["auth:token"], one)).text, new RegExp(`^${one}$`, "m"));
      const listed = await ok("sessions");
      const [, id = ""] = /tower +([0-9a-f-]{36})/.exec(listed) ?? [];
      assert.match(listed, /laptop +[0-9a-f-]{36}/);
      assert.match(await ok("sessions:destroy", id), /Destroying .*done/);
      assert.deepEqual([await isToken(one), await isToken(two)], [true, false]);
      const gone = await heroku(["auth:whoami"], two);
      assert.notEqual(gone.code, 0);
      assert.match(gone.text, /Invalid credentials provided/);
      assert.equal((await heroku(["auth:whoami"], null)).code, 100);
      assert.ok((await heroku(["auth:whoami"], one)).text.includes(owner));
      const left = await heroku(["logout"], one);
      assert.deepEqual([left.code, await isToken(one)], [0, false], left.text);
      assert.match(left.text, /Logging out/);
    }),
  ]);
});

test("heroku of a collaborator: what they may do, and what they may not, in a sentence that says what it takes", async () => {
  await using shared = await temporaryApp("shared");
  const { name } = shared;
  await statorOk(["access:add", FRIEND, "-p", "view,operate", "-a", name]);
  const token = await newToken("friend", FRIEND);
  const [apps, paused, config, foreign] = await Promise.all([
    heroku(["apps"], token),
    heroku(["maintenance:on", "-a", name], token),
    heroku(["config", "-a", name], token),
    heroku(["apps:info", "-a", app], token),
  ]);
  assert.match(apps.text, new RegExp(`Collaborated Apps\\s[^]*${name} +${owner}`));
  assert.match(paused.text, /Enabling maintenance mode for \S+\.\.\. done/);
  assert.equal(config.code, 2, config.text);
  assert.match(config.text, new RegExp(`That takes the permission deploy on ${name}`));
  assert.match(foreign.text, /Couldn't find that app/);
});
