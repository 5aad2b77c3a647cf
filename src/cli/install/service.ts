import { existsSync, globSync, readFileSync } from "node:fs";
import { chmod, mkdir, open, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { writeFileAtomic } from "../../lib/atomic-file.ts";
import { run, start } from "../../lib/command.ts";
import { compileCacheOf, DEFAULT_HOME, type Instance, MALLOC_OPTIONS, NODE_OPTIONS } from "../../model/instance.ts";
import { layoutOf, nodeOf } from "./layout.ts";
import { processesOf, type Role } from "./processes.ts";
import { unitsOf } from "./units.ts";

/** How our processes are kept alive on this machine: by systemd, or by each other. */
export interface Service {
  /** Starts what does not run, and everything anew that runs from another program or with other settings. */
  start(program: string, options: { readonly restart: boolean }): Promise<void>;
  /** Ends our processes; dynos, their logs and the router go on. */
  stop(): Promise<void>;
  /** Nothing is started at boot any more. */
  forget(): Promise<void>;
  /** Sentence about what happens at boot. */
  readonly atBoot: string;
}

const SYSTEMD = "/run/systemd/system";
const UNITS = "/etc/systemd/system";

export function serviceOf(instance: Instance): Service {
  return existsSync(SYSTEMD) ? systemd(instance) : keeper(instance);
}

function systemd(instance: Instance): Service {
  const names = [`stator-${instance.id}-host.service`, `stator-${instance.id}.service`];
  const dynos = `stator-${instance.id}-dynos.service`;
  const slice = `stator-${instance.id}.slice`;
  const control = (...args: readonly string[]) => run("systemctl", args, { timeoutMs: 120_000 });
  return {
    atBoot: "systemd starts it at boot",
    start: async (program, { restart }) => {
      const units = unitsOf(instance, program, {
        node: nodeOf(program) ?? process.execPath,
        unified: existsSync("/sys/fs/cgroup/cgroup.controllers"),
      });
      let changed = false;
      for (const [name, text] of Object.entries(units)) changed = (await writeUnit(join(UNITS, name), text)) || changed;
      if (changed) await control("daemon-reload");
      await control("enable", "--quiet", dynos, ...names);
      await control("start", dynos);
      await control(restart || changed ? "restart" : "start", ...names);
    },
    stop: async () => {
      await control("stop", ...names.toReversed()).catch(() => {}); // half of them may be gone
      await endProcesses(instance, ["keeper", "host", "daemon"]);
    },
    forget: async () => {
      await control("disable", "--quiet", "--now", ...names, dynos).catch(() => {}); // half of them may be gone
      await control("stop", `stator-${instance.id}-dynos.scope`, slice).catch(() => {}); // they go with their last process
      for (const name of [...names, dynos, slice]) await rm(join(UNITS, name), { force: true });
      await control("daemon-reload");
      await control("reset-failed", ...names, dynos).catch(() => {}); // only tidies up
      // systemd made the common slice by itself, and keeps it; the last instance takes it along.
      const isLast = globSync(join(UNITS, "stator-*.slice")).length === 0;
      if (isLast) await control("stop", "stator.slice").catch(() => {});
    },
  };
}

async function writeUnit(path: string, text: string): Promise<boolean> {
  if (existsSync(path) && readFileSync(path, "utf8") === text) return false;
  await writeFileAtomic(path, text, { mode: 0o644 });
  return true;
}

function keeper(instance: Instance): Service {
  const boot = bootFile(instance);
  return {
    atBoot: boot.sentence,
    start: async (program, { restart }) => {
      if (restart) await endProcesses(instance, ["keeper", "host", "daemon"]);
      const running = processesOf(instance).map((each) => each.role);
      if (!running.includes("keeper") && !running.includes("host")) await startKeeper(instance, program);
      await boot.write();
    },
    stop: () => endProcesses(instance, ["keeper", "host", "daemon"]),
    forget: async () => boot.remove(),
  };
}

/** In a session of its own, with its log in a file; it starts the host process, which starts the daemon. */
async function startKeeper(instance: Instance, program: string): Promise<void> {
  await mkdir(instance.paths.processLogs, { recursive: true, mode: 0o755 });
  await using log = await open(join(instance.paths.processLogs, "keeper.log"), "a", 0o640);
  const child = start(nodeOf(program) ?? process.execPath, [join(program, "src", "main.ts"), "keeper"], {
    env: {
      STATOR_HOME: instance.home,
      STATOR_SUPERVISE: "1",
      NODE_OPTIONS,
      NODE_COMPILE_CACHE: compileCacheOf(instance, "keeper"),
      ...MALLOC_OPTIONS,
    },
    detached: true,
    stdio: ["ignore", log.fd, log.fd],
  });
  child.unref();
}

/**
 * Kills processes of ours that restart each other: all in one go, and again until none is seen. They are made to be killed;
 * dynos and router do not notice.
 */
export async function endProcesses(instance: Instance, roles: readonly Role[]): Promise<void> {
  for (let round = 0; round < 50; round++) {
    const living = processesOf(instance).filter((each) => roles.includes(each.role));
    if (living.length === 0) return;
    for (const { pid } of living) killQuietly(pid);
    await pause(100);
  }
  const left = processesOf(instance).filter((each) => roles.includes(each.role));
  if (left.length > 0)
    throw new Error(`cannot end ${left.map((each) => `${each.role} (process ${each.pid})`).join(", ")}`);
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has ended by itself
  }
}

interface BootFile {
  readonly sentence: string;
  write(): Promise<void>;
  remove(): Promise<void>;
}

/** Without systemd: cron's `@reboot`, else a script of the old init, else whoever starts the machine has to say `stator up`. */
function bootFile(instance: Instance): BootFile {
  const name = `stator-${instance.id}`;
  const [cron, init] = [`/etc/cron.d/${name}`, `/etc/init.d/${name}`];
  const stator = join(layoutOf(instance).current, "bin", "stator");
  const home = instance.home === DEFAULT_HOME ? "" : `STATOR_HOME=${instance.home} `;
  const remove = async () => {
    if (existsSync(init)) await run("update-rc.d", ["-f", name, "remove"]).catch(() => {}); // the file itself goes below
    await rm(cron, { force: true });
    await rm(init, { force: true });
  };
  if (existsSync("/usr/sbin/cron")) {
    const text = `# Starts the platform of ${instance.home} after a reboot; written by \`stator up\`.\n@reboot root ${home}${stator} up --quiet\n`;
    return { sentence: "cron starts it at boot", write: () => writeFile(cron, text, { mode: 0o644 }), remove };
  }
  if (existsSync("/etc/init.d") && existsSync("/usr/sbin/update-rc.d") && existsSync("/etc/inittab")) {
    const write = async () => {
      await writeFile(init, initScript(name, instance.home, stator), { mode: 0o755 });
      await chmod(init, 0o755);
      await run("update-rc.d", [name, "defaults"]);
    };
    return { sentence: "init starts it at boot", write, remove };
  }
  const sentence = `nothing here starts programs at boot: let whatever starts this machine or container run \`${home}${stator} up\``;
  return { sentence, write: async () => {}, remove };
}

function initScript(name: string, home: string, stator: string): string {
  return `#!/bin/sh
### BEGIN INIT INFO
# Provides:          ${name}
# Required-Start:    $remote_fs $network
# Required-Stop:     $remote_fs $network
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: Stator, the platform of ${home}
### END INIT INFO
case "$1" in
  start) STATOR_HOME=${home} exec ${stator} up --quiet ;;
  stop) STATOR_HOME=${home} exec ${stator} down ;;
  *) STATOR_HOME=${home} exec ${stator} status ;;
esac
`;
}
