import assert from "node:assert/strict";
import { test } from "node:test";
import type { LimitFacts } from "./limit-facts.ts";
import { judgeLimits, type LimitId } from "./limit-findings.ts";

const good: LimitFacts = {
  root: true,
  cgroup: { kind: "v2", swapLimit: true, tcpLimit: false, ioLimit: true },
  device: "sda",
  ioTrial: "",
  swapBytes: 0,
  bandwidthTrial: "",
  inotifyDivided: true,
  stuck: [],
  dynosOfRoot: Number.MAX_SAFE_INTEGER,
  sizes: "",
};
const v1 = { kind: "v1", swapLimit: true, tcpLimit: true, ioLimit: true } as const;

const judged = (facts: Partial<LimitFacts>, id: LimitId) => {
  const found = judgeLimits({ ...good, ...facts }).find((each) => each.id === id) ?? assert.fail(id);
  return [found.verdict, found.detail] as const;
};

test("a host that holds every limit is good in everything, each in a sentence", () => {
  const findings = judgeLimits(good);
  assert.deepEqual(
    findings.filter(({ verdict }) => verdict !== "ok"),
    [],
  );
  assert.equal(new Set(findings.map(({ id }) => id)).size, findings.length);
  for (const { detail } of findings) assert.match(detail, /^\S.*\.$/);
});

const cases: readonly (readonly [Partial<LimitFacts>, LimitId, string, RegExp])[] = [
  [{ cgroup: v1 }, "limit-memory", "degraded", /one process.* within 2 s.* limited apart/],
  [{ cgroup: { ...v1, tcpLimit: false } }, "limit-memory", "degraded", /one process.*TCP connections are not limited/],
  [{ cgroup: v1 }, "limit-io-buffered", "degraded", /does not charge/],
  [{ cgroup: { ...v1, swapLimit: false } }, "limit-swap", "ok", /no swap/],
  [{ cgroup: { ...v1, swapLimit: false }, swapBytes: 1 }, "limit-swap", "degraded", /swapaccount=1/],
  [{ cgroup: { ...v1, ioLimit: false } }, "limit-io", "degraded", /blkio is not there/],
  [{ cgroup: { ...v1, kind: "v2", ioLimit: false } }, "limit-io", "degraded", /controller io/],
  [{ device: null }, "limit-io", "degraded", /local disk/],
  [{ ioTrial: "EINVAL" }, "limit-io", "degraded", /sda: EINVAL/],
  [{ bandwidthTrial: "unknown" }, "limit-bandwidth", "degraded", /sch_tbf/],
  [{ bandwidthTrial: null }, "limit-bandwidth", "degraded", /sudo/],
  [{ inotifyDivided: false }, "limit-inotify", "degraded", /all instances/],
  [{ stuck: ["terminals (kernel.pty.max = 1)"] }, "limit-machine", "degraded", /kernel\.pty\.max/],
  [{ dynosOfRoot: 8 }, "limit-signals", "degraded", /by 8 dynos/],
  [{ sizes: "/h/sizes.json: sizes/X/memory_mb: must be >= 32" }, "sizes", "missing", /sizes\/X\/memory_mb/],
];
for (const [facts, id, verdict, detail] of cases) {
  test(`${id} with ${JSON.stringify(facts)}: ${verdict}`, () => {
    const [found, text] = judged(facts, id);
    assert.equal(found, verdict);
    assert.match(text, detail);
  });
}
