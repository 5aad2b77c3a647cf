import { type CommandSpec, type Flag, flagsOf } from "../command.ts";

/** Something that may stand where the person is typing. */
export interface Candidate {
  readonly text: string;
  readonly summary?: string;
}

/** Names that the platform knows, or git: which, and what stands after each. */
export type Kind = "app" | "config" | "domain" | "dyno" | "feature" | "pipeline" | "remote" | "size" | "stack" | "type";
export interface Wanted {
  readonly kind: Kind;
  /** `=` after a key that a value follows. */
  readonly after: string;
}

export interface Completion {
  readonly candidates: readonly Candidate[];
  readonly wanted: readonly Wanted[];
  /** What the candidates and names follow in the same word: `--app=`. */
  readonly before: string;
  /** The word so far, without that. */
  readonly typed: string;
  /** Flags with values that stand in the line already: which app is meant. */
  readonly values: ReadonlyMap<string, string>;
}

const NOTHING = { candidates: [], wanted: [], before: "" };

/** What could come next: `words` after the program's own name, the last of them not complete yet. Pure. */
export function completionOf(words: readonly string[], commands: readonly CommandSpec[]): Completion {
  const typed = words.at(-1) ?? "";
  const [name = "", ...rest] = words;
  if (rest.length === 0 || name === "help")
    return { ...NOTHING, candidates: commandNames(typed, commands), typed, values: new Map() };
  const spec = commands.find((each) => each.name === name || each.aliases?.includes(name));
  if (spec === undefined) return { ...NOTHING, typed, values: new Map() };
  return inCommand(spec, rest.slice(0, -1), typed);
}

function commandNames(typed: string, commands: readonly CommandSpec[]): readonly Candidate[] {
  const shown = commands.filter(({ hidden }) => hidden !== true);
  return shown
    .flatMap(({ name, aliases = [], summary }) => [
      { text: name, summary },
      ...(typed === "" ? [] : aliases.map((text) => ({ text, summary }))),
    ])
    .filter(({ text }) => text.startsWith(typed));
}

function inCommand(spec: CommandSpec, before: readonly string[], typed: string): Completion {
  const flags = flagsOf(spec).filter(({ hidden, refused }) => hidden !== true && refused === undefined);
  const values = new Map<string, string>();
  let awaiting: Flag | undefined;
  for (const word of before) {
    if (awaiting !== undefined) {
      values.set(awaiting.name, word);
      awaiting = undefined;
    } else if (word === "--")
      return { ...NOTHING, typed, values }; // the dyno's command
    else {
      const equals = word.startsWith("--") ? word.indexOf("=") : -1;
      const flag = flags.find((each) => isSpelt(each, equals === -1 ? word : word.slice(0, equals)));
      if (flag?.value !== undefined && equals === -1) awaiting = flag;
      else if (flag !== undefined && equals !== -1) values.set(flag.name, word.slice(equals + 1));
    }
  }
  if (awaiting !== undefined) return { ...valuesOf(awaiting), before: "", typed, values };
  const equals = typed.startsWith("--") ? typed.indexOf("=") : -1;
  if (equals !== -1) {
    const flag = flags.find((each) => isSpelt(each, typed.slice(0, equals)));
    const start = typed.slice(0, equals + 1);
    return { ...valuesOf(flag), before: start, typed: typed.slice(equals + 1), values };
  }
  if (typed.startsWith("-")) {
    const candidates = flags.map(({ name, summary }) => ({ text: `--${name}`, summary }));
    return { ...NOTHING, candidates: candidates.filter(({ text }) => text.startsWith(typed)), typed, values };
  }
  return { ...NOTHING, ...positionalsOf(spec), typed, values };
}

const isSpelt = ({ name, short, aliases = [] }: Flag, word: string): boolean =>
  word === `-${short}` || [name, ...aliases].some((each) => word === `--${each}`);

const KINDS: ReadonlyMap<string, Kind> = new Map([
  ["APP", "app"],
  ["DYNO", "dyno"],
  ["FEATURE", "feature"],
  ["HOSTNAME", "domain"],
  ["KEY", "config"],
  ["PIPELINE", "pipeline"],
  ["REMOTE", "remote"],
  ["SIZE", "size"],
  ["STACK", "stack"],
  ["TYPE", "type"],
]);
const WORDS: ReadonlyMap<string, readonly string[]> = new Map([
  ["LEVEL", ["notify", "sync"]],
  ["SOURCE", ["app", "heroku"]],
  ["STAGE", ["development", "staging", "production"]],
  ["POLICY", ["forbid", "allow", "replace"]],
]);

function valuesOf(flag: Flag | undefined): Pick<Completion, "candidates" | "wanted"> {
  const kind = KINDS.get(flag?.value ?? "");
  const words = WORDS.get(flag?.value ?? "") ?? [];
  return { candidates: words.map((text) => ({ text })), wanted: kind === undefined ? [] : [{ kind, after: "" }] };
}

/** Of what the help says: `[DYNO | TYPE]` names of both, `KEY=VALUE` keys, `container | gvisor` these words. */
function positionalsOf({ name, usage, positionals }: CommandSpec): Pick<Completion, "candidates" | "wanted"> {
  if (positionals !== "any") return { candidates: [], wanted: [] };
  if (name === "ps:scale" || name === "ps:type") {
    const sizes: readonly Wanted[] = name === "ps:type" ? [{ kind: "size", after: "" }] : [];
    return { candidates: [], wanted: [{ kind: "type", after: "=" }, ...sizes] };
  }
  const wanted = [...usage.matchAll(/\b([A-Z]+)\b(=?)/g)].flatMap(([, word = "", after = ""]) => {
    const kind = KINDS.get(word);
    return kind === undefined ? [] : [{ kind, after }];
  });
  const settings = [...usage.matchAll(/(?:^| )([a-z][a-z-]*=)/g)].map(([, text = ""]) => ({ text }));
  const choices = usage.includes("|") ? [...usage.matchAll(/(?<![\w-])[a-z][a-z-]+(?![\w=-])/g)] : [];
  return { candidates: [...settings, ...choices.map(([text]) => ({ text }))], wanted };
}
