import assert from "node:assert/strict";
import { test } from "node:test";
import { dynoRecord } from "../../test/support/dyno.ts";
import { type End, ended } from "./transitions.ts";

const RECORD = dynoRecord();
const MIB = 1024 * 1024;

function linesOf(change: Partial<End>) {
  const action = ended(RECORD, { at: 1, status: 137, outOfMemory: true, crash: null, ...change }, 1);
  return action.kind === "change" ? action.lines.map(({ text }) => text) : [];
}

test("spec 6.1: R15 says what the dyno held when it was killed, then how it ended", () => {
  assert.deepEqual(linesOf({ memoryBytes: 1194 * MIB }), [
    "Process running mem=1194M(233.2%)",
    "Error R15 (Memory quota vastly exceeded)",
    "Stopping process with SIGKILL",
    "Process exited with status 137",
    "State changed from up to crashed",
  ]);
});

test("where nobody knows how much it held, R15 names no number; other ends are no R15", () => {
  assert.deepEqual(linesOf({})[0], "Error R15 (Memory quota vastly exceeded)");
  const plain = (status: number) => [`Process exited with status ${status}`, "State changed from up to crashed"];
  assert.deepEqual(linesOf({ outOfMemory: false }), plain(137));
  assert.deepEqual(linesOf({ status: 1, memoryBytes: MIB }), plain(1));
});

test("a dyno that was ended because the machine was full is not told that it held too much", () => {
  const change = { outOfMemory: false, machineOutOfMemory: true } as const;
  assert.deepEqual(linesOf(change), [
    "Error R99 (Platform error) -> The machine ran out of memory, and this dyno was ended for it",
    "Process exited with status 137",
    "State changed from up to crashed",
  ]);
  assert.deepEqual(linesOf({ ...change, status: 1 })[0], "Process exited with status 1");
});
