/**
 * `aneforge info`.
 *
 * @module
 */

import config from "../../deno.json" with { type: "json" };
import { device } from "../../ffi/device.ts";
import { cacheBase } from "../env.ts";
import { programsDir } from "../compile/cache.ts";
import { FAMILIES } from "../targets/targets.ts";
import { defineCommand, EXIT } from "./command.ts";

/** Version of this package. */
export const VERSION: string = config.version;

/** The versions of what runs this, in one line. */
export const RUNTIME = `Deno ${Deno.version.deno}, V8 ${Deno.version.v8}`;

/** What one runs on. */
export const info = defineCommand({
  name: "info",
  summary: "say which device runs programs, and with which settings",
  permissions: "--allow-ffi --allow-read --allow-write --allow-env --allow-run",
  options: {},
  run(_, out) {
    const { provider, ...found } = device();
    const family = FAMILIES[found.family - 1]!;
    const report = {
      version: VERSION,
      runtime: RUNTIME,
      system: `${Deno.build.os} ${Deno.build.arch}`,
      device: found.name,
      reason: found.reason,
      target: found.target,
      family: found.family,
      familyName: family.name,
      numerics: found.numerics,
      ...(found.threads === undefined ? {} : { threads: found.threads }),
      ...(found.isa === undefined ? {} : { isa: found.isa }),
      abi: provider.abi ?? "",
      library: found.library,
      cache: cacheBase(),
      programs: programsDir(),
    };
    if (out.json) out.object(report);
    else out.pairs(Object.entries(report).map(([name, value]) => [name, String(value)] as const));
    return EXIT.ok;
  },
});
