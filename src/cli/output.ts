/**
 * What the commands print: lines, tables that fit the terminal, JSON.
 *
 * @module
 */

import { envText } from "../env.ts";

/** Where output goes. */
export interface Sink {
  /** Writes bytes, blocking. */
  writeSync(bytes: Uint8Array): number;
  /** Whether a person is looking. */
  isTerminal(): boolean;
}

/** Columns of a table when the output is not a terminal. */
export const FALLBACK_WIDTH = 100;
/** A column that is wrapped keeps at least this width. */
const LEAST = 12;
const GAP = 2;

/** Colours by meaning, as SGR codes. */
const STYLES = { good: "32", bad: "31", weak: "33", dim: "2", head: "1" } as const;

/** Meaning of a text, which decides about its colour. */
export type Style = keyof typeof STYLES;

/** One column of a table. */
export interface Column<T> {
  /** Head of the column. */
  readonly head: string;
  /** Text of a row's cell. */
  readonly cell: (row: T) => string;
  /** Numbers are written to the right (default `false`). */
  readonly right?: boolean;
  /** The cell may be broken into several lines; that keeps a table within the terminal. */
  readonly wrap?: boolean;
  /** Colour of the cell. */
  readonly style?: (row: T) => Style | undefined;
}

/**
 * Breaks a text at blanks, and words that are too long anywhere.
 *
 * @param text One line.
 * @param width Largest width, at least 1.
 * @returns At least one line, none wider than `width`.
 */
export function wrapText(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (let word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length <= width) {
      line += ` ${word}`;
      continue;
    }
    if (line !== "") lines.push(line);
    for (; word.length > width; word = word.slice(width)) lines.push(word.slice(0, width));
    line = word;
  }
  return line !== "" || lines.length === 0 ? [...lines, line] : lines;
}

/** Width of a line of cells. */
const total = (widths: readonly number[]): number => widths.reduce((a, b) => a + b, GAP * (widths.length - 1));

/** Widths of the columns: as wide as the cells; when that is too much, the wrapped ones share what is left. */
function columnWidths<T>(
  columns: readonly Column<T>[],
  cells: readonly (readonly string[])[],
  width: number,
): number[] {
  const widths = columns.map(({ head }, i) => Math.max(head.length, ...cells.map((row) => row[i]!.length)));
  const wrapped = columns.flatMap(({ wrap }, i) => wrap ? [i] : []);
  let excess = total(widths) - width;
  while (excess > 0) {
    const widest = wrapped.filter((i) => widths[i]! > LEAST).sort((a, b) => widths[b]! - widths[a]!)[0];
    if (widest === undefined) break;
    const next = Math.max(
      LEAST,
      ...wrapped.filter((i) => i !== widest && widths[i]! < widths[widest]!).map((i) => widths[i]!),
    );
    const step = Math.max(1, Math.min(excess, widths[widest]! - next));
    widths[widest]! -= step;
    excess -= step;
  }
  return widths;
}

/** Standard output and standard error of a command. */
export class Output {
  readonly #out: Sink;
  readonly #err: Sink;
  readonly #colour: boolean;
  readonly #width: number;
  readonly #json: boolean;

  /**
   * Output to two places.
   *
   * @param out Results.
   * @param err Messages.
   * @param options Whether results are JSON (default `false`); columns (default the terminal's, else
   * {@linkcode FALLBACK_WIDTH}).
   */
  constructor(out: Sink, err: Sink, options: { json?: boolean; width?: number } = {}) {
    this.#out = out;
    this.#err = err;
    this.#json = options.json ?? false;
    this.#colour = out.isTerminal() && !envText("NO_COLOR");
    this.#width = options.width || terminalWidth(out);
  }

  /** Whether results are to be JSON. */
  get json(): boolean {
    return this.#json;
  }

  /** Columns there are. */
  get width(): number {
    return this.#width;
  }

  /**
   * Prints the result as JSON.
   *
   * @param value What `JSON.stringify` takes; numbers that are not finite become their name.
   */
  object(value: unknown): void {
    const finite = (_: string, v: unknown): unknown => typeof v === "number" && !Number.isFinite(v) ? String(v) : v;
    this.line(JSON.stringify(value, finite, 2));
  }

  /**
   * Prints one or several lines of the result.
   *
   * @param text Without the last newline.
   */
  line(text = ""): void {
    write(this.#out, `${text}\n`);
  }

  /**
   * Prints a message to standard error.
   *
   * @param text Without the last newline.
   */
  note(text: string): void {
    write(this.#err, `${text}\n`);
  }

  /**
   * A text in colour, where there is colour.
   *
   * @param text The text.
   * @param style Its meaning; `undefined` for none.
   * @returns The text, with escapes around it.
   */
  paint(text: string, style: Style | undefined): string {
    return style === undefined || !this.#colour ? text : `\x1b[${STYLES[style]}m${text}\x1b[0m`;
  }

  /**
   * Prints a table no wider than the terminal; where the columns do not fit, the rows one below the other.
   *
   * @param columns What to show.
   * @param rows Of what.
   */
  table<T>(columns: readonly Column<T>[], rows: readonly T[]): void {
    const cells = rows.map((row) => columns.map(({ cell }) => cell(row)));
    const widths = columnWidths(columns, cells, this.#width);
    if (total(widths) > this.#width) return this.#records(columns, cells);
    const print = (texts: readonly string[], styleOf: (i: number) => Style | undefined): void => {
      const parts = texts.map((text, i) => columns[i]!.wrap ? wrapText(text, widths[i]!) : [text]);
      for (let k = 0; k < Math.max(...parts.map((lines) => lines.length)); k++) {
        const line = parts.map((lines, i) => {
          const text = lines[k] ?? "";
          const pad = " ".repeat(Math.max(0, widths[i]! - text.length));
          const painted = text === "" ? "" : this.paint(text, styleOf(i));
          return columns[i]!.right ? pad + painted : painted + pad;
        });
        this.line(line.join(" ".repeat(GAP)).trimEnd());
      }
    };
    print(columns.map(({ head }) => head), () => "head");
    cells.forEach((texts, r) => print(texts, (i) => columns[i]!.style?.(rows[r]!)));
  }

  /** Each row as head and cell of its columns, with an empty line behind it. */
  #records<T>(columns: readonly Column<T>[], cells: readonly (readonly string[])[]): void {
    for (const row of cells) {
      this.pairs(columns.flatMap(({ head }, i) => row[i] === "" ? [] : [[head, row[i]!] as const]));
      this.line();
    }
  }

  /**
   * Prints names with what they stand for; long texts continue below themselves.
   *
   * @param rows Name and text.
   */
  pairs(rows: readonly (readonly [name: string, text: string])[]): void {
    const left = Math.max(...rows.map(([name]) => name.length)) + GAP;
    for (const [name, text] of rows) {
      const [first, ...more] = wrapText(text, Math.max(LEAST, this.#width - left));
      this.line(`${this.paint(name, "head")}${" ".repeat(left - name.length)}${first}`.trimEnd());
      for (const line of more) this.line(" ".repeat(left) + line);
    }
  }
}

function write(sink: Sink, text: string): void {
  let bytes: Uint8Array = new TextEncoder().encode(text);
  while (bytes.length > 0) bytes = bytes.subarray(sink.writeSync(bytes));
}

function terminalWidth(out: Sink): number {
  if (!out.isTerminal()) return FALLBACK_WIDTH;
  try {
    return Deno.consoleSize().columns || FALLBACK_WIDTH;
  } catch {
    return FALLBACK_WIDTH;
  }
}

/**
 * A duration in the unit that suits it.
 *
 * @param us Microseconds.
 * @returns For example `63.3 us`, `4.20 ms`, `1.50 s`.
 */
export function duration(us: number): string {
  if (us < 1000) return `${us.toFixed(1)} us`;
  return us < 1e6 ? `${(us / 1000).toFixed(2)} ms` : `${(us / 1e6).toFixed(2)} s`;
}
