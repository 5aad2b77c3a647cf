import { print } from "./output.ts";

/** A feature of an app or of an account, as the API tells of it. */
export interface FeatureJson {
  readonly name: string;
  readonly description: string;
  readonly doc_url: string;
  readonly enabled: boolean;
  /** `general`: shown by `features`; all others by `labs`. */
  readonly state: string;
}

/** `[+] preboot  Provide seamless web dyno deploys`, in the order of the alphabet. */
export function printFeatures(features: readonly FeatureJson[]): void {
  const sorted = features.toSorted((one, other) => (one.name < other.name ? -1 : 1));
  const width = Math.max(0, ...sorted.map(({ name }) => name.length));
  for (const { name, description, enabled } of sorted)
    print(`${enabled ? "[+]" : "[ ]"} ${name.padEnd(width)}  ${description}`);
}
