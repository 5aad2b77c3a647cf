import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ensurePackages } from "../packages.ts";
import { echo } from "./apps.ts";
import { deployed, eventually, freePort, program, statorOk } from "./harness.ts";

test("a release exported as an OCI image is loaded and run by podman, answers, and is the same bytes each time", async () => {
  await ensurePackages(["podman"]);
  await using app = await deployed("export", echo);
  const folder = mkdtempSync(join(tmpdir(), "stator-export-"));
  const name = app.name;
  const storage = [
    "--root",
    join(folder, "root"),
    "--runroot",
    join(folder, "run"),
    "--storage-driver",
    "vfs",
    "--cgroup-manager",
    "cgroupfs",
  ];
  const podman = (...args: readonly string[]) => program("podman", [...storage, ...args], { timeoutMs: 300_000 });
  try {
    const [first, second] = [join(folder, "1.tar"), join(folder, "2.tar")];
    await statorOk(["releases:export", "v3", "-a", name, "-o", first]);
    await statorOk(["releases:export", "v3", "-a", name, "-o", second]);
    assert.equal((await program("cmp", [first, second])).code, 0, "byte for byte the same");
    const loaded = await podman("load", "-i", first);
    assert.equal(loaded.code, 0, loaded.stderr);
    const image = /Loaded image(?:\(s\))?: (\S+)/.exec(loaded.stdout)?.[1];
    assert.ok(image, loaded.stdout);
    const port = await freePort();
    // runc, and limits below the inherited ones: crun refuses this machine's hybrid hierarchy, and root may not raise limits here.
    const limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"];
    const options = ["-d", "--name", "exported", "--network=host", "--runtime=runc", ...limits];
    const ran = await podman("run", ...options, "-e", `PORT=${port}`, "-e", "DYNO=podman", image);
    assert.equal(ran.code, 0, ran.stderr);
    const answered = await eventually("the container answers", async () => {
      const response = await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined);
      return response?.text();
    });
    assert.match(answered, /^podman pid=/);
  } finally {
    await podman("rm", "-f", "-t", "2", "exported");
    await podman("rmi", "-af");
    rmSync(folder, { recursive: true, force: true });
  }
});
