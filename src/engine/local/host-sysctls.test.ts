import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { machineLimits, tooLow } from "./host-sysctls.ts";
import { NAMESPACE_LIMITS } from "./user-limits.ts";

const atLeast = (path: string, memoryBytes = 8 * 1024 ** 3) =>
  machineLimits(memoryBytes)
    .find((each) => each.path === path)
    ?.atLeast.at(-1) ?? assert.fail(path);

test("decision 14: the machine's counters hold the share of many dynos", () => {
  assert.ok(atLeast("fs/inotify/max_user_instances") >= 500 * NAMESPACE_LIMITS.max_inotify_instances);
  assert.ok(atLeast("fs/inotify/max_user_watches") >= 500 * NAMESPACE_LIMITS.max_inotify_watches);
  assert.ok(atLeast("kernel/pty/max") >= 500 * 64);
});

test("the table of connections takes no more than a 32nd of a small machine's memory, and a million entries of a large one's", () => {
  assert.equal(atLeast("net/netfilter/nf_conntrack_max", 1024 ** 3), Math.floor(1024 ** 3 / 32 / 320));
  assert.equal(atLeast("net/netfilter/nf_conntrack_max", 1024 ** 4), 1_048_576);
});

test("what dynos' connections take is bounded by their memory before the machine's numbers are reached", () => {
  const size = 2 * 1024 ** 3;
  const ceiling = 1024 ** 3; // of a Basic dyno
  assert.ok(atLeast("net/ipv4/tcp_max_orphans", size) * 8192 >= ceiling);
  assert.ok(atLeast("net/ipv4/tcp_mem", size) * 4096 >= ceiling);
  assert.ok(atLeast("net/ipv4/udp_mem", size) * 4096 >= ceiling);
});

test("of several numbers each is raised that is too low, and none is lowered; a file that is not there is no limit", async () => {
  const root = await mkdtemp(join(tmpdir(), "stator-sysctls-"));
  try {
    const limits = [
      { path: "net/mem", atLeast: [100, 200, 300], what: "pages" },
      { path: "net/enough", atLeast: [5], what: "things" },
      { path: "net/none", atLeast: [5], what: "things" },
    ];
    await mkdir(dirname(join(root, "net/mem")), { recursive: true });
    await writeFile(join(root, "net/mem"), "50\t400\t250\n");
    await writeFile(join(root, "net/enough"), "5\n");
    assert.deepEqual(
      (await tooLow(limits, root)).map(({ path, value, wanted }) => [path, value, wanted]),
      [["net/mem", "50 400 250", "100 400 300"]],
    );
  } finally {
    await rm(root, { recursive: true });
  }
});
