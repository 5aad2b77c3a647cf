import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { pack } from "tar-stream";
import {
  appName,
  config,
  eventually,
  pidOf,
  platform,
  platformAnswers,
  pushOk,
  stator,
  statorOk,
  temporaryApp,
  temporaryRepository,
  throughRouter,
  waitLog,
} from "./harness.ts";
import { type Official, openOfficial } from "./heroku.ts";

/** Deploys without git: what `src/build/archives.test.ts` cannot show with the host's own programs. */
interface BuildJson {
  readonly id: string;
  readonly status: string;
  readonly output_stream_url: string;
  readonly release: { readonly id: string } | null;
  readonly slug: { readonly id: string } | null;
}

/** Says which release it is of, takes a while if asked, and fails if asked. */
const RELEASE_APP = {
  Procfile:
    'web: python3 s.py released\nrelease: echo migrating $HEROKU_RELEASE_VERSION; sleep ${SLOW:-0}; test -z "$FAIL"\n',
};

interface ReleaseJson {
  readonly status: string;
  readonly output_stream_url: string | null;
}

const SERVER = `import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write((sys.argv[1] + " " + os.environ.get("WHO", "nobody")).encode())
    def log_message(self, *args): pass
http.server.HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
`;

let staging = "";
let production = "";
let official: Official | undefined;
const closing = new AsyncDisposableStack();

before(async () => {
  official = closing.use(await openOfficial());
  staging = closing.use(await temporaryApp("ba-staging")).name;
  production = closing.use(await temporaryApp("ba-prod")).name;
});
after(() => closing.disposeAsync());

const heroku = (...args: readonly string[]) => (official ?? assert.fail("it is not installed")).ok(args);

async function archiveOf(files: Readonly<Record<string, string>>): Promise<Buffer<ArrayBuffer>> {
  const tar = pack();
  for (const [name, text] of Object.entries(files)) tar.entry({ name }, text);
  tar.finalize();
  return gzipSync(await buffer(tar as unknown as Readable)); // streamx's Readable has what `buffer` uses
}

/** Orders a build, follows its output to the end, and gives both. */
async function build(app: string, body: unknown): Promise<{ readonly build: BuildJson; readonly said: string }> {
  const ordered = await platform<BuildJson>("POST", `/apps/${app}/builds`, body);
  const said = await (await fetch(ordered.output_stream_url)).text();
  return { build: await platform<BuildJson>("GET", `/apps/${app}/builds/${ordered.id}`), said };
}

async function put(url: string, body: Buffer<ArrayBuffer>): Promise<void> {
  const { status } = await fetch(url, { method: "PUT", body });
  assert.equal(status, 200);
}

const answers = (app: string, words: string) =>
  eventually(`${app} says ${words}`, async () => (await throughRouter(app)).body === words);

test("platform-api 3.4: source, build, output, release: a deploy without git answers through the router", async () => {
  const { source_blob: blob } = await platform<{ source_blob: { put_url: string; get_url: string } }>(
    "POST",
    "/sources",
  );
  await put(blob.put_url, await archiveOf({ "app-1/Procfile": "web: python3 s.py built\n", "app-1/s.py": SERVER }));
  const { build: made, said } = await build(staging, { source_blob: { url: blob.get_url, version: "0123456789ab" } });
  assert.match(said, /-----> Procfile app detected[^]*Released v3[^]*Verifying deploy\.\.\. done\./);
  assert.equal(made.status, "succeeded");
  await answers(staging, "built nobody");
  assert.match(await statorOk(["builds:output", "-a", staging]), /-----> Procfile app detected/);
  assert.match(await statorOk(["releases:info", "v3", "-a", staging]), /Change: +Deploy 01234567/);
  const all = await platform<readonly BuildJson[]>("GET", `/apps/${staging}/builds`);
  assert.deepEqual(
    all.map(({ id }) => id),
    [made.id],
  );
});

test("what a build fetches it fetches from inside its dyno: the internet, and no private address", async () => {
  const { build: refused, said } = await build(staging, { source_blob: { url: "https://169.254.169.254/x.tgz" } });
  assert.equal(refused.status, "failed");
  assert.match(said, /The archive could not be fetched: curl/);
  const settings = await readFile(join(config.instance.home, "build-settings.json"), "utf8").catch(() => "{}");
  const { registry } = JSON.parse(settings) as { readonly registry?: string | null };
  const from = registry?.startsWith("https:") ? registry : "https://registry.npmjs.org/";
  // A public archive that is an app of no kind that the buildpack takes: it came, and was unpacked.
  const body = {
    source_blob: { url: new URL("is-odd/-/is-odd-3.0.1.tgz", from).href },
    buildpacks: [{ url: "heroku/procfile" }],
  };
  assert.match(
    (await build(staging, body)).said,
    /Using buildpack: heroku\/procfile[^]*App not compatible with buildpack/,
  );
  const file = join(official?.home ?? "", "nothing.tgz");
  await writeFile(file, await archiveOf({ "notes.txt": "no app" }));
  const created = await stator(["builds:create", "--source-tar", file, "-a", staging]);
  assert.equal(created.code, 1);
  assert.match(created.stdout, /no Procfile, and no language that is known here/);
  assert.equal((await throughRouter(staging)).body, "built nobody", "what ran goes on");
});

test("buildpacks, buildpacks:add, :set, :remove, :clear, :search, :info, :versions by the official CLI and natively", async () => {
  assert.match(await heroku("stack", "-a", staging), /\* debian-12/);
  assert.match(await statorOk(["stack", "-a", staging]), /\* debian-12/);
  assert.match(await heroku("buildpacks", "-a", staging), /has no Buildpacks/);
  assert.match(
    await heroku("buildpacks:set", "heroku/nodejs", "-a", staging),
    /Buildpack set\. Next release on \S+ will use heroku\/nodejs/,
  );
  const custom = "https://example.com/buildpack.git#v2";
  assert.match(
    await heroku("buildpacks:add", custom, "-i", "1", "-a", staging),
    /1\. https:\S+#v2\n +2\. heroku\/nodejs/,
  );
  assert.match(await statorOk(["buildpacks", "-a", staging]), /1\. https:\S+#v2\n2\. heroku\/nodejs/);
  assert.match(await heroku("buildpacks:remove", custom, "-a", staging), /will use heroku\/nodejs/);
  const unknown = await official?.run(["buildpacks:add", "heroku/cobol", "-a", staging]);
  assert.notEqual(unknown?.code, 0);
  assert.match(unknown?.stderr ?? "", /That buildpack is not here: there are heroku\/nodejs/);
  const native = await stator(["buildpacks:add", "heroku/cobol", "-a", staging]);
  assert.notEqual(native.code, 0);
  assert.match(native.stderr, /heroku\/cobol" is not here/);
  assert.match(await heroku("buildpacks:clear", "-a", staging), /will detect buildpacks normally/);
  assert.match(await heroku("buildpacks:search", "nodejs"), /heroku\/nodejs/);
  assert.match(await heroku("buildpacks:info", "heroku/nodejs"), /Node\.js apps/);
  assert.match(await heroku("buildpacks:versions", "heroku/nodejs"), /published/);
});

test("spec 5.3: a release command runs before the release, its output is shown; what fails leaves what runs; releases:retry", async () => {
  await using app = await temporaryApp("ba-release");
  const { name } = app;
  using repository = await temporaryRepository({ ...RELEASE_APP, "s.py": SERVER });
  const said = await pushOk(repository.folder, name);
  assert.match(
    said,
    /Running release command\.\.\.[^]*migrating v3[^]*Waiting for release\.\.\.\. done\.[^]*Verifying deploy\.\.\. done\./,
  );
  assert.match(await heroku("releases:output", "-a", name), /^migrating v3$/m);
  assert.equal(await statorOk(["releases:output", "v3", "-a", name]), "migrating v3\n");
  const log = await waitLog(name, /heroku\[release\.\d+\]: State changed from up to complete/);
  assert.match(log, /app\[api\]: Running release v3 commands by user/);
  assert.match(log, /app\[api\]: Starting process with command `echo migrating .*` by user/);
  assert.match(log, /app\[release\.\d+\]: migrating v3/);
  await statorOk(["config:set", "FAIL=yes", "-a", name]);
  const changed = await platform<ReleaseJson>("GET", `/apps/${name}/releases/4`);
  assert.equal(changed.output_stream_url, null, "config vars run no command");
  assert.match(
    await heroku("releases:retry", "-a", name),
    /Running release command\.\.\.\nmigrating v5\n[^]*Retrying v4 on \S+\.\.\. done, v5/,
  );
  const status = (version: number) => async () =>
    (await platform<ReleaseJson>("GET", `/apps/${name}/releases/${version}`)).status;
  await eventually("v5 has failed", async () => (await status(5)()) === "failed");
  assert.match(await heroku("releases", "-a", name), /v5 +Retry of v4: Set FAIL config vars release command failed/);
  assert.equal((await throughRouter(name)).body, "released nobody", "what ran goes on");
  const scaled = await stator(["ps:scale", "release=1", "-a", name]);
  assert.match(scaled.stderr, /Cannot scale release/);
  assert.notEqual(scaled.code, 0);

  await statorOk(["config:set", "SLOW=4", "-a", name]);
  await statorOk(["config:unset", "FAIL", "-a", name]);
  await eventually("they have come up", async () => (await status(7)()) === "succeeded");
  const retried = stator(["releases:retry", "-a", name]);
  await eventually("its dyno runs", async () => /^release\.\d+: up /m.test(await statorOk(["ps", "-a", name])));
  process.kill(await pidOf("daemon"), "SIGKILL");
  await retried; // cut off, whatever it says
  await eventually("v8 has come up", async () => (await platformAnswers()) && (await status(8)()) === "succeeded");
  assert.equal(await statorOk(["releases:output", "v8", "-a", name]), "migrating v8\n", "it ran once");
});

test("pipelines: created, promoted through and destroyed by the official CLI; the code moves, the config stays", async () => {
  const name = appName("pipe");
  const created = await heroku("pipelines:create", name, "-a", staging, "-s", "development");
  assert.match(created, /Creating \S+ pipeline\.\.\. done[^]*Adding \S+ to \S+ pipeline as development\.\.\. done/);
  assert.match(await heroku("pipelines:update", "-a", staging, "-s", "staging"), /Changing \S+ to staging\.\.\. done/);
  const added = await heroku("pipelines:add", name, "-a", production, "-s", "production");
  assert.match(added, /Adding \S+ to \S+ pipeline as production\.\.\. done/);
  assert.match(await heroku("pipelines"), new RegExp(name));
  assert.match(await heroku("pipelines:info", name), new RegExp(`${staging} +staging[^]*${production} +production`));
  await statorOk(["config:set", "WHO=production", "-a", production]);
  assert.match(await heroku("pipelines:promote", "-a", staging), /Promotion successful/);
  await answers(production, "built production");
  assert.match(await statorOk(["pipelines:diff", "-a", staging]), /is up to date with/);
  const theirs = await (official ?? assert.fail()).elsewhere(["pipelines:diff", "-a", staging]);
  assert.deepEqual([theirs.code, theirs.dialled], [2, []], theirs.stderr);
  assert.match(
    theirs.stderr.replaceAll(/\s*\n ›\s+/g, " "),
    /service of Heroku's to ask GitHub: type stator pipelines:diff\./,
  );
  assert.match(
    await statorOk(["pipelines:promote", "-a", staging, "--to", production]),
    /Promotion successful[^]*succeeded/,
  );
  assert.match(await heroku("pipelines:rename", name, `${name}2`), /Renaming \S+ pipeline to \S+2\.\.\. done/);
  assert.match(await statorOk(["pipelines:info", `${name}2`]), new RegExp(`${production} +production`));
  assert.match(await heroku("pipelines:remove", "-a", production), /Removing \S+\.\.\. done/);
  assert.match(await heroku("pipelines:destroy", `${name}2`), /Destroying \S+2 pipeline\.\.\. done/);
  assert.doesNotMatch(await statorOk(["pipelines"]), new RegExp(name));
});

test("pipelines:transfer: by the official CLI and by ours, to another user, who is offered the apps in it", async () => {
  const email = `${appName("friend")}@example.com`;
  await statorOk(["users:add", email]);
  const give = [
    (...args: readonly string[]) => heroku("pipelines:transfer", ...args),
    async (...args: readonly string[]) => (await stator(["pipelines:transfer", ...args])).stderr,
  ];
  try {
    for (const transfer of give) {
      const name = appName("given");
      await statorOk(["pipelines:create", name, "-a", staging, "-s", "staging"]);
      const wrong = await transfer(email, "-p", name, "-c", "another");
      assert.match(wrong, new RegExp(`Confirmation did not match ${name}\\. Aborted`));
      const said = (await transfer(email, "-p", name, "-c", name)).replaceAll(/\s+(› +)?/g, " ");
      assert.match(said, new RegExp(`Transferring ${name} pipeline to the ${email} account\\.\\.\\. done`));
      assert.match(said, /stator apps:transfers:accept/);
      assert.doesNotMatch(await statorOk(["pipelines"]), new RegExp(name));
      assert.match(await statorOk(["apps:transfers"]), new RegExp(`${staging} +.* → ${email} +pending`));
      await statorOk(["apps:transfers:cancel", staging]);
      await statorOk(["pipelines:remove", "-a", staging]);
    }
  } finally {
    await statorOk(["users:remove", email]);
  }
});

test("platform-api 3.4: a slug that was built elsewhere is uploaded and released; its archive can be had again", async () => {
  const made = await platform<{ id: string; blob: { url: string } }>("POST", `/apps/${production}/slugs`, {
    process_types: { web: "python3 s.py uploaded" },
    commit: "fedcba9876543210",
  });
  await put(made.blob.url, await archiveOf({ "./app/s.py": SERVER }));
  await platform("POST", `/apps/${production}/releases`, { slug: made.id });
  await answers(production, "uploaded production");
  const { blob } = await platform<{ blob: { url: string } }>("GET", `/apps/${production}/slugs/${made.id}`);
  const bytes = await (await fetch(blob.url)).arrayBuffer();
  assert.ok(bytes.byteLength > 100);
});
