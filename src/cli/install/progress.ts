/** Says what is being done, and that it still is after two seconds. */
export class Progress {
  readonly #write: (text: string) => void;
  readonly #terminal: boolean;
  readonly #silent: boolean;
  #now = "";

  constructor(write: (text: string) => void, terminal: boolean, silent = false) {
    this.#write = write;
    this.#terminal = terminal;
    this.#silent = silent;
  }

  static silent(): Progress {
    return new Progress(() => {}, false, true);
  }

  /** Something worth a line of its own. */
  say(text: string): void {
    this.#write(`${text}\n`);
  }

  /** What a person asked for: to standard output. */
  result(text: string): void {
    if (!this.#silent) process.stdout.write(`${text}\n`);
  }

  /** What the current step is at. */
  readonly detail = (text: string): void => {
    this.#now = text;
  };

  /** Runs one step under its title. */
  async step<T>(title: string, work: (detail: (text: string) => void) => Promise<T>): Promise<T> {
    const started = Date.now();
    this.#now = "";
    let shown = "";
    this.#write(`${title}...`);
    const beat = setInterval(() => {
      const seconds = Math.round((Date.now() - started) / 1000);
      if (this.#terminal) this.#write(`\r\x1b[K${title}... ${seconds} s ${this.#now}`.slice(0, 120));
      else if (this.#now !== shown && this.#now !== "") this.#write(`\n  ${seconds} s: ${this.#now}`);
      else if (seconds % 4 === 0) this.#write(".");
      shown = this.#now;
    }, 2000);
    try {
      const value = await work(this.detail);
      const seconds = (Date.now() - started) / 1000;
      const took = seconds < 2 ? "" : ` (${Math.round(seconds)} s)`;
      this.#write(this.#terminal ? `\r\x1b[K${title}... done${took}\n` : ` done${took}\n`);
      return value;
    } catch (error) {
      this.#write(" failed\n");
      throw error;
    } finally {
      clearInterval(beat);
    }
  }
}
