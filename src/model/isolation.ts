/**
 * How strong a dyno's walls are, one word for each app (docs/dynos.md). `container`: namespaces and filters of the machine's
 * own kernel. `gvisor`: an application kernel of its own for each dyno, which alone speaks to the machine's.
 */
export type Isolation = "container" | "gvisor";

export const ISOLATIONS: readonly Isolation[] = ["container", "gvisor"];

export const DEFAULT_ISOLATION: Isolation = "container";

export const isIsolation = (word: string): word is Isolation => (ISOLATIONS as readonly string[]).includes(word);
