import { setTimeout as pause } from "node:timers/promises";
import type { Guest, Shown } from "./guest.ts";

/** What is checked in the machine once `bin/up` has been there, in this order. */
export interface Step {
  readonly title: string;
  /** Run unless other titles are asked for; the rest would take the emulated machine hours. */
  readonly usual: boolean;
  /** At the same time as the step before it: neither minds the other, and the machine has two processors. */
  readonly beside: boolean;
  /** Gives a remark for the report. Throws with what is wrong. `whole`: all there is of it, not only the usual part. */
  run(guest: Guest, whole: boolean): Promise<string>;
}

interface TestOptions {
  readonly usual?: boolean;
  readonly beside?: boolean;
  /** Which of its tests are the usual ones (none: all). */
  readonly only?: string;
}

/** A file of tests against what `bin/up` installed, run inside where it looks at the machine, else outside. */
function tests(where: "inside" | "outside", title: string, file: string, options: TestOptions = {}): Step {
  const { usual = true, beside = false } = options;
  const run = (guest: Guest, whole: boolean) => {
    const only = whole ? undefined : options.only;
    return where === "inside" ? guest.testInside(file, only) : guest.testOutside(file, only);
  };
  return { title, usual, beside, run };
}

/** Of `test/e2e`, what systemd and control groups of version 2 make different; the walls that hang on neither are the last ones in it. */
const ESCAPE = "is nobody|no two apps|no devices|processes and signals|control groups|the kernel: no log|mounts: each";
const alone = { usual: true, beside: false };

export const STEPS: readonly Step[] = [
  tests("inside", "cgroup v2", "test/vm/inside/cgroup2.test.ts"),
  tests("outside", "limits", "test/e2e/limits.test.ts"),
  tests("inside", "escape", "test/e2e/escape.test.ts", { only: ESCAPE, beside: true }),
  { title: "apps for later", usual: true, beside: true, run: deploy },
  tests("inside", "density", "test/vm/inside/density.test.ts", { usual: false }),
  tests("inside", "sizes", "test/e2e/sizes.test.ts", { usual: false }),
  tests("inside", "metrics", "test/e2e/metrics.test.ts", { usual: false }),
  tests("outside", "health checks", "test/e2e/health.test.ts", { usual: false }),
  tests("inside", "disks", "test/e2e/disks.test.ts", { usual: false, only: "project|cleaned" }),
  tests("inside", "official CLI", "test/e2e/official-cli.test.ts", { usual: false }),
  tests("outside", "kill -9", "test/e2e/platform.test.ts", { only: "kill -9" }),
  { title: "units", run: units, ...alone },
  { title: "reboot", run: reboot, ...alone },
  { title: "power cut", run: powerCut, ...alone },
  { title: "uninstall", run: uninstall, ...alone },
];

/** Steps that run at the same time, in their order. */
export function groupsOf(steps: readonly Step[]): readonly (readonly Step[])[] {
  const groups: Step[][] = [];
  for (const step of steps) {
    const last = groups.at(-1);
    if (step.beside && last !== undefined) last.push(step);
    else groups.push([step]);
  }
  return groups;
}

/** No measure of speed: on a machine that has other work too, emulated processes need minutes to start. */
const RESTART_S = 240;
const BOOT_S = 400;

/** While `limits` waits for a boot timeout. */
async function deploy(guest: Guest): Promise<string> {
  await guest.deploy();
  return "deployed for the steps that follow";
}

/** systemd stops and starts our processes, as in a restart: the same dynos go on. (Killed ones are the step `kill -9`.) */
async function units(guest: Guest): Promise<string> {
  const before = await guest.standing();
  await guest.ask("systemctl stop 'stator-*.service'");
  await guest.ask("curl -sS -f -m 20 -H 'Host: hello.localhost' http://127.0.0.1/"); // the router is none of them
  await guest.ask("systemctl start $(systemctl list-unit-files --no-legend 'stator-*.service' | cut -d' ' -f1)");
  mustBeSame("stopped and started", before, await guest.shown(before.as, RESTART_S));
  return "stopped, while hello answers, and started: the same dynos, apps answer";
}

async function reboot(guest: Guest): Promise<string> {
  const before = await guest.standing();
  const route = await guest.route6();
  const down = await guest.machine.reboot();
  const since = performance.now();
  const after = await guest.shown(before.as, BOOT_S);
  mustBeAsBefore(before, after);
  must(
    after.ids.every((id) => !before.ids.includes(id)),
    "no dyno survives a reboot",
  );
  must((await guest.route6()) === route, "the IPv6 route has gone");
  await nothingFailed(guest);
  return `down and up in ${down.toFixed(0)} s, all apps as they were ${seconds(since)} s later`;
}

/** In the middle of a row of writes: what was acknowledged is there, and every app with its dynos. */
async function powerCut(guest: Guest): Promise<string> {
  const before = await guest.standing();
  const writing = guest.acknowledging();
  while (writing.last() < WRITES_MIN && !writing.hasEnded()) await pause(100);
  must(!writing.hasEnded(), `the writes ended by themselves: ${writing.output()}`);
  await guest.machine.powerCut();
  await writing.ended;
  const acknowledged = writing.last();
  const since = performance.now();
  const found = await guest.acknowledged();
  must(found >= acknowledged, `${acknowledged} was acknowledged, ${found} is there`);
  mustBeAsBefore(before, await guest.shown(before.as, BOOT_S));
  await nothingFailed(guest);
  return `write ${acknowledged} acknowledged, ${found} found; all apps as they were within ${seconds(since)} s`;
}

const WRITES_MIN = 20;

async function uninstall(guest: Guest): Promise<string> {
  await guest.ask("cd /root/stator && ./bin/stator uninstall --yes", 300_000);
  const left = await guest.leftovers();
  const units = await guest.ask(
    "systemctl list-units --all --no-legend 'stator*'; ls /opt /usr/local/bin | grep -i stator; true",
  );
  must(/^0 left$/m.test(left) && units === "", `${left}\n${units}`);
  return "nothing is left";
}

async function nothingFailed(guest: Guest): Promise<void> {
  const failed = await guest.ask("systemctl --failed --no-legend");
  must(failed === "", failed);
}

function mustBeSame(how: string, one: Shown, other: Shown): void {
  must(JSON.stringify(one) === JSON.stringify(other), `${how}:\n${JSON.stringify(one)}\n${JSON.stringify(other)}`);
}

/** But for the dynos' ids. */
function mustBeAsBefore(before: Shown, after: Shown): void {
  const [one, other] = [JSON.stringify(before.as), JSON.stringify(after.as)];
  must(one === other, `${one}\n${other}`);
}

export function must(is: boolean, text: string): void {
  if (!is) throw new Error(text);
}

const seconds = (since: number): string => ((performance.now() - since) / 1000).toFixed(0);
