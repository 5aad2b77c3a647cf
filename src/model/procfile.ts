import { PROCESS_TYPE } from "./app.ts";

/** Process type to command, in the order of the file. */
export type ProcessTypes = Readonly<Record<string, string>>;

/** Classic grammar: the colon may be missing, a blank after the type may not. Linear: what follows is not matched. */
const HEAD = /^\s*([a-zA-Z0-9_-]+):?\s+/;

/** Reads a Procfile (spec 5.1, classic). Lines that do not fit, or have no command, are ignored; of two the last wins. */
export function parseProcfile(text: string): ProcessTypes {
  const types = new Map<string, string>();
  for (const line of linesOf(text)) {
    const [head, type = ""] = HEAD.exec(line) ?? [""];
    const command = line.slice(head.length).trimEnd();
    if (isProcessType(type) && command !== "") types.set(type, command);
  }
  return Object.fromEntries(types);
}

export function linesOf(text: string): readonly string[] {
  return text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/);
}

/** The command of a one-off dyno: a process type as its first word stands for that type's command (spec 3.9). */
export function resolveCommand(command: string, types: ProcessTypes): string {
  const [, first = "", rest = ""] = /^\s*(\S+)([^]*)$/.exec(command) ?? [];
  const resolved = Object.hasOwn(types, first) ? types[first] : undefined;
  return resolved === undefined ? command : `${resolved}${rest.trimEnd()}`;
}

/** `__proto__` would vanish from, or haunt, any object it is a key of. */
function isProcessType(text: string): boolean {
  return PROCESS_TYPE.test(text) && text !== "__proto__";
}
