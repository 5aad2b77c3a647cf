/** What to do with the refs of one push. Pure. */
export type PushPlan =
  | { readonly kind: "refuse"; readonly lines: readonly string[] }
  | { readonly kind: "store"; readonly lines: readonly string[] }
  | { readonly kind: "build"; readonly ref: string; readonly commit: string; readonly lines: readonly string[] };

export interface RefUpdate {
  readonly before: string;
  readonly after: string;
  readonly ref: string;
}

/** Branches that are deployed (spec 9.1); the first one pushed wins. */
const DEPLOYED = ["refs/heads/main", "refs/heads/master"];
export const REFS_MAX = 1000;

/** Lines that git gives its hook: `<old> <new> <ref>`. */
export function parseUpdates(text: string): readonly RefUpdate[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [before = "", after = "", ...ref] = line.split(" ");
      return { before, after, ref: ref.join(" ") };
    });
}

export function planPush(updates: readonly RefUpdate[]): PushPlan {
  if (updates.length > REFS_MAX) return refuse([`A push of ${updates.length} refs: at most ${REFS_MAX} at once.`]);
  const deleted = updates.find((each) => DEPLOYED.includes(each.ref) && isZero(each.after));
  if (deleted) return refuse([`${shortName(deleted.ref)} cannot be deleted: the app is deployed from it.`]);
  const [first] = DEPLOYED.map((ref) => updates.find((each) => each.ref === ref)).filter((each) => each !== undefined);
  const stored = updates.filter((each) => each.ref.startsWith("refs/heads/") && each !== first && !isZero(each.after));
  const lines = stored.map(
    (each) => `-----> Stored ${shortName(each.ref)}, not deployed: only pushes to main or master are.`,
  );
  if (!first) return { kind: "store", lines };
  return { kind: "build", ref: first.ref, commit: first.after, lines };
}

function refuse(lines: readonly string[]): PushPlan {
  return { kind: "refuse", lines: lines.map((line) => ` !     ${line}`) };
}

function isZero(name: string): boolean {
  return /^0+$/.test(name);
}

/** A branch's name is the pusher's: shown without what could move a terminal's cursor. */
function shortName(ref: string): string {
  return ref
    .replace(/^refs\/heads\//, "")
    .replace(/\p{Cc}/gu, "?")
    .slice(0, 200);
}
