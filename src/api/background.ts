import type { Logger } from "../lib/logger.ts";

/** Work that goes on after its call was answered; waited for when the API stops. */
export class Background implements AsyncDisposable {
  readonly #logger: Logger;
  readonly #work = new Set<Promise<void>>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** `work` must end soon after the API's own signal. Its failure is logged as `event`. */
  add(event: string, work: Promise<void>): void {
    const caught = work
      .catch((error: unknown) => this.#logger.error(event, { error }))
      .finally(() => this.#work.delete(caught));
    this.#work.add(caught);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#work);
  }
}
