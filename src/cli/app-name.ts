import { loadConfig } from "../config.ts";
import { run } from "../lib/command.ts";
import { type Input, UsageError } from "./command.ts";
import { choosePlatform, type Platform } from "./platform.ts";
import { originOfRelay, readRelays } from "./relays.ts";

/** The app that a command is about: `-a`, else the git remote of the folder, else STATOR_APP. Throws `UsageError`. */
export async function appOf(input: Input, platform: Platform = choosePlatform()): Promise<string> {
  const app = await appIfAny(input, platform);
  if (app !== undefined) return app;
  throw new UsageError(
    "Missing required flag app: add -a APP, or go into a folder whose git remote is an app, or set STATOR_APP.",
  );
}

export async function appIfAny(input: Input, platform: Platform): Promise<string | undefined> {
  const given = input.text("app");
  if (given !== undefined && given !== "") return checked(given);
  const remote = input.text("remote");
  const apps = appsOfRemotes(await gitRemotes(), originsOf(platform), remote);
  if (apps.length > 1) {
    throw new UsageError(
      `Multiple apps in git remotes: ${apps.map((each) => `${each.app} (${each.remote})`).join(", ")}. Add -a APP or -r REMOTE.`,
    );
  }
  if (apps[0] !== undefined) return apps[0].app;
  if (remote !== undefined)
    throw new UsageError(`The git remote ${remote} is not there, or names no app of ${platform.url}.`);
  const fromEnv = process.env["STATOR_APP"];
  return fromEnv === undefined || fromEnv === "" ? undefined : checked(fromEnv);
}

/** An app's name or id, safe in a path of the API. */
export function checked(app: string): string {
  if (!/^[a-z0-9][a-z0-9-]{0,63}$/i.test(app)) throw new UsageError(`${app} is not the name of an app.`);
  return app;
}

export interface Remote {
  readonly name: string;
  readonly url: string;
}

/** Apps that remotes point at, each once; of one remote only if it is named. */
export function appsOfRemotes(
  remotes: readonly Remote[],
  origins: ReadonlySet<string>,
  only?: string,
): readonly { readonly remote: string; readonly app: string }[] {
  const found = remotes
    .filter((remote) => only === undefined || remote.name === only)
    .flatMap((remote) => {
      const url = URL.canParse(remote.url) ? new URL(remote.url) : undefined;
      const app = /^\/([a-z][a-z0-9-]{1,28}[a-z0-9])(?:\.git)?\/?$/.exec(url?.pathname ?? "")?.[1];
      return url !== undefined && app !== undefined && origins.has(url.origin) ? [{ remote: remote.name, app }] : [];
    });
  return found.filter((each, index) => found.findIndex((other) => other.app === each.app) === index);
}

/** Origins below which an app's repository may stand: the API's own; on this machine the one with TLS too, elsewhere that of our relay. */
export function originsOf(platform: Platform): ReadonlySet<string> {
  if (!platform.local) {
    const relay = readRelays()[platform.url];
    return new Set([platform.url, ...(relay === undefined || relay.port === 0 ? [] : [originOfRelay(relay)])]);
  }
  const { apiPort, tlsPort } = loadConfig();
  return new Set(
    ["127.0.0.1", "localhost"].flatMap((host) => [
      `http://${host}:${apiPort}`,
      new URL(`https://${host}:${tlsPort}`).origin,
    ]),
  );
}

/** Remotes of the repository around the current folder; none where there is no repository or no git. */
export async function gitRemotes(): Promise<readonly Remote[]> {
  try {
    const { stdout } = await run("git", ["config", "--get-regexp", "^remote\\..*\\.url$"], {
      cwd: process.cwd(),
      env: process.env["HOME"] === undefined ? {} : { HOME: process.env["HOME"] },
    });
    return stdout.split("\n").flatMap((line) => {
      const match = /^remote\.(.+)\.url (.+)$/.exec(line);
      return match?.[1] === undefined || match[2] === undefined ? [] : [{ name: match[1], url: match[2] }];
    });
  } catch {
    return []; // no git, no repository, no remote: all the same here
  }
}
