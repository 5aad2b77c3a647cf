import { StringDecoder } from "node:string_decoder";

// oxlint-disable-next-line no-control-regex
const UNWANTED = /[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\[[0-9;:]*m)/g;
// oxlint-disable-next-line no-control-regex
const BEGUN = /\x1b(?:\[[0-9;:]{0,30})?$/;

/** Without what a terminal would obey; tabs, line ends and colours (`ESC [ ... m`) stay, as they do in an app's log. */
export function harmless(text: string): string {
  return text.replace(UNWANTED, "");
}

/** The same of a text that comes in pieces. A carriage return stays: progress is shown with it. */
export class HarmlessText {
  readonly #decoder = new StringDecoder("utf8");
  #begun = "";

  push(bytes: Buffer): string {
    const text = this.#begun + this.#decoder.write(bytes);
    this.#begun = BEGUN.exec(text.slice(-32))?.[0] ?? "";
    return text
      .slice(0, text.length - this.#begun.length)
      .split("\r")
      .map(harmless)
      .join("\r");
  }
}
