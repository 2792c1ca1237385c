import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { drawDigits, SIDE } from "../examples/lib/digits.ts";
import { parseArgs, usage, UsageError } from "../src/cli/args.ts";
import { digitData, downloadMnist, MNIST_FILES, readMnist } from "../examples/lib/mnist.ts";
import { Progress } from "../examples/lib/progress.ts";
import { formatIdx, gunzip, labelledImages, parseIdx } from "../src/data/idx.ts";
import { formatSafetensors, parseSafetensors, toFloat32 } from "../src/data/safetensors.ts";
import { ArgumentError, DataError } from "../src/errors.ts";
import { Random } from "../src/random.ts";

async function gzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

Deno.test("idx: what is written is read back, from any offset of a buffer", () => {
  const array = { shape: [2, 3, 1], data: Uint8Array.of(1, 2, 3, 4, 5, 255) };
  const bytes = formatIdx(array);
  assertEquals([...bytes.subarray(0, 8)], [0, 0, 8, 3, 0, 0, 0, 2]);
  assertEquals(parseIdx(bytes), array);
  const shifted = new Uint8Array(bytes.length + 3);
  shifted.set(bytes, 3);
  assertEquals(parseIdx(shifted.subarray(3)), array);
  assertEquals(parseIdx(formatIdx({ shape: [0], data: new Uint8Array() })).shape, [0]);
});

Deno.test("idx: malformed files are refused with what is wrong", () => {
  const good = formatIdx({ shape: [2, 2], data: new Uint8Array(4) });
  const changed = (at: number, value: number): Uint8Array => good.with(at, value);
  assertThrows(() => parseIdx(new Uint8Array(3)), DataError, "3 bytes are too few");
  assertThrows(() => parseIdx(changed(0, 0x1f)), DataError, "not an IDX file: it begins with 1f 00 08 02");
  assertThrows(() => parseIdx(changed(2, 0x0d)), DataError, "float32");
  assertThrows(() => parseIdx(changed(2, 0x77)), DataError, "unknown");
  assertThrows(() => parseIdx(changed(3, 0)), DataError, "rank 0");
  assertThrows(() => parseIdx(changed(3, 5)), DataError, "truncated: 16 bytes, the header of rank 5 needs 24");
  assertThrows(() => parseIdx(good.subarray(0, 15)), DataError, "truncated: shape [2, 2] needs 4 bytes");
  assertThrows(() => parseIdx(Uint8Array.of(...good, 0)), DataError, "too long");
  assertThrows(() => parseIdx(changed(4, 0xff)), DataError, "truncated");
  assertThrows(() => formatIdx({ shape: [3], data: new Uint8Array(2) }), DataError, "needs 3 bytes");
});

Deno.test("idx: images and labels must fit together", () => {
  const images = { shape: [2, 1, 2], data: new Uint8Array(4) };
  assertEquals(labelledImages(images, { shape: [2], data: Uint8Array.of(9, 0) }).pixels, 2);
  assertThrows(() => labelledImages(images, { shape: [3], data: new Uint8Array(3) }), DataError, "2 images, but 3");
  assertThrows(
    () => labelledImages(images, { shape: [2], data: Uint8Array.of(0, 10) }),
    DataError,
    "label 10 of image 1",
  );
  assertThrows(
    () => labelledImages({ shape: [4], data: images.data }, { shape: [4], data: images.data }),
    DataError,
    "rank 3",
  );
  assertThrows(() => labelledImages(images, { shape: [2, 1], data: new Uint8Array(2) }), DataError, "rank 1");
});

Deno.test("gunzip: plain bytes pass, damaged gzip is refused", async () => {
  const plain = Uint8Array.of(1, 2, 3);
  assertEquals(await gunzip(plain), plain);
  const packed = await gzip(new Uint8Array(1000).fill(7));
  assertEquals((await gunzip(packed)).length, 1000);
  await assertRejects(
    () => gunzip(packed.slice(0, packed.length - 6), "x.gz"),
    DataError,
    "x.gz: damaged or truncated",
  );
});

/** A directory with tiny MNIST-shaped files. */
async function tinyMnist(change: (files: Record<string, Uint8Array>) => void = () => {}): Promise<string> {
  const images = formatIdx({ shape: [2, 2, 2], data: new Uint8Array(8) });
  const labels = formatIdx({ shape: [2], data: Uint8Array.of(3, 4) });
  const files: Record<string, Uint8Array> = {};
  for (const name of Object.keys(MNIST_FILES)) files[name] = name.includes("images") ? images : labels;
  change(files);
  const dir = await Deno.makeTempDir();
  for (const [name, bytes] of Object.entries(files)) await Deno.writeFile(`${dir}/${name}`, bytes);
  return dir;
}

Deno.test("readMnist: plain or gzip files; a missing or wrong one is named", async () => {
  const dir = await tinyMnist();
  assertEquals((await readMnist(dir)).train.labels, Uint8Array.of(3, 4));
  const plain = await Deno.readFile(`${dir}/train-images-idx3-ubyte`);
  await Deno.writeFile(`${dir}/train-images-idx3-ubyte.gz`, await gzip(plain));
  await Deno.remove(`${dir}/train-images-idx3-ubyte`);
  assertEquals((await readMnist(dir)).train.count, 2);
  await Deno.remove(`${dir}/train-images-idx3-ubyte.gz`);
  await assertRejects(() => readMnist(dir), DataError, "neither train-images-idx3-ubyte nor");
  await assertRejects(() => readMnist(`${dir}/nowhere`), DataError, "neither");
  await Deno.remove(dir, { recursive: true });
  const other = await tinyMnist((files) => {
    files["t10k-images-idx3-ubyte"] = formatIdx({ shape: [2, 1, 2], data: new Uint8Array(4) });
  });
  await assertRejects(() => readMnist(other), DataError, "training images have 4 pixels, test images 2");
  await Deno.remove(other, { recursive: true });
});

Deno.test("downloadMnist: what does not match its SHA-256 is refused, and nothing is kept", async () => {
  const cache = await Deno.makeTempDir();
  const asked: string[] = [];
  const fetcher = (url: string): Promise<Uint8Array<ArrayBuffer>> => {
    asked.push(url);
    return Promise.resolve(formatIdx({ shape: [1], data: Uint8Array.of(1) }));
  };
  await assertRejects(() => downloadMnist(cache, { fetcher }), DataError, "SHA-256 is");
  assert(
    asked.length > 1 && asked.every((url) => url.endsWith("/train-images-idx3-ubyte.gz")),
    "every mirror is tried",
  );
  assertEquals([...Deno.readDirSync(cache)], []);
  await Deno.remove(cache);
});

Deno.test({
  name: "digitData: offline it draws, and says so",
  ignore: Deno.env.get("ANEFORGE_MNIST_DIR") !== undefined,
  async fn() {
    const cache = await Deno.makeTempDir();
    const data = await digitData(undefined, { cache, fetcher: () => Promise.reject(new Error("no network")) });
    assertEquals(data.name, "drawn");
    assert(data.source.includes("no network"));
    assertEquals([data.train.count, data.test.count, data.train.pixels], [20_000, 4_000, 784]);
    await Deno.remove(cache);
  },
});

Deno.test("drawDigits: the same seed gives the same bytes, another one other bytes", () => {
  const a = drawDigits(40, 5), b = drawDigits(40, 5), c = drawDigits(40, 6);
  assertEquals(a, b);
  assert(a.images.some((v, i) => v !== c.images[i]));
  assertEquals([...a.labels.subarray(0, 12)], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
  for (let i = 0; i < 40; i++) {
    const image = a.images.subarray(i * SIDE * SIDE, (i + 1) * SIDE * SIDE);
    const inked = image.filter((v) => v > 120).length;
    assert(inked > 15 && inked < 350, `digit ${a.labels[i]} has ${inked} dark pixels`);
  }
});

Deno.test("Random: repeatable, uniform, normal, and a true permutation", () => {
  const a = new Random(1), b = new Random(1);
  assertEquals(Array.from({ length: 8 }, () => a.uint32()), Array.from({ length: 8 }, () => b.uint32()));
  assert(new Random(1).uint32() !== new Random(2).uint32());
  assert(new Random(1).uint32() !== new Random(1 + 2 ** 32).uint32());
  const n = 20_000;
  const normals = new Random(3).normals(n, 2);
  const mean = normals.reduce((s, v) => s + v, 0) / n;
  const variance = normals.reduce((s, v) => s + (v - mean) ** 2, 0) / n;
  assertAlmostEquals(mean, 0, 5 * 2 / Math.sqrt(n));
  assertAlmostEquals(variance, 4, 5 * 4 * Math.sqrt(2 / n));
  const buckets = new Array<number>(7).fill(0);
  const random = new Random(4);
  for (let i = 0; i < 7000; i++) buckets[random.below(7)]!++;
  assert(buckets.every((count) => Math.abs(count - 1000) < 150), `${buckets}`);
  const order = new Random(5).permutation(1000);
  assert(order.some((v, i) => v !== i));
  assertEquals(order.toSorted(), Uint32Array.from({ length: 1000 }, (_, i) => i));
  for (const seed of [-1, 0.5, NaN, 2 ** 53]) assertThrows(() => new Random(seed), ArgumentError, "seed");
  assertThrows(() => random.below(0), ArgumentError, "below");
});

Deno.test("safetensors: what is written is read back", () => {
  const bytes = formatSafetensors(
    {
      "fc.weight": { shape: [2, 2], data: Float32Array.of(1, -2, 0.1, NaN) },
      half: { shape: [], data: Float16Array.of(0.333251953125) },
      none: { shape: [0, 4], data: new Float32Array() },
    },
    { made: "here" },
  );
  const { tensors, metadata } = parseSafetensors(bytes);
  assertEquals(metadata, { made: "here" });
  assertEquals([...tensors.keys()], ["fc.weight", "half", "none"]);
  assertEquals(toFloat32(tensors.get("fc.weight")!), Float32Array.of(1, -2, 0.1, NaN));
  assertEquals(tensors.get("half")!.dtype, "F16");
  assertEquals([...toFloat32(tensors.get("half")!)], [0.333251953125]);
  assertEquals(tensors.get("none")!.shape, [0, 4]);
  assertEquals(Number(new DataView(bytes.buffer).getBigUint64(0, true)) % 8, 0);
});

/** A file with the given header and this much data. */
function safetensors(header: unknown, data: number): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const out = new Uint8Array(8 + json.length + data);
  new DataView(out.buffer).setBigUint64(0, BigInt(json.length), true);
  out.set(json, 8);
  return out;
}

Deno.test("safetensors: malformed files are refused with what is wrong", () => {
  const entry = (over: object): unknown => ({ a: { dtype: "F32", shape: [2], data_offsets: [0, 8], ...over } });
  const cases: [Uint8Array, string][] = [
    [new Uint8Array(4), "too few"],
    [new Uint8Array(9).fill(255), "not a safetensors file: a header of"],
    [safetensors(entry({}), 8).subarray(0, 30), "truncated"],
    [safetensors("[1]     ", 0), 'does not begin with "{"'],
    [safetensors("{nope}", 0), "not valid JSON"],
    [safetensors(new TextDecoder("latin1").decode(Uint8Array.of(0x7b, 0x7d)) + "x", 0), "not valid JSON"],
    [safetensors({ a: 3 }, 0), "not a JSON object"],
    [safetensors(entry({ dtype: "F31" }), 8), "unknown dtype"],
    [safetensors(entry({ dtype: "toString" }), 8), "unknown dtype"],
    [safetensors(entry({ shape: [-2] }), 8), "shape must be"],
    [safetensors(entry({ shape: [2.5] }), 8), "shape must be"],
    [safetensors(entry({ data_offsets: [0] }), 8), "data_offsets must be"],
    [safetensors(entry({ data_offsets: [8, 0] }), 8), "do not lie in"],
    [safetensors(entry({ data_offsets: [0, 800] }), 8), "do not lie in the 8 bytes"],
    [safetensors(entry({ shape: [3] }), 8), "needs 12 bytes, its offsets span 8"],
    [safetensors(entry({ data_offsets: [4, 12] }), 12), "4 bytes before it belong to no tensor"],
    [safetensors(entry({}), 9), "the tensors end at byte 8 of 9"],
    [
      safetensors({
        a: { dtype: "U8", shape: [4], data_offsets: [0, 4] },
        b: { dtype: "U8", shape: [4], data_offsets: [2, 6] },
      }, 6),
      "overlaps",
    ],
    [safetensors({ __metadata__: { a: 1 } }, 0), "__metadata__"],
  ];
  for (const [bytes, message] of cases) assertThrows(() => parseSafetensors(bytes), DataError, message);
  const integers = parseSafetensors(safetensors({ a: { dtype: "I8", shape: [1], data_offsets: [0, 1] } }, 1));
  assertThrows(() => toFloat32(integers.tensors.get("a")!), DataError, "I8");
  assertThrows(() => formatSafetensors({ a: { shape: [3], data: new Float32Array(2) } }), ArgumentError, "holds 3");
});

Deno.test("safetensors: bf16 and fp64 widen to fp32", () => {
  const file = safetensors({
    b: { dtype: "BF16", shape: [2], data_offsets: [0, 4] },
    d: { dtype: "F64", shape: [1], data_offsets: [4, 12] },
  }, 12);
  const at = file.length - 12;
  file.set([0x80, 0x3f, 0x20, 0xc1], at);
  new DataView(file.buffer).setFloat64(at + 4, 1.5, true);
  const { tensors } = parseSafetensors(file);
  assertEquals([...toFloat32(tensors.get("b")!)], [1, -10]);
  assertEquals([...toFloat32(tensors.get("d")!)], [1.5]);
});

Deno.test("parseArgs: values are checked, mistakes named", () => {
  const options = {
    epochs: { kind: "integer", help: "passes", default: 5, min: 1, max: 100 },
    lr: { kind: "number", help: "rate", default: 0.1, above: 0, max: 1 },
    mode: { kind: "choice", help: "how", default: "a", choices: ["a", "b"] },
    save: { kind: "text", help: "where to", value: "FILE" },
    json: { kind: "flag", help: "machine" },
  } as const;
  const defaults = parseArgs([], options);
  assertEquals(defaults, { epochs: 5, lr: 0.1, mode: "a", save: undefined, json: false, help: false, args: [] });
  const given = parseArgs(["--epochs", "7", "--lr=1e-2", "--mode", "b", "--save", "x y", "--json", "-h"], options);
  assertEquals(given, { epochs: 7, lr: 0.01, mode: "b", save: "x y", json: true, help: true, args: [] });
  const wrong: [string[], string][] = [
    [["--epoch", "7"], "unknown option --epoch"],
    [["--toString"], "unexpected argument"],
    [["epochs"], "unexpected argument"],
    [["--epochs"], "--epochs needs a value"],
    [["--epochs", "--json"], "--epochs needs a value"],
    [["--epochs", "0"], "an integer from 1 to 100"],
    [["--epochs", "1.5"], "an integer"],
    [["--epochs=1e1"], "an integer"],
    [["--lr", "0"], "a number above 0"],
    [["--lr", "NaN"], "a number above 0"],
    [["--mode", "c"], "one of a, b"],
    [["--save="], "expected FILE"],
    [["--json=1"], "takes no value"],
    [["--json", "--json"], "given twice"],
  ];
  for (const [args, message] of wrong) assertThrows(() => parseArgs(args, options), UsageError, message);
  const text = usage("deno task x", "Trains.", options);
  for (const part of ["--epochs N", "(default 5)", "--mode a|b", "--save FILE", "--json", "--help"]) {
    assert(text.includes(part), part);
  }
});

Deno.test("parseArgs: arguments without a name, between options, after -- and with --help", () => {
  const options = {
    json: { kind: "flag", help: "machine" },
    how: { kind: "choice", help: "way", choices: ["x"] },
  } as const;
  const places = [{ name: "FILE", help: "what" }, { name: "MORE", help: "else", optional: true }];
  const args = (...given: string[]): string[] => parseArgs(given, options, places).args;
  assertEquals(args("a", "--json", "b"), ["a", "b"]);
  assertEquals(args("--", "--json", "-"), ["--json", "-"]);
  assertEquals(args("-"), ["-"]);
  assertEquals(parseArgs(["--help"], options, places), { json: false, how: undefined, help: true, args: [] });
  const wrong: [string[], string][] = [
    [[], "FILE is missing: what"],
    [["a", "b", "c"], 'unexpected argument "c"'],
    [["-x", "a"], 'unexpected argument "-x"'],
  ];
  for (const [given, message] of wrong) assertThrows(() => args(...given), UsageError, message);
  const text = usage("x", "Does.", options, places, 40);
  assert(text.includes("Usage: x FILE [MORE] [options]") && text.split("\n").every((line) => line.length <= 40), text);
});

Deno.test("Progress: bars only for a terminal, colour only when wanted", () => {
  const run = (terminal: boolean, colour: boolean): string => {
    let text = "";
    const sink = {
      isTerminal: () => terminal,
      writeSync: (bytes: Uint8Array) => {
        const part = bytes.subarray(0, 7); // a sink may take less than it is given
        text += new TextDecoder("latin1").decode(part);
        return part.length;
      },
    };
    const out = new Progress(sink, colour);
    out.bar(1, 2, "a");
    out.line("done");
    return text;
  };
  assertEquals(run(false, true), "done\n");
  assert(run(true, true).includes("\x1b[32m") && run(true, true).endsWith("done\n"));
  assert(!run(true, false).includes("\x1b[32m") && run(true, false).includes("\r"));
});
