import { appendFile, readFile } from "node:fs/promises";
import { writeFileAtomic } from "../../lib/atomic-file.ts";
import { UUID } from "../../lib/uuid.ts";

const REMEMBERED = 20_000;

/** Ids of removed dynos, so that a replayed `start` is refused; the latest 20,000. */
export class Tombstones {
  readonly #path: string;
  /** In the order of their removal. */
  readonly #ids: Set<string>;
  /** Lines in the file, which may hold ids that are forgotten already. */
  #lines: number;

  static async open(path: string): Promise<Tombstones> {
    const text = await readFile(path, "utf8").catch(() => ""); // the first time
    const lines = text.split("\n").filter((line) => UUID.test(line)); // a power loss may have cut the last one
    return new Tombstones(path, lines);
  }

  private constructor(path: string, lines: readonly string[]) {
    this.#path = path;
    this.#ids = new Set(lines.slice(-REMEMBERED));
    this.#lines = lines.length;
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** On disk once resolved. */
  async add(id: string): Promise<void> {
    if (this.#ids.has(id)) return;
    this.#ids.add(id);
    const [oldest] = this.#ids;
    if (this.#ids.size > REMEMBERED && oldest !== undefined) this.#ids.delete(oldest);
    this.#lines++;
    if (this.#lines < REMEMBERED * 2) return appendFile(this.#path, `${id}\n`, { mode: 0o600, flush: true });
    this.#lines = this.#ids.size;
    await writeFileAtomic(this.#path, `${[...this.#ids].join("\n")}\n`);
  }
}
