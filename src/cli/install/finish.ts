import { existsSync } from "node:fs";
import { chown, mkdir, readFile, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Config } from "../../config.ts";
import type { Instance } from "../../model/instance.ts";
import { adminSocketOf, createToken } from "../admin.ts";
import type { AccountJson } from "../api.ts";
import { Client } from "../client.ts";
import { UsageError } from "../command.ts";
import { credentialsPath, readCredentials, saveCredential } from "../credentials.ts";
import { localUrl } from "../platform.ts";
import { type Account, accountNamed, createAccount, missingAccounts, person } from "./accounts.ts";
import { npmConfiguration, writeBuildSettings } from "./build-settings.ts";
import { compileProgram } from "./compile.ts";
import { leaveRootGroup, makeLoopDevices } from "./container.ts";
import { ensureHello, HELLO, pushHello, requestHello, untilUp } from "./hello.ts";
import { layoutOf, ownRoot } from "./layout.ts";
import { linkOnPath } from "./link.ts";
import { checkDisks, checkHost, checkMachine, ensurePackages } from "./prepare.ts";
import { processesOf } from "./processes.ts";
import { makeCurrent } from "./program.ts";
import type { Progress } from "./progress.ts";
import { type Service, serviceOf } from "./service.ts";
import { rememberSettings } from "./settings-file.ts";
import { ensureStacks } from "./stacks.ts";
import { summary } from "./summary.ts";

export interface FinishOptions {
  readonly progress: Progress;
  /** The checkout has looked at the machine a moment ago. */
  readonly checked: boolean;
}

const API_WITHIN_MS = 240_000; // an emulated machine needs a minute to start two Node processes
const READY_POLL_MS_MIN = 50;
const READY_POLL_MS_MAX = 1000;
/** By then the keeper has started something, or never will. */
const GONE_AFTER_MS = 3_000;
const LAST_WORDS_MAX = 1500;

/** The half of `up` that runs from the installed program: everything up to the answer of examples/hello. */
export async function finishUp(config: Config, { progress, checked }: FinishOptions): Promise<number> {
  if (process.getuid?.() !== 0) throw new UsageError("This needs root: type sudo stator up", 1);
  if (!checked) await ensurePackages(await checkMachine(config), progress);
  const { instance } = config;
  await makeLoopDevices();
  await checkDisks(config);
  await prepareInstance(config);
  const changed = await rememberSettings(instance.paths.settings, process.env);
  await ensureStacks(instance, progress);
  const service = serviceOf(instance);
  await startService(config, service, changed, progress);
  const command = await linkOnPath(instance);
  const client = await clientOfPerson(config);
  const answer = await deployHello(config, client, progress);
  for (const line of summary({ config, command, answer, atBoot: service.atBoot })) progress.result(line);
  return 0;
}

/** Folders, users and settings that the processes find when they start. */
async function prepareInstance({ instance }: Config): Promise<void> {
  await leaveRootGroup();
  for (const name of missingAccounts(instance)) await createAccount(name);
  await mkdir(instance.home, { recursive: true, mode: 0o755 });
  await mkdir(instance.paths.processLogs, { recursive: true, mode: 0o755 });
  const daemon = accountNamed(instance.users.daemon);
  if (daemon === undefined) throw new Error(`useradd made no user ${instance.users.daemon}`);
  await mkdir(instance.paths.data, { recursive: true, mode: 0o700 });
  await chown(instance.paths.data, daemon.uid, daemon.gid);
  await writeBuildSettings(instance, await npmConfiguration(ownRoot), process.env);
}

/** Starts what does not run; what runs from another program or with other settings is started anew. Dynos notice nothing. */
async function startService(config: Config, service: Service, changed: boolean, progress: Progress): Promise<void> {
  const { instance } = config;
  const running = processesOf(instance).filter((each) => ["daemon", "host", "keeper"].includes(each.role));
  const stale = running.some((each) => each.program !== undefined && each.program !== ownRoot);
  await makeCurrent(layoutOf(instance), ownRoot);
  const answers = await answersApi(config);
  if (answers && !stale && !changed) return service.start(ownRoot, { restart: false });
  await checkHost(instance);
  await progress.step(running.length > 0 ? "Restarting the platform" : "Starting the platform", async () => {
    await compileProgram(instance, ownRoot).catch(() => {}); // they compile what they lack
    await service.start(ownRoot, { restart: stale || changed });
    await untilReady(config);
  });
}

/**
 * Until both processes answer: on a slow machine the host process may need half a minute more than the API, and a push needs both.
 * Asked ever less often, and the API once only, so that what starts has the machine for itself.
 */
export async function untilReady(config: Config): Promise<void> {
  const started = performance.now();
  const waited = () => performance.now() - started;
  const allGone = () => !existsSync("/run/systemd/system") && processesOf(config.instance).length === 0;
  let [answers, betweenMs] = [false, READY_POLL_MS_MIN];
  for (;;) {
    answers ||= await answersApi(config);
    if (answers && (await accepts(config.instance.paths.hostSocket))) return;
    if (waited() > API_WITHIN_MS || (waited() > GONE_AFTER_MS && allGone())) {
      throw new UsageError(
        `The platform does not answer (port ${config.apiPort} and ${config.instance.paths.hostSocket}). ${await lastWords(config.instance)}`,
        1,
      );
    }
    await pause(betweenMs);
    betweenMs = Math.min(READY_POLL_MS_MAX, betweenMs * 1.2);
  }
}

/** Whether a process takes connections on the socket. */
function accepts(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    const done = (is: boolean) => {
      socket.destroy();
      resolve(is);
    };
    socket.once("connect", () => done(true));
    socket.once("error", () => done(false)); // not yet
  });
}

/** Where the reason stands, and the last of it. */
async function lastWords(instance: Instance): Promise<string> {
  if (existsSync("/run/systemd/system")) return `Why stands in: journalctl -u 'stator-${instance.id}*'`;
  const folder = instance.paths.processLogs;
  const texts = await Promise.all(
    ["keeper", "host", "daemon"].map(async (role) => {
      const text = await readFile(join(folder, `${role}.log`), "utf8").catch(() => ""); // it never ran
      const last =
        text
          .trim()
          .split("\n")
          .findLast((line) => line.includes('"level":"error"')) ?? "";
      return last === "" ? [] : [`${role}: ${last.slice(0, LAST_WORDS_MAX)}`];
    }),
  );
  return [`Why stands in ${folder}.`, ...texts.flat()].join("\n");
}

/** Any answer will do, if it is ours: somebody else may have taken the port since it was looked at. */
async function answersApi(config: Config): Promise<boolean> {
  if (!existsSync(adminSocketOf(config.instance))) return false;
  try {
    const client = new Client({ url: localUrl(config), token: undefined, ca: undefined, local: true });
    const response = await client.send("GET", "/account", { signal: AbortSignal.timeout(5000) });
    response.resume();
    return true;
  } catch {
    return false; // not yet
  }
}

/** A client with the person's own token; a new one where they have none that works. */
async function clientOfPerson(config: Config): Promise<Client> {
  const who = person();
  const url = localUrl(config);
  const path = credentialsPath(who.home);
  const saved = readCredentials(path)[url];
  if (saved !== undefined) {
    const client = new Client({ url, token: saved.token, ca: undefined, local: true });
    const works = await client.get<AccountJson>("/account").then(
      () => true,
      () => false, // an older installation's, say
    );
    if (works) return client;
  }
  // Who installs is the owner; whoever comes later gets a token of their own for the same account.
  const first = !existsSync(helloMarker(config));
  const made = await createToken(config.instance, {
    ...(first && { email: emailOf(who) }),
    description: `${who.name} on ${hostname()}, made by up`,
  });
  await saveCredential(url, made, path, { uid: who.uid, gid: who.gid });
  return new Client({ url, token: made.token, ca: undefined, local: true });
}

/** Who the person is in logs and releases. */
function emailOf(who: Account): string {
  const host = hostname().replaceAll(/[^A-Za-z0-9.-]/g, "") || "localhost";
  return `${who.name.replaceAll(/[^\w.-]/g, "_")}@${host}`;
}

/** Deploys the example once; later only asks it again. Gives its answer; undefined where the person has removed it. */
async function deployHello(config: Config, client: Client, progress: Progress): Promise<string | undefined> {
  const marker = helloMarker(config);
  if (!existsSync(marker)) {
    await ensureHello(client);
    const folder = join(ownRoot, "examples", HELLO);
    await progress.step(`Deploying examples/${HELLO} by git push`, (detail) =>
      pushHello(client, folder, (line) => detail(line.replace(/^remote:\s*/, "").trim())),
    );
    await progress.step("Waiting for its web dyno", () => untilUp(client));
    await writeFile(marker, "");
  }
  const answer = await requestHello(config);
  if (answer.status === 200) return answer.body;
  const apps = await client.get<readonly { readonly name: string }[]>("/apps");
  if (!apps.some((app) => app.name === HELLO)) return undefined;
  return `status ${answer.status}; look with: stator ps -a ${HELLO}`;
}

/** There once the example was deployed: `up` does not bring back what a person has removed. */
function helloMarker(config: Config): string {
  return join(config.instance.home, "hello-deployed");
}
