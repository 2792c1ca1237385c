import { assert, assertEquals, assertThrows } from "@std/assert";
import { fileURLToPath } from "node:url";
import { cacheBase, envChoice, ENVIRONMENT, envNumber, envText, expandHome } from "../src/env.ts";
import { ArgumentError } from "../src/errors.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** Runs the body with variables set (or removed), and puts them back. */
function withEnv(values: Record<string, string | undefined>, body: () => void): void {
  const old = Object.keys(values).map((name) => [name, Deno.env.get(name)] as const);
  const set = (name: string, value: string | undefined) =>
    value === undefined ? Deno.env.delete(name) : Deno.env.set(name, value);
  try {
    for (const [name, value] of Object.entries(values)) set(name, value);
    body();
  } finally {
    for (const [name, value] of old) set(name, value);
  }
}

function* files(dir: string, ending: RegExp): Generator<string> {
  for (const entry of Deno.readDirSync(`${ROOT}${dir}`)) {
    if (entry.isDirectory) yield* files(`${dir}/${entry.name}`, ending);
    else if (ending.test(entry.name)) yield `${dir}/${entry.name}`;
  }
}

Deno.test("each variable is in the table once, and nothing reads one that is not", () => {
  const names = ENVIRONMENT.map((row) => row.name as string);
  assertEquals(new Set(names).size, names.length);
  for (const dir of ["src", "ffi", "shim"]) {
    for (const file of files(dir, /\.(ts|c|h)$/)) {
      const text = Deno.readTextFileSync(ROOT + file);
      if (file !== "src/env.ts") assert(!text.includes("Deno.env."), `${file} reads the environment by itself`);
      for (const [, name] of text.matchAll(/getenv\("(\w+)"\)/g)) {
        assert(names.includes(name!), `${file} reads ${name}`);
      }
      for (const [name] of text.matchAll(/\bANEFORGE_[A-Z][A-Z_]*(?=["`'= ])/g)) {
        const isMacro = /^ANEFORGE_.*(_H|_INTERNAL)$/.test(name) || new RegExp(`#define ${name}\\b`).test(text);
        assert(isMacro || names.includes(name), `${file} mentions ${name}, which is not in the table`);
      }
    }
  }
});

Deno.test("choices and numbers are checked, with the variable in the message", () => {
  withEnv({ ANEFORGE_DEVICE: "gpu", ANEFORGE_COMPILE_BACKOFF: "soon", ANEFORGE_DEBUG: " " }, () => {
    assertThrows(
      () => envChoice("ANEFORGE_DEVICE"),
      ArgumentError,
      'ANEFORGE_DEVICE="gpu": expected ane, host, or unset',
    );
    assertThrows(() => envNumber("ANEFORGE_COMPILE_BACKOFF", 15), ArgumentError, 'ANEFORGE_COMPILE_BACKOFF="soon"');
    assertThrows(() => envNumber("ANEFORGE_DEBUG", 0), ArgumentError);
  });
  withEnv({ ANEFORGE_DEVICE: "", ANEFORGE_COMPILE_BACKOFF: "-2.5", ANEFORGE_DEBUG: undefined }, () => {
    assertEquals(envChoice("ANEFORGE_DEVICE"), undefined);
    assertEquals(envNumber("ANEFORGE_COMPILE_BACKOFF", 15), -2.5);
    assertEquals(envNumber("ANEFORGE_DEBUG", 7), 7);
  });
});

Deno.test("the cache base follows its three variables in order", () => {
  withEnv({ ANEFORGE_CACHE: "~/c", XDG_CACHE_HOME: "/x", HOME: "/h" }, () => assertEquals(cacheBase(), "/h/c"));
  withEnv(
    { ANEFORGE_CACHE: undefined, XDG_CACHE_HOME: "/x", HOME: "/h" },
    () => assertEquals(cacheBase(), "/x/aneforge"),
  );
  withEnv(
    { ANEFORGE_CACHE: "", XDG_CACHE_HOME: "", HOME: "/h" },
    () => assertEquals(cacheBase(), "/h/.cache/aneforge"),
  );
  withEnv({ ANEFORGE_CACHE: undefined, XDG_CACHE_HOME: undefined, HOME: undefined }, () => {
    assertThrows(() => cacheBase(), ArgumentError, "set ANEFORGE_CACHE");
    assertThrows(() => expandHome("~/x"), ArgumentError, "HOME");
    assertEquals(expandHome("/a/~"), "/a/~");
  });
});

Deno.test({
  name: "a variable that may not be read counts as unset",
  permissions: { env: false, read: true },
  fn: () => {
    for (const { name } of ENVIRONMENT) assertEquals(envText(name), undefined, name);
    assertEquals(envNumber("ANEFORGE_COMPILE_BACKOFF", 15), 15);
  },
});
