import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { test } from "node:test";

/** Who may import whom (docs/architecture.md). Interface files may be imported by every feature. */
const root = join(import.meta.dirname, "..", "src");
const INTERFACES = new Set([
  "engine/engine.ts",
  "store/store.ts",
  "store/certificates.ts",
  "router/routes.ts",
  "supervisor/supervision.ts",
  "logs/line.ts",
  "logs/dyno-logs.ts",
  "metrics/usage-reader.ts",
  "run/sessions.ts",
  "ssh/door.ts",
]);
const FEATURES = [
  "supervisor",
  "router",
  "logs",
  "build",
  "run",
  "schedule",
  "sleep",
  "metrics",
  "certificates",
  "webhooks",
  "ssh",
];
const COMPOSITION = new Set(["daemon.ts", "main.ts", "host/host.ts"]);

interface Import {
  readonly from: string;
  readonly to: string;
}

function importsOf(): readonly Import[] {
  return globSync("**/*.ts", { cwd: root })
    .filter((file) => !file.endsWith(".test.ts") && !file.includes("simulation") && !file.includes("contract"))
    .flatMap((file) => {
      const text = readFileSync(join(root, file), "utf8");
      return [...text.matchAll(/(?:from|import\()\s*"(\.[^"]+)"/g)].map((match) => ({
        from: file,
        to: relative(root, normalize(join(root, dirname(file), match[1] ?? ""))),
      }));
    });
}

const folderOf = (file: string) => (file.includes("/") ? (file.split("/")[0] ?? "") : "");

/** Why the import is forbidden; undefined if it is not. */
function objection({ from, to }: Import): string | undefined {
  const [here, there] = [folderOf(from), folderOf(to)];
  if (COMPOSITION.has(from) || here === there) return undefined;
  if (here === "lib") return "lib imports nothing of ours";
  if (here === "model") return there === "lib" ? undefined : "model imports only lib";
  if (there === "model" || there === "lib" || INTERFACES.has(to)) return undefined;
  if (here === "outbound") return "outbound imports only lib and model";
  if (there === "engine" || there === "store") {
    return here === "host" || here === "cli" ? undefined : "implementations are for the composition roots and tests";
  }
  if (FEATURES.includes(here) && FEATURES.includes(there)) return "features do not import each other";
  if (FEATURES.includes(here) && (there === "api" || there === "cli" || there === "host"))
    return "features import downwards only";
  if (there === "cli") return "nothing imports the command line";
  return undefined;
}

test("who may import whom", () => {
  const wrong = importsOf().flatMap((each) => {
    const why = objection(each);
    return why === undefined ? [] : [`${each.from} -> ${each.to}: ${why}`];
  });
  assert.deepEqual(wrong, []);
});

test("only config.ts reads the environment, and only lib reads the clock or chance", () => {
  const wrong = globSync("**/*.ts", { cwd: root })
    .filter((file) => !file.endsWith(".test.ts") && !file.endsWith("contract.ts") && !file.startsWith("cli/"))
    .flatMap((file) => {
      const text = readFileSync(join(root, file), "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
      const env =
        file !== "config.ts" && file !== "main.ts" && /process\.env/.test(text) ? [`${file}: process.env`] : [];
      const inLib = file.startsWith("lib/");
      const time =
        !inLib && /\bDate\.now\(|\bMath\.random\(|(?<!\.)\bset(?:Timeout|Interval)\(/.test(text)
          ? [`${file}: clock or chance`]
          : [];
      return [...env, ...time];
    });
  assert.deepEqual(wrong, []);
});

/** Who may name Node's ways to start a program or a thread (decision 10); the linter sees `import`, this sees the rest. */
const DOORS = new Set(["lib/command.ts", "lib/guard.ts", "lib/guard-bites.ts"]);

test("decision 10: nobody but the one door names child_process, by whatever way to import it, nor threads", () => {
  const wrong = globSync("**/*.ts", { cwd: root })
    .filter((file) => !DOORS.has(file) && !file.endsWith("guard.test.ts"))
    .filter((file) => {
      const text = readFileSync(join(root, file), "utf8").replace(/\/\*[\s\S]*?\*\/|(?<!:)\/\/.*/g, "");
      return /child_process|worker_threads|getBuiltinModule|process\.binding|createRequire/.test(text);
    });
  assert.deepEqual(wrong, []);
});

test("bin/up on a machine with nothing: what runs until the program is installed needs no package of npm's", () => {
  const wrong: string[] = [];
  const seen = new Set<string>();
  const visit = (file: string, from: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    const text = readFileSync(join(root, file), "utf8");
    // Types vanish; what is imported by name later is asked for later.
    for (const [, what = ""] of text.matchAll(/^(?:import|export) (?!type\b)[^;]*?from "([^"]+)"/gms)) {
      if (what.startsWith(".")) visit(relative(root, normalize(join(root, dirname(file), what))), file);
      else if (!what.startsWith("node:")) wrong.push(`${from} -> ${file} -> ${what}`);
    }
  };
  for (const file of ["cli/main.ts", "cli/command-line.ts", "cli/commands/up.ts"]) visit(file, "");
  assert.deepEqual(wrong, []);
  assert.ok(seen.has("engine/local/probe-facts.ts"), "the machine is looked at before that");
});
