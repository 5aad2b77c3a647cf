import assert from "node:assert/strict";
import { test } from "node:test";
import { DRAIN_LINES_MAX, DrainBuffer } from "./drain-buffer.ts";
import { framed, httpMessage, lossLine, syslogMessage } from "./drain-format.ts";
import type { StoredLine } from "./filter.ts";

const line = (id: number, text = `line ${id}`): StoredLine => ({
  id,
  at: 1_000 * id,
  source: "app",
  process: "web.1",
  text,
});
const WIDE = () => 10_000_000;

test("spec 8.4: 1,024 messages wait; the oldest goes, and is counted in the next batch", () => {
  const buffer = new DrainBuffer(10, WIDE);
  assert.equal(buffer.take(), undefined);
  for (let id = 11; id <= 10 + DRAIN_LINES_MAX; id++) buffer.push(line(id));
  assert.ok(buffer.isFull);
  for (let more = 0; more < 3; more++) buffer.push(line(11 + DRAIN_LINES_MAX + more));
  const batch = buffer.take();
  assert.deepEqual(batch?.loss, { count: 3, since: 11_000 });
  assert.equal(batch?.lines[0]?.id, 14);
  assert.equal(batch?.lines.length, DRAIN_LINES_MAX - (buffer.take()?.lines.length ?? 0));
});

test("a line's id tells what is missing before it: what was read too late is counted too", () => {
  const buffer = new DrainBuffer(5, WIDE);
  buffer.push(line(9));
  buffer.push(line(10));
  assert.deepEqual(buffer.take()?.loss, { count: 3, since: 9_000 });
  buffer.push(line(11));
  assert.equal(buffer.take()?.loss, undefined, "told once");
  const fresh = new DrainBuffer(null, WIDE);
  fresh.push(line(500));
  assert.equal(fresh.take()?.loss, undefined);
  fresh.push(line(1)); // the log began anew
  assert.deepEqual(fresh.take(), { lines: [line(1)], loss: undefined });
});

test("text is bounded as well as lines, and a batch has at most some 64 kB of it", () => {
  const buffer = new DrainBuffer(null, () => 200_000);
  for (let id = 1; id <= 30; id++) buffer.push(line(id, "x".repeat(10_000)));
  const batches = [];
  for (let batch = buffer.take(); batch; batch = buffer.take()) batches.push(batch);
  assert.deepEqual(
    batches.map(({ lines }) => lines.length),
    [6, 6, 6, 1],
  );
  assert.deepEqual(batches[0]?.loss, { count: 11, since: 1_000 });
});

test("spec 8.4: messages and their frames, to the byte", () => {
  const up: StoredLine = {
    id: 1,
    at: Date.UTC(2012, 10, 30, 6, 45, 29),
    micros: 7,
    source: "heroku",
    process: "web.3",
    text: "State changed from starting to up",
  };
  assert.equal(
    httpMessage(up),
    "<134>1 2012-11-30T06:45:29.000007+00:00 host heroku web.3 - State changed from starting to up\n",
  );
  assert.equal(
    syslogMessage(up, "d.1"),
    "<134>1 2012-11-30T06:45:29.000007+00:00 d.1 heroku web.3 - - State changed from starting to up\n",
  );
  const priority = (source: "app" | "heroku", process: string) =>
    /^<(\d+)>/.exec(httpMessage({ ...up, source, process }))?.[1];
  assert.deepEqual(
    [
      priority("app", "web.1"),
      priority("app", "api"),
      priority("app", "log-shuttle"),
      priority("heroku", "router"),
      priority("heroku", "logplex"),
    ],
    ["190", "133", "172", "158", "172"],
  );
  assert.equal(framed(["é\n", "b\n"]).toString(), "3 é\n2 b\n");
  assert.equal(
    httpMessage(lossLine(500, Date.UTC(2013, 3, 17, 19, 4, 46), up.at)),
    "<172>1 2012-11-30T06:45:29.000000+00:00 host heroku logplex - Error L10 (output buffer overflow): 500 messages dropped since 2013-04-17T19:04:46+00:00.\n",
  );
});
