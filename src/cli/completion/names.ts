import { appIfAny, gitRemotes } from "../app-name.ts";
import { Client } from "../client.ts";
import { Input } from "../command.ts";
import type { Completion, Kind } from "./candidates.ts";

/** A person waits at the key: what takes longer is left out. */
const WAIT_MS = 1_000;
/** Nothing that could mean something to a shell or a terminal: these words are put into a command line. */
const HARMLESS = /^[A-Za-z0-9_][\w.-]{0,199}$/;

/** The names that were asked for and begin as what was typed. Never throws: without an answer there are none. */
export async function namesOf({ wanted, typed, values }: Completion): Promise<readonly string[]> {
  if (wanted.length === 0) return [];
  const client = new Client();
  const signal = AbortSignal.timeout(WAIT_MS);
  const get = <T>(path: string, range?: string): Promise<T> =>
    client.call<T>("GET", path, { signal, ...(range !== undefined && { headers: { Range: range } }) });
  const app = async (): Promise<string> =>
    (await appIfAny(new Input([], values), client.platform)) ?? Promise.reject(new Error("no app"));

  const lists: Readonly<Record<Kind, () => Promise<readonly string[]>>> = {
    app: async () => {
      const from = /^[a-z][a-z0-9-]*$/.test(typed) ? `${typed}..` : "..";
      return names(await get<Named>("/users/~/apps", `name ${from}; max=200`));
    },
    config: async () => Object.keys(await get<object>(`/apps/${await app()}/config-vars`)),
    domain: async () =>
      (await get<readonly { readonly hostname: string }[]>(`/apps/${await app()}/domains`)).map(
        (each) => each.hostname,
      ),
    dyno: async () => names(await get<Named>(`/apps/${await app()}/dynos`)),
    feature: async () => names(await get<Named>(`/apps/${await app()}/features`)),
    pipeline: async () => names(await get<Named>("/pipelines")),
    remote: async () => (await gitRemotes()).map(({ name }) => name),
    size: async () => names(await get<Named>("/dyno-sizes")),
    stack: async () => names(await get<Named>("/stacks")),
    type: async () =>
      (await get<readonly { readonly type: string }[]>(`/apps/${await app()}/formation`)).map((each) => each.type),
  };
  const found = await Promise.all(
    wanted.map(async ({ kind, after }) =>
      (await lists[kind]().catch(() => []))
        .filter((name) => HARMLESS.test(name) && name.startsWith(typed))
        .map((name) => `${name}${after}`),
    ),
  );
  return [...new Set(found.flat())];
}

type Named = readonly { readonly name: string }[];
const names = (all: Named): readonly string[] => all.map(({ name }) => name);
