import type { CommandSpec, Flag } from "./command.ts";

/** Switches of an app and of the account, telemetry, and what else the official CLI has of an app: part of `commands.ts`. */
export function appCommands(app: readonly Flag[], json: Flag): readonly CommandSpec[] {
  const maintenance = () => import("./commands/maintenance.ts");
  const features = () => import("./commands/features.ts");
  const labs = () => import("./commands/labs.ts");
  const telemetry = () => import("./commands/telemetry.ts");
  const space: Flag = {
    name: "space",
    short: "s",
    value: "SPACE",
    summary: "not here",
    refused: "There are no spaces here.",
  };
  const signals: Flag = { name: "signals", value: "LIST", summary: "traces, metrics, logs, or all" };
  const headers: Flag = { name: "headers", value: "JSON", summary: 'headers of each request: \'{"x-key": "..."}\'' };
  const transport: Flag = { name: "transport", value: "http|grpc", summary: "how it is sent (http)" };
  const plain = { usage: "", positionals: "none", group: "apps" } as const;
  const named = (usage: string) => ({ usage, positionals: "any", group: "apps" }) as const;
  return [
    {
      ...named("NAME"),
      name: "apps:rename",
      aliases: ["rename"],
      summary: "give an app another name; its remotes in this repository follow",
      flags: app,
      load: () => import("./commands/apps-rename.ts"),
    },
    {
      ...plain,
      name: "maintenance",
      summary: "whether visitors of an app see its maintenance page",
      flags: app,
      load: async () => ({ run: (await maintenance()).show }),
    },
    {
      ...plain,
      name: "maintenance:on",
      summary: "show visitors the maintenance page",
      flags: app,
      load: async () => ({ run: (await maintenance()).on }),
    },
    {
      ...plain,
      name: "maintenance:off",
      summary: "let visitors in again",
      flags: app,
      load: async () => ({ run: (await maintenance()).off }),
    },
    {
      ...plain,
      name: "features",
      summary: "list an app's features and which are on",
      flags: [...app, json],
      load: async () => ({ run: (await features()).list }),
    },
    {
      ...named("FEATURE"),
      name: "features:info",
      summary: "show a feature",
      flags: [...app, json],
      load: async () => ({ run: (await features()).info }),
    },
    {
      ...named("FEATURE"),
      name: "features:enable",
      summary: "turn a feature on",
      flags: app,
      load: async () => ({ run: (await features()).enable }),
    },
    {
      ...named("FEATURE"),
      name: "features:disable",
      summary: "turn a feature off",
      flags: app,
      load: async () => ({ run: (await features()).disable }),
    },
    {
      ...plain,
      name: "labs",
      summary: "list experimental features, of your account and of an app",
      flags: [...app, json],
      load: async () => ({ run: (await labs()).list }),
    },
    {
      ...named("FEATURE"),
      name: "labs:info",
      summary: "show an experimental feature",
      flags: [...app, json],
      load: async () => ({ run: (await labs()).info }),
    },
    {
      ...named("FEATURE"),
      name: "labs:enable",
      summary: "turn an experimental feature on",
      flags: app,
      load: async () => ({ run: (await labs()).enable }),
    },
    {
      ...named("FEATURE"),
      name: "labs:disable",
      summary: "turn an experimental feature off",
      flags: [...app, { name: "confirm", value: "APP", summary: "accepted", hidden: true }],
      load: async () => ({ run: (await labs()).disable }),
    },
    {
      ...plain,
      name: "regions",
      summary: "list regions: there is one, this machine",
      flags: [
        { name: "common", summary: "of the common runtime" },
        { name: "private", summary: "of private spaces" },
        json,
      ],
      load: () => import("./commands/regions.ts"),
    },
    {
      ...plain,
      name: "telemetry",
      summary: "list an app's telemetry drains",
      flags: [...app, space, json],
      load: async () => ({ run: (await telemetry()).list }),
    },
    {
      ...named("ENDPOINT"),
      name: "telemetry:add",
      summary: "send an app's log to an OpenTelemetry endpoint",
      flags: [...app, space, headers, signals, transport],
      load: async () => ({ run: (await telemetry()).add }),
    },
    {
      ...named("ID"),
      name: "telemetry:info",
      summary: "show a telemetry drain",
      flags: [json],
      load: async () => ({ run: (await telemetry()).info }),
    },
    {
      ...named("ID"),
      name: "telemetry:update",
      summary: "change a telemetry drain",
      flags: [{ name: "endpoint", value: "URL", summary: "where it goes" }, headers, signals, transport],
      load: async () => ({ run: (await telemetry()).update }),
    },
    {
      ...named("[ID]"),
      name: "telemetry:remove",
      many: true,
      summary: "remove a telemetry drain, or all of an app",
      flags: [...app, space],
      load: async () => ({ run: (await telemetry()).remove }),
    },
    {
      ...named("[KEY]"),
      name: "config:edit",
      noJson: "a person edits",
      summary: "change config vars in your editor ($VISUAL, $EDITOR)",
      flags: app,
      load: () => import("./commands/config-edit.ts"),
    },
    {
      ...named("[FOLDER]"),
      name: "git:clone",
      noJson: "its output is git's",
      summary: "clone an app's repository",
      flags: app,
      load: () => import("./commands/git-clone.ts"),
    },
    {
      ...named("bash | zsh | fish"),
      group: "machine",
      name: "completion",
      noJson: "its output is a script",
      summary: 'completion for your shell: eval "$(stator completion bash)"',
      flags: [],
      load: () => import("./commands/completion.ts"),
    },
    {
      ...named("SHELL -- WORD..."),
      name: "complete",
      noJson: "shells read it",
      summary: "what could come next, for the scripts of completion",
      flags: [],
      hidden: true,
      load: () => import("./commands/complete.ts"),
    },
    {
      ...plain,
      name: "ps:wait",
      summary: "until every dyno runs the newest release",
      flags: [
        ...app,
        { name: "type", short: "t", value: "TYPE", summary: "only those of this process type" },
        { name: "wait-interval", short: "w", value: "S", summary: "seconds between two looks (10, at least 10)" },
        { name: "with-run", short: "R", summary: "one-off dynos too" },
      ],
      load: () => import("./commands/ps-wait.ts"),
    },
  ];
}
