/**
 * Builds the shared libraries from the C sources and keeps them in the cache:
 *
 * ```
 * <cache base>/lib/<library>-<sources>-<compiler>/lib<library>.so
 *                                                 manifest.json    size and SHA-256, written last
 * <cache base>/lib/.build-<pid>-<random>/         a build under way; removed when it is a day old
 * ```
 *
 * `<sources>` is a hash of sources, headers, flags, ABI version and platform, `<compiler>` one of the compiler. A
 * directory appears by one rename, so two processes that build at once both end with a whole one.
 *
 * @module
 */

import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import { cacheBase, envText } from "../src/env.ts";
import { DeviceError } from "../src/errors.ts";
import { type Compiler, findCompiler, link, lookupCompiler } from "./compiler.ts";
import { exists, makeObjects, sha256 } from "./objects.ts";
import {
  ABI_VERSION,
  fileFlags,
  HEADERS,
  HOST_PLATFORM,
  libraryFile,
  type LibraryName,
  linkFlags,
  readSource,
  SOURCE_DIRS,
  sourcePaths,
  SOURCES,
} from "./sources.ts";

/** Options of {@linkcode buildLibrary}. */
export interface BuildOptions {
  /** Base of the cache. Default: {@linkcode cacheBase}. */
  readonly base?: string;
  /** Directory that keeps objects between builds, for work on the C sources. Default: none kept. */
  readonly objects?: string;
  /** Receives the line that a build begins. Default: stderr. */
  readonly log?: (line: string) => void;
  /** True when the user asked for the build: `ANEFORGE_NO_AUTOBUILD` does not apply. */
  readonly asked?: boolean;
  /** Compile even when the library is there, and treat a warning as a failure. Default: false. */
  readonly strict?: boolean;
}

const OPTIMISE = "-O3";
const LEFTOVER_AGE_MS = 24 * 60 * 60 * 1000;

/** The sources of one library. */
interface Sources {
  readonly library: LibraryName;
  readonly files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  readonly hash: string;
}

interface Manifest {
  readonly bytes: number;
  readonly sha256: string;
}

/** Reads every source once: what is hashed is what is compiled. */
function loadSources(library: LibraryName): Sources {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  const link = linkFlags(library).join(" ");
  const parts: (string | Uint8Array)[] = [`abi ${ABI_VERSION} ${HOST_PLATFORM.os} ${HOST_PLATFORM.arch} ${link}\0`];
  for (const path of sourcePaths(library)) {
    const bytes = readSource(path);
    files.set(path, bytes);
    parts.push(`${path} ${bytes.length} ${OPTIMISE} ${fileFlags(path).join(" ")}\0`, bytes);
  }
  return { library, files, hash: sha256(...parts).slice(0, 24) };
}

/** True when the directory holds the library exactly as it was written. */
function isComplete(dir: string, library: LibraryName): boolean {
  try {
    const manifest = JSON.parse(Deno.readTextFileSync(`${dir}/manifest.json`)) as Manifest;
    const bytes = Deno.readFileSync(`${dir}/${libraryFile(library)}`);
    return bytes.length === manifest.bytes && sha256(bytes) === manifest.sha256;
  } catch {
    return false;
  }
}

function directoriesIn(dir: string): string[] {
  try {
    return [...Deno.readDirSync(dir)].filter((entry) => entry.isDirectory).map((entry) => entry.name);
  } catch {
    return [];
  }
}

function directoryName({ library, hash }: Sources, compiler: Compiler): string {
  return `${library}-${hash}-${sha256([compiler.identity, ...compiler.args].join("\0")).slice(0, 12)}`;
}

/** A complete build of these sources: by this compiler if there is one, else by any. */
function findBuilt(libDir: string, sources: Sources, compiler: Compiler | undefined): string | undefined {
  const names = compiler
    ? [directoryName(sources, compiler)]
    : directoriesIn(libDir).filter((name) => name.startsWith(`${sources.library}-${sources.hash}-`)).sort();
  return names.map((name) => `${libDir}/${name}`).find((dir) => isComplete(dir, sources.library));
}

function removeQuietly(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch {
    // Somebody else removed it, or it is not ours to remove: it only costs space.
  }
}

/** Removes builds that were killed: their directory has not been touched for a day. */
function removeLeftovers(libDir: string): void {
  for (const name of directoriesIn(libDir)) {
    if (!name.startsWith(".build-")) continue;
    try {
      const age = Date.now() - (Deno.statSync(`${libDir}/${name}`).mtime?.getTime() ?? Date.now());
      if (age > LEFTOVER_AGE_MS) removeQuietly(`${libDir}/${name}`);
    } catch {
      // Gone in the meantime.
    }
  }
}

function makeBuildDirectory(libDir: string): string {
  const temp = `${libDir}/.build-${Deno.pid}-${randomUUID().slice(0, 8)}`;
  try {
    Deno.mkdirSync(temp, { recursive: true });
  } catch (cause) {
    throw new DeviceError(
      `cannot write to the library cache ${libDir}: ${cause instanceof Error ? cause.message : cause}; ` +
        "set ANEFORGE_CACHE to a writable directory (and allow it with --allow-write)",
      { cause },
    );
  }
  return temp;
}

/** Compiles every C file; objects of unchanged files are taken from `options.objects` when it is given. */
function compileAll(sources: Sources, compiler: Compiler, temp: string, options: BuildOptions): string[] {
  for (const dir of new Set(Object.values(SOURCE_DIRS))) Deno.mkdirSync(`${temp}/${dir}`, { recursive: true });
  for (const [path, bytes] of sources.files) Deno.writeFileSync(`${temp}/${path}`, bytes);
  const objects = options.objects ?? temp;
  Deno.mkdirSync(objects, { recursive: true });
  const cFiles = SOURCES[sources.library].map((file) => {
    const path = `${SOURCE_DIRS[sources.library]}/${file}`;
    return { path, bytes: sources.files.get(path)!, flags: [OPTIMISE, ...fileFlags(path)] };
  });
  const headers = HEADERS.map((path) => sources.files.get(path)!);
  return [...makeObjects(compiler, cFiles, headers, objects, { cwd: temp, strict: options.strict }).values()];
}

/** Links into `<temp>/out` and adds the manifest. */
function writeLibrary(library: LibraryName, objects: readonly string[], compiler: Compiler, temp: string): string {
  const out = `${temp}/out`;
  const path = `${out}/${libraryFile(library)}`;
  Deno.mkdirSync(out);
  link(compiler, objects, path, linkFlags(library));
  const bytes = Deno.readFileSync(path);
  const manifest: Manifest = { bytes: bytes.length, sha256: sha256(bytes) };
  Deno.writeTextFileSync(`${out}/manifest.json`, JSON.stringify(manifest));
  return out;
}

/** Moves a finished build to its place; a broken directory that is in the way is moved aside and removed. */
function publish(out: string, target: string, library: LibraryName, temp: string): void {
  for (let attempt = 0; attempt < 5; attempt++) {
    try {
      Deno.renameSync(out, target);
      return;
    } catch (cause) {
      if (isComplete(target, library)) return; // another process was faster
      if (!exists(target)) throw new DeviceError(`cannot move the built library to ${target}`, { cause });
      try {
        Deno.renameSync(target, `${temp}/broken-${attempt}`);
      } catch {
        // Another process moved it away first.
      }
    }
  }
  throw new DeviceError(`cannot replace the broken library in ${target}: remove that directory`);
}

/**
 * Returns the path of a library, building it when the cache has none for these sources.
 *
 * @param library Which one.
 * @param options Where to build and whom to tell.
 * @returns Path of the shared library.
 * @throws {DeviceError} No compiler, a compile error, an unwritable cache, or building is forbidden by
 * `ANEFORGE_NO_AUTOBUILD`.
 */
export function buildLibrary(library: LibraryName, options: BuildOptions = {}): string {
  const libDir = `${options.base ?? cacheBase()}/lib`;
  const sources = loadSources(library);
  const built = options.strict ? undefined : findBuilt(libDir, sources, lookupCompiler());
  if (built) return `${built}/${libraryFile(library)}`;
  if (!options.asked && envText("ANEFORGE_NO_AUTOBUILD")) {
    throw new DeviceError(
      `no built ${
        libraryFile(library)
      } in ${libDir} and ANEFORGE_NO_AUTOBUILD is set: run \`deno task build\`, or set ` +
        "ANEFORGE_SHIM to a directory with built libraries",
    );
  }
  const compiler = findCompiler();
  const temp = makeBuildDirectory(libDir);
  const target = `${libDir}/${directoryName(sources, compiler)}`;
  try {
    (options.log ?? console.error)(`aneforge: building the device library ${libraryFile(library)} (first use) …`);
    removeLeftovers(libDir);
    const out = writeLibrary(library, compileAll(sources, compiler, temp, options), compiler, temp);
    publish(out, target, library, temp);
    return `${target}/${libraryFile(library)}`;
  } finally {
    removeQuietly(temp);
  }
}

/** `deno task build [--strict] [--out=DIR]`: both libraries; DIR receives copies, for ANEFORGE_SHIM elsewhere. */
function main(args: readonly string[]): void {
  const objects = fileURLToPath(new URL("../.build/obj", import.meta.url));
  const out = args.find((arg) => arg.startsWith("--out="))?.slice("--out=".length);
  for (const library of Object.keys(SOURCES) as LibraryName[]) {
    const path = buildLibrary(library, { objects, asked: true, strict: args.includes("--strict"), log: () => {} });
    console.log(path);
    if (!out) continue;
    Deno.mkdirSync(out, { recursive: true });
    Deno.copyFileSync(path, `${out}/.${libraryFile(library)}.part`);
    Deno.renameSync(`${out}/.${libraryFile(library)}.part`, `${out}/${libraryFile(library)}`);
  }
}

if (import.meta.main) {
  try {
    main(Deno.args);
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    console.error(`error: ${error.message}`);
    Deno.exit(1);
  }
}
