import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { request } from "node:http";
import { test } from "node:test";
import { removeNetwork } from "../../src/engine/local/network.ts";
import { instanceOf } from "../../src/model/instance.ts";
import { leftoversOf } from "../leftovers.ts";
import { startContainer } from "./container.ts";
import { checkout, eventually, freePort } from "./harness.ts";

test("bin/up in a privileged container with nothing in it: no systemd, no Node, overlay root; and away again", async () => {
  const home = `/var/lib/stator-${randomBytes(4).toString("hex")}`;
  const names = ["STATOR_API_PORT", "STATOR_TLS_PORT", "STATOR_HTTP_PORT", "STATOR_HTTPS_PORT"];
  const ports = await Promise.all(names.map(() => freePort()));
  const env = { STATOR_HOME: home, ...Object.fromEntries(names.map((name, index) => [name, String(ports[index])])) };
  const [, , httpPort = 0] = ports;
  // It shares this machine's network: what a container that died leaves there, nobody in it takes away any more.
  await using _network = { [Symbol.asyncDispose]: () => removeNetwork(instanceOf(home)) };
  await using container = await startContainer(checkout);

  const up = await container.exec(["/src/bin/up"], env);
  assert.equal(up.code, 0, `${up.stdout}\n${up.stderr}`);
  assert.match(up.stdout, /hello answers:/);
  assert.match(up.stdout, new RegExp(`curl -H 'Host: hello.localhost' http://127.0.0.1:${httpPort}/`));
  assert.equal(await statusOfHello(httpPort), 200);

  const before = performance.now();
  const again = await container.exec(["/src/bin/up"], env);
  assert.equal(again.code, 0, again.stderr);
  assert.ok(performance.now() - before < 15_000, "a second run finds everything done");

  const stator = `${home}/program/current/bin/stator`;
  const ran = await container.exec([stator, "run", "-a", "hello", "--", "touch /app/x && echo inside; exit 3"]);
  assert.deepEqual([ran.code, ran.stdout], [3, "inside\n"], ran.stderr);
  const down = await container.exec([stator, "down"]);
  assert.equal(down.code, 0, down.stderr);
  await assert.rejects(statusOfHello(httpPort));
  assert.equal((await container.exec([stator, "up", "--quiet"])).code, 0);
  await eventually("hello answers again", async () => (await statusOfHello(httpPort)) === 200);

  const gone = await container.exec([stator, "uninstall", "--yes"]);
  assert.equal(gone.code, 0, `${gone.stdout}\n${gone.stderr}`);
  const left = await container.exec(["perl", "-e", LEFTOVERS, home, instanceOf(home).id]);
  assert.equal(left.stdout, "", "nothing is left inside");
  assert.deepEqual(await leftoversOf(instanceOf(home)), [], "nothing is left outside");
});

/** Prints mounts, processes and files of the instance that are still there. */
const LEFTOVERS = `
  my ($home, $id) = @ARGV;
  print "$home\\n" if -e $home;
  print map { "$_\\n" } glob("/run/*$id* /etc/cron.d/*$id* /etc/init.d/*$id*");
  for my $file ("/proc/self/mounts", "/etc/passwd", glob("/proc/[0-9]*/cmdline")) {
    next if $file =~ m{/proc/$$/};
    open(my $in, "<", $file) or next;
    for (<$in>) { print "$file: $_\\n" if index($_, $home) >= 0 || index($_, $id) >= 0 }
  }`;

function statusOfHello(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: "127.0.0.1", port, headers: { Host: "hello.localhost" }, agent: false },
      (incoming) => {
        incoming.resume();
        incoming.once("end", () => resolve(incoming.statusCode ?? 0));
      },
    );
    outgoing.once("error", reject);
    outgoing.end();
  });
}
