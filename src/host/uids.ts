import { open, readFile } from "node:fs/promises";
import { run } from "../lib/command.ts";

/** 4096 apps, each with 65,536 ids. */
export const BLOCK = 4096 * 65_536;
/** Above what distributions and other tools hand out; below what the kernel and some tools take for negative. */
const FIRST = 0x2000_0000;
const END = 0xf000_0000;
const TABLES = { "/etc/subuid": "subuids", "/etc/subgid": "subgids" } as const;

/** One line of /etc/subuid or /etc/subgid. */
export interface Claim {
  readonly user: string;
  readonly start: number;
  readonly count: number;
}

/**
 * First of the instance's block of user ids, which it has for ever: entered for the daemon's user in /etc/subuid and /etc/subgid,
 * where other instances and other tools see that it is taken.
 */
export async function claimUids(user: string): Promise<number> {
  for (const table of Object.keys(TABLES)) await (await open(table, "a", 0o644)).close(); // it must be there
  let start = chooseBlock(user, await readClaims());
  while (start !== undefined) {
    for (const [table, word] of Object.entries(TABLES)) {
      const has = parseClaims(await readFile(table, "utf8")).some((each) => isBlockOf(each, user, start));
      if (!has) await run("usermod", [`--add-${word}`, `${start}-${start + BLOCK - 1}`, "--", user]);
    }
    const claims = await readClaims();
    // Another instance may have looked at the same instant: the one whose name sorts first stays.
    const rival = claims.find((each) => each.user < user && overlaps(each, start ?? 0));
    if (rival === undefined) return start;
    for (const word of Object.values(TABLES))
      await run("usermod", [`--del-${word}`, `${start}-${start + BLOCK - 1}`, "--", user]);
    start = chooseBlock(user, await readClaims());
  }
  throw new Error("No block of 2^28 user ids is free in /etc/subuid and /etc/subgid.");
}

/** The block that the user has, else the first that nobody has; undefined if all are taken. Pure. */
export function chooseBlock(user: string, claims: readonly Claim[]): number | undefined {
  const own = claims.find((each) => each.user === user && each.count === BLOCK);
  if (own !== undefined) return own.start;
  for (let start = FIRST; start < END; start += BLOCK) if (!claims.some((each) => overlaps(each, start))) return start;
  return undefined;
}

export function parseClaims(text: string): readonly Claim[] {
  return text.split("\n").flatMap((line) => {
    const [user = "", start, count] = line.split(":");
    const claim = { user, start: Number(start), count: Number(count) };
    return user !== "" && Number.isSafeInteger(claim.start) && Number.isSafeInteger(claim.count) ? [claim] : [];
  });
}

async function readClaims(): Promise<readonly Claim[]> {
  const texts = await Promise.all(Object.keys(TABLES).map((table) => readFile(table, "utf8")));
  return texts.flatMap(parseClaims);
}

const isBlockOf = (claim: Claim, user: string, start: number | undefined): boolean =>
  claim.user === user && claim.start === start && claim.count === BLOCK;

const overlaps = ({ start, count }: Claim, block: number): boolean => start < block + BLOCK && block < start + count;
