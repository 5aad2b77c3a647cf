import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { networkInterfaces } from "node:os";
import { after, before, test } from "node:test";
import { httpReceiver, messagesOf, syslogReceiver } from "../support/receivers.ts";
import { echo } from "./apps.ts";
import { deployed, eventually, pidOf, platform, stator, statorOk, waitUp } from "./harness.ts";
import { type Official, openOfficial, samePrinted } from "./heroku.ts";

/** Receivers stand on an address of the host's own, which no app may reach until the operator allows it. */
const HOST = Object.entries(networkInterfaces())
  .filter(([name]) => name !== "lo" && !/^st[0-9a-f]{6}-/.test(name))
  .flatMap(([, all]) => all ?? [])
  .find(({ family, internal }) => family === "IPv4" && !internal)?.address;

let heroku: Official;
let app = "";
let dispose: () => Promise<void> = async () => {};

before(async () => {
  assert.ok(HOST, "the host has an address beside the loopback");
  heroku = await openOfficial();
  const made = await deployed("drained", echo);
  app = made.name;
  dispose = async () => made[Symbol.asyncDispose]();
  await waitUp(app, "web", 1);
});
after(async () => {
  await dispose();
  heroku?.[Symbol.dispose]();
});

const allow = (port: number) => statorOk(["network:allow", `${HOST}:${port}`, "-a", app]);

/** Kills the daemon, and waits until the next one answers. */
async function killDaemon(): Promise<void> {
  const before = await pidOf("daemon");
  process.kill(before, "SIGKILL");
  await eventually("another daemon answers", async () => {
    const now = await pidOf("daemon").catch(() => before);
    return now !== before && platform("GET", `/apps/${app}`).catch(() => undefined);
  });
}

test("drains, drains:add, drains:remove: official and native; what a dyno writes arrives by HTTP and syslog, over kill -9", async () => {
  await using web = await httpReceiver(undefined, 0, HOST);
  await using syslog = await syslogReceiver(undefined, HOST);
  const urls = [`http://me:secret@${HOST}:${web.port}/in`, `syslog://${HOST}:${syslog.port}`] as const;
  const refused = await heroku.run(["drains:add", urls[0], "-a", app]);
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr.replaceAll(/[\s›]+/g, " "), /refused by the network rules/);
  await allow(web.port);
  await allow(syslog.port);
  assert.match(await heroku.ok(["drains:add", urls[0], "-a", app]), /Successfully added drain http:\/\/me:secret@/);
  assert.match(await statorOk(["drains:add", urls[1], "-a", app]), /Successfully added drain syslog:\/\//);
  const { stdout: listed } = await heroku.run(["drains", "-a", app]);
  const [, token = ""] = /syslog:\/\/\S+ \((d\.[0-9a-f-]{36})\)/.exec(listed) ?? [];
  assert.ok(listed.includes(urls[0]) && token !== "", listed);
  assert.equal(await statorOk(["drains", "-a", app]), listed.replace(/=== Drains\n+/, "=== Drains\n\n"));

  const said = (word: string) => ({
    web: web.got.some(({ body }) =>
      messagesOf(body).some((each) => / app run\.\d+ - /.test(each) && each.includes(word)),
    ),
    syslog: syslog.messages.some((each) => each.includes(` ${token} app run.`) && each.includes(word)),
  });
  const arrives = (word: string) => eventually(`${word} arrives`, async () => said(word).web && said(word).syslog);
  await statorOk(["run:detached", "-a", app, "--", "echo", "first-words"]);
  await arrives("first-words");
  const [request] = web.got;
  assert.equal(request?.headers.authorization, `Basic ${Buffer.from("me:secret").toString("base64")}`);
  assert.equal(request?.headers["content-type"], "application/logplex-1");

  // Written while the daemon is dead: the next one carries on, with each of the lines.
  const counting = "import time; [(print(f'counted-{n}-'), time.sleep(0.01)) for n in range(1, 301)]";
  await statorOk(["run:detached", "-a", app, "--", "python3", "-u", "-c", counting]);
  await arrives("counted-20-");
  await killDaemon();
  await arrives("counted-300-");
  const missing = Array.from({ length: 300 }, (_, n) => `counted-${n + 1}-`).filter((word) => !said(word).web);
  assert.deepEqual(missing, []);

  assert.match(await heroku.ok(["drains:remove", urls[0], "-a", app]), /Successfully removed drain http/);
  assert.match(await statorOk(["drains:remove", token, "-a", app]), /Successfully removed drain syslog/);
  assert.equal(await statorOk(["drains", "-a", app]), "");
  assert.equal((await stator(["drains:remove", token, "-a", app])).code, 2);
});

test("webhooks*: official and native; a release is told, signed; what was under way at kill -9 is told again", async () => {
  await using receiver = await httpReceiver(undefined, 0, HOST);
  await allow(receiver.port);
  const url = `http://${HOST}:${receiver.port}/hook`;
  const add = ["webhooks:add", "-i", "api:release,api:formation", "-l", "sync", "-u", url, "-a", app];
  const [secret = ""] = /\b[0-9a-f]{64}\b/.exec(await heroku.ok(add)) ?? [];
  assert.notEqual(secret, "");
  const listed = await heroku.ok(["webhooks", "-a", app]);
  const [id = ""] = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(listed) ?? [];
  assert.match(listed, /api:release,api:formation\W+sync/);
  assert.ok((await statorOk(["webhooks", "-a", app])).includes(id));

  receiver.answers = ["hang"];
  await statorOk(["config:set", "TOLD=yes", "-a", app]);
  await eventually("the release is told", async () => receiver.got.length > 0);
  await killDaemon();
  await eventually("and told again", async () => receiver.got.length > 1);
  const [first, again] = receiver.got;
  assert.equal(
    first?.headers["heroku-webhook-hmac-sha256"],
    createHmac("sha256", secret)
      .update(first?.body ?? "")
      .digest("base64"),
  );
  const told = JSON.parse(again?.body ?? "{}");
  assert.deepEqual([told.resource, told.action, told.data.app.name], ["release", "create", app]);
  assert.match(told.data.description, /^Set TOLD config vars$/);
  assert.equal(told.webhook_metadata.delivery.id, JSON.parse(first?.body ?? "{}").webhook_metadata.delivery.id);
  await statorOk(["ps:scale", "web=2", "-a", app]);
  await eventually("the scaling is told", async () =>
    receiver.got.some(({ body }) => JSON.parse(body).resource === "formation"),
  );
  await eventually(
    "all is delivered",
    async () => !/pending|retrying/.test(await statorOk(["webhooks:deliveries", "-a", app])),
  );

  const deliveries = await heroku.ok(["webhooks:deliveries", "-a", app]);
  assert.match(deliveries, /succeeded\W+api:release\W+sync\W+1\W+200/);
  const delivery = told.webhook_metadata.delivery.id;
  assert.match(
    await heroku.ok(["webhooks:deliveries:info", delivery, "-a", app]),
    /Status: +succeeded[\s\S]*Event Payload[\s\S]*"action": "create"/,
  );
  assert.match(
    await statorOk(["webhooks:deliveries:info", delivery, "-a", app]),
    /Status: +succeeded[\s\S]*"action": "create"/,
  );
  assert.match(await heroku.ok(["webhooks:events", "-a", app]), /release\W+create/);
  assert.match(await heroku.ok(["webhooks:events:info", told.id, "-a", app]), /"resource": "release"/);
  for (const args of [["webhooks:deliveries"], ["webhooks:deliveries:info", delivery], ["webhooks:events"]])
    await samePrinted(heroku, [...args, "-a", app]);
  const updated = await heroku.ok(["webhooks:update", id, "-i", "dyno", "-l", "notify", "-u", url, "-a", app]);
  assert.match(updated, /Updating webhook \S+ for \S+\.\.\. done/);
  assert.match(await heroku.ok(["webhooks:info", id, "-a", app]), /Include: +dyno\s+Level: +notify/);
  await statorOk(["webhooks:update", id, "-l", "sync", "-a", app]);
  assert.match(await statorOk(["webhooks:info", id, "-a", app]), /Include: +dyno\nLevel: +sync\n/);
  assert.match(await heroku.ok(["webhooks:remove", id, "-a", app]), /Removing webhook \S+ from \S+\.\.\. done/);
  assert.match(await statorOk(["webhooks", "-a", app]), /has no webhooks/);
});
