import { existsSync } from "node:fs";
import { join } from "node:path";
import { compileCacheOf, type Instance, MALLOC_OPTIONS, NODE_OPTIONS } from "../../model/instance.ts";

export interface UnitOptions {
  readonly node: string;
  /** Whether cgroup v2 alone is mounted: only there can groups be delegated to us. */
  readonly unified: boolean;
}

/**
 * The systemd units of an instance, by file name. The host process and the daemon end without taking along what they
 * started (`KillMode=process`): dynos, conmon and HAProxy live on over restarts and upgrades. The dynos' groups lie in a
 * scope of their own, delegated to us; a service's own group will not do, because systemd cannot start a service again in
 * a group that hands controllers on. Pure.
 */
export function unitsOf(instance: Instance, program: string, options: UnitOptions): Readonly<Record<string, string>> {
  const { node, unified } = options;
  const name = `stator-${instance.id}`;
  const main = join(program, "src", "main.ts");
  const malloc = Object.entries(MALLOC_OPTIONS).map(([name, value]) => `${name}=${value}`);
  const environment = (role: "daemon" | "host") =>
    [`STATOR_HOME=${instance.home}`, `NODE_COMPILE_CACHE=${compileCacheOf(instance, role)}`, ...malloc].join(" ");
  return {
    [`${name}.slice`]: unit({
      Unit: { Description: `Stator (${instance.home}): dynos and platform` },
      Slice: { CPUAccounting: "yes", MemoryAccounting: "yes", TasksMax: "infinity" },
    }),
    [`${name}-dynos.service`]: unit({
      Unit: { Description: `Stator (${instance.home}): the group of all dynos`, Before: `${name}-host.service` },
      Service: {
        Type: "oneshot",
        RemainAfterExit: "yes",
        Slice: `${name}.slice`,
        RuntimeDirectory: name,
        RuntimeDirectoryMode: "0755",
        RuntimeDirectoryPreserve: "yes",
        Environment: `STATOR_HOME=${instance.home}`,
        ExecStart: `${node} ${join(program, "src", "cli", "install", "dyno-scope.ts")}`,
      },
      Install: { WantedBy: "multi-user.target" },
    }),
    [`${name}-host.service`]: unit({
      Unit: {
        Description: `Stator (${instance.home}): dynos, network rules and router`,
        Requires: `${name}-dynos.service`,
        After: `${name}-dynos.service network-online.target nftables.service`,
        Wants: "network-online.target",
        StartLimitIntervalSec: "0",
      },
      Service: {
        ...always,
        Slice: `${name}.slice`,
        Environment: `${environment("host")}${unified ? ` STATOR_CGROUP_PARENT=${scopePath(instance)}` : ""}`,
        ExecStart: `${node} ${NODE_OPTIONS} ${main} host`,
        KillMode: "process",
        LimitNOFILE: "1048576",
        // Those of dynos are counted for root as well, who made their user namespaces.
        LimitSIGPENDING: "infinity",
        LimitMSGQUEUE: "infinity",
        TasksMax: "infinity",
        OOMScoreAdjust: "-900",
      },
      Install: { WantedBy: "multi-user.target" },
    }),
    [`${name}.service`]: unit({
      Unit: {
        Description: `Stator (${instance.home}): API, git, builds, supervisor, logs`,
        Wants: `${name}-host.service`,
        After: `${name}-dynos.service ${name}-host.service`,
        StartLimitIntervalSec: "0",
      },
      Service: {
        ...always,
        ...walls,
        // Its own /tmp would hide a home that lies in /tmp.
        ...(/^\/(?:var\/)?tmp\//.test(instance.home) ? {} : { PrivateTmp: "yes" }),
        Slice: `${name}.slice`,
        User: instance.users.daemon,
        Group: instance.users.daemon,
        Environment: environment("daemon"),
        ExecStart: `${node} ${NODE_OPTIONS} ${main} daemon`,
        ReadWritePaths: `${instance.home} /run/${name}`,
        LimitNOFILE: "1048576",
        OOMScoreAdjust: "-500",
      },
      Install: { WantedBy: "multi-user.target" },
    }),
  };
}

/** The delegated scope below the root of the control groups. */
export function scopePath(instance: Instance): string {
  const name = `stator-${instance.id}`;
  return `/stator.slice/${name}.slice/${name}-dynos.scope`;
}

/** The group below which the instance's own goes: systemd's scope where there is one, else "", the root. */
export function cgroupParentOf(instance: Instance): string {
  const scope = scopePath(instance);
  return existsSync(join("/sys/fs/cgroup", scope)) ? scope : "";
}

const always = { Type: "simple", Restart: "always", RestartSec: "200ms" };

/** What the daemon may not do, besides being an ordinary user: it holds no capability and gets none. */
const walls = {
  CapabilityBoundingSet: "",
  AmbientCapabilities: "",
  NoNewPrivileges: "yes",
  ProtectSystem: "strict",
  PrivateDevices: "yes",
  ProtectKernelTunables: "yes",
  ProtectKernelModules: "yes",
  ProtectKernelLogs: "yes",
  ProtectControlGroups: "yes",
  ProtectClock: "yes",
  ProtectHostname: "yes",
  RestrictAddressFamilies: "AF_UNIX AF_INET AF_INET6 AF_NETLINK",
  RestrictNamespaces: "yes",
  RestrictRealtime: "yes",
  RestrictSUIDSGID: "yes",
  LockPersonality: "yes",
  SystemCallArchitectures: "native",
  UMask: "0077",
};

type Sections = Readonly<Record<string, Readonly<Record<string, string>>>>;

function unit(sections: Sections): string {
  const texts = Object.entries(sections).map(([title, facts]) =>
    [`[${title}]`, ...Object.entries(facts).map(([key, value]) => `${key}=${value}`)].join("\n"),
  );
  return `# Written by \`stator up\`; it is written anew at each upgrade.\n${texts.join("\n\n")}\n`;
}
