/**
 * The commands of `aneforge`.
 *
 * @module
 */

import { bench } from "./bench.ts";
import { check } from "./check.ts";
import type { Command } from "./command.ts";
import { completionsFor } from "./completions.ts";
import { doctor } from "./doctor.ts";
import { estimate } from "./estimate.ts";
import { explain } from "./explain.ts";
import { info } from "./info.ts";
import { op } from "./op.ts";
import { ops } from "./ops.ts";
import { preflight } from "./preflight.ts";
import { run } from "./run.ts";
import { targets } from "./targets.ts";

/** All commands, in the order of `--help`. */
export const COMMANDS: readonly Command[] = [
  info,
  doctor,
  ops,
  op,
  targets,
  estimate,
  preflight,
  check,
  explain,
  bench,
  run,
  completionsFor(() => COMMANDS),
];
