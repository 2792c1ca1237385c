// The library builder: cache, compiler, and everything that can go wrong with them. Only the small shim is built here.

import { assert, assertEquals, assertMatch, assertNotEquals, assertThrows } from "@std/assert";
import { fileURLToPath } from "node:url";
import { buildLibrary } from "../ffi/build.ts";
import { installHint } from "../ffi/compiler.ts";
import { openLibrary } from "../ffi/library.ts";
import {
  ABI_VERSION,
  fileFlags,
  HEADERS,
  libraryFile,
  type LibraryName,
  SOURCE_DIRS,
  SOURCES,
} from "../ffi/sources.ts";
import { SYMBOLS } from "../ffi/symbols.ts";
import { DeviceError } from "../src/errors.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const FILE = libraryFile("aneforge");
const quiet = { log: () => {} };

function withTempDir(body: (dir: string) => void | Promise<void>): () => Promise<void> {
  return async () => {
    const dir = await Deno.makeTempDir({ prefix: "aneforge_build_" });
    try {
      await body(dir);
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  };
}

/** A process that builds the shim, with this environment and nothing inherited but what a process needs. */
function builder(env: Record<string, string>, permissions: string[] = ["-A"]): Deno.ChildProcess {
  const script = `import { buildLibrary } from ${JSON.stringify(new URL("../ffi/build.ts", import.meta.url).href)};
    try { console.log(buildLibrary("aneforge")); } catch (error) { console.log(String(error)); Deno.exit(3); }`;
  const base = { PATH: Deno.env.get("PATH")!, HOME: Deno.env.get("HOME") ?? "/", DENO_DIR: Deno.env.get("DENO_DIR") };
  const set = Object.fromEntries(Object.entries({ ...base, ...env }).filter(([, value]) => value !== undefined));
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--quiet", ...permissions, "-"],
    env: set as Record<string, string>,
    clearEnv: true,
    cwd: ROOT,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  writer.write(new TextEncoder().encode(script)).then(() => writer.close());
  return child;
}

async function finish(child: Deno.ChildProcess): Promise<{ code: number; text: string; stderr: string }> {
  const { code, stdout, stderr } = await child.output();
  return { code, text: new TextDecoder().decode(stdout).trim(), stderr: new TextDecoder().decode(stderr).trim() };
}

function entries(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map((entry) => entry.name).sort();
}

Deno.test("the source list is what the directories hold", () => {
  for (const library of Object.keys(SOURCES) as LibraryName[]) {
    const dir = `${ROOT}${SOURCE_DIRS[library]}`;
    assertEquals(SOURCES[library], entries(dir).filter((name) => name.endsWith(".c")), SOURCE_DIRS[library]);
  }
  const headers = Object.values(SOURCE_DIRS).flatMap((dir) =>
    entries(`${ROOT}${dir}`).filter((name) => /\.(h|inc)$/.test(name)).map((name) => `${dir}/${name}`)
  );
  assertEquals(HEADERS, headers);
});

Deno.test("flags follow the file name and the processor", () => {
  const x86 = { os: "linux", arch: "x86_64" }, arm = { os: "darwin", arch: "aarch64" };
  assert(fileFlags("gemm_avx512.c", x86).includes("-mavx512f"));
  assert(fileFlags("gemm_avx2.c", x86).includes("-mf16c"));
  assert(!fileFlags("gemm_avx2.c", x86).includes("-mavx512f"));
  for (const [file, platform] of [["gemm.c", x86], ["gemm_neon.c", x86], ["gemm_avx512.c", arm]] as const) {
    assertEquals(fileFlags(file, platform).filter((flag) => flag.startsWith("-m")), []);
    assert(fileFlags(file, platform).includes("-ffp-contract=off"));
  }
});

Deno.test("the symbol table has the functions and parameters of aneforge.h", () => {
  const header = Deno.readTextFileSync(`${ROOT}shim/aneforge.h`).replaceAll(/\s+/g, " ");
  const table = Deno.readTextFileSync(`${ROOT}ffi/symbols.ts`);
  const expected = [...header.matchAll(/AF_API ([^;()]*?)(af_\w+)\(([^)]*)\);/g)].map((
    [, result, name, parameters],
  ) => ({
    name,
    result: typeOf(result!.trim()),
    parameters: parameters === "void" ? [] : parameters!.split(",").map((text) => /(\w+)$/.exec(text)![1]!),
    types: parameters === "void" ? [] : parameters!.split(",").map((text) => typeOf(text.trim())),
  }));
  assertEquals(Object.keys(SYMBOLS).sort(), expected.map((row) => row.name!).sort());
  for (const { name, result, parameters, types } of expected) {
    const row = SYMBOLS[name as keyof typeof SYMBOLS];
    assertEquals(row.parameters.map((type) => type === "buffer" ? "pointer" : type), types, name);
    assertEquals<string>(row.result, result, name);
    const text = table.slice(table.indexOf(`${name}: {`)).split("result:")[0]!;
    assertEquals([...text.matchAll(/\/\* (\w+) \*\//g)].map((match) => match[1]), parameters, name);
  }
  assertEquals(ABI_VERSION, Number(/#define AF_ABI_VERSION (\d+)u/.exec(header)![1]));
});

/** Deno's name of a C type. */
function typeOf(text: string): string {
  if (text.includes("*")) return "pointer";
  const first = text.replace("const ", "").split(" ")[0]!;
  return ({ uint32_t: "u32", uint64_t: "u64", af_status: "i32", void: "void" } as Record<string, string>)[first] ??
    first;
}

Deno.test(
  "a library is built once, and again when it is damaged",
  withTempDir((base) => {
    const lines: string[] = [];
    const build = () => buildLibrary("aneforge", { base, log: (line) => lines.push(line) });
    const path = build();
    Deno.copyFileSync(path, `${base}/copy`); // a file that is mapped must not be damaged below
    assertEquals(openLibrary({ shim: `${base}/copy`, from: "test" }).symbols.af_abi_version(), ABI_VERSION);
    assertEquals(lines, [`aneforge: building the device library ${FILE} (first use) …`]);
    assertEquals(build(), path);
    assertEquals(lines.length, 1, "the second call must not build");

    const good = Deno.readFileSync(path);
    const flipped = good.slice();
    flipped[good.length >> 1]! ^= 1;
    const dir = path.slice(0, path.lastIndexOf("/"));
    const damages: (() => void)[] = [
      () => Deno.writeFileSync(path, flipped),
      () => Deno.writeFileSync(path, good.subarray(0, 1000)),
      () => Deno.removeSync(path),
      () => Deno.removeSync(`${dir}/manifest.json`),
      () => Deno.writeTextFileSync(`${dir}/manifest.json`, "{"),
    ];
    for (const [i, damage] of damages.entries()) {
      damage();
      assertEquals(build(), path);
      assertEquals(lines.length, i + 2, `damage ${i} was not noticed`);
      assertEquals(Deno.readFileSync(path).length, good.length);
    }
    assertEquals(entries(`${base}/lib`), [dir.slice(dir.lastIndexOf("/") + 1)], "nothing else is left behind");
  }),
);

Deno.test(
  "two processes that build at once both get a whole library",
  withTempDir(async (base) => {
    const results = await Promise.all([1, 2].map(() => finish(builder({ ANEFORGE_CACHE: base }))));
    for (const { code, text, stderr } of results) {
      assertEquals([code, text, stderr.split("\n").length], [0, results[0]!.text, 1]);
    }
    assertEquals(openLibrary({ shim: results[0]!.text, from: "test" }).symbols.af_abi_version(), ABI_VERSION);
    assertEquals(entries(`${base}/lib`).length, 1);
  }),
);

Deno.test(
  "a killed build leaves nothing in the way, and its directory is removed later",
  withTempDir(async (base) => {
    const child = builder({ ANEFORGE_CACHE: base });
    const ended = child.output();
    let leftover = "";
    for (let i = 0; i < 2000 && !leftover; i++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      try {
        leftover = entries(`${base}/lib`).find((name) => name.startsWith(".build-")) ?? "";
      } catch {
        // The directory is not there yet.
      }
    }
    child.kill("SIGKILL");
    await ended;
    assert(leftover, "the build did not start");
    await new Promise((resolve) => setTimeout(resolve, 1500)); // compilers that were started end by themselves
    const path = buildLibrary("aneforge", { base, ...quiet });
    assert(entries(`${base}/lib`).includes(leftover), "a young directory may be another process at work");

    const old = new Date(Date.now() - 48 * 3600 * 1000);
    Deno.utimeSync(`${base}/lib/${leftover}`, old, old);
    Deno.removeSync(path);
    assertEquals(buildLibrary("aneforge", { base, ...quiet }), path);
    assertEquals(entries(`${base}/lib`).filter((name) => name.startsWith(".build-")), []);
  }),
);

Deno.test(
  "without a compiler the message says how to get one, and a library that was built before still works",
  withTempDir(async (base) => {
    const alone = await finish(builder({ ANEFORGE_CACHE: base, PATH: "/nonexistent" }));
    assertEquals(alone.code, 3);
    assertMatch(alone.text, /^DeviceError: no C compiler found \(looked for clang, cc, gcc in PATH\)/);
    assertMatch(alone.text, /install/);
    assertMatch(alone.text, /ANEFORGE_SHIM/);
    const path = buildLibrary("aneforge", { base, ...quiet });
    const later = await finish(builder({ ANEFORGE_CACHE: base, PATH: "/nonexistent" }));
    assertEquals([later.code, later.text], [0, path]);
  }),
);

Deno.test("the way to a compiler depends on the system", () => {
  assertMatch(installHint("darwin", ""), /xcode-select --install/);
  assertMatch(installHint("linux", 'NAME="Debian"\nID=debian\n'), /apt-get install/);
  assertMatch(installHint("linux", 'ID=linuxmint\nID_LIKE="ubuntu debian"\n'), /apt-get install/);
  assertMatch(installHint("linux", "ID=fedora\n"), /dnf install/);
  assertMatch(installHint("linux", "ID=alpine\n"), /apk add/);
  assertMatch(installHint("linux", ""), /apt-get.*dnf.*apk/);
});

Deno.test(
  "a compiler that fails, or is not there, is reported with its own words",
  withTempDir(async (base) => {
    const compiler = `${base}/cc`;
    Deno.writeTextFileSync(compiler, "#!/bin/sh\necho 'boom: no such thing' >&2\nexit 1\n", { mode: 0o755 });
    const failing = await finish(builder({ ANEFORGE_CACHE: base, CC: compiler }));
    assertEquals(failing.code, 3);
    assertMatch(failing.text, /DeviceError: .*\/cc failed on .*boom: no such thing/s);
    assertEquals(entries(`${base}/lib`), [], "a failed build leaves nothing");
    const missing = await finish(builder({ ANEFORGE_CACHE: base, CC: "no-such-compiler -O2" }));
    assertMatch(missing.text, /DeviceError: CC="no-such-compiler -O2": no-such-compiler is not a program/);
  }),
);

Deno.test(
  "a cache that cannot be written is named, with the variable that moves it",
  withTempDir((dir) => {
    Deno.writeTextFileSync(`${dir}/file`, "");
    const error = assertThrows(() => buildLibrary("aneforge", { base: `${dir}/file`, ...quiet }), DeviceError);
    assertMatch(error.message, new RegExp(`cannot write to the library cache ${dir}/file/lib: .*set ANEFORGE_CACHE`));
  }),
);

Deno.test(
  "building can be forbidden, and needs the permission to run programs",
  withTempDir(async (base) => {
    const forbidden = await finish(builder({ ANEFORGE_CACHE: base, ANEFORGE_NO_AUTOBUILD: "1" }));
    assertMatch(forbidden.text, /DeviceError: no built .* ANEFORGE_NO_AUTOBUILD is set: run `deno task build`/);
    const permissions = ["--allow-read", "--allow-write", "--allow-env"];
    const helpless = await finish(builder({ ANEFORGE_CACHE: base }, permissions));
    assertMatch(helpless.text, /DeviceError: not allowed to run .*--allow-run/);
    const path = buildLibrary("aneforge", { base, asked: true, ...quiet });
    const warm = await finish(builder({ ANEFORGE_CACHE: base, ANEFORGE_NO_AUTOBUILD: "1" }, permissions));
    assertEquals([warm.code, warm.text, warm.stderr], [0, path, ""], "a built library needs neither");
  }),
);

Deno.test(
  "another compiler or other arguments get a directory of their own",
  withTempDir(async (base) => {
    const [a, b] = await Promise.all(
      ["cc", "cc -g"].map((CC) => finish(builder({ ANEFORGE_CACHE: base, CC }))),
    );
    assertEquals([a!.code, b!.code], [0, 0], a!.text + b!.text);
    assertNotEquals(a!.text, b!.text);
  }),
);
