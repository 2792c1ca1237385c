// Which device is used, and the libraries behind it.

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { fileURLToPath } from "node:url";
import { familyOfBrand } from "../ffi/chip.ts";
import { findCompiler, link } from "../ffi/compiler.ts";
import { compileObjects } from "../ffi/compiler.ts";
import { device, selectDevice } from "../ffi/device.ts";
import { openLibrary } from "../ffi/library.ts";
import { fileFlags, libraryFile, linkFlags } from "../ffi/sources.ts";
import { SYMBOLS } from "../ffi/symbols.ts";
import { ArgumentError, DeviceError } from "../src/errors.ts";
import { FAMILIES, familyOf } from "../src/targets/targets.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

Deno.test("the device is the Neural Engine on an Apple-silicon Mac, the host elsewhere, and what one asks for", () => {
  const mac = { os: "darwin", arch: "aarch64" };
  assertEquals(selectDevice(undefined, mac).name, "ane");
  assertEquals(selectDevice(undefined, { os: "darwin", arch: "x86_64" }).name, "host");
  assertEquals(selectDevice(undefined, { os: "linux", arch: "aarch64" }).name, "host");
  assertEquals(selectDevice("host", mac), { name: "host", reason: "ANEFORGE_DEVICE=host" });
  assertEquals(selectDevice("ane", { os: "linux", arch: "x86_64" }).name, "ane");
});

Deno.test("device() says which device, why, and from where", () => {
  const info = device();
  assertEquals(info.name, "host");
  assert(info.library.endsWith(libraryFile("aneforge_host")), info.library);
  assertEquals(info.provider.provider, "host");
  assertEquals(info.provider.abi, "1");
  assertEquals(Object.entries(info.provider).filter(([, state]) => state === "missing-required"), []);
  assertEquals(info.family, familyOf(info.target));
  assertEquals(device(), info);
});

/** `device()` in a process of its own. */
async function report(env: Record<string, string>): Promise<string> {
  const script = `import { device } from ${JSON.stringify(new URL("../ffi/device.ts", import.meta.url).href)};
    try { const { name, target, family, numerics } = device(); console.log(name, target, family, numerics); }
    catch (error) { console.log(String(error)); }`;
  const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["eval", "--quiet", script], env, cwd: ROOT })
    .output();
  return new TextDecoder().decode(stdout).trim();
}

Deno.test("wrong settings are refused, and there is no fallback from the Neural Engine to the host", async () => {
  const cases: [Record<string, string>, RegExp][] = [
    [{ ANEFORGE_DEVICE: "gpu" }, /^ArgumentError: ANEFORGE_DEVICE="gpu": expected ane, host/],
    [{ ANEFORGE_TARGET: "h99" }, /^ArgumentError: unknown target "h99": expected one of h13/],
    [{ ANEFORGE_HOST_NUMERICS: "exact" }, /^ArgumentError: ANEFORGE_HOST_NUMERICS="exact": expected ane, fast/],
    [{ ANEFORGE_HOST_THREADS: "0" }, /^ArgumentError: ANEFORGE_HOST_THREADS=0/],
    [{ ANEFORGE_HOST_ISA: "sse" }, /^ArgumentError: ANEFORGE_HOST_ISA="sse"/],
    [{ ANEFORGE_SHIM: "/nonexistent" }, /^DeviceError: ANEFORGE_SHIM: no library at \/nonexistent\/libaneforge/],
    [{ ANEFORGE_DYLIB: "/nonexistent.so" }, /^DeviceError: ANEFORGE_DYLIB: no library at \/nonexistent.so/],
    [{ ANEFORGE_DYLIB: ROOT }, /^DeviceError: ANEFORGE_DYLIB: .* is not a file/],
    [{ ANEFORGE_TARGET: " H17s ", ANEFORGE_HOST_NUMERICS: "fast" }, /^host h17s 5 fast$/],
  ];
  if (Deno.build.os !== "darwin") {
    cases.push([
      { ANEFORGE_DEVICE: "ane" },
      /^DeviceError: cannot open the ane device .*Espresso.*ANEFORGE_DEVICE=host/,
    ]);
  }
  const texts = await Promise.all(cases.map(([env]) => report({ ANEFORGE_DEVICE: "host", ...env })));
  cases.forEach(([env, expected], i) => assertMatch(texts[i]!, expected, JSON.stringify(env)));
});

Deno.test("a library of another ABI, without a function, or damaged is refused", async () => {
  const dir = await Deno.makeTempDir({ prefix: "aneforge_device_" });
  const build = (name: string, functions: string[], abi: number): string => {
    const source = functions.map((f) =>
      `__attribute__((visibility("default"))) unsigned ${f}(void) { return ${abi}; }\n`
    ).join("");
    Deno.writeTextFileSync(`${dir}/${name}.c`, source);
    const compiler = findCompiler();
    compileObjects(compiler, [{ source: `${dir}/${name}.c`, object: `${dir}/${name}.o`, flags: fileFlags(name) }]);
    link(compiler, [`${dir}/${name}.o`], `${dir}/${name}`, linkFlags("aneforge"));
    return `${dir}/${name}`;
  };
  const open = (shim: string) => () => openLibrary({ shim, from: "a test" });
  try {
    const all = Object.keys(SYMBOLS);
    assertThrows(open(build("other", all, 999)), DeviceError, "speaks ABI 999, this module ABI 1 (a test): rebuild");
    assertThrows(open(build("less", all.slice(0, -1), 1)), DeviceError, "af_f16_to_f32");
    Deno.writeTextFileSync(`${dir}/text`, "not a library");
    assertThrows(open(`${dir}/text`), DeviceError, "rebuild it with `deno task build`");
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("targets and chips map to families", () => {
  assertEquals(["h11", "h13", "T1", "h14c", "m11", "h16s", " h18 "].map(familyOf), [1, 2, 2, 3, 4, 5, 5]);
  assertEquals(FAMILIES.flatMap((row) => row.targets).length, 25);
  for (const name of ["u1", "h19", "", "M1"]) assertThrows(() => familyOf(name), ArgumentError, "unknown target");
  const brands = [
    "Apple M1",
    "Apple M2 Pro",
    "Apple M3 Max",
    "Apple M4",
    "Apple M5 Pro",
    "Apple M11",
    "Intel(R) Core(TM)",
  ];
  assertEquals(brands.map(familyOfBrand), [2, 3, 4, 5, 5, undefined, undefined]);
});
