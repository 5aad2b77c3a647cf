import type { Random } from "../lib/random.ts";

const FIRST =
  "amber autumn bold brisk calm clear cool crisp deep early fair fresh gentle golden high keen late light lively lucid mellow mild misty neat open plain polar proud quick quiet rapid rising serene sharp silent silver sober solar steady still stout sunny swift tidal vivid warm wild winter young".split(
    " ",
  );
const SECOND =
  "anchor arbor atoll basin bay beacon birch bluff breeze bridge brook cape canyon cedar cliff cloud coast cove creek delta dune ember fern field fjord forest garden glade grove gulf harbor hill island lagoon lake ledge maple marsh meadow mesa moor orbit peak pine plain pond rain reef ridge river shore sky spring stone summit tide trail valley wave willow wind".split(
    " ",
  );
const TRIES = 20;

/** Names for an app that was given none: `quiet-harbor-48213`. */
export function* appNames(random: Random): Generator<string> {
  for (let tries = 0; tries < TRIES; tries++) {
    yield `${pick(FIRST, random)}-${pick(SECOND, random)}-${10_000 + random.below(90_000)}`;
  }
}

function pick(words: readonly string[], random: Random): string {
  return words[random.below(words.length)] ?? "app";
}
