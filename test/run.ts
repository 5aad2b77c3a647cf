import { globSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { needGvisor } from "./e2e/gvisor-host.ts";
import { type Installation, installationAt, sharePartsOf } from "./installation.ts";
import { inLanes, nameOf, planOf } from "./lanes.ts";
import { allOfOurs, leftoversOf } from "./leftovers.ts";
import { type Command, Outcomes } from "./outcomes.ts";
import { ensurePackages } from "./packages.ts";
import { needOfficialCli } from "./support/official-cli.ts";
import { type Driven, drivenCommands } from "./support/official-driven.ts";

/**
 * The end-to-end tests: installs an instance of its own from this checkout with `bin/up`, one more for each further lane
 * (`lanes.ts`), runs `test/e2e`, uninstalls, and fails on anything left behind. Needs root. Arguments are test files (none: all)
 * and options of `node --test`. STATOR_TEST_HOME names an instance to use again and to keep (for developing): then it is the only one.
 */
const checkout = join(import.meta.dirname, "..");
const UP = join(checkout, "bin", "up");
/** Most tests wait most of the time. A lane is for some files at least: its instance takes half a minute of a busy machine. */
const LANES_MAX = 3;
const FILES_MIN = 3;
const TEST_TIMEOUT_MS = 600_000;

const outcomes = new Outcomes();
const installed: Installation[] = [];
const uninstalled = new Set<Installation>();

async function main(args: readonly string[]): Promise<number> {
  if (process.getuid?.() !== 0) {
    process.stderr.write("The end-to-end tests need root: they make namespaces, mounts and users.\n");
    return 1;
  }
  const files = args.filter((each) => !each.startsWith("--"));
  const options = args.filter((each) => each.startsWith("--"));
  const driven = mkdtempSync(join(tmpdir(), "stator-driven-"));
  const before = new Set(await allOfOurs());
  process.env["STATOR_OFFICIAL_DRIVEN"] = join(driven, "commands"); // every test has it from here
  process.env["CI"] = "false"; // both clients print other tables where it is set: a test that wants those says so
  const kept = process.env["STATOR_TEST_HOME"];
  const base = kept ?? mkdtempSync("/var/tmp/stator-test-");
  try {
    await test({ files, options, base, lanesMax: kept === undefined ? LANES_MAX : 1 });
  } finally {
    if (kept === undefined) await removeAll(base, before);
  }
  if (files.length === 0) tellDrivenBy(drivenCommands(driven));
  rmSync(driven, { recursive: true, force: true });
  return outcomes.report();
}

function tellDrivenBy(commands: readonly Driven[]): void {
  process.stdout.write(`\n${commands.map(({ title }) => `${title}\n`).join("")}`);
  const missing = commands.filter(({ isGood }) => !isGood);
  for (const { title } of missing) outcomes.add(title, false);
  outcomes.add(`${commands.length} commands of the official CLI are promised, and driven`, missing.length === 0);
}

interface Choice {
  /** None: all. */
  readonly files: readonly string[];
  readonly options: readonly string[];
  readonly base: string;
  readonly lanesMax: number;
}

async function test({ files, options, base, lanesMax }: Choice): Promise<void> {
  const plan = planOf(files.length > 0 ? files : globSync(join(checkout, "test/e2e/*.test.ts")).toSorted());
  const nodeOptions = ["--test", "--test-concurrency=1", `--test-timeout=${TEST_TIMEOUT_MS}`, ...options];
  const commandOf = (file: string, of: Installation) => programOf(of, process.execPath, [...nodeOptions, file]);
  const count = Math.min(lanesMax, Math.ceil(plan.inLanes.length / FILES_MIN));
  const client = count > 1 ? outcomes.work("the official CLI, for tests", needOfficialCli) : undefined;
  const first = await newInstallation(base);
  if (!(await outcomes.shown("bin/up on this machine", upOf(first)))) return void (await client);
  if (count <= 1) {
    await outcomes.shown("bin/up again", upOf(first));
    for (const file of [...plan.inLanes, ...plan.alone]) await outcomes.shown(nameOf(file), commandOf(file, first));
    return;
  }
  const lanes = furtherLanes(count - 1, base, first);
  // Before any test: none meets the machine's package manager at work, or these programs half there.
  await Promise.all([
    client,
    outcomes.work("podman, shells and gVisor, for tests", () =>
      ensurePackages(["podman", "zsh", "fish"]).then(needGvisor),
    ),
    outcomes.whole("bin/up again", upOf(first), join(base, "up-again.log")),
  ]);
  const run = async (file: string, lane: Installation): Promise<void> =>
    void (await outcomes.whole(nameOf(file), commandOf(file, lane), join(lane.base, `${nameOf(file)}.log`)));
  await inLanes(plan.inLanes, [Promise.resolve(first), ...lanes], run);
  for (const each of installed.filter((one) => one !== first)) await uninstall(each); // alone on the machine, not only in time
  for (const file of plan.alone) await run(file, first);
}

async function newInstallation(base: string): Promise<Installation> {
  const installation = await installationAt(base);
  installed.push(installation);
  return installation;
}

/** Made one after the other; each can be used as soon as it stands. Undefined: it could not be made. */
function furtherLanes(count: number, base: string, first: Installation): Promise<Installation | undefined>[] {
  let previous: Promise<unknown> = Promise.resolve();
  return Array.from({ length: count }, (_, index) => {
    const lane = previous.then(() => furtherLane(index + 2, base, first));
    previous = lane;
    return lane;
  });
}

async function furtherLane(number: number, base: string, first: Installation): Promise<Installation | undefined> {
  const installation = await newInstallation(join(base, `lane-${number}`));
  if (!(await outcomes.work(`parts of lane ${number}`, () => sharePartsOf(first, installation)))) return undefined;
  const log = join(installation.base, "up.log");
  const stands = await outcomes.whole(`bin/up of lane ${number}`, upOf(installation), log);
  return stands ? installation : undefined;
}

async function uninstall(installation: Installation): Promise<void> {
  const command = programOf(installation, join(checkout, "bin", "stator"), ["uninstall", "--yes"]);
  await outcomes.shown(`uninstall ${installation.base}`, command);
  uninstalled.add(installation);
}

async function removeAll(base: string, before: ReadonlySet<string>): Promise<void> {
  for (const each of installed.filter((one) => !uninstalled.has(one))) await uninstall(each);
  rmSync(base, { recursive: true, force: true });
  const mine = await Promise.all(installed.map(({ instance }) => leftoversOf(instance)));
  const left = [...new Set([...mine.flat(), ...(await allOfOurs()).filter((each) => !before.has(each))])];
  for (const each of left) process.stdout.write(`left behind: ${each}\n`);
  outcomes.add("nothing is left behind", left.length === 0);
}

const programOf = ({ env }: Installation, program: string, args: readonly string[] = []): Command => ({
  program,
  args,
  env,
  cwd: checkout,
});

/** `up` remembers it: this daemon holds each of its answers to its schema, whoever asks, the official CLI too. */
const upOf = (installation: Installation): Command => ({
  ...programOf(installation, UP),
  env: { ...installation.env, STATOR_TEST_ANSWERS: "checked" },
});

process.exitCode = await main(process.argv.slice(2));
