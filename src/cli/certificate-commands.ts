import type { CommandSpec, Flag } from "./command.ts";

const NAME: Flag = { name: "name", value: "NAME", summary: "name of the certificate, if there are several" };
const ENDPOINT: Flag = { name: "endpoint", value: "HOSTNAME", summary: "the certificate of this domain" };
const WAIT: Flag = { name: "wait", summary: "until every domain has its certificate, or failed" };

const WAIT_DOMAIN: Flag = { name: "wait", summary: "accepted: a domain is active once it was added", hidden: true };

/** Commands about certificates and the domains that they are for. */
export function certificateCommands(app: readonly Flag[], json: Flag, confirm: Flag): readonly CommandSpec[] {
  const command = (
    spec: Pick<CommandSpec, "name" | "usage" | "summary" | "flags" | "load"> & Partial<CommandSpec>,
  ): CommandSpec => ({ positionals: spec.usage === "" ? "none" : "any", group: "apps", ...spec });
  return [
    command({
      name: "certs",
      usage: "",
      summary: "list an app's certificates, and when they end",
      flags: [...app, json],
      load: () => import("./commands/certs.ts"),
    }),
    command({
      name: "certs:add",
      usage: "CRT KEY",
      summary: "upload a certificate (with its chain) and its private key, two PEM files",
      flags: [...app, json],
      load: () => import("./commands/certs-add.ts"),
    }),
    command({
      name: "certs:info",
      usage: "",
      summary: "show a certificate",
      flags: [...app, NAME, ENDPOINT, { name: "show-domains", summary: "with the domains that it is shown for" }, json],
      load: () => import("./commands/certs-info.ts"),
    }),
    command({
      name: "certs:update",
      usage: "CRT KEY",
      summary: "put another certificate in the place of one, at once and without a lost connection",
      flags: [...app, NAME, ENDPOINT, confirm],
      load: () => import("./commands/certs-update.ts"),
    }),
    command({
      name: "certs:remove",
      usage: "",
      summary: "take a certificate away",
      flags: [...app, NAME, ENDPOINT, confirm],
      load: () => import("./commands/certs-remove.ts"),
    }),
    command({
      name: "certs:auto",
      usage: "",
      summary: "how the certificates stand that the platform gets by itself (ACME)",
      flags: [...app, WAIT, json],
      load: () => import("./commands/certs-auto.ts"),
    }),
    command({
      name: "certs:auto:enable",
      usage: "",
      summary: "let the platform get and renew a certificate for each domain",
      flags: [...app, WAIT],
      load: () => import("./commands/certs-auto-enable.ts"),
    }),
    command({
      name: "certs:auto:disable",
      usage: "",
      summary: "take that back; the certificates that it got go",
      flags: [...app, confirm],
      load: () => import("./commands/certs-auto-disable.ts"),
    }),
    command({
      name: "certs:auto:refresh",
      usage: "",
      summary: "try again now what failed",
      flags: app,
      load: () => import("./commands/certs-auto-refresh.ts"),
    }),
    command({
      name: "domains",
      usage: "",
      summary: "list an app's domains",
      flags: [
        ...app,
        { name: "columns", value: "TITLES", summary: "only these columns: 'Domain Name,DNS Target'" },
        { name: "csv", short: "c", summary: "with commas, for a table of yours" },
        { name: "extended", short: "x", summary: "how its certificate stands, too" },
        { name: "filter", value: "TITLE=TEXT", summary: "only domains that hold this" },
        { name: "sort", value: "TITLE", summary: "in the order of this column" },
        { name: "no-wrap", summary: "accepted: nothing is wrapped", hidden: true },
        json,
      ],
      load: () => import("./commands/domains.ts"),
    }),
    command({
      name: "domains:add",
      usage: "HOSTNAME",
      summary: "add a domain to an app",
      flags: [
        ...app,
        { name: "cert", short: "c", value: "NAME", summary: "certificate that it is shown with" },
        WAIT_DOMAIN,
        json,
      ],
      load: () => import("./commands/domains-add.ts"),
    }),
    command({
      name: "domains:update",
      usage: "HOSTNAME",
      summary: "show a domain with another certificate",
      flags: [...app, { name: "cert", value: "NAME", summary: "its name; none: the platform's own" }],
      load: () => import("./commands/domains-update.ts"),
    }),
    command({
      name: "domains:info",
      usage: "HOSTNAME",
      summary: "show a domain",
      flags: [...app, json],
      load: () => import("./commands/domains-info.ts"),
    }),
    command({
      name: "domains:wait",
      usage: "[HOSTNAME]",
      summary: "until a domain is active, which it is once it was added",
      flags: app,
      load: () => import("./commands/domains-wait.ts"),
    }),
    command({
      name: "domains:clear",
      many: true,
      usage: "",
      summary: "take all domains from an app but its own name",
      flags: app,
      load: () => import("./commands/domains-clear.ts"),
    }),
    command({
      name: "domains:remove",
      usage: "HOSTNAME",
      summary: "take a domain from an app",
      flags: app,
      load: () => import("./commands/domains-remove.ts"),
    }),
  ];
}
