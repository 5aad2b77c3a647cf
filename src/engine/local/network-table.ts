import type { Logger } from "../../lib/logger.ts";
import { type Elements, NO_ELEMENTS, renderChange, sameElements } from "./allowed-elements.ts";
import { nftText } from "./network-commands.ts";
import { Serial } from "./serial.ts";

export interface NetworkTableOptions {
  readonly name: string;
  /** On tmpfs. */
  readonly folder: string;
  /** What the sets of what apps were allowed should hold; asked whenever they are written. */
  readonly wanted: () => Elements;
  readonly logger: Logger;
}

/**
 * The instance's table as the kernel has it: replaced as a whole when the rules change, and element by element when only
 * dynos come and go or an app is allowed something.
 */
export class NetworkTable {
  readonly #options: NetworkTableOptions;
  readonly #serial = new Serial();
  #rules = "";
  #stands = false;
  /** What the kernel has, and what it will have in a moment. */
  #elements: Elements = NO_ELEMENTS;
  #coming: Elements | undefined;
  #queued: Promise<void> | undefined;

  constructor(options: NetworkTableOptions) {
    this.#options = options;
  }

  /** Whether the kernel has these rules, as far as is known. */
  stands(rules: string): boolean {
    return this.#stands && rules === this.#rules;
  }

  /** It was seen to be gone. */
  lost(): void {
    this.#stands = false;
  }

  get isLost(): boolean {
    return !this.#stands;
  }

  /** Loads the rules and all elements as one transaction. */
  load(rules: string): Promise<void> {
    return this.#serial.run("", () => this.#replace(rules));
  }

  /** Whether the kernel's sets hold just these of the index, and nothing under way changes that. */
  holds(index: number, elements: readonly string[]): boolean {
    return [this.#elements, this.#coming ?? this.#elements].every((each) => sameElements(each.get(index), elements));
  }

  /** Makes the elements what is wanted now; calls that come together are one transaction. */
  enter(): Promise<void> {
    this.#queued ??= this.#serial.run("", () => {
      this.#queued = undefined;
      return this.#change();
    });
    return this.#queued;
  }

  async #change(): Promise<void> {
    const { name, wanted, logger } = this.#options;
    if (this.#rules === "") return; // the first rules bring them
    const after = wanted();
    const change = renderChange(name, this.#elements, after);
    if (change === "") return;
    if (!this.#stands) return this.#replace(this.#rules);
    try {
      await this.#write(change, after);
    } catch (error) {
      // The table may have gone a moment ago; whatever it is, a whole one makes it right.
      logger.warn("network.elements_failed", { table: name, error });
      await this.#replace(this.#rules);
    }
  }

  async #replace(rules: string): Promise<void> {
    const { name, wanted } = this.#options;
    const after = wanted();
    this.#rules = rules;
    this.#stands = false;
    await this.#write(`${rules}${renderChange(name, NO_ELEMENTS, after)}`, after);
    this.#stands = true;
  }

  async #write(text: string, after: Elements): Promise<void> {
    this.#coming = after;
    try {
      await nftText(this.#options.folder, text);
      this.#elements = after;
    } finally {
      this.#coming = undefined;
    }
  }
}
