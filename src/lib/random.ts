import { randomInt, randomUUID } from "node:crypto";

/** The only source of chance: passed in, so that tests and the simulation choose it. */
export interface Random {
  uuid(): string;
  /** A whole number from 0 up to, not including, `limit`. */
  below(limit: number): number;
}

export const systemRandom: Random = { uuid: () => randomUUID(), below: (limit) => randomInt(limit) };

/** The same numbers for the same seed, for ever. Not for secrets. */
export function seededRandom(seed: number): Random {
  let state = (seed ^ 0x9e3779b9) >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  const hex = () => next().toString(16).padStart(8, "0");
  return {
    below: (limit) => Math.floor((next() / 0x1_0000_0000) * limit),
    uuid: () => {
      const digits = hex() + hex() + hex() + hex();
      return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-4${digits.slice(13, 16)}-a${digits.slice(17, 20)}-${digits.slice(20)}`;
    },
  };
}
