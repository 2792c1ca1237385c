/**
 * Warnings: one hook for all of them, silenced by kind.
 *
 * @module
 */

/** What a warning is about, and why one would want to see it. */
export const WARNING_KINDS = {
  "precision": "a pattern that loses accuracy in fp16",
  "fp16-range": "a constant or weight that does not fit into fp16",
  "cross-chip-fp16": "a pattern whose fp16 result differs between chip families",
  "slice": "a slice that the family gets wrong, or whose large values become infinite",
  "cross-compile": "a graph another target does not take",
  "dispatch-floor": "a program so small that the cost of starting it dominates",
  "compression-fallback": "weights that could not be compressed the way asked for",
  "portable-op": "an operation the family lacks, replaced by a formula with a smaller domain",
  "target": "the chip family could not be detected",
  "compile-backoff": "a compile delayed because an earlier one failed",
  "worker": "a helper process that could not be used",
  "non-finite": "gradients or state that are infinite or not a number",
  "loss-scale": "a loss scale that may overflow on this family",
  "numerics": "which arithmetic the host device computes with",
} as const;

/** Kind of a warning. */
export type WarningKind = keyof typeof WARNING_KINDS;

/** Receives one warning. */
export type WarningHandler = (kind: WarningKind, message: string) => void;

const silenced = new Set<WarningKind>();
const issued = new Set<string>();

function print(kind: WarningKind, message: string): void {
  console.warn(`aneforge [${kind}] ${message}`);
}

let current: WarningHandler = print;

/**
 * Sets who receives warnings; without a handler they are printed with `console.warn`.
 *
 * @param handler The new handler, or `null` for printing.
 * @returns A function that puts the previous handler back.
 * @example
 * ```ts
 * const restore = onWarning((kind, message) => log.push({ kind, message }));
 * restore();
 * ```
 */
export function onWarning(handler: WarningHandler | null): () => void {
  const previous = current;
  current = handler ?? print;
  return () => {
    current = previous;
  };
}

/**
 * Drops warnings of one kind from now on.
 *
 * @param kind The kind to drop.
 * @returns A function that lets them through again.
 * @example
 * ```ts
 * silence("dispatch-floor");
 * ```
 */
export function silence(kind: WarningKind): () => void {
  silenced.add(kind);
  return () => {
    silenced.delete(kind);
  };
}

/**
 * Issues a warning.
 *
 * @param kind What it is about.
 * @param message What was seen and what to do.
 * @param once When given, warnings with the same kind and key are issued only once per process.
 */
export function warn(kind: WarningKind, message: string, once?: string): void {
  if (silenced.has(kind)) return;
  if (once !== undefined) {
    const key = `${kind}\n${once}`;
    if (issued.has(key)) return;
    issued.add(key);
  }
  current(kind, message);
}
