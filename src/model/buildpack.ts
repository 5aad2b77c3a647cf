import { PlatformError } from "./errors.ts";

/** What builds an app: one of the platform's own, or a classic buildpack that is fetched (spec 9.3). */
export interface BuildpackRef {
  /** `urn:buildpack:heroku/nodejs` for the platform's own, else an https address. */
  readonly url: string;
  /** `heroku/nodejs`; of others their address. */
  readonly name: string;
}

/** What the platform brings, under the names that Heroku's have. */
export const OWN_BUILDPACKS = [
  { name: "heroku/nodejs", description: "Node.js apps: the Node that package.json asks for, npm, its build scripts" },
  { name: "heroku/procfile", description: "Whatever the Procfile says, on what the stack has: nothing is installed" },
] as const;

export const BUILDPACKS_MAX = 20;
const URL_CHARACTERS_MAX = 1000;
/** Names of the platform's own, as Heroku's clients write them: the name, the URN, the addresses of Heroku's copies. */
const NAME =
  /^(?:urn:buildpack:|https:\/\/(?:buildpack-registry|codon-buildpacks)\.s3\.amazonaws\.com\/buildpacks\/)?([\w-]+\/[\w-]+)(?:\.tgz)?$/;

/** Reads what a person or a client calls a buildpack. Throws `invalid_params` for what cannot be run here. */
export function parseBuildpack(text: string): BuildpackRef {
  const [, name] = NAME.exec(text) ?? [];
  if (OWN_BUILDPACKS.some((own) => own.name === name)) return { url: `urn:buildpack:${name}`, name: name ?? "" };
  const url = text.length <= URL_CHARACTERS_MAX ? URL.parse(text) : null;
  if (url?.protocol === "https:" && !/[\s\p{Cc}]/u.test(text)) return { url: url.href, name: url.href };
  const own = OWN_BUILDPACKS.map((each) => each.name).join(" and ");
  const what = text === "" ? "That buildpack" : `The buildpack ${JSON.stringify(text.slice(0, 200))}`;
  throw new PlatformError(
    "invalid_params",
    `${what} is not here: there are ${own}, and any classic buildpack by its https address (a git repository or a .tgz).`,
  );
}

/** All of a list. Throws `invalid_params`, also for one that stands twice, and for too many. */
export function parseBuildpacks(texts: readonly string[]): readonly BuildpackRef[] {
  if (texts.length > BUILDPACKS_MAX)
    throw new PlatformError("invalid_params", `At most ${BUILDPACKS_MAX} buildpacks for an app.`);
  const refs = texts.map(parseBuildpack);
  const twice = refs.find((ref, index) => refs.findIndex((other) => other.url === ref.url) !== index);
  if (twice) throw new PlatformError("invalid_params", `The buildpack ${twice.name} stands in the list twice.`);
  return refs;
}
