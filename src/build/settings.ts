import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Type } from "typebox";
import { Value } from "typebox/value";

/** How builds reach the world: the machine's own registry, proxies and CA, never its credentials. Written by `up`. */
export type BuildSettings = Type.Static<typeof BuildSettings>;

const address = () => Type.String({ maxLength: 2000, pattern: "^https?://[^\\s@]*$" });

export const BuildSettings = Type.Object({
  registry: Type.Optional(Type.Union([address(), Type.Null()])),
  proxy: Type.Optional(
    Type.Object({
      http: Type.Optional(Type.Union([address(), Type.Null()])),
      https: Type.Optional(Type.Union([address(), Type.Null()])),
      no: Type.Optional(Type.Union([Type.String({ maxLength: 4000, pattern: "^[^\\s]*$" }), Type.Null()])),
    }),
  ),
  ca: Type.Optional(Type.Boolean()),
});

/** Reads `build-settings.json` of the installation's home; without one builds get npm's own defaults. */
export async function readBuildSettings(home: string): Promise<BuildSettings> {
  const path = join(home, "build-settings.json");
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "{}";
    throw error;
  });
  const value: unknown = JSON.parse(text);
  if (!Value.Check(BuildSettings, value)) throw new Error(`${path}: not what \`stator up\` writes; run it again`);
  return value;
}

/** Where the host mounts the machine's extra CA in build dynos. */
const CA_FILE = "/etc/stator/ca.pem";

/** Environment of a build dyno for these settings. Pure. */
export function networkEnvironment(settings: BuildSettings): Readonly<Record<string, string>> {
  const { registry, proxy, ca } = settings;
  const proxies = Object.entries({ http_proxy: proxy?.http, https_proxy: proxy?.https, no_proxy: proxy?.no });
  const set = proxies.filter((pair): pair is [string, string] => typeof pair[1] === "string" && pair[1] !== "");
  return {
    ...(typeof registry === "string" && registry !== "" && { npm_config_registry: registry }),
    ...Object.fromEntries(
      set.flatMap(([name, value]) => [
        [name, value],
        [name.toUpperCase(), value],
      ]),
    ),
    ...(ca === true && { NODE_EXTRA_CA_CERTS: CA_FILE, SSL_CERT_FILE: CA_FILE, GIT_SSL_CAINFO: CA_FILE }),
  };
}
