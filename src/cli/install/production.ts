/**
 * The manifest and lock of the installed program: those of the checkout without what only development needs. `npm ci` looks
 * at the whole lock before it installs a part of it, and where a mirror lacks some development tool's binary for a foreign
 * platform it would refuse everything.
 */
export interface Manifests {
  readonly manifest: string;
  readonly lock: string;
}

type Json = Readonly<Record<string, unknown>>;

/** Pure. Throws for texts that are not npm's. */
export function withoutDevelopment({ manifest, lock }: Manifests): Manifests {
  const { devDependencies: _, scripts: __, ...kept } = JSON.parse(manifest) as Json;
  const whole = JSON.parse(lock) as Json & { readonly packages: Readonly<Record<string, Json>> };
  const packages = Object.entries(whole.packages)
    .filter(([, each]) => each["dev"] !== true && each["devOptional"] !== true)
    .map(([path, { devDependencies: ___, ...each }]) => [path, each]);
  return { manifest: textOf(kept), lock: textOf({ ...whole, packages: Object.fromEntries(packages) }) };
}

function textOf(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
