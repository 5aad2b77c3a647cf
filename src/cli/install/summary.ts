import { hostname, userInfo } from "node:os";
import type { Config } from "../../config.ts";

export interface Summary {
  readonly config: Config;
  /** What people type for `stator`. */
  readonly command: string;
  /** What hello said; undefined where there is no such app. */
  readonly answer: string | undefined;
  readonly atBoot: string;
}

/** What `up` prints at its end: the answer, how to get it from anywhere, and what to try next. */
export function summary({ config, command, answer, atBoot }: Summary): readonly string[] {
  const { httpPort, domain } = config;
  const port = httpPort === 80 ? "" : `:${httpPort}`;
  const local = httpPort < 1024 ? 8080 : httpPort;
  const who = process.env["SUDO_USER"] ?? userInfo().username;
  const host = `hello.${domain}`;
  const shown =
    answer === undefined
      ? ["The platform is up. (The example app hello was removed.)", ""]
      : [
          "The platform is up, and hello answers:",
          "",
          ...answer
            .trimEnd()
            .split("\n")
            .map((line) => `  ${line}`),
          "",
          `  http://${host}${port}/`,
          `  curl -H 'Host: ${host}' http://127.0.0.1${port}/`,
          "",
          "From elsewhere:",
          `  ssh -L ${local}:127.0.0.1:${httpPort} ${who}@${hostname()}     then http://${host}:${local}/`,
          "",
        ];
  return [
    ...shown,
    "Next:",
    `  ${command} ps -a hello`,
    `  ${command} ps:scale web=3 -a hello`,
    `  ${command} logs --tail -a hello`,
    `  ${command} run -a hello -- node -v`,
    `  ${command} create my-app       in a git repository of yours, then: git push heroku main`,
    "",
    `Settings and certificate are in ${config.instance.home}; ${atBoot}.`,
  ];
}
