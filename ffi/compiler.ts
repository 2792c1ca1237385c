/**
 * Finds a C compiler and runs it: many files at once, without leaving synchronous code.
 *
 * @module
 */

import { envText } from "../src/env.ts";
import { DeviceError } from "../src/errors.ts";

/** A C compiler on this machine. */
export interface Compiler {
  /** Absolute path of the program. */
  readonly path: string;
  /** Arguments that come before all others (`CC="ccache gcc"`). */
  readonly args: readonly string[];
  /** Changes when the compiler is replaced: path, size and time of the program behind all links. */
  readonly identity: string;
}

/** One run of the compiler that makes one object. */
export interface CompileJob {
  /** Source, relative to the working directory or absolute. */
  readonly source: string;
  /** Object to write; it appears only when it is complete. */
  readonly object: string;
  /** Flags in front of `-c`. */
  readonly flags: readonly string[];
}

const CANDIDATES = ["clang", "cc", "gcc"];
const USUAL_PATH = "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin";

/** How to install a compiler, by system; Linux systems by the `ID` and `ID_LIKE` words of /etc/os-release. */
const INSTALL: Readonly<Record<string, string>> = {
  darwin: "xcode-select --install",
  debian: "sudo apt-get install clang",
  ubuntu: "sudo apt-get install clang",
  fedora: "sudo dnf install clang",
  rhel: "sudo dnf install clang",
  alpine: "apk add clang musl-dev",
};

/**
 * The command that installs a C compiler on a system.
 *
 * @param os `Deno.build.os`.
 * @param osRelease Text of /etc/os-release, empty when there is none.
 * @returns One line for the user.
 */
export function installHint(os: string, osRelease: string): string {
  if (os === "darwin") return `run: ${INSTALL.darwin}`;
  const words = [...osRelease.matchAll(/^ID(?:_LIKE)?="?([^"\n]*)"?$/gm)].flatMap((m) => (m[1] ?? "").split(/\s+/));
  const known = words.find((word) => INSTALL[word] !== undefined);
  if (known) return `run: ${INSTALL[known]}`;
  return `install clang or gcc (Debian, Ubuntu: ${INSTALL.debian}; Fedora: ${INSTALL.fedora}; Alpine: ${INSTALL.alpine})`;
}

function osRelease(): string {
  try {
    return Deno.readTextFileSync("/etc/os-release");
  } catch {
    return "";
  }
}

/** Size, time and real path of an executable, or undefined when there is none at this path. */
function identify(path: string): { path: string; identity: string } | undefined {
  try {
    const info = Deno.statSync(path);
    if (!info.isFile) return undefined;
    return { path, identity: `${Deno.realPathSync(path)} ${info.size} ${info.mtime?.getTime() ?? 0}` };
  } catch {
    return undefined;
  }
}

function search(program: string): { path: string; identity: string } | undefined {
  if (program.includes("/")) return identify(program);
  for (const dir of (envText("PATH") ?? USUAL_PATH).split(":")) {
    const found = dir ? identify(`${dir}/${program}`) : undefined;
    if (found) return found;
  }
  return undefined;
}

/**
 * Looks for a C compiler: `$CC`, then clang, cc, gcc in `$PATH`.
 *
 * @returns The compiler, or undefined when there is none.
 * @throws {DeviceError} `$CC` is set and is not a program.
 */
export function lookupCompiler(): Compiler | undefined {
  const [own, ...args] = (envText("CC") ?? "").split(/\s+/).filter((word) => word !== "");
  if (own) {
    const found = search(own);
    if (!found) throw new DeviceError(`CC=${JSON.stringify(envText("CC"))}: ${own} is not a program; fix or unset CC`);
    return { ...found, args };
  }
  for (const candidate of CANDIDATES) {
    const found = search(candidate);
    if (found) return { ...found, args: [] };
  }
  return undefined;
}

/**
 * Like {@linkcode lookupCompiler}, but there must be one.
 *
 * @returns The compiler.
 * @throws {DeviceError} There is none; the message says how to install one on this system.
 */
export function findCompiler(): Compiler {
  const found = lookupCompiler();
  if (found) return found;
  throw new DeviceError(
    `no C compiler found (looked for ${CANDIDATES.join(", ")} in PATH): the device library is compiled on first use; ` +
      `${installHint(Deno.build.os, osRelease())}, or set CC, or set ANEFORGE_SHIM to a directory with built libraries`,
  );
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Shell lines of one job: compile to a name of this build (`tag`), rename when done, leave the diagnostics beside it. */
function jobScript(compiler: Compiler, job: CompileJob, tag: string, more: readonly string[]): string {
  const part = `${job.object}.${tag}.part`;
  const command = [
    compiler.path,
    ...compiler.args,
    ...job.flags,
    ...more,
    "-c",
    job.source,
    "-o",
    part,
  ];
  const log = quote(`${job.object}.${tag}.log`);
  return `${command.map(quote).join(" ")} 2>${log} && mv ${quote(part)} ${quote(job.object)}`;
}

function run(command: string, args: string[], cwd: string | undefined): { success: boolean; stderr: string } {
  let output: Deno.CommandOutput;
  try {
    output = new Deno.Command(command, { args, cwd, stdin: "null", stdout: "null", stderr: "piped" }).outputSync();
  } catch (cause) {
    if (cause instanceof Deno.errors.NotCapable) {
      throw new DeviceError(
        `not allowed to run ${command}: the device library has to be built once; run with --allow-run, run ` +
          "`deno task build` first, or set ANEFORGE_SHIM to a directory with built libraries",
        { cause },
      );
    }
    throw new DeviceError(`cannot run ${command}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  return { success: output.success, stderr: new TextDecoder().decode(output.stderr) };
}

function readIfThere(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch {
    // The job did not start.
  }
}

/** What to add to a failure when it is the system's compiler that is not set up. */
function failureHint(diagnostics: string): string {
  return /xcode-select|xcrun/.test(diagnostics) ? `\n${installHint("darwin", "")}` : "";
}

/** Options of {@linkcode compileObjects}. */
export interface CompileOptions {
  /** Jobs at a time. Default: one per CPU. */
  readonly lanes?: number;
  /** Working directory of the compiler. */
  readonly cwd?: string;
  /** Treat a warning as a failure. Default: false. */
  readonly strict?: boolean;
}

/**
 * Compiles many files at once and waits for all. A shell runs the lanes, because a process cannot be awaited from
 * synchronous code.
 *
 * @param compiler Compiler to run.
 * @param jobs Objects to make; larger sources first give better lanes.
 * @param options Lanes, directory, and whether warnings count.
 * @throws {DeviceError} A file does not compile; the message holds the compiler's text.
 */
export function compileObjects(compiler: Compiler, jobs: readonly CompileJob[], options: CompileOptions = {}): void {
  if (jobs.length === 0) return;
  const width = Math.max(1, options.lanes ?? navigator.hardwareConcurrency);
  const lanes: CompileJob[][] = Array.from({ length: width }, () => []);
  jobs.forEach((job, i) => lanes[i % width]!.push(job));
  const flags = options.strict ? ["-Werror"] : [];
  const tag = `${Deno.pid}-${crypto.randomUUID().slice(0, 8)}`;
  const script = lanes.filter((lane) => lane.length > 0)
    .map((lane) => `(\n${lane.map((job) => jobScript(compiler, job, tag, flags)).join("\n")}\n) &`).join("\n");
  const { stderr } = run("/bin/sh", ["-c", `${script}\nwait`], options.cwd);
  const failed = jobs.filter((job) => readableSize(job.object) === undefined);
  const diagnostics = failed.map((job) => readIfThere(`${job.object}.${tag}.log`)).join("");
  for (const job of jobs) removeIfThere(`${job.object}.${tag}.log`);
  if (failed.length === 0) return;
  const names = failed.map((job) => job.source).join(", ");
  throw new DeviceError(
    `${compiler.path} failed on ${names}:\n${(diagnostics + stderr).trim()}${failureHint(diagnostics)}`,
  );
}

function readableSize(path: string): number | undefined {
  try {
    return Deno.statSync(path).size;
  } catch {
    return undefined;
  }
}

/**
 * Links objects into `output`.
 *
 * @param compiler Compiler that drives the linker.
 * @param objects Objects, in order.
 * @param output File to write.
 * @param flags Flags behind the objects.
 * @throws {DeviceError} Linking failed; the message holds the linker's text.
 */
export function link(compiler: Compiler, objects: readonly string[], output: string, flags: readonly string[]): void {
  const args = [...compiler.args, ...objects, "-o", output, ...flags];
  const { success, stderr } = run(compiler.path, args, undefined);
  if (!success) {
    throw new DeviceError(`${compiler.path} cannot link ${output}:\n${stderr.trim()}${failureHint(stderr)}`);
  }
}
