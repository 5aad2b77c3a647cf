import type { Static, TSchema } from "typebox";
import { Compile } from "typebox/compile";

/** Something of ours in `app.json` cannot be used; the message names the key and says what to do. */
export class ManifestError extends Error {
  constructor(key: string, what: string) {
    super(`${key} ${what}`);
    this.name = "ManifestError";
  }
}

/**
 * The check of one top-level key of `app.json`. The schema is closed: a misspelt key inside of a section would be a wish that is
 * silently ignored. Throws `ManifestError` in words that name the place, such as `cron[0].schedule must be string`.
 */
export function section<T extends TSchema>(key: string, schema: T): (value: unknown) => Static<T> {
  const compiled = Compile(schema);
  return (value) => {
    if (compiled.Check(value)) return value;
    const errors = compiled.Errors(value);
    // Of a union the last error is about the whole; "schema is false" says less than the one that names the key.
    const first = errors.find(({ keyword }) => keyword !== "boolean" && keyword !== "const") ?? errors[0];
    throw new ManifestError(placeOf(key, first?.instancePath ?? ""), sentence(first));
  };
}

/** `/0/schedule` of `cron` is written `cron[0].schedule`. */
function placeOf(key: string, path: string): string {
  const steps = path
    .split("/")
    .slice(1)
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
  return `${key}${steps.map((step) => (/^\d+$/.test(step) ? `[${step}]` : `.${printable(step)}`)).join("")}`;
}

type Problem = { readonly keyword: string; readonly message: string; readonly params: object };

function sentence(problem: Problem | undefined): string {
  const params: Readonly<Record<string, unknown>> = { ...problem?.params };
  const keyword = problem?.keyword ?? "";
  if (keyword === "additionalProperties")
    return `has the unknown key ${names(params["additionalProperties"])}: check its spelling, or remove it.`;
  if (keyword === "required") return `has no ${names(params["requiredProperties"])}: add it.`;
  if (keyword === "anyOf") return "is none of the values that are known here: see docs/dynos.md.";
  return `${problem?.message ?? "cannot be used"}.`;
}

function names(value: unknown): string {
  return Array.isArray(value)
    ? value
        .slice(0, 5)
        .map((name) => printable(String(name)))
        .join(", ")
    : "key";
}

/** What a stranger wrote, fit for one line. */
function printable(text: string): string {
  const short = text.length > 80 ? `${text.slice(0, 80)}...` : text;
  return /^[-\w]+$/.test(short) ? short : JSON.stringify(short);
}
