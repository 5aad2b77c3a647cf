import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { OfficialCommands } from "./official-manifest.ts";

/** A line for each promised command of the official CLI: how often the tests drove it, and how it ended. */
export interface Driven {
  readonly title: string;
  readonly isGood: boolean;
}

/** `folder`: where every run of the official CLI was noted (`tellDriven`). */
export function drivenCommands(folder: string): readonly Driven[] {
  const path = join(folder, "commands");
  const lines = existsSync(path) ? readFileSync(path, "utf8").trim().split("\n") : [];
  const known = JSON.parse(
    readFileSync(join(import.meta.dirname, "official-commands.json"), "utf8"),
  ) as OfficialCommands;
  return drivenOf(lines, known);
}

/** Pure. `lines`: `ps:scale 0` */
export function drivenOf(lines: readonly string[], known: OfficialCommands): readonly Driven[] {
  const runs = lines.map((line) => line.split(" "));
  return Object.entries(known).map(([name, { aliases }]) => {
    const statuses = runs.flatMap(([word = "", status = ""]) =>
      word === name || aliases.includes(word) ? [status] : [],
    );
    const times = Map.groupBy(statuses, (status) => status);
    const ends = [...times].map(
      ([status, all]) => `${all.length} ${all.length === 1 ? "time" : "times"} with ${status}`,
    );
    return {
      title: `heroku ${name}: ${ends.length === 0 ? "not driven" : `ended ${ends.join(", ")}`}`,
      isGood: ends.length > 0,
    };
  });
}
