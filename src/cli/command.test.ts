import assert from "node:assert/strict";
import { test } from "node:test";
import { type CommandSpec, type Input, parseInput, UsageError } from "./command.ts";
import { COMMANDS, commandNamed } from "./commands.ts";

function parse(name: string, ...args: readonly string[]): Input {
  const spec = commandNamed(name);
  assert.ok(spec, name);
  return parseInput(spec, args);
}

test("flags: long, short, with = and without, before and after words, and -- ends them", () => {
  for (const args of [["-a", "x"], ["-ax"], ["-a=x"], ["--app", "x"], ["--app=x"]]) {
    assert.equal(parse("ps:scale", "web=1", ...args, "worker=2").text("app"), "x", args.join(" "));
  }
  assert.deepEqual(parse("ps:scale", "web=1", "-a", "x", "worker=2").positionals, ["web=1", "worker=2"]);
  assert.deepEqual(parse("config:get", "--", "-a").positionals, ["-a"]);
  assert.equal(parse("logs", "-t").has("tail"), true);
  assert.equal(parse("logs", "--ps", "web").text("process-type"), "web");
});

test("run: the words of the command stay as they are, unknown flags too; ours are taken wherever they stand", () => {
  const input = parse("run", "node", "--version", "-a", "hello", "-x");
  assert.deepEqual(input.positionals, ["node", "--version"]);
  assert.equal(input.text("app"), "hello");
  assert.deepEqual(parse("run", "-a", "hello", "--", "ls", "-a", "--app", "y").positionals, ["ls", "-a", "--app", "y"]);
});

test("what cannot be is refused with a usage error", () => {
  for (const [name, ...args] of [
    ["ps", "--nonsense"],
    ["ps", "-a"],
    ["ps", "--json=yes"],
    ["apps", "extra"],
    ["run", "--nonsense"],
    ["logs", "-tz"],
  ] as const) {
    assert.throws(() => parse(name, ...args), UsageError, [name, ...args].join(" "));
  }
});

test("every command of the table has a name of its own and code that can be loaded", async () => {
  const names = COMMANDS.flatMap((each) => [each.name, ...(each.aliases ?? [])]);
  assert.equal(new Set(names).size, names.length);
  await Promise.all(COMMANDS.map(async (each) => assert.equal(typeof (await each.load()).run, "function", each.name)));
});

test("no command has two flags of one letter or name", () => {
  const twice = (spec: CommandSpec) => {
    const words = spec.flags.flatMap((flag) => [flag.name, ...(flag.short === undefined ? [] : [flag.short])]);
    return words.length !== new Set(words).size;
  };
  assert.deepEqual(
    COMMANDS.filter(twice).map((each) => each.name),
    [],
  );
});
