/** A failing line of a profile script does not abort the boot. */
const PROFILE_SCRIPT = `
for script in /etc/profile.d/*.sh /app/.profile.d/*.sh "$HOME/.profile"; do
  if [ -r "$script" ]; then . "$script" || true; fi
done
unset script
`;
/**
 * What runs inside a slug dyno (spec 3.1): init, then bash which sources the profile scripts, then the user's command as
 * one argument. The text is constant; nothing of a user's is ever glued into it.
 */
const BOOT_SCRIPT = `${PROFILE_SCRIPT}exec /bin/bash -c -- "$1"\n`;
const CHECK_SCRIPT = `${PROFILE_SCRIPT}exec -- "$@"\n`;

/**
 * The argument vector of a dyno that runs `command`; with `hasProfile` false the first bash is left out, who would find no scripts.
 * The static tini has half the private memory of the other one.
 */
export function bootArguments(command: string, hasProfile = true): readonly string[] {
  const shell = hasProfile ? ["/bin/bash", "-c", BOOT_SCRIPT, "bash", command] : bareArguments(command);
  return ["/usr/bin/tini-static", "-s", "--", ...shell];
}

/** The argument vector of a command beside a dyno's own, in the same environment: text for bash, or a program's arguments. */
export function checkArguments(command: string | readonly string[]): readonly string[] {
  return ["/bin/bash", "-c", CHECK_SCRIPT, "bash", ...bareArguments(command)];
}

/** The same without the profile scripts. */
export function bareArguments(command: string | readonly string[]): readonly string[] {
  return typeof command === "string" ? ["/bin/bash", "-c", "--", command] : command;
}

/** User and group of every process of a dyno, inside its user namespace; the stack's /etc/passwd calls it `dyno`. */
export const DYNO_UID = 1000;

/** Set in every slug dyno before config vars (spec 4.4). */
export const BASE_ENVIRONMENT: Readonly<Record<string, string>> = {
  HOME: "/app",
  PATH: "/usr/local/bin:/usr/bin:/bin",
  LANG: "C.UTF-8",
  PS1: "\\[\\033[01;34m\\]\\w\\[\\033[00m\\] \\[\\033[01;32m\\]$ \\[\\033[00m\\]",
};
