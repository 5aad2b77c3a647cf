import type { TSchema } from "typebox";
import { Compile } from "typebox/compile";
import type { HyperSchema } from "../../src/api/hyper-schema.ts";

type Check = (value: unknown) => string | undefined;

/** Says what of an answer is not as the platform's own `GET /schema` has it. */
export function answersOf({
  definitions,
}: HyperSchema): (method: string, path: string, value: unknown) => string | undefined {
  const links = Object.values(definitions).flatMap((definition) => definition.links);
  const found = links.map(({ method, href, targetSchema }) => {
    const pattern = href
      .replaceAll(/\{\([^)]*\)\}/g, "\0")
      .replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")
      .replaceAll("\0", "[^/]+");
    return { method, pattern: new RegExp(`^${pattern}$`), rank: href.split("{(").length, check: lazily(targetSchema) };
  });
  const byRank = found.toSorted((one, other) => one.rank - other.rank); // `/teams/permissions` before `/teams/:team`
  return (method, path, value) => {
    const [pathname = ""] = path.split("?", 1);
    const link = byRank.find((each) => each.method === method && each.pattern.test(pathname));
    return link === undefined ? `${method} ${pathname} is not in the schema` : link.check(value);
  };
}

/** Compiled when it is needed: a test asks for a few of a hundred. */
function lazily(schema: unknown): Check {
  let compiled: Check | undefined;
  return (value) => {
    compiled ??= compile(schema);
    return compiled(value);
  };
}

function compile(schema: unknown): Check {
  const validator = Compile(schema as TSchema); // it was one, before it was sent as JSON
  return (value) => {
    if (validator.Check(value)) return undefined;
    const [first] = validator.Errors(value);
    return `${first?.instancePath ?? ""} ${first?.message ?? "is not as the schema says"}`;
  };
}
