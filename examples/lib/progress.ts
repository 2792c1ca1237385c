/**
 * Output of the long-running examples: lines, and a progress bar where there is a terminal.
 *
 * @module
 */

import { envText } from "../../src/env.ts";

/** Where output goes. */
export interface Sink {
  /** Writes bytes, blocking. */
  writeSync(bytes: Uint8Array): number;
  /** Whether a person is looking. */
  isTerminal(): boolean;
}

const WIDTH = 28;

/**
 * Prints lines, and redraws one line of progress in between. Without a terminal only the lines appear; with `NO_COLOR` set
 * the bar has no colour.
 *
 * @example
 * ```ts
 * const out = new Progress(Deno.stderr);
 * out.bar(10, 469, "epoch 1");
 * out.line("epoch 1: 93 %");
 * ```
 */
export class Progress {
  readonly #sink: Sink;
  readonly #terminal: boolean;
  readonly #colour: boolean;
  #shown = false;
  #last = -Infinity;

  constructor(sink: Sink, colour = !envText("NO_COLOR")) {
    this.#sink = sink;
    this.#terminal = sink.isTerminal();
    this.#colour = colour;
  }

  #write(text: string): void {
    let bytes: Uint8Array = new TextEncoder().encode(text);
    while (bytes.length > 0) bytes = bytes.subarray(this.#sink.writeSync(bytes));
  }

  /** Shows a line that the next output replaces. */
  status(text: string): void {
    if (!this.#terminal) return;
    this.#write(`\r\x1b[2K${text}`);
    this.#shown = true;
  }

  /** Draws the bar, at most twenty times a second. */
  bar(done: number, of: number, text: string): void {
    const now = performance.now();
    if (done < of && now - this.#last < 50) return;
    this.#last = now;
    const filled = of > 0 ? Math.round(WIDTH * Math.min(done / of, 1)) : WIDTH;
    const [on, off] = this.#colour ? ["\x1b[32m", "\x1b[0m"] : ["", ""];
    const bar = `${on}${"█".repeat(filled)}${off}${"░".repeat(WIDTH - filled)}`;
    this.status(`${bar} ${done}/${of} ${text}`);
  }

  /** Removes the bar. */
  clear(): void {
    if (this.#shown) this.#write("\r\x1b[2K");
    this.#shown = false;
  }

  /** Prints a line. */
  line(text = ""): void {
    this.clear();
    this.#write(text + "\n");
  }
}
