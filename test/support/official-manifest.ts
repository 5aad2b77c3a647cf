import { readFileSync } from "node:fs";
import { join } from "node:path";
import { OFFICIAL_CLI } from "./official-cli.ts";

/** What the official CLI's own list of commands says of each: the words that call it, and its flags. */
export interface OfficialCommand {
  /** Hidden ones too. */
  readonly aliases: readonly string[];
  readonly flags: readonly string[];
}
export type OfficialCommands = Readonly<Record<string, OfficialCommand>>;

interface Manifest {
  readonly commands: Readonly<
    Record<
      string,
      {
        readonly aliases: readonly string[];
        readonly hiddenAliases: readonly string[];
        readonly flags: Readonly<Record<string, { readonly char?: string; readonly type: string }>>;
      }
    >
  >;
}

/** Those of which issue "The Platform API" says that they work here; `container:*` apart, which have no native twin. */
const PROMISED =
  /^(auth:(whoami|token|login|logout)|apps|apps:(create|destroy|info|open|rename|stacks|stacks:set)|ps|ps:(copy|exec|forward|restart|scale|socks|stop|type|wait)|run|run:(detached|inside)|logs|releases|regions|status|sessions|(config|releases|git|domains|certs|drains|features|labs|maintenance|buildpacks|access|keys|pipelines|webhooks|authorizations|clients|telemetry)(:.+)?|sessions:.+)$/;

/** `-a, --app=`: short name, long name, and `=` where it has a value. */
export function promisedCommands(manifest: Manifest): OfficialCommands {
  const known = Object.entries(manifest.commands).filter(([name]) => PROMISED.test(name));
  return Object.fromEntries(
    known
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, { aliases, hiddenAliases, flags }]) => [
        name,
        {
          aliases: [...aliases, ...hiddenAliases].toSorted(),
          flags: Object.entries(flags)
            .filter(([flag]) => flag !== "prompt") // oclif's own: questions instead of arguments
            .map(([flag, { char, type }]) => `${char ? `-${char}, ` : ""}--${flag}${type === "option" ? "=" : ""}`)
            .toSorted(),
        },
      ]),
  );
}

/** Of the installed one. */
export function installedCommands(): OfficialCommands {
  const path = join(OFFICIAL_CLI, "..", "..", "oclif.manifest.json");
  return promisedCommands(JSON.parse(readFileSync(path, "utf8")) as Manifest);
}
