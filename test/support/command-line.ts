import { mock } from "node:test";
import { statusOf } from "../../src/cli/command-line.ts";

export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** One command of ours in this process, which is much quicker than one of its own for each: what it writes is caught. */
export async function saidBy(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Said> {
  const texts = { stdout: "", stderr: "" };
  const before = Object.fromEntries(Object.keys(env).map((name) => [name, process.env[name]]));
  const catching = (["stdout", "stderr"] as const).map((name) => {
    const write = process[name].write.bind(process[name]);
    return mock.method(process[name], "write", (text: string | Uint8Array) => {
      if (typeof text !== "string") return write(text); // what the test runner says of its tests
      texts[name] += text;
      return true;
    });
  });
  Object.assign(process.env, env);
  try {
    const code = await statusOf(args);
    return { code, ...texts };
  } finally {
    for (const each of catching) each.mock.restore();
    for (const [name, value] of Object.entries(before))
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
  }
}
