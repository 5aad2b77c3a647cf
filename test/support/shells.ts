import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SCRIPTS } from "../../src/cli/completion/scripts.ts";
import { eventually } from "./eventually.ts";

/**
 * People's shells on terminals of their own, with our completion loaded: what a test types there, and what stands in the line
 * afterwards. The only place that starts a shell on the host, because the shell is what is tested.
 */
export type ShellName = "bash" | "zsh" | "fish";

export interface Shell extends AsyncDisposable {
  /** A folder of the shell's own, and where it stands. */
  readonly folder: string;
  /** Types a line and Tab; gives what then stands in the line, which is thrown away. */
  tab(line: string): Promise<string>;
}

const READY = "ready-for-keys";

/**
 * zsh's own Tab expands what was typed before it completes anything: `$(...)` is run, completion or not. With `complete-word` it
 * only completes, which is ours. `dump` on Ctrl-G writes the line into a file; Ctrl-U forgets it. */
const SETTINGS: Readonly<Record<ShellName, (out: string, script: string) => string>> = {
  bash: (out, script) =>
    `source ${script}\nset +o history\nPS1='${READY} '\nbind 'set show-all-if-ambiguous on'\nbind 'set bell-style none'\nbind 'set enable-bracketed-paste off'\nbind -x '"\\C-g": printf "%s\\0" "$READLINE_LINE" >> ${out}'\n`,
  zsh: (out, script) =>
    `autoload -Uz compinit\ncompinit -u -D\nsource ${script}\nPS1='${READY} '\nsetopt no_beep\nunset zle_bracketed_paste\ndump() { print -rn -- "$BUFFER" >> ${out}; print -n '\\0' >> ${out} }\nzle -N dump\nbindkey -e\nbindkey '^I' complete-word\nbindkey '^G' dump\nbindkey '^U' kill-whole-line\n`,
  fish: (out, script) =>
    `source ${script}\nset -g fish_greeting\nfunction fish_prompt; printf '${READY} '; end\nfunction dump; printf '%s\\0' (commandline | string collect) >> ${out}; end\nbind \\cg dump\nbind \\cu 'commandline ""'\n`,
};
const STARTED: Readonly<Record<ShellName, (settings: string) => string>> = {
  bash: (settings) => `bash --noprofile --rcfile ${settings} -i`,
  zsh: () => "zsh -i",
  fish: (settings) => `fish --private -i -C 'source ${settings}'`,
};

/** `env`: what `stator` needs to find its platform. */
export async function openShell(name: ShellName, env: Readonly<Record<string, string>>): Promise<Shell> {
  const folder = mkdtempSync(join(tmpdir(), `stator-${name}-`));
  const out = join(folder, "out");
  const settings = join(folder, name === "zsh" ? ".zshrc" : "settings");
  writeFileSync(join(folder, "completion"), SCRIPTS[name] ?? "");
  writeFileSync(settings, SETTINGS[name](out, join(folder, "completion")));
  symlinkSync(join(import.meta.dirname, "..", "..", "bin", "stator"), join(folder, "stator"));
  // Ends with its terminal, and so with us.
  const terminal = spawn("script", ["-qefc", STARTED[name](settings), "/dev/null"], {
    cwd: folder,
    env: {
      PATH: `${folder}:/usr/local/bin:/usr/bin:/bin`,
      TERM: "xterm",
      LANG: "C.UTF-8",
      HOME: folder,
      ZDOTDIR: folder,
      ...env,
    },
    stdio: ["pipe", "pipe", "ignore"],
  });
  let shown = "";
  terminal.stdout.setEncoding("utf8").on("data", (text: string) => (shown += text));
  terminal.stdin.on("error", () => {}); // it has ended, which the wait below tells
  const wait = (what: string, probe: () => boolean) =>
    eventually(probe).catch((cause: unknown) =>
      assert.fail(`${what}: ${String(cause)}; ${name} shows ${JSON.stringify(shown.slice(-2000))}`),
    );
  await wait("to be ready", () => shown.includes(READY));
  let lines = 0;
  return {
    folder,
    async tab(line) {
      terminal.stdin.write(`${line}\t\x07`);
      lines++;
      const written = () => (existsSync(out) ? readFileSync(out, "utf8").split("\0").slice(0, -1) : []);
      await wait(`to complete ${line}`, () => written().length >= lines);
      terminal.stdin.write("\x15");
      return written()[lines - 1] ?? "";
    },
    async [Symbol.asyncDispose]() {
      await gone(terminal);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The shell itself goes with its terminal. */
async function gone(terminal: ChildProcess): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  terminal.once("close", () => resolve());
  terminal.kill("SIGTERM");
  await promise;
}
