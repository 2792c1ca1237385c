/**
 * Builds and runs the C tests: `deno task test:native [--sanitize=none|address|thread|all] [name ...]`. With
 * `--fuzz=SECONDS [--seed=N] [--execs=N]` it builds and runs the fuzzer of the MIL reader instead.
 *
 * Every C source is compiled once per variant; each `tests/native/*_test.c` is linked statically with all of them. The
 * host library and `recorder.c`, if it is there, are also built as shared libraries of the same variant and handed over
 * in ANEFORGE_TEST_HOST_LIBRARY and ANEFORGE_TEST_RECORDER. Warnings are errors. The last line is the sum of the
 * tests' own `N passed, N failed` lines.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import { type Compiler, findCompiler, link } from "../../ffi/compiler.ts";
import { makeObjects, type ObjectSource } from "../../ffi/objects.ts";
import {
  fileFlags,
  HEADERS,
  libraryFile,
  type LibraryName,
  linkFlags,
  readSource,
  SOURCE_DIRS,
  SOURCES,
} from "../../ffi/sources.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url)).replace(/\/$/, "");
const TESTS = "tests/native";
const LIBRARIES = Object.keys(SOURCES) as LibraryName[];

/** Flags added to compiling and linking, per variant, and the environment its programs run in. */
const VARIANTS: Readonly<Record<string, { flags: readonly string[]; env: Readonly<Record<string, string>> }>> = {
  none: { flags: ["-O3"], env: {} },
  address: {
    flags: ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
    // Not detect_stack_use_after_return: gcc 12 then misaligns 64-byte vectors on the stack (its bug 110027).
    env: { ASAN_OPTIONS: "detect_leaks=1:detect_stack_use_after_return=0", UBSAN_OPTIONS: "print_stacktrace=1" },
  },
  thread: { flags: ["-O1", "-g", "-fsanitize=thread"], env: { TSAN_OPTIONS: "halt_on_error=1" } },
};

interface Count {
  passed: number;
  failed: number;
}

interface Variant {
  readonly name: string;
  readonly dir: string;
  readonly compiler: Compiler;
  readonly flags: readonly string[];
  /** Object of each repository path. */
  readonly objects: ReadonlyMap<string, string>;
}

function listTests(only: readonly string[]): string[] {
  return [...Deno.readDirSync(`${ROOT}/${TESTS}`)].map((entry) => entry.name)
    .filter((name) => name.endsWith("_test.c") && (only.length === 0 || only.some((part) => name.includes(part))))
    .sort();
}

function libraryPaths(library: LibraryName): string[] {
  return SOURCES[library].map((file) => `${SOURCE_DIRS[library]}/${file}`);
}

/** Everything that is compiled or included, read once: all variants see the same text, even if somebody is editing. */
function readAll(): Map<string, Uint8Array> {
  const own = [...Deno.readDirSync(`${ROOT}/${TESTS}`)].map((entry) => entry.name).filter((name) =>
    /\.(c|h|inc)$/.test(name)
  );
  const paths = [...HEADERS, ...LIBRARIES.flatMap(libraryPaths), ...own.sort().map((name) => `${TESTS}/${name}`)];
  return new Map(paths.map((path) => [path, readSource(path)]));
}

function prepare(name: string, compiler: Compiler, tests: readonly string[], files: Map<string, Uint8Array>): Variant {
  const { flags } = VARIANTS[name]!;
  const dir = `${ROOT}/.build/native/${name}`;
  const snapshot = `${dir}/src`;
  for (const path of [...Object.values(SOURCE_DIRS), TESTS]) Deno.mkdirSync(`${snapshot}/${path}`, { recursive: true });
  for (const [path, bytes] of files) Deno.writeFileSync(`${snapshot}/${path}`, bytes);
  const toSource = (path: string): ObjectSource => ({
    path,
    bytes: files.get(path)!,
    flags: [...flags, ...fileFlags(path), ...(path.startsWith(TESTS) ? ["-Ishim", "-Ishim/host"] : [])],
  });
  const pick = (ending: RegExp) => [...files].filter(([path]) => ending.test(path)).map(([, bytes]) => bytes);
  const options = { cwd: snapshot, strict: true };
  const sources = LIBRARIES.flatMap(libraryPaths);
  const extra = [...tests, "recorder.c"].map((test) => `${TESTS}/${test}`).filter((path) => files.has(path));
  const objects = makeObjects(compiler, sources.map(toSource), pick(/\.(h|inc)$/), dir, options);
  // A test may include a C file to reach its static functions, so tests depend on those as well.
  const testObjects = makeObjects(compiler, extra.map(toSource), pick(/./), dir, options);
  return { name, dir, compiler, flags, objects: new Map([...objects, ...testObjects]) };
}

/** The host library and the recorder as shared libraries; names and paths for the environment. */
function linkShared(variant: Variant): Record<string, string> {
  const sanitize = variant.flags.filter((flag) => flag.startsWith("-fsanitize"));
  const host = `${variant.dir}/${libraryFile("aneforge_host")}`;
  const objects = libraryPaths("aneforge_host").map((path) => variant.objects.get(path)!);
  link(variant.compiler, objects, host, [...sanitize, ...linkFlags("aneforge_host")]);
  const env: Record<string, string> = { ANEFORGE_TEST_HOST_LIBRARY: host };
  const recorder = variant.objects.get(`${TESTS}/recorder.c`);
  if (recorder) {
    env.ANEFORGE_TEST_RECORDER = `${variant.dir}/${libraryFile("aneforge").replace("aneforge", "recorder")}`;
    link(variant.compiler, [recorder], env.ANEFORGE_TEST_RECORDER, [...sanitize, "-shared", "-pthread", "-ldl", "-lm"]);
  }
  return env;
}

/** Links and runs one test program and reads its count; one that says none, or dies, has failed. */
async function runTest(
  variant: Variant,
  test: string,
  env: Record<string, string>,
  args: readonly string[] = [],
): Promise<Count> {
  const program = `${variant.dir}/${test.replace(/\.c$/, "")}`;
  const sanitize = variant.flags.filter((flag) => flag.startsWith("-fsanitize"));
  const objects = [...variant.objects].filter(([path]) => !path.startsWith(TESTS)).map(([, object]) => object);
  const own = variant.objects.get(`${TESTS}/${test}`)!;
  link(variant.compiler, [own, ...objects], program, [...sanitize, "-pthread", "-ldl", "-lm"]);
  const start = performance.now();
  const { code, signal, stdout, stderr } = await new Deno.Command(program, {
    args: [...args],
    cwd: ROOT,
    env: { ...VARIANTS[variant.name]!.env, ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const text = new TextDecoder().decode(stdout).trimEnd();
  const count = /(\d+) passed, (\d+) failed$/.exec(text);
  const result = count ? { passed: Number(count[1]), failed: Number(count[2]) } : { passed: 0, failed: 1 };
  if (code !== 0 && result.failed === 0) result.failed = 1;
  const shown = result.failed > 0 || args.length > 0 || Deno.args.includes("--verbose");
  if (shown) console.log(text + new TextDecoder().decode(stderr));
  const end = code === 0 ? "" : `, ended with ${signal ?? code}`;
  console.log(`${test} (${variant.name}): ${result.passed} passed, ${result.failed} failed, ${seconds} s${end}`);
  return result;
}

/** Runs all tests of a variant, one per CPU at a time. */
async function runAll(variant: Variant, tests: readonly string[], env: Record<string, string>): Promise<Count> {
  const waiting = [...tests];
  const sum: Count = { passed: 0, failed: 0 };
  const lane = async () => {
    for (let test = waiting.shift(); test !== undefined; test = waiting.shift()) {
      const { passed, failed } = await runTest(variant, test, env);
      sum.passed += passed;
      sum.failed += failed;
    }
  };
  await Promise.all(Array.from({ length: navigator.hardwareConcurrency }, lane));
  return sum;
}

/** gcc before clang: its sanitizer runtimes come with the compiler on every distribution. */
function pickCompiler(): Compiler {
  if (!Deno.env.get("CC") && Deno.build.os === "linux") {
    try {
      Deno.env.set("CC", "gcc");
      return findCompiler();
    } catch {
      Deno.env.delete("CC");
    }
  }
  return findCompiler();
}

const FUZZER = "mil_fuzz.c";

/** What the fuzzer is called with, or undefined when the tests are to be run. */
function fuzzArguments(args: readonly string[]): string[] | undefined {
  const option = (name: string): string | undefined =>
    args.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3);
  const seconds = option("fuzz");
  if (seconds === undefined) return undefined;
  const numbers = [seconds, option("seed") ?? "1", option("execs") ?? String(Number.MAX_SAFE_INTEGER)];
  const bad = numbers.find((text) => !/^\d+$/.test(text));
  if (bad !== undefined) throw new Error(`--fuzz, --seed and --execs take whole numbers, got ${bad || "nothing"}`);
  return numbers;
}

async function main(args: readonly string[]): Promise<number> {
  const asked = args.find((arg) => arg.startsWith("--sanitize="))?.slice("--sanitize=".length) ?? "none";
  const names = asked === "all" ? Object.keys(VARIANTS) : [asked];
  const unknown = names.find((name) => !VARIANTS[name]);
  if (unknown) throw new Error(`--sanitize=${unknown}: expected ${Object.keys(VARIANTS).join(", ")} or all`);
  const fuzz = fuzzArguments(args);
  const tests = fuzz ? [FUZZER] : listTests(args.filter((arg) => !arg.startsWith("--")));
  const compiler = pickCompiler();
  const sum: Count = { passed: 0, failed: 0 };
  const files = readAll();
  for (const name of names) {
    const variant = prepare(name, compiler, tests, files);
    const { passed, failed } = fuzz
      ? await runTest(variant, FUZZER, {}, fuzz)
      : await runAll(variant, tests, linkShared(variant));
    sum.passed += passed;
    sum.failed += failed;
  }
  console.log(`${sum.passed} passed, ${sum.failed} failed`);
  return sum.failed;
}

if (import.meta.main) Deno.exit(await main(Deno.args) > 0 ? 1 : 0);
