import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { after, before, test } from "node:test";
import { openWorld, type World } from "../../test/support/api-world.ts";
import { GoClient, type GoStruct } from "../../test/support/go-client.ts";
import { makeAuthority, makeServerCertificate } from "../host/certificates.ts";

/**
 * Terraform's provider (`heroku/heroku`) is on no registry that is in reach here. Its requests are known: each resource's create, read,
 * update and delete are played as its sources have them, with the headers of heroku-go, and each answer must be what heroku-go's
 * structures take. Where Terraform fails a run because a value comes back other than it was written, that is looked at too.
 */
let world: World;
let client: GoClient;
before(async () => {
  world = await openWorld();
  client = new GoClient(world);
});
after(() => world[Symbol.asyncDispose]());

const NAMED: GoStruct = { id: "string", name: "string" };
const ID: GoStruct = { id: "string" };
const PERSON: GoStruct = { id: "string", email: "string" };
const AT: GoStruct = { created_at: "time", updated_at: "time" };

const APP: GoStruct = {
  ...AT,
  acm: "bool",
  archived_at: "time?",
  build_stack: NAMED,
  buildpack_provided_description: "string?",
  generation: NAMED,
  git_url: "string",
  id: "string",
  internal_routing: "bool?",
  maintenance: "bool",
  name: "string",
  "*organization": NAMED,
  owner: PERSON,
  region: NAMED,
  released_at: "time?",
  repo_size: "int?",
  slug_size: "int?",
  "*space": NAMED,
  stack: NAMED,
  "*team": NAMED,
  web_url: "string",
};
const RELEASE: GoStruct = {
  ...AT,
  addon_plan_names: "[string]",
  app: NAMED,
  current: "bool",
  description: "string",
  id: "string",
  output_stream_url: "string?",
  "*slug": ID,
  status: "string",
  user: PERSON,
  version: "int",
};
const FORMATION: GoStruct = {
  ...AT,
  app: NAMED,
  command: "string",
  dyno_size: NAMED,
  id: "string",
  quantity: "int",
  size: "string",
  type: "string",
};
const DOMAIN: GoStruct = {
  ...AT,
  acm_status: "string?",
  acm_status_reason: "string?",
  app: NAMED,
  cname: "string?",
  hostname: "string",
  id: "string",
  kind: "string",
  "*sni_endpoint": NAMED,
  status: "string",
};
const ENDPOINT: GoStruct = {
  ...AT,
  app: NAMED,
  certificate_chain: "string",
  display_name: "string?",
  domains: "[string]",
  id: "string",
  name: "string",
  ssl_cert: {
    "ca_signed?": "bool",
    cert_domains: "[string]",
    expires_at: "time",
    id: "string",
    issuer: "string",
    "self_signed?": "bool",
    starts_at: "time",
    subject: "string",
  },
};
const WEBHOOK: GoStruct = {
  ...AT,
  app: NAMED,
  id: "string",
  include: "[string]",
  level: "string",
  url: "string",
};
const SLUG: GoStruct = {
  ...AT,
  blob: { method: "string", url: "string" },
  buildpack_provided_description: "string?",
  checksum: "string?",
  commit: "string?",
  commit_description: "string?",
  id: "string",
  process_types: "{string}",
  size: "int?",
  stack: NAMED,
};
const PIPELINE: GoStruct = {
  ...AT,
  generation: NAMED,
  id: "string",
  name: "string",
  owner: { id: "string", type: "string" },
};
const COUPLING: GoStruct = { ...AT, app: ID, id: "string", pipeline: ID, stage: "string" };
const BUILDPACKS = [{ buildpack: { name: "string", url: "string" }, ordinal: "int" }] as const;
const FEATURE: GoStruct = {
  ...AT,
  description: "string",
  display_name: "string",
  doc_url: "string",
  enabled: "bool",
  feedback_email: "string",
  id: "string",
  name: "string",
  state: "string",
};

interface Made {
  readonly id: string;
}

async function newApp(name: string): Promise<string> {
  return (await client.ok<Made>("POST", "/apps", APP, { name, region: "us" })).id;
}

/** Config vars, and the wait for the release that they made, as every resource with variables does it. */
async function setVars(app: string, vars: Readonly<Record<string, string | null>>): Promise<void> {
  await client.ok("PATCH", `/apps/${app}/config-vars`, "{string}", vars);
  const newest = { field: "version", max: 1, isDescending: true };
  const [release, extra] = await client.ok<readonly Made[]>(
    "GET",
    `/apps/${app}/releases`,
    [RELEASE],
    undefined,
    newest,
  );
  assert.equal(extra, undefined);
  const { status } = await client.ok<{ status: string }>("GET", `/apps/${app}/releases/${release?.id}`, RELEASE);
  assert.equal(status, "succeeded");
}

test("heroku_app: made with config vars, buildpacks and ACM; read; renamed; destroyed, and then not_found", async () => {
  const body = { name: "tf-app", region: "us", stack: "debian-12" };
  const { id } = await client.ok<Made>("POST", "/apps", APP, body);
  await setVars(id, { GREETING: "hello", SECRET: "s3cret" });
  const buildpacks = ["heroku/nodejs", "https://example.com/buildpack.git"];
  const updates = buildpacks.map((buildpack) => ({ buildpack }));
  await client.ok("PUT", `/apps/${id}/buildpack-installations`, BUILDPACKS, { updates });
  const app = await client.ok<Readonly<Record<string, unknown>>>("GET", `/apps/${id}`, APP);
  assert.deepEqual(
    [app["name"], app["region"], app["build_stack"], app["acm"]].map(
      (each) => (each as { name?: unknown }).name ?? each,
    ),
    ["tf-app", "us", "debian-12", false],
  );
  const listed = await client.ok<readonly { readonly buildpack: { readonly name: string } }[]>(
    "GET",
    `/apps/${id}/buildpack-installations`,
    BUILDPACKS,
  );
  assert.deepEqual(
    listed.map(({ buildpack }) => buildpack.name),
    buildpacks,
    "as they were written",
  );
  assert.deepEqual(await client.ok("GET", `/apps/${id}/config-vars`, "{string}"), {
    GREETING: "hello",
    SECRET: "s3cret",
  });
  // An update sends what changed, which may be nothing.
  const before = (await world.store.releases.list(id)).length;
  await client.ok("PATCH", `/apps/${id}`, APP, {});
  await client.ok("PATCH", `/apps/${id}`, APP, { name: "tf-renamed", build_stack: "debian-12" });
  assert.equal((await world.store.releases.list(id)).length, before);
  await client.ok("PUT", `/apps/${id}/buildpack-installations`, BUILDPACKS, { updates: [] });
  await client.refused("POST", `/apps/${id}/acm`, 422); // nobody agreed to an authority's terms
  await client.refused("POST", "/apps", 422, { ...body, name: "tf-other", region: "eu" });
  await client.refused("POST", "/teams/apps", 422, { ...body, team: "acme", personal: false, locked: false });
  assert.equal((await client.ok<{ name: string }>("GET", "/apps/tf-renamed", APP)).name, "tf-renamed", "an import");
  await client.ok("DELETE", `/apps/${id}`, APP);
  assert.equal(await client.refused("GET", `/apps/${id}`, 404), "not_found");
});

test("heroku_app_config_association, heroku_config: set, read, changed, and taken away again", async () => {
  const id = await newApp("tf-config");
  await setVars(id, { A: "1", B: "2" });
  await setVars(id, { A: "1", B: null, C: 'with "quotes", ünïcode\nand a second line' });
  assert.deepEqual(Object.keys(await client.ok("GET", `/apps/${id}/config-vars`, "{string}")).toSorted(), ["A", "C"]);
  await setVars(id, { A: null, C: null });
  assert.deepEqual(await client.ok("GET", `/apps/${id}/config-vars`, "{string}"), {});
});

test("heroku_slug, heroku_app_release: an archive with the checksum that was given, and its release", async () => {
  const id = await newApp("tf-slug");
  const archive = "the archive of a slug";
  const body = {
    buildpack_provided_description: "Ruby",
    checksum: `SHA256:${createHash("sha256").update(archive).digest("hex")}`,
    commit: "abcdef",
    commit_description: "What was done",
    process_types: { web: "ruby server.rb" },
    stack: "debian-12",
  };
  const slug = await client.ok<Made & { blob: { url: string; method: string } }>(
    "POST",
    `/apps/${id}/slugs`,
    SLUG,
    body,
  );
  const { blob } = slug;
  const sent = await fetch(blob.url, { method: blob.method.toUpperCase(), body: archive });
  assert.ok(sent.ok, await sent.text());
  const read = await client.ok<Readonly<Record<string, unknown>>>("GET", `/apps/${id}/slugs/${slug.id}`, SLUG);
  const { stack: _stack, ...written } = body;
  for (const [field, value] of Object.entries(written)) assert.deepEqual(read[field], value, field);
  const release = { slug: slug.id, description: "by Terraform" };
  const made = await client.ok<Made>("POST", `/apps/${id}/releases`, RELEASE, release);
  await world.supervision.idle();
  const path = `/apps/${id}/releases/${made.id}`;
  const after = await client.ok<{ status: string; description: string; slug: Made; current: boolean }>(
    "GET",
    path,
    RELEASE,
  );
  assert.deepEqual([after.status, after.description, after.slug.id], ["succeeded", release.description, slug.id]);
  await client.refused("POST", `/apps/${id}/releases`, 422, { slug: "", oci_image: randomUUID() });
});

test("heroku_build: a source is uploaded and built, and the build is read until it has ended", async () => {
  const id = await newApp("tf-build");
  const source = await client.ok<{ source_blob: { put_url: string; get_url: string } }>("POST", "/sources", {
    source_blob: { get_url: "string", put_url: "string" },
  });
  const archive = "an archive of sources";
  const sent = await fetch(source.source_blob.put_url, { method: "PUT", body: archive });
  assert.ok(sent.ok, await sent.text());
  const checksum = `SHA256:${createHash("sha256").update(archive).digest("hex")}`;
  const source_blob = { checksum, url: source.source_blob.get_url, version: "v1" };
  const buildpacks = [{ url: "https://example.com/buildpack.git" }, { url: "heroku/nodejs" }];
  const build = await client.ok<Made>("POST", `/apps/${id}/builds`, BUILD, { buildpacks, source_blob });
  const read = await client.ok<typeof BUILD & { buildpacks: readonly { url: string }[] }>(
    "GET",
    `/apps/${id}/builds/${build.id}`,
    BUILD,
  );
  assert.ok(read.buildpacks.length === 0 || read.buildpacks.every(({ url }) => url.length > 0));
  assert.equal(await client.refused("GET", `/apps/${id}/builds/${randomUUID()}`, 404), "not_found");
});

const BUILD: GoStruct = {
  ...AT,
  app: ID,
  buildpacks: [{ url: "string" }],
  id: "string",
  output_stream_url: "string",
  "*release": ID,
  "*slug": ID,
  source_blob: { checksum: "string?", url: "string", version: "string?" },
  stack: "string",
  status: "string",
  user: PERSON,
};

test("heroku_formation: by type, in both ways to name a size, then read by its id", async () => {
  const { id } = await world.deployed("tf-formation");
  await client.ok("GET", `/apps/${id}`, APP);
  const path = `/apps/${id}/formation`;
  const sized = { dyno_size: { name: "standard-2x" }, quantity: 2 };
  const formation = await client.ok<Made & { size: string }>("PATCH", `${path}/worker`, FORMATION, sized);
  assert.equal(formation.size, "Standard-2X");
  const read = await client.ok<{ quantity: number; type: string }>("GET", `${path}/${formation.id}`, FORMATION);
  assert.deepEqual([read.quantity, read.type], [2, "worker"]);
  await client.ok("PATCH", `${path}/worker`, FORMATION, { quantity: 0, size: "Basic" });
  await client.refused("PATCH", `${path}/clock`, 404, { quantity: 1, size: "Basic" });
  await client.refused("PATCH", `${path}/web`, 422, { quantity: 1, size: "Private-S" });
});

test("heroku_ssl, heroku_domain: a certificate comes back as it was written; a domain with it, without it, and gone", async () => {
  const id = await newApp("tf-domain");
  const authority = await makeAuthority("Test", Date.now());
  const pair = await makeServerCertificate(authority, ["tf.example.org"], Date.now());
  // As it is put together of a certificate and its issuers, or read from a file of another system.
  const pem = (text: string) => `\n${text.trim().replaceAll("\n", "\r\n")}\n\n`;
  const body = { certificate_chain: pem(pair.certificate), private_key: pair.key };
  const path = `/apps/${id}/sni-endpoints`;
  const endpoint = await client.ok<Made & { certificate_chain: string }>("POST", path, ENDPOINT, body);
  assert.equal(endpoint.certificate_chain, body.certificate_chain);
  await client.ok("GET", `${path}/${endpoint.id}`, ENDPOINT);
  const careless = { ...body, certificate_chain: `${pair.certificate}\n${pair.key}` };
  const shown = await client.ok<{ certificate_chain: string }>("PATCH", `${path}/${endpoint.id}`, ENDPOINT, careless);
  assert.ok(!shown.certificate_chain.includes("PRIVATE"), "what was no certificate is not told");

  const domains = `/apps/${id}/domains`;
  const made = await client.ok<Made & { sni_endpoint: Made | null }>("POST", domains, DOMAIN, {
    hostname: "tf.example.org",
    sni_endpoint: endpoint.id,
  });
  assert.equal(made.sni_endpoint?.id, endpoint.id);
  const cleared = await client.ok<{ sni_endpoint: unknown }>("PATCH", `${domains}/${made.id}`, DOMAIN, {
    sni_endpoint: "",
  });
  assert.equal(cleared.sni_endpoint, null, "this is how the provider says that there is none");
  await client.ok("PATCH", `${domains}/${made.id}`, DOMAIN, { sni_endpoint: endpoint.id });
  await client.ok("GET", `${domains}/${made.id}`, DOMAIN);
  await client.ok("POST", domains, DOMAIN, { hostname: "other.example.org", sni_endpoint: null });

  const next = await makeServerCertificate(authority, ["tf.example.org"], Date.now());
  const renewed = { certificate_chain: pem(next.certificate), private_key: next.key };
  const updated = await client.ok<{ certificate_chain: string }>("PATCH", `${path}/${endpoint.id}`, ENDPOINT, renewed);
  assert.equal(updated.certificate_chain, renewed.certificate_chain);
  await client.ok("DELETE", `${domains}/${made.id}`, DOMAIN);
  await client.ok("DELETE", `${path}/${endpoint.id}`, ENDPOINT);
  assert.equal(await client.refused("GET", `${path}/${endpoint.id}`, 404), "not_found");
});

test("heroku_drain, heroku_app_webhook, heroku_app_feature, heroku_account_feature", async () => {
  const id = await newApp("tf-events");
  const DRAIN: GoStruct = { ...AT, "*addon": NAMED, id: "string", token: "string", url: "string" };
  const url = "https://logs.example.com/in?key=1";
  const drain = await client.ok<Made>("POST", `/apps/${id}/log-drains`, DRAIN, { url });
  const read = await client.ok<{ url: string }>("GET", `/apps/${id}/log-drains/${drain.id}`, DRAIN);
  assert.equal(read.url, url);
  await client.ok("DELETE", `/apps/${id}/log-drains/${drain.id}`, DRAIN);

  const webhooks = `/apps/${id}/webhooks`;
  const body = {
    authorization: "Bearer abc",
    include: ["api:release", "api:app"],
    level: "notify",
    secret: "abcdefgh",
    url: "https://hooks.example.com/in",
  };
  const webhook = await client.ok<Made & { include: readonly string[] }>("POST", webhooks, WEBHOOK, body);
  assert.deepEqual(webhook.include, body.include, "in the order in which they were written");
  await client.ok("GET", `${webhooks}/${webhook.id}`, WEBHOOK);
  await client.ok("PATCH", `${webhooks}/${webhook.id}`, WEBHOOK, { level: "sync" });
  await client.ok("PATCH", `${webhooks}/${webhook.id}`, WEBHOOK, {});
  await client.ok("DELETE", `${webhooks}/${webhook.id}`, WEBHOOK);

  for (const [path, name] of [
    [`/apps/${id}/features`, "log-runtime-metrics"],
    ["/account/features", "heroku-defaults"],
  ]) {
    const feature = await client.ok<Made>("PATCH", `${path}/${name}`, FEATURE, { enabled: true });
    const { enabled } = await client.ok<{ enabled: boolean }>("GET", `${path}/${feature.id}`, FEATURE);
    assert.ok(enabled);
    await client.ok("PATCH", `${path}/${feature.id}`, FEATURE, { enabled: false });
  }
});

test("heroku_collaborator: by address, read by id, gone after it was taken away", async () => {
  const id = await newApp("tf-collaborator");
  const { email } = await world.store.users.ensure("colleague@example.com");
  const COLLABORATOR: GoStruct = {
    ...AT,
    app: NAMED,
    id: "string",
    permissions: [{ description: "string", name: "string" }],
    role: "string?",
    user: { email: "string", federated: "bool", id: "string" },
  };
  const path = `/apps/${id}/collaborators`;
  const made = await client.ok<Made>("POST", path, COLLABORATOR, { silent: true, user: email });
  const read = await client.ok<{ app: Made; user: { email: string } }>("GET", `${path}/${made.id}`, COLLABORATOR);
  assert.deepEqual([read.app.id, read.user.email], [id, email]);
  await client.ok("DELETE", `${path}/${email}`, COLLABORATOR);
  assert.equal(await client.refused("GET", `${path}/${made.id}`, 404), "not_found");
});

test("heroku_pipeline, heroku_pipeline_coupling, heroku_pipeline_promotion; what needs GitHub or CI is refused in a sentence", async () => {
  const { id: source } = await world.deployed("tf-staging");
  const { id: target } = await world.deployed("tf-production");
  const account = await client.ok<Made>("GET", "/account", { ...AT, ...PERSON, name: "string?", verified: "bool" });
  const owner = { id: account.id, type: "user" };
  const pipeline = await client.ok<Made & { owner: object }>("POST", "/pipelines", PIPELINE, {
    name: "tf-line",
    owner,
  });
  assert.deepEqual(pipeline.owner, owner);
  const path = `/pipelines/${pipeline.id}`;
  await client.ok("PATCH", path, PIPELINE, { name: "tf-other-line" });
  await client.ok("GET", path, PIPELINE);
  const couple = (app: string, stage: string) =>
    client.ok<Made>("POST", "/pipeline-couplings", COUPLING, { app, pipeline: pipeline.id, stage });
  const coupling = await couple(source, "staging");
  await couple(target, "production");
  await client.ok("GET", `/pipeline-couplings/${coupling.id}`, COUPLING);

  const [release] = await world.store.releases.list(source);
  const promotion = await client.ok<Made>("POST", "/pipeline-promotions", PROMOTION, {
    pipeline: { id: pipeline.id },
    source: { app: { id: source }, release: { id: release?.id } },
    targets: [{ app: { id: target } }],
  });
  await client.ok("GET", `/pipeline-promotions/${promotion.id}`, PROMOTION);
  const targets = await client.ok<readonly { release: Made | null }[]>(
    "GET",
    `/pipeline-promotions/${promotion.id}/promotion-targets`,
    [{ app: ID, error_message: "string?", id: "string", pipeline_promotion: ID, "*release": ID, status: "string" }],
  );
  assert.ok(targets[0]?.release);

  for (const [method, of, status, body] of [
    ["GET", "stage/test/config-vars", 404, undefined],
    ["PATCH", "stage/test/config-vars", 422, { A: "1" }],
    ["GET", "review-app-config", 404, undefined],
    ["POST", "review-app-config", 422, { automatic_review_apps: true, repo: "me/shop" }],
    ["PATCH", "review-app-config", 422, { stale_days: 2 }],
    ["DELETE", "review-app-config", 404, undefined],
  ] as const)
    await client.refused(method, `${path}/${of}`, status, body);
  await client.ok("DELETE", `/pipeline-couplings/${coupling.id}`, COUPLING);
  await client.ok("DELETE", path, PIPELINE);
  assert.equal(await client.refused("GET", path, 404), "not_found");
});

const PROMOTION: GoStruct = {
  created_at: "time",
  id: "string",
  pipeline: ID,
  source: { app: ID, release: ID },
  status: "string",
  updated_at: "time?",
};

test("heroku_telemetry_drain: its owner by id; add-ons, spaces and teams are refused in a sentence", async () => {
  const id = await newApp("tf-telemetry");
  const DRAIN: GoStruct = {
    ...AT,
    exporter: { endpoint: "string", headers: "{string}", type: "string" },
    id: "string",
    owner: { id: "string", type: "string" },
    signals: "[string]",
  };
  const exporter = { endpoint: "https://otel.example.com/v1/logs", headers: { "X-Key": "1" }, type: "otlphttp" };
  const body = { exporter, owner: { id, type: "app" }, signals: ["logs"] };
  const drain = await client.ok<Made>("POST", "/telemetry-drains", DRAIN, body);
  await client.ok("GET", `/telemetry-drains/${drain.id}`, DRAIN);
  await client.ok("PATCH", `/telemetry-drains/${drain.id}`, DRAIN, { exporter, signals: ["logs"] });
  await client.ok("DELETE", `/telemetry-drains/${drain.id}`, DRAIN);
  await client.refused("POST", `/apps/${id}/addons`, 422, { plan: "heroku-postgresql:mini" });
  await client.refused("POST", "/spaces", 422, { name: "space", team: "acme" });
  await client.refused("GET", "/teams/acme", 404);
});
