// Cross-builds the shim into an arm64 dylib for macOS 14 with clang and ld64.lld, and reads the result.

import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import { fileFlags, linkFlags, SOURCES } from "../ffi/sources.ts";
import { LIBSYSTEM, LIBSYSTEM_PATH, libSystemStub } from "./macho/libsystem.ts";
import { type MachO, parseMachO } from "./macho/macho.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const MAC = { os: "darwin", arch: "aarch64" };

function findTool(...names: string[]): string | undefined {
  return names.find((name) => {
    try {
      return new Deno.Command(name, { args: ["--version"], stdout: "null", stderr: "null" }).outputSync().success;
    } catch {
      return false;
    }
  });
}

const clang = findTool("clang", "clang-19", "clang-16", "clang-14");
const lld = findTool("ld64.lld", "ld64.lld-19", "ld64.lld-16", "ld64.lld-14", "/usr/lib/llvm-14/bin/ld64.lld");
const missing = [clang ? "" : "clang", lld ? "" : "ld64.lld"].filter((name) => name !== "").join(" and ");
if (missing) console.log(`macho: ${missing} not installed, nothing is cross-built (apt-get install clang lld)`);

async function run(program: string, args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args, cwd: ROOT, stderr: "piped" }).output();
  if (!success) throw new Error(`${program} ${args.join(" ")}\n${new TextDecoder().decode(stderr)}`);
}

/** Flags of the linker itself: what the builder hands to clang after -Wl. */
function linkerFlags(): string[] {
  const flags = linkFlags("aneforge", MAC).flatMap((flag) =>
    flag.startsWith("-Wl,") ? flag.slice(4).split(",") : [flag]
  );
  return flags.map((flag) => flag === "-dynamiclib" ? "-dylib" : flag);
}

async function crossBuild(): Promise<MachO> {
  const dir = await Deno.makeTempDir({ prefix: "aneforge_macho_" });
  try {
    const target = [
      "--target=arm64-apple-macos14.0",
      "-nostdlibinc",
      "-isystem",
      "tests/macho/include",
      "-O3",
      "-Werror",
    ];
    const objects = SOURCES.aneforge.map((file) => `${dir}/${file}.o`);
    await Promise.all(
      SOURCES.aneforge.map((file, i) =>
        run(clang!, [...target, ...fileFlags(file, MAC), "-c", `shim/${file}`, "-o", objects[i]!])
      ),
    );
    await Deno.writeTextFile(`${dir}/libSystem.tbd`, libSystemStub());
    const library = `${dir}/libaneforge.dylib`;
    const platform = ["-arch", "arm64", "-platform_version", "macos", "14.0", "14.0"];
    await run(lld!, [...linkerFlags(), ...platform, "-o", library, ...objects, `${dir}/libSystem.tbd`]);
    return parseMachO(await Deno.readFile(library));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Function names of the public header. */
async function declared(): Promise<string[]> {
  const header = await Deno.readTextFile(`${ROOT}/shim/aneforge.h`);
  return [...header.matchAll(/^AF_API [^;(]*?(af_\w+)\(/gm)].map((match) => match[1]!).sort();
}

Deno.test({
  name: "the shim cross-builds to an arm64 dylib for macOS 14 that needs only libSystem",
  ignore: missing !== "",
  fn: async () => {
    const image = await crossBuild();
    assertEquals(image.cpuType, 0x0100000c, "arm64");
    assertEquals(image.fileType, 6, "MH_DYLIB");
    assertEquals([image.platform, image.minOs], [1, "14.0"]);
    assertEquals(image.installName, "@rpath/libaneforge.dylib");
    assertEquals(image.dependencies, [LIBSYSTEM_PATH]);
    const functions = await declared();
    assert(functions.length > 20, `only ${functions.length} functions found in aneforge.h`);
    assertEquals([...image.exports].sort(), functions.map((name) => `_${name}`));
    for (const [symbol, library] of Object.entries(image.undefined)) {
      assert(symbol in LIBSYSTEM, `${symbol} is not known to be in libSystem`);
      assertEquals(library, LIBSYSTEM_PATH, symbol);
    }
  },
});
