/**
 * What one command of the command line is, and how its arguments are read. The table of all commands is `commands.ts`;
 * the code of a command is loaded only when it is called.
 */
export interface CommandSpec {
  readonly name: string;
  readonly aliases?: readonly string[];
  /** After the name, in help: `[NAME]`. */
  readonly usage: string;
  readonly summary: string;
  readonly flags: readonly Flag[];
  /** `verbatim`: what is no flag of ours belongs to the user's command, unknown flags too; `raw`: all of it does. */
  readonly positionals: "none" | "any" | "verbatim" | "raw";
  readonly group: "machine" | "apps";
  /** Not shown in the list of commands. */
  readonly hidden?: boolean;
  /** Why it has no `--json`, which every other command has. */
  readonly noJson?: string;
  /** It changes any number of things: what `--json` shows of that is a list. */
  readonly many?: boolean;
  readonly load: () => Promise<CommandModule>;
}

export interface CommandModule {
  /** Runs the command; the result is the exit status. */
  readonly run: (input: Input) => Promise<number>;
}

export interface Flag {
  readonly name: string;
  readonly short?: string;
  /** Other long names, shown nowhere. */
  readonly aliases?: readonly string[];
  /** Name of its value in help; absent: a switch. */
  readonly value?: string;
  readonly summary: string;
  /** Taken, as the official client does, and shown nowhere. */
  readonly hidden?: boolean;
  /** Known, but what it asks for is not here: the sentence that says so. */
  readonly refused?: string;
}

export class Input {
  readonly positionals: readonly string[];
  readonly #values: ReadonlyMap<string, string | true>;

  constructor(positionals: readonly string[], values: ReadonlyMap<string, string | true>) {
    this.positionals = positionals;
    this.#values = values;
  }

  has(flag: string): boolean {
    return this.#values.has(flag);
  }

  text(flag: string): string | undefined {
    const value = this.#values.get(flag);
    return typeof value === "string" ? value : undefined;
  }
}

/** The person asked for something that cannot be; the message says what to type instead. */
export class UsageError extends Error {
  readonly status: number;
  constructor(message: string, status = 2) {
    super(message);
    this.name = "UsageError";
    this.status = status;
  }
}

/** Reads the arguments after the command's name. Throws `UsageError`. */
export function parseInput(spec: CommandSpec, args: readonly string[]): Input {
  if (spec.positionals === "raw") return new Input(args, new Map());
  const positionals: string[] = [];
  const values = new Map<string, string | true>();
  const verbatim = spec.positionals === "verbatim";
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] ?? "";
    if (arg === "--") {
      positionals.push(...args.slice(index + 1));
      break;
    }
    if (!arg.startsWith("-") || arg === "-") {
      positionals.push(arg);
      continue;
    }
    const found = flagOf(spec, arg);
    if (found === undefined) {
      if (!verbatim || positionals.length === 0) throw unknownFlag(spec, arg);
      positionals.push(arg);
      continue;
    }
    if (found.flag.refused !== undefined) throw new UsageError(found.flag.refused, 1);
    values.set(found.flag.name, found.value ?? (found.flag.value === undefined ? true : next()));
    function next(): string {
      const value = args[++index];
      if (value === undefined) throw new UsageError(`Flag ${arg} expects a value. Try: stator ${spec.name} --help`);
      return value;
    }
  }
  if (spec.positionals === "none" && positionals.length > 0)
    throw new UsageError(`Unexpected argument: ${positionals[0]}. Try: stator ${spec.name} --help`);
  return new Input(positionals, values);
}

const HELP: Flag = { name: "help", short: "h", summary: "show this" };
const JSON_FLAG: Flag = { name: "json", short: "j", summary: "output as JSON" };

/** All flags of a command, with those that every command has. */
export function flagsOf(spec: CommandSpec): readonly Flag[] {
  const hasJson = spec.noJson !== undefined || spec.flags.some(({ name }) => name === "json");
  return [...spec.flags, ...(hasJson ? [] : [JSON_FLAG]), HELP];
}

/** The flag that `arg` means, with a value that stands in the same word (`--app=x`, `-ax`). */
function flagOf(spec: CommandSpec, arg: string): { readonly flag: Flag; readonly value?: string } | undefined {
  const flags = flagsOf(spec);
  if (!arg.startsWith("--")) {
    const flag = flags.find((each) => each.short === arg[1]);
    if (flag === undefined) return undefined;
    if (arg.length === 2) return { flag };
    return flag.value === undefined ? undefined : { flag, value: arg.slice(arg[2] === "=" ? 3 : 2) };
  }
  const equals = arg.indexOf("=");
  const name = arg.slice(2, equals === -1 ? undefined : equals);
  const flag = flags.find((each) => each.name === name || each.aliases?.includes(name));
  if (flag === undefined || equals === -1) return flag && { flag };
  return flag.value === undefined ? undefined : { flag, value: arg.slice(equals + 1) };
}

function unknownFlag(spec: CommandSpec, arg: string): UsageError {
  return new UsageError(`Nonexistent flag: ${arg}. Try: stator ${spec.name} --help`);
}

/** Help of one command. */
export function helpOf(spec: CommandSpec): string {
  const shown = flagsOf(spec).filter((flag) => flag.hidden !== true && flag.refused === undefined);
  const flags = shown.map((flag): [string, string] => [
    `${flag.short === undefined ? "   " : `-${flag.short},`} --${flag.name}${flag.value === undefined ? "" : ` ${flag.value}`}`,
    flag.summary,
  ]);
  const width = Math.max(...flags.map(([left]) => left.length));
  const lines = flags.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
  const aliases = spec.aliases?.length ? [`Also: ${spec.aliases.join(", ")}`, ""] : [];
  return [spec.summary, "", `  stator ${spec.name} ${spec.usage}`.trimEnd(), "", ...aliases, ...lines, ""].join("\n");
}
