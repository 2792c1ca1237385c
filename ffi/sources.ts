/**
 * The C sources of the two libraries and how they are compiled: the one list that the builder, the native tests and the
 * Mach-O cross-build share.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { DeviceError } from "../src/errors.ts";

/** Version of the af_* ABI this module speaks; equals AF_ABI_VERSION in shim/aneforge.h. */
export const ABI_VERSION = 1;

/** Name of one of the two shared libraries. */
export type LibraryName = "aneforge" | "aneforge_host";

/** Directory of each library's sources, relative to the repository. */
export const SOURCE_DIRS: Readonly<Record<LibraryName, string>> = { aneforge: "shim", aneforge_host: "shim/host" };

/** C files of each library, in its directory. */
export const SOURCES: Readonly<Record<LibraryName, readonly string[]>> = {
  aneforge: [
    "block.c",
    "compile.c",
    "convert.c",
    "convert_avx2.c",
    "error.c",
    "inspect.c",
    "program.c",
    "provider.c",
    "run.c",
    "slot.c",
  ],
  aneforge_host: [
    "arena.c",
    "blob.c",
    "block_runtime.c",
    "conv.c",
    "conv_winograd.c",
    "copy.c",
    "e5rt_compiler.c",
    "e5rt_event.c",
    "e5rt_operation.c",
    "e5rt_stream.c",
    "engine.c",
    "ew.c",
    "ew_avx2.c",
    "ew_avx512.c",
    "ew_neon.c",
    "ew_portable.c",
    "exec.c",
    "gemm.c",
    "gemm_avx2.c",
    "gemm_avx512.c",
    "gemm_block.c",
    "gemm_neon.c",
    "gemm_pack.c",
    "gemm_portable.c",
    "gemm_ref.c",
    "handles.c",
    "inspect.c",
    "isa.c",
    "lrn.c",
    "mil_check.c",
    "mil_lex.c",
    "mil_ops.c",
    "mil_parse.c",
    "mil_read.c",
    "mil_shape.c",
    "mil_shape_image.c",
    "mil_target.c",
    "numerics.c",
    "pack_compressed.c",
    "plan.c",
    "plan_const.c",
    "plan_einsum.c",
    "plan_emit.c",
    "plan_fold.c",
    "plan_fuse.c",
    "plan_image.c",
    "plan_linear.c",
    "plan_memory.c",
    "plan_norm.c",
    "plan_ops.c",
    "plan_text.c",
    "pool.c",
    "pool_kernels.c",
    "reduce.c",
    "report.c",
    "report_count.c",
    "report_exact.c",
    "resample.c",
    "rows.c",
    "rows_avx2.c",
    "rows_avx512.c",
    "rows_neon.c",
    "rows_portable.c",
    "softmax.c",
    "strict.c",
    "tables.c",
    "unary.c",
  ],
};

/** What the C files include, relative to the repository. */
export const HEADERS: readonly string[] = [
  "shim/aneforge.h",
  "shim/e5rt.h",
  "shim/internal.h",
  "shim/host/block_runtime.h",
  "shim/host/conv.h",
  "shim/host/e5rt_objects.h",
  "shim/host/engine.h",
  "shim/host/ew.h",
  "shim/host/ew_impl.h",
  "shim/host/exec.h",
  "shim/host/fastmath.h",
  "shim/host/gemm_compressed.h",
  "shim/host/gemm_compressed_impl.h",
  "shim/host/gemm_impl.h",
  "shim/host/gemm_kernels.h",
  "shim/host/handles.h",
  "shim/host/image.h",
  "shim/host/isa.h",
  "shim/host/kernels.h",
  "shim/host/mil.h",
  "shim/host/mil_internal.h",
  "shim/host/mil_ops.inc",
  "shim/host/numerics.h",
  "shim/host/plan.h",
  "shim/host/pool.h",
  "shim/host/report.h",
  "shim/host/rows.h",
  "shim/host/rows_impl.h",
  "shim/host/simd.h",
  "shim/host/strict.h",
  "shim/host/tables.h",
  "shim/host/unary.h",
];

/** What differs between systems. */
export interface Platform {
  /** `linux` or `darwin`. */
  readonly os: string;
  /** `x86_64` or `aarch64`. */
  readonly arch: string;
}

/** The machine this process runs on. */
export const HOST_PLATFORM: Platform = { os: Deno.build.os, arch: Deno.build.arch };

const COMMON_FLAGS = [
  "-std=c11",
  "-fPIC",
  "-fvisibility=hidden",
  "-ffp-contract=off",
  "-D_GNU_SOURCE",
  "-D_DARWIN_C_SOURCE",
];
const WARNING_FLAGS = ["-Wall", "-Wextra"];

/** Extra flags by the end of the file name, on x86-64 only; elsewhere such a file compiles to nothing. */
const X86_FLAGS: Readonly<Record<string, readonly string[]>> = {
  "_avx512.c": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mf16c"],
  "_avx2.c": ["-mavx2", "-mfma", "-mf16c"],
};

/**
 * Compiler flags of one C file, without the optimisation level.
 *
 * @param file Name of the file.
 * @param platform System and processor compiled for.
 * @returns The flags in order.
 */
export function fileFlags(file: string, platform: Platform = HOST_PLATFORM): string[] {
  const flags = [...COMMON_FLAGS, ...WARNING_FLAGS];
  if (platform.os !== "darwin") flags.push("-pthread");
  if (platform.arch === "x86_64") {
    for (const [suffix, extra] of Object.entries(X86_FLAGS)) if (file.endsWith(suffix)) flags.push(...extra);
  }
  return flags;
}

/**
 * File name of a library on a system.
 *
 * @param library Library.
 * @param platform System.
 * @returns `lib<library>.dylib` or `lib<library>.so`.
 */
export function libraryFile(library: LibraryName, platform: Platform = HOST_PLATFORM): string {
  return `lib${library}.${platform.os === "darwin" ? "dylib" : "so"}`;
}

/**
 * Linker flags of a library, placed after the objects.
 *
 * @param library Library.
 * @param platform System linked for.
 * @returns The flags in order.
 */
export function linkFlags(library: LibraryName, platform: Platform = HOST_PLATFORM): string[] {
  const file = libraryFile(library, platform);
  if (platform.os === "darwin") return ["-dynamiclib", `-Wl,-install_name,@rpath/${file}`];
  const flags = ["-shared", "-pthread", `-Wl,-soname,${file}`, "-Wl,-z,now", "-Wl,-z,defs", "-Wl,--exclude-libs,ALL"];
  return library === "aneforge" ? [...flags, "-ldl"] : [...flags, "-lm"];
}

/**
 * What goes into a library.
 *
 * @param library Library.
 * @returns Its C files and all headers, relative to the repository, in the order of the build's hash.
 */
export function sourcePaths(library: LibraryName): string[] {
  return [...SOURCES[library].map((file) => `${SOURCE_DIRS[library]}/${file}`), ...HEADERS];
}

/**
 * Text of a source file of this module. The only place that reads them.
 *
 * @param path Path relative to the repository.
 * @returns The file's bytes.
 * @throws {DeviceError} The file cannot be read.
 */
export function readSource(path: string): Uint8Array<ArrayBuffer> {
  const url = new URL(`../${path}`, import.meta.url);
  if (url.protocol !== "file:") {
    throw new DeviceError(
      `the C sources cannot be read from ${url.protocol}// here: build the libraries from a checkout with ` +
        "`deno task build` and set ANEFORGE_SHIM to their directory",
    );
  }
  try {
    return Deno.readFileSync(url);
  } catch (cause) {
    throw new DeviceError(
      `cannot read the C source ${fileURLToPath(url)}: ${cause instanceof Error ? cause.message : cause}`,
      { cause },
    );
  }
}
