import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseEnv } from "node:util";
import { ended, start } from "../../src/lib/command.ts";
import { NoInternet } from "../support/no-internet.ts";
import { needOfficialCli, OFFICIAL_CLI, tellDriven } from "../support/official-cli.ts";
import { type Step, terminalArguments, type WindowSize } from "../support/terminal.ts";
import { checkout, eventually, ownEnvironment, program, type Result, stator, statorOk } from "./harness.ts";

export interface OfficialOptions {
  readonly input?: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** The unmodified official CLI, driven by what `stator env` prints and nothing else. */
export interface Official extends Disposable {
  /** A folder for the test's files, which goes with it. */
  readonly home: string;
  /** What `stator env` prints. */
  readonly environment: Readonly<Record<string, string>>;
  /** Runs it to its end, whatever its status. */
  run(args: readonly string[], options?: OfficialOptions): Promise<Result>;
  /** The same, failing the test unless it ends with 0; gives all that it said. */
  ok(args: readonly string[], options?: OfficialOptions): Promise<string>;
  /** As `run`, where every other host is one that notes what it is asked and says 401: for commands that ask Heroku's. */
  elsewhere(args: readonly string[]): Promise<Result & Pick<NoInternet, "asked" | "dialled">>;
  /** One that goes on until it is interrupted, once it has said `ready` (and what comes next): all that it said. */
  goesOn(args: readonly string[], ready: RegExp, next?: Next): Promise<string>;
  onTerminal(args: readonly string[], size: WindowSize, steps: readonly Step[]): Promise<Result>;
}

/** Looks and asks of a program's own: the npm registry for a newer version among them. */
const QUIET = { TERM: "dumb", NO_COLOR: "1", CI: "false", COLUMNS: "250", HEROKU_SKIP_NEW_VERSION_CHECK: "true" };
const STATOR = join(checkout, "bin", "stator");

/** Installs it where that was not done yet. */
export async function openOfficial(): Promise<Official> {
  await needOfficialCli();
  const text = (await statorOk(["env"])).replaceAll(/^export /gm, "");
  const exported = Object.fromEntries(Object.entries(parseEnv(text)).map(([name, value]) => [name, value ?? ""]));
  const home = mkdtempSync(join(tmpdir(), "stator-official-"));
  const own = { ...exported, ...QUIET, HOME: home };
  const run = async (args: readonly string[], { input, cwd = home, env }: OfficialOptions = {}): Promise<Result> => {
    const result = await program(process.execPath, [OFFICIAL_CLI, ...args], {
      env: { ...own, ...env },
      cwd,
      ...(input === undefined ? {} : { input }),
    });
    tellDriven(args, result.code);
    return result;
  };
  return {
    home,
    environment: exported,
    run,
    async ok(args, options) {
      const { code, stdout, stderr } = await run(args, options);
      assert.equal(code, 0, `heroku ${args.join(" ")}: ${stdout}\n${stderr}`);
      return `${stdout}${stderr}`;
    },
    async elsewhere(args) {
      using internet = await NoInternet.open();
      const trusted = join(home, `trusted-${new URL(internet.proxy).port}.pem`);
      writeFileSync(
        trusted,
        [readFileSync(exported["NODE_EXTRA_CA_CERTS"] ?? "", "utf8"), internet.authority].join("\n"),
      );
      // Where SSL_CERT_FILE is set its HTTP library trusts nothing else.
      const trust = { NODE_EXTRA_CA_CERTS: trusted, SSL_CERT_FILE: trusted, SSL_CERT_DIR: "" };
      const way = { NO_PROXY: "127.0.0.1,localhost", HTTPS_PROXY: internet.proxy, HTTP_PROXY: internet.proxy };
      const { asked, dialled } = internet;
      return { ...(await run(args, { env: { ...trust, ...way } })), asked, dialled };
    },
    async goesOn(args, ready, next) {
      const said = await untilSaid([process.execPath, OFFICIAL_CLI, ...args], own, ready, next);
      tellDriven(args, 0);
      return said;
    },
    async onTerminal(args, size, steps) {
      const command = terminalArguments([process.execPath, OFFICIAL_CLI, ...args], size, steps);
      const result = await program("python3", command, { env: own, cwd: home });
      tellDriven(args, result.code);
      return result;
    },
    [Symbol.dispose]: () => rmSync(home, { recursive: true, force: true }),
  };
}

/** Ours on a terminal. */
export function statorOnTerminal(args: readonly string[], size: WindowSize, steps: readonly Step[]): Promise<Result> {
  return program("python3", terminalArguments([STATOR, ...args], size, steps), { env: { NO_COLOR: "1" } });
}

/** Ours that goes on until it is interrupted, as `Official.goesOn`. */
export function statorGoesOn(args: readonly string[], ready: RegExp, next?: Next): Promise<string> {
  return untilSaid([STATOR, ...args], { NO_COLOR: "1" }, ready, next);
}

/** What is done once it is ready, and what it says then. */
export interface Next {
  readonly act: () => Promise<unknown>;
  readonly seen: RegExp;
}

async function untilSaid(
  [file = "", ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
  ready: RegExp,
  next?: Next,
): Promise<string> {
  const { child, end, said } = talking([file, ...args], { env });
  const says = (pattern: RegExp) => eventually(`${pattern} of ${args.join(" ")}`, async () => pattern.test(said()));
  try {
    await says(ready);
    await next?.act();
    if (next !== undefined) await says(next.seen);
  } finally {
    child.kill("SIGINT");
  }
  await end;
  return said();
}

/** A program that goes on, and all that it has said so far, on both its outputs. */
export function talking(
  [file = "", ...args]: readonly string[],
  { env, cwd = "/" }: { readonly env: Readonly<Record<string, string>>; readonly cwd?: string },
) {
  const child = start(file, args, { env: { ...ownEnvironment(), ...env }, cwd, stdio: ["ignore", "pipe", "pipe"] });
  const end = ended(child, args.join(" "));
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
  return { child, end, said: () => said };
}

/** Data of theirs and of ours, byte for byte; what stands on standard error differs in the name of the program alone. */
export async function samePrinted(official: Official, args: readonly string[], ci = "false"): Promise<void> {
  // Both clients draw tables with plain signs where `CI` stands, as it may where these tests run: each case says what it wants.
  const [theirs, ours] = await Promise.all([
    official.run(args, { env: { CI: ci } }),
    stator(args, { env: { HEROKU_API_KEY: "", CI: ci } }),
  ]);
  const seen = ({ stdout, code }: Result) => [
    withoutAges(stdout)
      .replaceAll(/ +$/gm, "")
      .replaceAll(/^(Git URL:|Isolation:|git_url=|isolation=).*\n/gm, ""), // what git asks, and what is ours
    code,
  ];
  assert.deepEqual(seen(ours), seen(theirs));
}

/** Between the two a second may have passed: `(~ 9s ago)` and `(~ 10s ago)`, and then the line below a table's head is longer too. */
function withoutAges(text: string): string {
  const without = text.replaceAll(/\((~ \d+[smh]|less than a minute|\d+ minutes?) ago\)/g, "(ago)");
  return without === text ? text : without.replaceAll(/^ ?[─-]{10,}$/gm, "─");
}
