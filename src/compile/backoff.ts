/**
 * Pacing of compiles: after a failed one the next is held back for a while.
 *
 * @module
 */

import { envFlag, envNumber } from "../env.ts";
import { CompileBackoffError } from "../errors.ts";
import { warn } from "../warnings.ts";

/** Settings of a {@linkcode CompileBreaker}. */
export interface BreakerOptions {
  /** Seconds a compile is held back after a failed one; 0 or less: never. Default: 15. */
  readonly window?: number;
  /** Switches everything off. Default: false. */
  readonly disabled?: boolean;
  /** Throw instead of waiting. Default: false. */
  readonly strict?: boolean;
  /** Monotonic time in seconds. */
  readonly clock?: () => number;
  /** Waits for some seconds. */
  readonly sleep?: (seconds: number) => void;
}

/** Blocks the thread: a compile is synchronous. */
function blockFor(seconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000);
}

/**
 * Remembers the time of the last failed compile. There is no count of failures: each one starts the full window again.
 */
export class CompileBreaker {
  readonly #window: number;
  readonly #disabled: boolean;
  readonly #strict: boolean;
  readonly #clock: () => number;
  readonly #sleep: (seconds: number) => void;
  #failedAt: number | null = null;

  /**
   * A breaker that has seen no failure.
   *
   * @param options Window, mode, clock and sleep.
   */
  constructor(options: BreakerOptions = {}) {
    this.#window = options.window ?? 15;
    this.#disabled = options.disabled ?? false;
    this.#strict = options.strict ?? false;
    this.#clock = options.clock ?? (() => performance.now() / 1000);
    this.#sleep = options.sleep ?? blockFor;
  }

  /**
   * Called before a compile: waits for what is left of the window.
   *
   * @throws {CompileBackoffError} In strict mode, instead of waiting.
   */
  guard(): void {
    if (this.#disabled || this.#window <= 0 || this.#failedAt === null) return;
    const remaining = this.#window - (this.#clock() - this.#failedAt);
    if (remaining <= 0) return;
    const wait = remaining.toFixed(1);
    if (this.#strict) {
      throw new CompileBackoffError(
        `aneforge: a compile failed < ${
          this.#window.toFixed(0)
        }s ago; refusing another for ${wait}s (a defensive backstop ` +
          "for the autotuner's burst of variant compiles). Set ANEFORGE_DISABLE_COMPILE_BREAKER=1 to override.",
      );
    }
    warn(
      "compile-backoff",
      `aneforge: pacing this compile by ${wait}s - a compile failed recently (a defensive backstop for the autotuner's ` +
        "burst of variant compiles). (ANEFORGE_DISABLE_COMPILE_BREAKER=1 to override.)",
    );
    this.#sleep(remaining);
  }

  /**
   * Called after a compile.
   *
   * @param succeeded Whether a program came out.
   */
  record(succeeded: boolean): void {
    this.#failedAt = succeeded ? null : this.#clock();
  }

  /** Forgets the last failure. */
  reset(): void {
    this.#failedAt = null;
  }
}

let shared: CompileBreaker | undefined;

/**
 * The breaker of this process, set up from the environment on first use.
 *
 * @returns The one breaker all compiles go through.
 * @throws {ArgumentError} `ANEFORGE_COMPILE_BACKOFF` is not a number.
 */
export function compileBreaker(): CompileBreaker {
  shared ??= new CompileBreaker({
    window: envNumber("ANEFORGE_COMPILE_BACKOFF", 15),
    disabled: envFlag("ANEFORGE_DISABLE_COMPILE_BREAKER"),
    strict: envFlag("ANEFORGE_COMPILE_BREAKER_STRICT"),
  });
  return shared;
}

/**
 * Forgets the last failed compile, so that the next one starts at once.
 *
 * @example
 * ```ts
 * import { resetCompileBreaker } from "./backoff.ts";
 *
 * resetCompileBreaker();
 * ```
 */
export function resetCompileBreaker(): void {
  shared?.reset();
}
