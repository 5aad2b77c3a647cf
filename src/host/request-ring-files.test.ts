import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { silentLogger } from "../lib/logger.ts";
import { RequestRingFiles } from "./request-ring-files.ts";

const folders: string[] = [];
after(() => folders.map((folder) => rmSync(folder, { recursive: true })));

function filesIn(): { readonly folder: string; readonly files: RequestRingFiles } {
  const folder = mkdtempSync(join(tmpdir(), "stator-rings-"));
  folders.push(folder);
  const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  return { folder, files: new RequestRingFiles({ folder, owner, logger: silentLogger }) };
}
/** Of no process: above any limit of Linux's. */
const GONE = [5_000_001, 5_000_002, 5_000_003, 5_000_004, 5_000_005, 5_000_006];

test("each worker has a file of its own, whole from the start, and one that has its file never gets another's", async () => {
  const { folder, files } = filesIn();
  await files.prepare();
  const facts = statSync(files.next);
  assert.deepEqual([facts.size, facts.mode & 0o777, facts.blocks * 512 >= facts.size], [8 * 1024 * 1024, 0o640, true]);
  await files.took(11, true);
  assert.deepEqual([readdirSync(folder), statSync(join(folder, "11")).ino], [["11"], facts.ino]);
  await files.prepare(); // for a reload that came to nothing
  await files.took(11, false);
  assert.equal(statSync(join(folder, "11")).ino, facts.ino);
  await files.took(12, false); // adopted, after the process that started it was killed
  assert.deepEqual(readdirSync(folder).sort(), ["11", "12"]);
  await files.took(13, true); // one without a ring in a file
  assert.deepEqual(readdirSync(folder).sort(), ["11", "12"]);
});

test("a file is new each time: what was in the one before does not come again", async () => {
  const { files } = filesIn();
  await files.prepare();
  writeFileSync(files.next, "used", { flag: "r+" });
  await files.prepare();
  assert.equal(
    readFileSync(files.next).find((byte) => byte !== 0),
    undefined,
  );
});

test("files of workers that are gone wait ten minutes for the daemon, the last four of them", async () => {
  const { folder, files } = filesIn();
  for (const pid of [process.pid, ...GONE.slice(0, 2)]) writeFileSync(join(folder, String(pid)), "");
  await files.tidy(0);
  assert.equal(readdirSync(folder).length, 3);
  for (const pid of GONE.slice(2)) writeFileSync(join(folder, String(pid)), "");
  await files.tidy(60_000);
  assert.deepEqual(readdirSync(folder).sort(), [String(process.pid), ...GONE.slice(2).map(String)].sort());
  await files.tidy(601_000);
  assert.equal(readdirSync(folder).length, 5);
  await files.tidy(661_000);
  assert.deepEqual(readdirSync(folder), [String(process.pid)]);
});

test("a folder on a disk does not do, nor any program but HAProxy 2.6", async () => {
  const of = (folder: string) => new RequestRingFiles({ folder, owner: { uid: 0, gid: 0 }, logger: silentLogger });
  assert.equal(await of("/proc").suits("/usr/sbin/haproxy"), false);
  assert.equal(await of("/dev/shm").suits(process.execPath), false);
});
