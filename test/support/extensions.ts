import type { HyperSchema, Link } from "../../src/api/hyper-schema.ts";
import { PUBLISHED } from "./published-schema.ts";

/** Heroku's, but not in its published schema: what its clients use all the same, and resources that are answered as empty or absent here. */
const HEROKUS =
  /^\S+ \/(account|accounts|actions|addons?|auth|addon-attachments|addon-services|api\/v2|api\/v4|buildpacks|enterprise-accounts|filters|oauth|pipeline-transfers|plans|schema|spaces|teams|users)(\/|$)|^\S+ \/apps\/:app\/(addons|addon-attachments|build-metadata|config-vars|config-vars-settings|oci-images|pre-authorizations|review-app|webhooks|releases\/:\S+\/config-vars)(\/|$)|^GET \/pipelines\/:\w+\/repo(\/|$)|^\S+ \/pipelines\/:\w+\/(review-app-config|stage\/:\w+\/config-vars)$|^POST \/apps\/:app\/dynos\/:dyno$|^GET \/apps\/:app\/builds\/:build\/output$/;

interface Shape {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly required?: readonly string[];
  readonly items?: Shape;
}

/** A row of docs/api.md for each route of ours: what it takes and what it answers with. Pure. */
export function extensionRows(schema: HyperSchema): readonly string[] {
  const published = new Set(Object.values(PUBLISHED).flatMap(({ links }) => links.map(plain)));
  return Object.values(schema.definitions)
    .flatMap(({ links }) =>
      links
        .filter((link) => !published.has(plain(`${link.method} ${link.href}`)) && !HEROKUS.test(routeOf(link)))
        .map((link) => {
          const fields = answered(link.targetSchema as Shape);
          const isShown = links.some((other) => other.method === "GET" && fieldsOf(other) === fieldsOf(link));
          const answer = link.method !== "GET" && fields !== "" && isShown ? "the same" : fields;
          return `| \`${routeOf(link)}\` | ${taken(link.schema as Shape)} | ${answer} |`;
        }),
    )
    .toSorted();
}

const fieldsOf = ({ targetSchema }: Link): string => answered(targetSchema as Shape).replace("list of ", "");
const plain = (path: string): string => path.replaceAll(/\{\([^)]*\)\}|:[\w|~-]+|~/g, ":");

/** `GET /apps/:app/usage` */
export function routeOf({ method, href }: Link): string {
  const path = decodeURIComponent(href).replaceAll(/\{\(#\/definitions\/([^/]*)\/[^)]*\)\}/g, ":$1");
  return `${method} ${path}`;
}

function taken(body: Shape | undefined): string {
  const { properties = {}, required = [] } = body ?? {};
  return Object.keys(properties)
    .map((name) => `\`${name}\`${required.includes(name) ? "!" : ""}`)
    .join(", ");
}

function answered(target: Shape | undefined): string {
  const fields = Object.keys((target?.items ?? target)?.properties ?? {}).map((name) => `\`${name}\``);
  if (fields.length === 0) return "";
  return `${target?.type === "array" ? "list of " : ""}${fields.join(", ")}`;
}
