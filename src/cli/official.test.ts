import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { makeAuthority } from "../host/certificates.ts";
import { exportsOf } from "./commands/env.ts";
import { gitConfig, isAccepted, officialEnvironment, relayEnvironment } from "./official.ts";
import { relaysPath, relayTo, saveRelay } from "./relays.ts";

test("platform-api 1.1: only hosts that the official CLI sends the token to", () => {
  assert.equal(isAccepted("http://127.0.0.1:5480"), true);
  assert.equal(isAccepted("http://localhost:1"), true);
  for (const url of ["https://api.localhost:5443", "https://127.0.0.1.example.org", "https://example.org"]) {
    assert.equal(isAccepted(url), false, url);
  }
});

test("exports can be evaluated by a shell", () => {
  assert.deepEqual(exportsOf({ A: "x y", B: "1" }), ["export A='x y'", "export B=1"]);
});

test("settings for git go beside those that are there, and twice is once", () => {
  const pair = ["http.https://127.0.0.1:5443/.sslCAInfo", "/ca.pem"] as const;
  const before = { GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "user.name", GIT_CONFIG_VALUE_0: "me" };
  const added = gitConfig(before, [pair]);
  assert.deepEqual(added, { GIT_CONFIG_COUNT: "2", GIT_CONFIG_KEY_1: pair[0], GIT_CONFIG_VALUE_1: pair[1] });
  assert.deepEqual(gitConfig({ ...before, ...added }, [pair]), { GIT_CONFIG_COUNT: "2" });
});

const AUTHORITY = (await makeAuthority("Test", Date.now())).certificate;

/** A home of the test's own, as long as the block lasts. */
function temporaryHome(): Disposable {
  const before = process.env["HOME"];
  const folder = mkdtempSync(join(tmpdir(), "stator-home-"));
  process.env["HOME"] = folder;
  return {
    [Symbol.dispose]() {
      if (before === undefined) delete process.env["HOME"];
      else process.env["HOME"] = before;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

test("through a relay every host is one that the official CLI accepts, and the token is not shown", async () => {
  using _ = temporaryHome();
  const relay = { port: 41823, secret: "HRKU-SLx", ca: AUTHORITY };
  const platform = { url: "https://platform.example:5443", token: "HRKU-STx", ca: AUTHORITY, local: false };
  for (const values of [await relayEnvironment(relay, {}), await relayEnvironment(relay, {}, platform)]) {
    assert.equal(values["HEROKU_HOST"], "https://127.0.0.1:41823");
    assert.equal(values["HEROKU_API_KEY"], "HRKU-SLx");
    for (const [name, value] of Object.entries(values)) {
      assert.equal(value.includes("HRKU-STx"), false, name);
      if (/^HEROKU_.*(HOST|URL)$/.test(name) && name !== "HEROKU_GIT_HOST" && name !== "HEROKU_STATUS_HOST")
        assert.equal(isAccepted(value), true, name);
    }
  }
  const direct = await relayEnvironment(relay, {}, platform);
  assert.equal(direct["HEROKU_GIT_HOST"], "platform.example:5443");
  assert.match(JSON.stringify(direct), /credential\.https:\/\/platform\.example:5443\.helper/);
});

test("a platform elsewhere without a relay that runs: no environment, but how to get one", async () => {
  using _ = temporaryHome();
  const platform = { url: "https://platform.example:5443", token: "HRKU-STx", ca: undefined, local: false };
  await assert.rejects(officialEnvironment(platform, {}), /stator connect https:\/\/platform\.example:5443/);
  // Somebody else has the port of ours: it has not our certificate, and is told nothing.
  const stranger = createServer();
  const heard: Buffer[] = [];
  stranger.on("connection", (socket) => {
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      heard.push(chunk);
      socket.destroy();
    });
  });
  stranger.listen(0, "127.0.0.1");
  await once(stranger, "listening");
  const { port } = stranger.address() as AddressInfo;
  const saved = await relayTo(platform.url);
  await saveRelay(platform.url, { ...saved, port });
  await assert.rejects(officialEnvironment(platform, {}), /no relay/);
  stranger.close();
  assert.equal(heard.length, 1);
  assert.equal(Buffer.concat(heard).includes("HRKU"), false);
});

test("a relay keeps its secret, port and certificate; the file is the person's alone", async () => {
  using _ = temporaryHome();
  const url = "https://platform.example";
  const first = await relayTo(url);
  assert.match(first.secret, /^HRKU-SL[\w-]{43}$/);
  assert.deepEqual(await relayTo(url), first);
  assert.equal(statSync(relaysPath()).mode & 0o777, 0o600);
  assert.notEqual((await relayTo("https://other.example")).secret, first.secret);
});

test("a proxy of the person's is not on the way to their own machine", async () => {
  using _ = temporaryHome();
  const relay = { port: 41823, secret: "HRKU-SLx", ca: AUTHORITY };
  assert.equal((await relayEnvironment(relay, {}))["NO_PROXY"], undefined);
  const behind = await relayEnvironment(relay, { https_proxy: "http://proxy:3128", NO_PROXY: "intern" });
  assert.equal(behind["NO_PROXY"], "intern,127.0.0.1,localhost");
});

test("a file that the person has made git trust alone is kept, with the relay's and the platform's authority added", async () => {
  using _ = temporaryHome();
  const theirs = join(process.env["HOME"] ?? "", "theirs.pem");
  writeFileSync(theirs, "THEIRS\n");
  const relay = { port: 41823, secret: "HRKU-SLx", ca: AUTHORITY };
  const platform = { url: "https://platform.example", token: "x", ca: "PLATFORM\n", local: false };
  assert.equal((await relayEnvironment(relay, {}, platform))["GIT_SSL_CAINFO"], undefined);
  const first = await relayEnvironment(relay, { GIT_SSL_CAINFO: theirs }, platform);
  const text = readFileSync(first["GIT_SSL_CAINFO"] ?? "", "utf8");
  assert.equal(text, `THEIRS\n${AUTHORITY.trim()}\nPLATFORM\n`);
  const again = await relayEnvironment(relay, first, platform);
  assert.equal(readFileSync(again["GIT_SSL_CAINFO"] ?? "", "utf8"), text);
});
