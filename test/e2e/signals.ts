import assert from "node:assert/strict";
import { test } from "node:test";
import { specOf, untilEnded } from "../../src/engine/contract.ts";
import type { DynoSpec, Engine } from "../../src/engine/engine.ts";
import type { EngineHost } from "./engine-host.ts";

export interface SignalsUnderTest {
  readonly engine: () => Engine;
  readonly host: () => EngineHost;
  readonly spec: Partial<DynoSpec>;
}

/** Three processes, which tell how often each was sent the signal of that name within the second after the first. */
const counting = (signal: string) => `exec perl -e '
  $| = 1; $name = "command";
  for $child (qw(one two)) { if (fork == 0) { $name = $child; last } }
  $SIG{${signal}} = sub { $told++ }; print "$name ready\n";
  select undef, undef, undef, 0.02 until $told;
  select undef, undef, undef, 0.02 for 1 .. 50;
  print "$name told $told\n";
  if ($name eq "command") { 1 while wait > 0; exit 6 }'`;

/** What a signal to a dyno promises, whatever isolates it. */
export function signalTests({ engine, host, spec: change }: SignalsUnderTest): void {
  for (const signal of ["TERM", "HUP"] as const)
    void test(`spec 3.3: SIG${signal} reaches every process in the dyno, and each once: a second one ends what waits for one`, async () => {
      const names = ["command", "one", "two"];
      const dynos = Array.from({ length: 3 }, (_, index) =>
        specOf({ command: counting(signal), name: `worker.${index + 1}`, ...change }),
      );
      for (const spec of dynos) await engine().start(spec);
      for (const { id } of dynos) {
        for (const name of names) await host().untilText(id, new RegExp(`^${name} ready$`, "m"));
        await engine().signal(id, signal);
        assert.equal((await untilEnded(engine(), id)).status, 6);
        const told = host()
          .textOf(id)
          .match(/^\w+ told \d+$/gm);
        assert.deepEqual(
          told?.toSorted(),
          names.map((name) => `${name} told 1`),
        );
      }
    });

  void test("spec 3.3: a dyno that is told to end before its command has begun ends", async () => {
    for (let round = 0; round < 5; round++) {
      const spec = specOf({ command: "exec sleep 1000", ...change });
      await engine().start(spec);
      await engine().signal(spec.id, "TERM");
      await untilEnded(engine(), spec.id);
    }
  });
}
