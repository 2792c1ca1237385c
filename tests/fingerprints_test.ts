/**
 * The quick ones of the published figures of the silicon (`deno task fingerprints` recomputes all of them), and what they
 * stand on: NumPy's generator and a correctly rounded float32 multiply-add.
 */

import { assertEquals } from "@std/assert";
import { envText } from "../src/env.ts";
import { fingerprints } from "../tools/fingerprints.ts";
import { fma32 } from "./fingerprint_math.ts";
import { NumpyGenerator } from "./numpy_random.ts";

async function digest(bytes: Float64Array<ArrayBuffer> | Float32Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

Deno.test("numpy_random: the bits NumPy 2.4 draws", async () => {
  assertEquals([...new NumpyGenerator(0).normal64(4)], [
    0.1257302210933933,
    -0.1321048632913019,
    0.6404226504432821,
    0.10490011715303971,
  ]);
  assertEquals(
    await digest(new NumpyGenerator(0).normal64(1000) as Float64Array<ArrayBuffer>),
    "cc0b03e91cf55ab725aaa2be63067b7bc76f08787209974cb1e275aad78b4d8e",
  );
  assertEquals(
    await digest(new NumpyGenerator(2 ** 40 + 12345).normal64(1000) as Float64Array<ArrayBuffer>),
    "df91c719bb0b6e83e9d6df371fdbb0da34260e397b50f0b94716bde4ddd1d745",
  );
  assertEquals(
    await digest(new NumpyGenerator(11).normal32(300_000) as Float32Array<ArrayBuffer>),
    "af89e599b7f3463caac918df4c5df9587e2d94358eaf58c0461ed1556c3286c9",
  );
});

/** Exact value of a double as numerator / 2^200, for doubles above 2^-200. */
function exact(v: number): bigint {
  let exponent = 0;
  while (!Number.isInteger(v)) {
    v *= 2;
    exponent++;
  }
  return BigInt(v) << BigInt(200 - exponent);
}

Deno.test("fma32: no neighbour is closer to the exact result", () => {
  const e = (p: number): number => 2 ** p;
  const random = new NumpyGenerator(3);
  const draw = (bits: number): number => Math.fround(Math.round(random.standardNormal() * 2 ** bits) / 2 ** bits);
  for (let i = 0; i < 20_000; i++) {
    const a = draw(12), b = draw(12) * e(-(i % 24)), c = draw(i % 20), got = fma32(a, b, c);
    const sum = exact(a) * exact(b) / (1n << 200n) + exact(c), up = Math.fround(got * (1 + e(-23)) + e(-140));
    const distance = (v: number): bigint => {
      const d = exact(v) - sum;
      return d < 0n ? -d : d;
    };
    const down = Math.fround(got * (1 - e(-23)) - e(-140));
    if (got !== 0) {
      assertEquals(distance(got) <= distance(up) && distance(got) <= distance(down), true, `${a} ${b} ${c}`);
    }
  }
});

Deno.test({
  name: "fma32: a tie of float32 that the lost part of the sum decides",
  fn() {
    // 1024 + 2^-14 is a tie of float32. The products are 2^-14 - 2^-44 and 2^-14 + 2^-50: float64 sums lose the second part.
    const below = [2 ** -14 * (1 + 2 ** -15), 1 - 2 ** -15] as const;
    assertEquals(fma32(...below, 1024 + 2 ** -13), 1024 + 2 ** -13);
    assertEquals(Math.fround(below[0] * below[1] + 1024 + 2 ** -13), 1024 + 2 ** -12);
    const above = [2 ** -14 * (1 + 2 ** -12), 1 - 2 ** -12 + 2 ** -24] as const;
    assertEquals(fma32(...above, 1024), 1024 + 2 ** -13);
    assertEquals(Math.fround(above[0] * above[1] + 1024), 1024);
    assertEquals(fma32(-above[0], above[1], -1024), -1024 - 2 ** -13);
    assertEquals(fma32(2 ** -12, 1 + 2 ** -12, 1), 1 + 2 ** -12); // an exact tie goes to the even neighbour
  },
});

Deno.test({
  name: "fingerprints: the silicon's figures, to their digits, on targets of both kinds of convolution",
  ignore: envText("ANEFORGE_DEVICE") === "ane",
  async fn() {
    const results = await fingerprints("quick");
    assertEquals(results.filter(({ ok }) => !ok), []);
    const exact = results.filter(({ required }) => required >= 12).map(({ name }) => name);
    assertEquals(new Set(exact).size, 12);
  },
});
