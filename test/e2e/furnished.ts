import { makeAuthority, makeServerCertificate } from "../../src/host/certificates.ts";
import { appName, platform, statorOk, temporaryApp } from "./harness.ts";

/** What the commands that show one thing are asked for. */
export interface Furnished extends AsyncDisposable {
  readonly pipeline: string;
  readonly domain: string;
  readonly webhook: string;
  readonly telemetry: string;
  readonly client: string;
  readonly authorization: string;
}

interface Made {
  readonly id: string;
  readonly name: string;
}

/** Gives an app, and the person who runs the tests, more than one of everything that the clients list; all of it goes at the end of the block. */
export async function furnished(app: string): Promise<Furnished> {
  await using made = new AsyncDisposableStack();
  const add = async (path: string, body: unknown): Promise<Made> => {
    const one = await platform<Made>("POST", path, body);
    made.defer(() => platform("DELETE", `${path}/${one.id}`).then(() => {}));
    return one;
  };
  const { id } = await platform<Made>("GET", `/apps/${app}`);
  const other = made.use(await temporaryApp("other"));

  const friend = `${appName("friend")}@example.com`;
  await platform("POST", "/stator/users", { email: friend, operator: false });
  made.defer(() => platform("DELETE", `/stator/users/${friend}`, { apps_to: null }).then(() => {}));
  await add(`/apps/${app}/collaborators`, { user: friend });
  const env = { STATOR_TOKEN: (await statorOk(["token", "--new", "--email", friend])).trim() };
  const theirs = appName("theirs");
  await statorOk(["apps:create", theirs, "--no-remote"], { env });
  made.defer(() => statorOk(["apps:destroy", theirs, "--confirm", theirs], { env }).then(() => {}));
  const { email } = await platform<{ readonly email: string }>("GET", "/account");
  await statorOk(["access:add", email, "-a", theirs], { env });

  const pipeline = await add("/pipelines", { name: appName("line"), owner: null });
  await add("/pipeline-couplings", { app, pipeline: pipeline.id, stage: "staging" });
  await add("/pipeline-couplings", { app: other.name, pipeline: pipeline.id, stage: "production" });

  const [domain, bare] = [`www.${app}.example`, `bare.${app}.example`];
  const domains = `/apps/${app}/domains`;
  for (const hostname of [domain, bare]) await add(domains, { hostname, sni_endpoint: null });
  const authority = await makeAuthority("Test", Date.now());
  const { certificate, key } = await makeServerCertificate(authority, [domain, bare], Date.now());
  const pair = { certificate_chain: certificate + authority.certificate, private_key: key };
  const endpoint = await platform<Made>("POST", `/apps/${app}/sni-endpoints`, pair);
  made.defer(() => platform("DELETE", `/apps/${app}/sni-endpoints/${endpoint.id}`).then(() => {}));
  await platform("PATCH", `${domains}/${domain}`, { sni_endpoint: endpoint.name });

  const buildpacks = (...names: readonly string[]) =>
    platform("PUT", `/apps/${app}/buildpack-installations`, { updates: names.map((buildpack) => ({ buildpack })) });
  await buildpacks("heroku/nodejs", "https://github.com/example/buildpack.git");
  made.defer(() => buildpacks().then(() => {}));
  await add(`/apps/${app}/log-drains`, { url: "https://logs.example/x" });
  const exporter = { type: "otlphttp", endpoint: "https://otel.example/v1/logs", headers: { "x-key": "1" } };
  const drain = { owner: { id, type: "app" }, signals: ["logs", "traces"], exporter };
  const telemetry = await add("/telemetry-drains", drain);

  const publicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFq5rGQ9SyTbGUWHrWAGsyqP4dHKn9YSVf9WW8ZkSXHv me@laptop";
  await add("/account/keys", { public_key: publicKey });
  const words = ["beta", "Alpha", "a10", "a9"];
  const clients: Made[] = [];
  for (const name of words) clients.push(await add("/oauth/clients", { name, redirect_uri: "https://x.example/" }));
  const authorizations: Made[] = [];
  for (const description of words) authorizations.push(await add("/oauth/authorizations", { description }));

  const webhooks: Made[] = []; // last: what comes before is told to nobody
  const hook = { include: ["api:release", "api:dyno"], level: "notify", url: "https://hook.example/" };
  for (let n = 0; n < 3; n++) webhooks.push(await add(`/apps/${app}/webhooks`, hook));

  const disposer = made.move();
  return {
    pipeline: pipeline.name,
    domain,
    webhook: webhooks[0]?.id ?? "",
    telemetry: telemetry.id,
    client: clients[0]?.id ?? "",
    authorization: authorizations[0]?.id ?? "",
    [Symbol.asyncDispose]: () => disposer.disposeAsync(),
  };
}
