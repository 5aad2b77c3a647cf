/** The build cannot go on; the lines tell the pusher why and what to do. Shown after ` !     `. */
export class BuildFailed extends Error {
  readonly lines: readonly string[];
  constructor(...lines: readonly string[]) {
    super(lines.join(" "));
    this.name = "BuildFailed";
    this.lines = lines;
  }
}

const DISK_FULL = /\b(?:ENOSPC|EDQUOT)\b|No space left on device|Disk quota exceeded/;

/** Whether a program's words, or an error of ours, say that the disk is full. A limited store says EDQUOT instead of ENOSPC. */
export function saysDiskFull(what: unknown): boolean {
  if (typeof what === "string") return DISK_FULL.test(what);
  return what instanceof Error && DISK_FULL.test(`${String((what as NodeJS.ErrnoException).code)} ${what.message}`);
}

export function diskFull(diskMb: number): BuildFailed {
  return new BuildFailed(
    `The build filled its disk (${diskMb} MB) or its cache.`,
    "Make it write less, or keep large files out of the repository. The cache was emptied.",
    "Push failed",
  );
}
