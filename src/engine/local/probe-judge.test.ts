import assert from "node:assert/strict";
import { test } from "node:test";
import type { HostFacts } from "./probe-facts.ts";
import { RUNTIME_PACKAGES } from "./probe-facts.ts";
import { connectionsFor, judge, kindOf } from "./probe-judge.ts";

const works = { works: true, proc: true, error: "" };
const fails = { works: false, proc: false, error: "why not" };

const good: HostFacts = {
  root: true,
  kernel: "6.1.0-40-amd64",
  architecture: "x64",
  cgroup: { kind: "v2", controllers: ["cpu", "io", "memory", "pids"] },
  packages: Object.fromEntries(RUNTIME_PACKAGES.map((name) => [name, "1.0"])),
  trials: { crun: works, runc: works },
  gvisor: { version: 20_240_729, trial: works },
  userNamespacesMax: 90_000,
  nftError: "",
  forwardDroppedBy: [],
  modules: ["erofs", "overlay", "btrfs", "loop"],
  loopControl: true,
  disks: { setting: "auto", standing: "btrfs", trials: { btrfs: "", project: "no", image: "" } },
  disk: { path: "/var/lib/stator", freeBytes: 50 * 1024 ** 3, overlay: false },
  memory: { totalBytes: 8 * 1024 ** 3, availableBytes: 7 * 1024 ** 3 },
  filesMax: 1_048_576,
  sysResource: true,
  systemd: true,
  container: false,
  ipv6: true,
  resolvers: { named: ["127.0.0.53"], usable: ["192.168.1.1"] },
};

const verdict = (facts: Partial<HostFacts>, id: string) => {
  const finding = judge({ ...good, ...facts }).find((each) => each.id === id) ?? assert.fail(id);
  return [finding.verdict, finding.detail] as const;
};

test("a good host is good in everything, and every finding is a sentence of its own", () => {
  const findings = judge(good);
  assert.deepEqual(
    findings.filter((each) => each.verdict !== "ok"),
    [],
  );
  assert.equal(new Set(findings.map((each) => each.id)).size, findings.length);
  for (const { detail } of findings) assert.match(detail, /^\S.*[.)]$/);
});

const cases: readonly (readonly [
  what: string,
  facts: Partial<HostFacts>,
  id: string,
  verdict: string,
  detail: RegExp,
])[] = [
  ["old kernel", { kernel: "5.4.0-1" }, "kernel", "missing", /5\.11/],
  ["no gVisor", { gvisor: { version: undefined, trial: null } }, "isolation-gvisor", "ok", /isolation:install/],
  [
    "an old gVisor",
    { gvisor: { version: 20_221_219, trial: works } },
    "isolation-gvisor",
    "degraded",
    /20221219.*too old.*isolation:install/,
  ],
  ["a gVisor that fails", { gvisor: { version: 20_240_729, trial: fails } }, "isolation-gvisor", "degraded", /why not/],
  ["gVisor on arm64", { architecture: "arm64" }, "isolation-gvisor", "ok", /amd64 only.*arm64/],
  ["other processor", { architecture: "riscv64" }, "kernel", "missing", /amd64 and arm64/],
  [
    "hybrid hierarchy",
    { cgroup: { kind: "hybrid", controllers: ["cpu", "memory", "pids"] } },
    "cgroup",
    "degraded",
    /buffered writes/,
  ],
  [
    "no memory controller",
    { cgroup: { kind: "v2", controllers: ["cpu", "pids"] } },
    "cgroup",
    "missing",
    /without memory/,
  ],
  ["no hierarchy", { cgroup: { kind: "none", controllers: [] } }, "cgroup", "missing", /--privileged/],
  ["crun fails", { trials: { crun: fails, runc: works } }, "runtime", "degraded", /why not/],
  ["both fail", { trials: { crun: fails, runc: fails } }, "runtime", "missing", /why not/],
  ["no /proc", { trials: { crun: { ...works, proc: false }, runc: works } }, "proc", "missing", /hidden/],
  ["not root", { trials: null }, "runtime", "degraded", /sudo/],
  [
    "no haproxy",
    { packages: { ...good.packages, haproxy: null } },
    "package-haproxy",
    "missing",
    /apt-get install haproxy/,
  ],
  ["no runc, crun there", { packages: { ...good.packages, runc: null } }, "package-runc", "degraded", /apt-get/],
  ["no user namespaces", { userNamespacesMax: 0 }, "user-namespaces", "missing", /sysctl/],
  ["no nft", { nftError: "not permitted" }, "nftables", "missing", /not permitted/],
  [
    "docker's policy",
    { forwardDroppedBy: ["ip filter"] },
    "forwarding",
    "degraded",
    /nft insert rule ip filter FORWARD/,
  ],
  ["no erofs", { modules: ["overlay", "btrfs", "loop"] }, "erofs", "missing", /kernel/],
  ["btrfs", {}, "quota", "ok", /btrfs quota groups.*here too: image/],
  [
    "nothing limits disks",
    {
      disks: { setting: "auto", standing: null, trials: { btrfs: "no module", project: "no call", image: "no loop" } },
    },
    "quota",
    "degraded",
    /no limit.*btrfs: no module; project: no call; image: no loop\./,
  ],
  [
    "unlimited so far",
    { disks: { setting: "auto", standing: "none", trials: { btrfs: "no module", project: "no call", image: "" } } },
    "quota",
    "degraded",
    /no limit.*image: works, once no dyno runs/,
  ],
  [
    "nothing installed, images work",
    { disks: { setting: "auto", standing: null, trials: { btrfs: "no module", project: "no call", image: "" } } },
    "quota",
    "ok",
    /image for each dyno holds bytes and files.*ENOSPC.*its own/,
  ],
  [
    "project quotas",
    { disks: { setting: "project", standing: "project", trials: null } },
    "quota",
    "ok",
    /bytes and files.*its own/,
  ],
  [
    "another mechanism asked for",
    { disks: { setting: "image", standing: "btrfs", trials: { btrfs: "", project: "no", image: "" } } },
    "quota",
    "degraded",
    /STATOR_DISK=image is not followed.*stator down/,
  ],
  ["disks, not root", { disks: { setting: "auto", standing: null, trials: null } }, "quota", "degraded", /sudo/],
  ["no loop", { modules: [], loopControl: false }, "loop", "missing", /modprobe loop/],
  ["overlay root", { disk: { ...good.disk, overlay: true } }, "disk", "degraded", /volume/],
  ["full disk", { disk: { ...good.disk, freeBytes: 1e9 } }, "disk", "missing", /free some/],
  ["little memory", { memory: { totalBytes: 1e9, availableBytes: 1e8 } }, "memory", "degraded", /512 MiB/],
  ["few files", { filesMax: 1024 }, "files", "degraded", /412 connections/],
  ["no CAP_SYS_RESOURCE", { sysResource: false }, "sys-resource", "degraded", /inherited/],
  ["IPv6 resolver only", { resolvers: { named: ["fd00::1"], usable: [] } }, "resolver", "missing", /fd00::1/],
];

for (const [what, facts, id, expected, detail] of cases) {
  test(`${what}: ${expected}`, () => {
    const [found, text] = verdict(facts, id);
    assert.equal(found, expected);
    assert.match(text, detail);
  });
}

test("the router's connections follow from the limit of open files (facts 4)", () => {
  assert.equal(connectionsFor(20_000), 9900);
  assert.equal(connectionsFor(100), 0);
});

test("name servers are called by where they are", () => {
  assert.equal(kindOf("127.0.0.53"), "on this machine");
  assert.equal(kindOf("169.254.169.253"), "link-local");
  assert.equal(kindOf("172.31.0.2"), "on a private network");
  assert.equal(kindOf("172.32.0.2"), "on the internet");
});
