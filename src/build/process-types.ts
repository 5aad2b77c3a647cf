import { PROCESS_TYPE } from "../model/app.ts";
import { linesOf, type ProcessTypes, parseProcfile } from "../model/procfile.ts";

/** What a build found to run, and how to tell it (spec 5.1, 9.1). */
export interface FoundTypes {
  readonly types: ProcessTypes;
  /** ` Procfile declares types     -> web` */
  readonly lines: readonly string[];
}

export const PROCESS_TYPES_MAX = 100;
const COMMAND_BYTES_MAX = 16 * 1024;
/** With the type, and blanks around. */
const LINE_LENGTH_MAX = 32 * 1024;

/** What a terminal would obey wherever the command is shown, and what is no single line. A tab is neither. */
// oxlint-disable-next-line no-control-regex
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]/;

export class BadProcfile extends Error {}

/**
 * The Procfile's types over the buildpack's default ones. Throws `BadProcfile` for a Procfile without a single valid line: who wrote one
 * meant something by it. Both texts are a stranger's.
 */
export function findTypes(procfile: string | null, release: string): FoundTypes {
  const declared = procfile === null ? {} : parseProcfile(withoutLongLines(procfile));
  if (procfile !== null && Object.keys(declared).length === 0) {
    throw new BadProcfile(
      'The Procfile has no valid line. A line is a process type and its command, such as "web: node server.js".',
    );
  }
  const defaults = defaultTypes(release);
  const added = Object.keys(defaults).filter((type) => !Object.hasOwn(declared, type));
  const types = { ...Object.fromEntries(added.map((type) => [type, defaults[type] ?? ""])), ...declared };
  const all = Object.entries(types);
  if (all.length > PROCESS_TYPES_MAX)
    throw new BadProcfile(`${all.length} process types: at most ${PROCESS_TYPES_MAX}.`);
  const long = all.find(([, command]) => Buffer.byteLength(command) > COMMAND_BYTES_MAX);
  if (long) throw new BadProcfile(`The command of ${long[0]} is longer than ${COMMAND_BYTES_MAX / 1024} kB.`);
  for (const [type, command] of all) refuseControls(type, command);
  return { types, lines: tell(Object.keys(declared), added) };
}

function refuseControls(type: string, command: string): void {
  const found = CONTROL.exec(command)?.[0];
  if (found === undefined) return;
  const code = found.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
  throw new BadProcfile(
    `The command of ${type} holds a control character (U+${code}); of these only a tab may be there.`,
  );
}

function withoutLongLines(procfile: string): string {
  const at = linesOf(procfile).findIndex((line) => line.length > LINE_LENGTH_MAX);
  if (at < 0) return procfile;
  throw new BadProcfile(`Line ${at + 1} of the Procfile is longer than ${LINE_LENGTH_MAX / 1024} kB.`);
}

function tell(declared: readonly string[], added: readonly string[]): readonly string[] {
  const first = `Procfile declares types     -> ${declared.length === 0 ? "(none)" : declared.join(", ")}`;
  return added.length === 0 ? [first] : [first, `Default types for buildpack -> ${added.join(", ")}`];
}

/** `default_process_types` of a bin/release: the plain YAML map that buildpacks print; anything else is left out. */
export function defaultTypes(yaml: string): ProcessTypes {
  const lines = yaml.split(/\r?\n/);
  const start = lines.findIndex((line) => /^:?default_process_types:\s*$/.test(line));
  if (start < 0) return {};
  const types = new Map<string, string>();
  for (const line of lines.slice(start + 1)) {
    if (/^\S/.test(line)) break;
    if (line.length > LINE_LENGTH_MAX) continue;
    const [head, type = ""] = /^\s+["']?([-\w]+)["']?:\s+/.exec(line) ?? [""];
    const command = line.slice(head.length).trimEnd();
    if (PROCESS_TYPE.test(type) && type !== "__proto__" && command !== "") types.set(type, unquoted(command));
  }
  return Object.fromEntries(types);
}

function unquoted(text: string): string {
  const [, quote, inner] = /^(["'])(.*)\1$/s.exec(text) ?? [];
  if (quote === '"') return (inner ?? "").replace(/\\(["\\])/g, "$1");
  return quote === "'" ? (inner ?? "").replaceAll("''", "'") : text;
}
