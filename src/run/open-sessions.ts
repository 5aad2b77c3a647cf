/** In which dynos somebody has a session now: the sessions say so, and whoever would stop the dynos asks. */
export class OpenSessions {
  readonly #dynoIds = new Map<object, string>();

  isIn(dynoId: string): boolean {
    return [...this.#dynoIds.values()].includes(dynoId);
  }

  /** Counts a session until `over` resolves, which never rejects. */
  add(dynoId: string, over: Promise<unknown>): void {
    this.#dynoIds.set(over, dynoId);
    void over.then(() => this.#dynoIds.delete(over));
  }
}
