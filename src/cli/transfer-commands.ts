import type { CommandSpec, Flag } from "./command.ts";

const transfers = () => import("./commands/transfers.ts");

/** The commands by which an app gets another owner, and what Heroku has for the apps of teams. Part of `commands.ts`. */
export function transferCommands(app: readonly Flag[], jsonFlag: Flag): readonly CommandSpec[] {
  const one = { positionals: "any", group: "apps", flags: [] } as const;
  const ofApp = { usage: "", positionals: "none", group: "apps", flags: app } as const;
  return [
    {
      ...one,
      name: "apps:transfer",
      usage: "EMAIL",
      summary: "offer an app to another user, who becomes its owner by accepting it",
      flags: app,
      load: async () => ({ run: (await transfers()).offer }),
    },
    {
      ...one,
      name: "apps:transfers",
      usage: "",
      summary: "list the apps that you offered, or were offered",
      flags: [jsonFlag],
      positionals: "none",
      load: async () => ({ run: (await transfers()).list }),
    },
    {
      ...one,
      name: "apps:transfers:accept",
      usage: "APP",
      summary: "take an app that you were offered",
      load: async () => ({ run: (await transfers()).accept }),
    },
    {
      ...one,
      name: "apps:transfers:decline",
      usage: "APP",
      summary: "leave an app that you were offered to its owner",
      load: async () => ({ run: (await transfers()).decline }),
    },
    {
      ...one,
      name: "apps:transfers:cancel",
      usage: "APP",
      summary: "take an offer back",
      load: async () => ({ run: (await transfers()).cancel }),
    },
    {
      ...ofApp,
      name: "apps:leave",
      aliases: ["leave"],
      summary: "give up your part in an app of somebody else",
      load: async () => ({ run: (await transfers()).leave }),
    },
    ...(["join", "lock", "unlock"] as const).map(
      (name): CommandSpec => ({
        ...ofApp,
        name: `apps:${name}`,
        aliases: [name],
        summary: "not here: says what to do instead",
        hidden: true,
        load: async () => ({ run: (await transfers())[name] }),
      }),
    ),
  ];
}
