import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ensurePackages } from "../packages.ts";
import { openShell, type ShellName } from "../support/shells.ts";
import { api, platform, temporaryApp, token } from "./harness.ts";

/** Tab in people's own shells, on a terminal, against the real platform, and against one that means harm. */
const SHELLS: readonly ShellName[] = ["bash", "zsh", "fish"];
const real = { STATOR_URL: api, STATOR_TOKEN: "" };

let app = "";
let dispose: () => Promise<void> = async () => {};
before(async () => {
  await ensurePackages(["zsh", "fish"]);
  const made = await temporaryApp("tab");
  app = made.name;
  dispose = async () => made[Symbol.asyncDispose]();
  await platform("PATCH", `/apps/${app}/config-vars`, { GREETING: "hello" });
});
after(() => dispose());

for (const name of SHELLS) {
  test(`${name}: commands, flags, app names and config keys are completed`, async () => {
    await using shell = await openShell(name, { ...real, STATOR_TOKEN: token() });
    assert.equal(await shell.tab("stator ps:sca"), "stator ps:scale ");
    assert.equal(await shell.tab("stator logs --sou"), "stator logs --source ");
    assert.equal(await shell.tab(`stator ps -a ${app.slice(0, -2)}`), `stator ps -a ${app} `);
    assert.equal(await shell.tab(`stator info --app=${app.slice(0, -2)}`), `stator info --app=${app} `);
    assert.equal(await shell.tab(`stator config:get -a ${app} GREE`), `stator config:get -a ${app} GREETING `);
    assert.equal(await shell.tab(`stator config:set -a ${app} GREE`), `stator config:set -a ${app} GREETING=`);
  });

  test(`${name}: nothing that was typed, and no name that a platform gives, is ever run`, async () => {
    await using evil = await hostilePlatform();
    await using shell = await openShell(name, { STATOR_URL: evil.url, STATOR_TOKEN: "x" });
    const marks = ["typed", "named"].map((each) => join(shell.folder, `pwned-${each}`));
    const bad = `touch ${join(shell.folder, "pwned-typed")}`;
    for (const word of [`$(${bad})`, `"a$(${bad})`, name === "fish" ? `(${bad})` : `\`${bad}\``]) {
      await shell.tab(`stator ps -a ${word}`);
      await shell.tab(`stator ${word}`);
    }
    // The harmless one is found, alone: its neighbours hold what a shell would run.
    evil.mark(join(shell.folder, "pwned-named"));
    assert.equal(await shell.tab("stator ps -a good"), "stator ps -a good-app ");
    assert.equal(await shell.tab("stator config:get -a good-app GOOD"), "stator config:get -a good-app GOOD_KEY ");
    assert.equal(await shell.tab("stator ps:stop -a good-app web"), "stator ps:stop -a good-app web.1 ");
    assert.deepEqual(
      marks.filter((each) => existsSync(each)),
      [],
    );
  });
}

test("without a platform there is nothing, at once and in silence", async () => {
  await using shell = await openShell("bash", { STATOR_URL: "http://127.0.0.1:1", STATOR_TOKEN: "x" });
  assert.equal(await shell.tab("stator ps -a he"), "stator ps -a he");
});

/** Answers every question with names that a shell, a terminal or a glob would take for something else. */
async function hostilePlatform(): Promise<{ readonly url: string; mark(file: string): void } & AsyncDisposable> {
  let file = "/nonexistent";
  const server = createServer((request, response) => {
    const bad = (start: string) =>
      [
        "$(touch F)",
        "`touch F`",
        ";touch F;",
        "'\n touch F\n'",
        "\u001b]0;x\u0007",
        " -rf",
        "*",
        "~",
        "=(touch F)",
        "(touch F)",
      ].map((text) => `${start}${text.replace("F", file)}`);
    const named = (good: string, start: string) =>
      [good, ...bad(start), ...bad("")].map((name) => ({ name, type: name }));
    response.setHeader("Content-Type", "application/json");
    if (request.url?.endsWith("/config-vars") === true)
      response.end(JSON.stringify(Object.fromEntries(["GOOD_KEY", ...bad("GOOD")].map((key) => [key, "v"]))));
    else if (request.url?.endsWith("/dynos") === true) response.end(JSON.stringify(named("web.1", "web")));
    else if (request.url?.endsWith("/formation") === true) response.end(JSON.stringify([]));
    else response.end(JSON.stringify(named("good-app", "good")));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    mark: (path) => (file = path),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
