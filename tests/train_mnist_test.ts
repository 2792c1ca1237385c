/** The training example as a user runs it: exit codes, output, files, Ctrl-C. */

import { assert, assertEquals } from "@std/assert";
import { drawDigits, SIDE } from "../examples/lib/digits.ts";
import { MNIST_FILES } from "../examples/lib/mnist.ts";
import { formatIdx, type LabelledImages } from "../src/data/idx.ts";
import { parseSafetensors } from "../src/data/safetensors.ts";
import { envText } from "../src/env.ts";

const SCRIPT = new URL("../examples/train_mnist.ts", import.meta.url).pathname;

function command(...args: string[]): Deno.Command {
  const flags = ["--allow-ffi", "--allow-read", "--allow-write", "--allow-run", "--allow-env", "--no-prompt"];
  return new Deno.Command(Deno.execPath(), {
    args: ["run", ...flags, SCRIPT, ...args],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await command(...args).output();
  const text = new TextDecoder();
  return { code, out: text.decode(stdout), err: text.decode(stderr) };
}

/** A directory with MNIST's four files, holding this many drawn digits. */
async function digitDirectory(train: number, test: number): Promise<string> {
  const dir = await Deno.makeTempDir();
  const put = async ([images, labels]: string[], { count, ...set }: LabelledImages): Promise<void> => {
    await Deno.writeFile(`${dir}/${images}`, formatIdx({ shape: [count, SIDE, SIDE], data: set.images }));
    await Deno.writeFile(`${dir}/${labels}`, formatIdx({ shape: [count], data: set.labels }));
  };
  const names = Object.keys(MNIST_FILES);
  await put(names.slice(0, 2), drawDigits(train, 1));
  await put(names.slice(2), drawDigits(test, 2));
  return dir;
}

/** The last line of stdout. */
function result(out: string): Record<string, unknown> {
  return JSON.parse(out.trimEnd().split("\n").at(-1)!);
}

Deno.test("train-mnist: --json prints one object on stdout, the rest on stderr; saved weights test the same", async () => {
  const dir = await digitDirectory(2000, 300);
  const weights = `${dir}/weights.safetensors`;
  const trained = await run(
    "--data",
    dir,
    "--epochs",
    "3",
    "--hidden",
    "32",
    "--batch",
    "50",
    "--lr",
    "5e-3",
    "--json",
    "--save",
    weights,
  );
  assertEquals(trained.code, 0, trained.err);
  assertEquals(trained.out.trimEnd().split("\n").length, 1);
  const { testAccuracy, stepsPerSecond, compileMs, finalLoss, ...fixed } = result(trained.out);
  assertEquals(fixed, { dataset: "mnist", device: envText("ANEFORGE_DEVICE") ?? fixed.device, epochs: 3, steps: 120 });
  assert((testAccuracy as number) > 0.7, `accuracy ${testAccuracy}`);
  for (const v of [stepsPerSecond, compileMs, finalLoss]) assert(typeof v === "number" && v > 0, trained.out);
  assert(trained.err.startsWith("MNIST ("), trained.err);
  for (const part of ["epoch 3/3", "truth\\guess", "steps/s"]) assert(trained.err.includes(part), trained.err);
  assert(!trained.err.includes("\r") && !trained.err.includes("\x1b"), "no bar and no colour without a terminal");
  const { tensors } = parseSafetensors(await Deno.readFile(weights));
  assertEquals([...tensors].map(([name, { shape }]) => [name, shape]), [
    ["W1", [784, 32]],
    ["b1", [1, 32]],
    ["W2", [32, 10]],
    ["b2", [1, 10]],
  ]);
  const tested = await run("--data", dir, "--load", weights, "--json");
  assertEquals(tested.code, 0, tested.err);
  assertEquals([result(tested.out).testAccuracy, result(tested.out).steps], [testAccuracy, 0]);
  const again = await run("--data", dir, "--epochs", "3", "--hidden", "32", "--batch", "50", "--lr", "5e-3", "--json");
  assertEquals(result(again.out).finalLoss, finalLoss, "the same seed gives the same run");
  await Deno.remove(dir, { recursive: true });
});

Deno.test("train-mnist: mistakes on the command line end with status 2, bad files with status 1", async () => {
  const dir = await digitDirectory(200, 20);
  const cases: [string[], number, string][] = [
    [["--epoch", "3"], 2, "unknown option --epoch"],
    [["--optimizer", "cloud"], 2, "one of host, device, resident"],
    [["--lr", "-1"], 2, "a number above 0"],
    [["--load", "a", "--save", "b"], 2, "nothing to --save"],
    [["--data", dir, "--batch", "1000"], 2, "--batch 1000 is more than the 200 images"],
    [["--data", `${dir}/nowhere`], 1, "neither train-images-idx3-ubyte nor"],
    [["--data", dir, "--load", `${dir}/nowhere`], 1, "nowhere"],
    [["--data", dir, "--load", `${dir}/t10k-labels-idx1-ubyte`], 1, "not a safetensors file"],
    [["--data", dir, "--epochs", "1", "--save", `${dir}/no/such/place`], 1, "cannot be written"],
  ];
  for (const [args, status, message] of cases) {
    const { code, err, out } = await run(...args);
    assertEquals(code, status, `${args}: ${out}${err}`);
    assert(err.includes(message) && !err.includes("    at "), err);
  }
  await Deno.truncate(`${dir}/train-images-idx3-ubyte`, 5000);
  const cut = await run("--data", dir);
  assertEquals(cut.code, 1);
  assert(cut.err.includes("truncated: shape [200, 28, 28]"), cut.err);
  const help = await run("--help");
  assertEquals([help.code, help.err], [0, ""]);
  assert(help.out.includes("--optimizer host|device|resident"));
  await Deno.remove(dir, { recursive: true });
});

Deno.test("train-mnist: Ctrl-C finishes the step, prints the result, saves, and ends with status 130", async () => {
  const dir = await digitDirectory(500, 50);
  const weights = `${dir}/weights.safetensors`;
  const child = command("--data", dir, "--epochs", "1000", "--hidden", "16", "--json", "--save", weights).spawn();
  const reader = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  let seen = "";
  while (!seen.includes("epoch 2/")) {
    const { value, done } = await reader.read();
    assert(!done, seen);
    seen += value;
  }
  child.kill("SIGINT");
  for (let part = await reader.read(); !part.done; part = await reader.read()) seen += part.value;
  const out = await new Response(child.stdout).text();
  const { code } = await child.status;
  assertEquals(code, 130, seen);
  assert(seen.includes("interrupted"), seen);
  assert((result(out).steps as number) >= 6);
  assertEquals(parseSafetensors(await Deno.readFile(weights)).tensors.size, 4);
  assertEquals([...Deno.readDirSync(dir)].filter(({ name }) => name.endsWith(".part")), []);
  await Deno.remove(dir, { recursive: true });
});

const mnist = envText("ANEFORGE_MNIST_DIR");

Deno.test({
  name: mnist
    ? "train-mnist: one epoch of MNIST, resident"
    : "train-mnist: one epoch of MNIST (set ANEFORGE_MNIST_DIR to the four IDX files to run this)",
  ignore: !mnist,
  async fn() {
    const { code, out, err } = await run("--epochs", "1", "--json");
    assertEquals(code, 0, err);
    const { testAccuracy, steps, dataset } = result(out);
    assertEquals([dataset, steps], ["mnist", 468]);
    assert((testAccuracy as number) > 0.945, `accuracy ${testAccuracy}`);
  },
});
