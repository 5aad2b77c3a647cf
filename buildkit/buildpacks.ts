import { chmodSync, existsSync, mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { fetchFile, unpackArchive } from "./archive.ts";
import { BuildFailed } from "./failure.ts";
import type { Go } from "./messages.ts";
import { outputOf, ProgramFailed } from "./processes.ts";
import { gitEnvironment } from "./repository.ts";

/** The platform's own, in the order in which they are asked whether an app is theirs. */
const OWN = ["nodejs", "procfile"];
const OWN_URL = /^urn:buildpack:heroku\/([a-z]+)$/;

/** A buildpack that can be run. */
export interface Buildpack {
  readonly folder: string;
  /** As it calls itself: `Node.js`. */
  readonly name: string;
  /** What it wants later buildpacks to have in their environment. */
  readonly exports: string;
}

export interface Finding {
  readonly go: Go;
  /** The app's files. */
  readonly tree: string;
  /** Folder of the platform's own. */
  readonly own: string;
  readonly work: string;
  readonly env: Readonly<Record<string, string>>;
  readonly say: (text: string) => Promise<void>;
}

/** The app's buildpacks, fetched, in order; without a list the first that fits. Throws `BuildFailed`. */
export async function findBuildpacks(finding: Finding): Promise<readonly Candidate[]> {
  const { go, own, work, say } = finding;
  if (go.buildpacks.length === 0) {
    await say("-----> Determining which buildpack to use for this app\n");
    for (const name of OWN) {
      const candidate = ownCandidate(own, name, work, 0);
      if ((await detect(candidate, finding)) !== undefined) return [candidate];
    }
    throw nothingFound();
  }
  const names = go.buildpacks.map((url) => url.replace(/^urn:buildpack:/, ""));
  await say(
    names.length === 1
      ? `-----> Using buildpack: ${names[0]}\n`
      : `-----> Using buildpacks:\n${names.map((name, index) => `       ${index + 1}. ${name}\n`).join("")}`,
  );
  const found: Candidate[] = [];
  for (const [index, url] of go.buildpacks.entries()) found.push(await fetchBuildpack(url, index, finding));
  return found;
}

export interface Candidate {
  readonly folder: string;
  readonly url: string;
  readonly exports: string;
}

/** Asks whether the app is the buildpack's. Throws `BuildFailed` if it says no. */
export async function accepted(candidate: Candidate, finding: Finding): Promise<Buildpack> {
  const name = await detect(candidate, finding);
  if (name === undefined)
    throw new BuildFailed(
      `App not compatible with buildpack: ${candidate.url.replace(/^urn:buildpack:/, "")}`,
      "Push failed",
    );
  return { folder: candidate.folder, name, exports: candidate.exports };
}

/** What bin/detect calls the app; undefined: it is none of its. */
async function detect({ folder }: Candidate, { tree, env }: Finding): Promise<string | undefined> {
  const output = await outputOf(join(folder, "bin", "detect"), [tree], { env, cwd: tree }).catch(() => undefined);
  return output
    ?.toString("utf8")
    .replace(/\p{Cc}+/gu, " ")
    .trim()
    .slice(0, 100);
}

function ownCandidate(own: string, name: string, work: string, index: number): Candidate {
  return { folder: join(own, name), url: `urn:buildpack:heroku/${name}`, exports: join(work, `export-${index}`) };
}

async function fetchBuildpack(url: string, index: number, { own, work, go }: Finding): Promise<Candidate> {
  const [, name] = OWN_URL.exec(url) ?? [];
  if (name !== undefined) return ownCandidate(own, name, work, index);
  const folder = join(work, `buildpack-${index}`);
  const beside = join(work, `fetched-${index}`);
  for (const each of [folder, beside]) mkdirSync(each, { recursive: true });
  const what = `The buildpack ${url}`;
  if (/\.(?:tgz|tar\.gz)$/.test(new URL(url).pathname)) {
    const archive = join(beside, "archive");
    await fetchFile(url, archive, what);
    await unpackArchive({ archive, tree: folder, work: beside, limits: go.limits, service: "source" });
    rmSync(beside, { recursive: true, force: true });
  } else await fetchRepository(url, folder, beside, what);
  const [detects, compiles, releases] = ["detect", "compile", "release"].map((each) =>
    isFile(join(folder, "bin", each)),
  );
  if (!detects || !compiles)
    throw new BuildFailed(`${what} has no bin/detect and bin/compile: it is no classic buildpack.`, "Push failed");
  for (const each of ["detect", "compile", ...(releases ? ["release"] : [])])
    chmodSync(join(folder, "bin", each), 0o755);
  return { folder, url, exports: join(folder, "export") };
}

function isFile(path: string): boolean {
  return existsSync(path) && statSync(path).isFile();
}

/** `https://host/path.git#branch-tag-or-commit`; without one the default branch. */
async function fetchRepository(url: string, folder: string, home: string, what: string): Promise<void> {
  const address = new URL(url);
  const ref = address.hash === "" ? "HEAD" : decodeURIComponent(address.hash.slice(1));
  address.hash = "";
  const network = Object.entries(process.env).filter(([name]) =>
    /_proxy$|^SSL_CERT_FILE$|^GIT_SSL_CAINFO$/i.test(name),
  );
  const env = { ...Object.fromEntries(network), ...gitEnvironment(home) };
  const only = ["-c", "protocol.allow=never", "-c", "protocol.https.allow=always", "-c", "core.hooksPath=/dev/null"];
  const git = (...args: readonly string[]) => outputOf("git", [...only, ...args], { env, cwd: folder });
  try {
    await git("init", "--quiet", "--template=");
    await git("fetch", "--quiet", "--depth=1", "--no-tags", "--", address.href, ref);
    await git("checkout", "--quiet", "--force", "FETCH_HEAD");
  } catch (error) {
    if (!(error instanceof ProgramFailed)) throw error;
    const why = error.stderr.trim().split("\n").at(-1) ?? "";
    throw new BuildFailed(`${what} could not be fetched: ${why.replace(/\p{Cc}/gu, "?").slice(0, 300)}`, "Push failed");
  }
}

function nothingFound(): BuildFailed {
  return new BuildFailed(
    "This app has no Procfile, and no language that is known here was found in it.",
    "Add a package.json for a Node.js app, or a file named Procfile that says what to run, such as:",
    "    web: python3 app.py",
    "Push failed",
  );
}
