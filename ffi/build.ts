/**
 * Builds the two shared libraries from the C sources and keeps them in the cache:
 *
 * ```
 * <cache base>/lib/<sources>-<compiler>/libaneforge.so
 *                                      libaneforge_host.so
 *                                      manifest.json        sizes and SHA-256 of the two, written last
 * <cache base>/lib/.build-<pid>-<random>/                   a build under way; removed when it is a day old
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
  HOST_PLATFORM,
  libraryFile,
  type LibraryName,
  linkFlags,
  readSource,
  SOURCE_DIRS,
  sourcePaths,
  SOURCES,
} from "./sources.ts";

/** Options of {@linkcode buildLibraries}. */
export interface BuildOptions {
  /** Base of the cache. Default: {@linkcode cacheBase}. */
  readonly base?: string;
  /** Directory that keeps objects between builds, for work on the C sources. Default: none kept. */
  readonly objects?: string;
  /** Receives the line that a build begins. Default: stderr. */
  readonly log?: (line: string) => void;
  /** True when the user asked for the build: `ANEFORGE_NO_AUTOBUILD` does not apply. */
  readonly asked?: boolean;
  /** Treat a compiler warning as a failure. Default: false. */
  readonly strict?: boolean;
}

const LIBRARIES = Object.keys(SOURCES) as LibraryName[];
const OPTIMISE = "-O3";
const LEFTOVER_AGE_MS = 24 * 60 * 60 * 1000;

interface Sources {
  readonly files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  readonly hash: string;
}

interface ManifestFile {
  readonly bytes: number;
  readonly sha256: string;
}

/** Reads every source once: what is hashed is what is compiled. */
function loadSources(): Sources {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  const parts: (string | Uint8Array)[] = [`abi ${ABI_VERSION} ${HOST_PLATFORM.os} ${HOST_PLATFORM.arch} ${OPTIMISE}\0`];
  for (const path of sourcePaths()) {
    const bytes = readSource(path);
    files.set(path, bytes);
    parts.push(`${path} ${bytes.length} ${fileFlags(path).join(" ")}\0`, bytes);
  }
  for (const library of LIBRARIES) parts.push(linkFlags(library).join(" ") + "\0");
  return { files, hash: sha256(...parts).slice(0, 24) };
}

/** True when the directory holds both libraries exactly as they were written. */
function isComplete(dir: string): boolean {
  try {
    const manifest = JSON.parse(Deno.readTextFileSync(`${dir}/manifest.json`)) as Record<string, ManifestFile>;
    return LIBRARIES.every((library) => {
      const expected = manifest[libraryFile(library)];
      const path = `${dir}/${libraryFile(library)}`;
      if (!expected || Deno.statSync(path).size !== expected.bytes) return false;
      return sha256(Deno.readFileSync(path)) === expected.sha256;
    });
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

/** A complete build of these sources: by this compiler if there is one, else by any. */
function findBuilt(libDir: string, sources: Sources, compiler: Compiler | undefined): string | undefined {
  const names = compiler
    ? [directoryName(sources, compiler)]
    : directoriesIn(libDir).filter((name) => name.startsWith(`${sources.hash}-`)).sort();
  return names.map((name) => `${libDir}/${name}`).find(isComplete);
}

function directoryName(sources: Sources, compiler: Compiler): string {
  return `${sources.hash}-${sha256([compiler.identity, ...compiler.args].join("\0")).slice(0, 12)}`;
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

function writeSources(sources: Sources, temp: string): void {
  for (const dir of new Set(Object.values(SOURCE_DIRS))) Deno.mkdirSync(`${temp}/${dir}`, { recursive: true });
  for (const [path, bytes] of sources.files) Deno.writeFileSync(`${temp}/${path}`, bytes);
}

/** Compiles every C file; objects of unchanged files are taken from `options.objects` when it is given. */
function compileAll(sources: Sources, compiler: Compiler, temp: string, options: BuildOptions): Map<string, string> {
  const dir = options.objects ?? temp;
  Deno.mkdirSync(dir, { recursive: true });
  const files = [...sources.files];
  const cFiles = files.filter(([path]) => path.endsWith(".c"))
    .map(([path, bytes]) => ({ path, bytes, flags: [OPTIMISE, ...fileFlags(path)] }));
  const headers = files.filter(([path]) => !path.endsWith(".c")).map(([, bytes]) => bytes);
  return makeObjects(compiler, cFiles, headers, dir, { cwd: temp, strict: options.strict });
}

function writeLibraries(objects: Map<string, string>, compiler: Compiler, temp: string): string {
  const out = `${temp}/out`;
  Deno.mkdirSync(out);
  const manifest: Record<string, ManifestFile> = {};
  for (const library of LIBRARIES) {
    const file = libraryFile(library);
    const own = SOURCES[library].map((name) => objects.get(`${SOURCE_DIRS[library]}/${name}`)!);
    link(compiler, own, `${out}/${file}`, linkFlags(library));
    const bytes = Deno.readFileSync(`${out}/${file}`);
    manifest[file] = { bytes: bytes.length, sha256: sha256(bytes) };
  }
  Deno.writeTextFileSync(`${out}/manifest.json`, JSON.stringify(manifest, null, 1));
  return out;
}

/** Moves a finished build to its place; a broken directory that is in the way is moved aside and removed. */
function publish(out: string, target: string, temp: string): void {
  for (let attempt = 0; attempt < 5; attempt++) {
    try {
      Deno.renameSync(out, target);
      return;
    } catch (cause) {
      if (isComplete(target)) return; // another process was faster
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
 * Returns the directory with both libraries, building them when the cache has none for these sources.
 *
 * @param options Where to build and whom to tell.
 * @returns Directory of `libaneforge` and `libaneforge_host`.
 * @throws {DeviceError} No compiler, a compile error, an unwritable cache, or building is forbidden by
 * `ANEFORGE_NO_AUTOBUILD`.
 */
export function buildLibraries(options: BuildOptions = {}): string {
  const libDir = `${options.base ?? cacheBase()}/lib`;
  const sources = loadSources();
  const built = findBuilt(libDir, sources, lookupCompiler());
  if (built) return built;
  if (!options.asked && envText("ANEFORGE_NO_AUTOBUILD")) {
    throw new DeviceError(
      `no built device library in ${libDir} and ANEFORGE_NO_AUTOBUILD is set: run \`deno task build\`, or set ` +
        "ANEFORGE_SHIM to a directory with built libraries",
    );
  }
  const compiler = findCompiler();
  const temp = makeBuildDirectory(libDir);
  const target = `${libDir}/${directoryName(sources, compiler)}`;
  try {
    (options.log ?? console.error)("aneforge: building the device library (first use) …");
    removeLeftovers(libDir);
    writeSources(sources, temp);
    publish(writeLibraries(compileAll(sources, compiler, temp, options), compiler, temp), target, temp);
    return target;
  } finally {
    removeQuietly(temp);
  }
}

if (import.meta.main) {
  const objects = fileURLToPath(new URL("../.build/obj", import.meta.url));
  console.log(buildLibraries({ objects, asked: true, strict: Deno.args.includes("--strict"), log: () => {} }));
}
