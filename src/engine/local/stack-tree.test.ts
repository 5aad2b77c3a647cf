import assert from "node:assert/strict";
import { chmod, link, lstat, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { finishTree } from "./stack-tree.ts";

test("a tree becomes a stack; its linked sibling keeps its files", async () => {
  const folder = await mkdtemp(join(tmpdir(), "stack-tree-"));
  try {
    const tree = join(folder, "tree");
    for (const path of ["etc/apt", "var/log/apt", "usr/bin", "dev"]) await mkdir(join(tree, path), { recursive: true });
    await writeFile(join(tree, "etc/passwd"), "root:x:0:0:root:/root:/bin/bash\n");
    await link(join(tree, "etc/passwd"), join(folder, "sibling"));
    await writeFile(join(tree, "etc/nsswitch.conf"), "passwd: files\nhosts:          files dns\n");
    await writeFile(join(tree, "etc/resolv.conf"), "nameserver 10.0.0.1\n");
    await writeFile(join(tree, "etc/shadow"), "root:*:19999:0:99999:7:::\n", { mode: 0o640 });
    await writeFile(join(tree, "var/log/apt/term.log"), "today");
    await writeFile(join(tree, "usr/bin/su"), "");
    await chmod(join(tree, "usr/bin/su"), 0o4755);

    await finishTree(tree);
    await finishTree(tree); // nothing twice

    const text = (path: string) => readFile(join(tree, path), "utf8");
    assert.equal(await text("etc/passwd"), "root:x:0:0:root:/root:/bin/bash\ndyno:x:1000:1000::/app:/bin/bash\n");
    assert.equal(await readFile(join(folder, "sibling"), "utf8"), "root:x:0:0:root:/root:/bin/bash\n");
    assert.equal(await text("etc/nsswitch.conf"), "passwd: files\nhosts: files myhostname dns\n");
    assert.equal(await text("etc/resolv.conf"), "");
    assert.equal(await text("etc/shadow"), "root:*:19000:0:99999:7:::\n");
    assert.deepEqual(await readdir(join(tree, "var/log")), []);
    assert.equal((await lstat(join(tree, "usr/bin/su"))).mode & 0o7777, 0o755);
    assert.equal((await lstat(join(tree, "etc/shadow"))).mode & 0o777, 0o640);
    assert.equal((await lstat(join(tree, "tmp"))).mode & 0o7777, 0o1777);
    for (const path of ["app", "repo", "cache", "run/stator", "opt/stator/toolchain", "opt/stator/buildkit"])
      assert.ok((await lstat(join(tree, path))).isDirectory(), path);
    assert.ok((await lstat(join(tree, "etc/stator/ca.pem"))).isFile());
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
