import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { type Config, loadConfig } from "../../config.ts";
import { installed } from "../../engine/local/runtime-programs.ts";
import { run as runProgram } from "../../lib/command.ts";
import type { AppJson, DynoJson } from "../api.ts";
import { ApiError, Client } from "../client.ts";
import type { Input } from "../command.ts";
import { currentProgram, layoutOf, ownRoot } from "../install/layout.ts";
import { type OwnProcess, processesOf } from "../install/processes.ts";
import { json, keyed, print, table } from "../output.ts";
import { choosePlatform } from "../platform.ts";
import { shownFingerprint } from "../trust.ts";

export interface Status {
  readonly home: string;
  readonly instance: string;
  readonly url: string;
  readonly answers: boolean;
  readonly processes: readonly Pick<OwnProcess, "role" | "pid">[];
  readonly ports: Readonly<Record<"api" | "tls" | "http" | "https", number>>;
  /** SHA-256 of the installation's authority, which people compare who come from elsewhere; null: not made yet. */
  readonly fingerprint: string | null;
  readonly versions: Readonly<Record<string, string>>;
  /** Why it answers but shows no apps, a token that it does not know say; null: it shows those that there are. */
  readonly refusal: string | null;
  readonly apps: readonly AppStatus[];
}

export interface AppStatus {
  readonly name: string;
  readonly dynos: readonly { readonly name: string; readonly state: string; readonly size: string }[];
}

/** 0 while the platform answers, 3 otherwise (as services say it). */
export async function run(input: Input): Promise<number> {
  const status = await statusOf(loadConfig());
  if (input.has("json")) json(status);
  else for (const line of format(status)) print(line);
  return status.answers ? 0 : 3;
}

async function statusOf(config: Config): Promise<Status> {
  const platform = choosePlatform();
  const [apps, versions] = await Promise.all([appsOf(new Client(platform)), versionsOf(config)]);
  return {
    home: config.instance.home,
    instance: config.instance.id,
    url: platform.url,
    answers: apps !== undefined,
    refusal: typeof apps === "string" ? apps : null,
    processes: processesOf(config.instance).map(({ role, pid }) => ({ role, pid })),
    ports: { api: config.apiPort, tls: config.tlsPort, http: config.httpPort, https: config.httpsPort },
    fingerprint: authorityOf(config),
    versions,
    apps: typeof apps === "object" ? apps : [],
  };
}

function authorityOf({ instance }: Config): string | null {
  try {
    return shownFingerprint(readFileSync(instance.paths.caCertificate, "utf8"));
  } catch {
    return null; // `up` has not made it
  }
}

/** Apps; or why the platform shows none, in its own words; undefined where it does not answer. */
async function appsOf(client: Client): Promise<readonly AppStatus[] | string | undefined> {
  try {
    const apps = await client.get<readonly AppJson[]>("/apps");
    return await Promise.all(
      apps.map(async ({ name }) => ({
        name,
        dynos: (await client.get<readonly DynoJson[]>(`/apps/${name}/dynos`)).map(pick),
      })),
    );
  } catch (error) {
    return error instanceof ApiError ? error.message : undefined;
  }
}

function pick({ name, state, size }: DynoJson): AppStatus["dynos"][number] {
  return { name, state, size };
}

async function versionsOf({ instance }: Config): Promise<Readonly<Record<string, string>>> {
  const { version } = JSON.parse(readFileSync(join(ownRoot, "package.json"), "utf8")) as { version: string };
  const program = currentProgram(layoutOf(instance));
  const asked = (["haproxy", "crun", "conmon"] as const).map(
    async (name): Promise<[string, string]> => [name, await versionOf(name)],
  );
  return {
    stator: program === undefined ? version : basename(program),
    node: process.versions.node,
    ...Object.fromEntries(await Promise.all(asked)),
  };
}

async function versionOf(name: "haproxy" | "crun" | "conmon"): Promise<string> {
  const [program, flag] = name === "haproxy" ? [name, "-v"] : [installed(name), "--version"];
  try {
    const { stdout } = await runProgram(program, [flag]);
    return /\d+\.\d+(?:\.\d+)?/.exec(stdout)?.[0] ?? "unknown";
  } catch {
    return "not installed";
  }
}

/** For people. Pure. */
export function format(status: Status): readonly string[] {
  const processes = status.processes.map(({ role, pid }): [string, string] => [`  ${role}`, String(pid)]);
  const apps = status.apps.map(({ name, dynos }): [string, string] => [
    `  ${name}`,
    dynos.map((dyno) => `${dyno.name} ${dyno.state}`).join(", ") || "no dynos",
  ]);
  return [
    status.answers ? `The platform at ${status.url} is up.` : `The platform at ${status.url} does not answer.`,
    ...(status.refusal === null ? [] : [`It shows no apps: ${status.refusal}`]),
    "",
    ...keyed([
      ["Home", `${status.home} (${status.instance})`],
      [
        "Ports",
        Object.entries(status.ports)
          .map(([name, port]) => `${name} ${port}`)
          .join(", "),
      ],
      ["Fingerprint", status.fingerprint ?? "none yet"],
      [
        "Versions",
        Object.entries(status.versions)
          .map(([name, version]) => `${name} ${version}`)
          .join(", "),
      ],
    ]),
    "",
    "Processes:",
    ...(processes.length === 0 ? ["  none"] : table(processes)),
    ...(apps.length === 0 ? [] : ["", "Apps:", ...table(apps)]),
  ];
}
