/**
 * Trains a 784 -> 256 -> 10 classifier of handwritten digits, forward, backward and Adam in one program; with the state
 * resident on the device (the default) the host sends nothing but the minibatch and the learning rate.
 *
 * @module
 */

import { device } from "../ffi/device.ts";
import { Trainer } from "../src/autograd/trainer.ts";
import { parseSafetensors } from "../src/data/safetensors.ts";
import { AneforgeError, DataError } from "../src/errors.ts";
import { parseArgs, usage, UsageError, type ValueOf } from "../src/cli/args.ts";
import { checkWritable, writeFileAtomic } from "../src/cli/files.ts";
import { accuracyOf, buildMlp, confusion, confusionTable, type Mlp, oneHotRows, pixelRows } from "./lib/mlp.ts";
import { type DigitData, digitData } from "./lib/mnist.ts";
import { Progress } from "./lib/progress.ts";

const OPTIONS = {
  data: { kind: "text", value: "DIR", help: "directory with the four MNIST IDX files, plain or .gz" },
  epochs: { kind: "integer", help: "passes over the training images", default: 5, min: 1, max: 1000 },
  batch: { kind: "integer", help: "images per step", default: 128, min: 1, max: 4096 },
  lr: {
    kind: "number",
    help: "learning rate; it falls over the last 40 % of the run",
    default: 1e-3,
    above: 0,
    max: 1,
  },
  hidden: { kind: "integer", help: "hidden units", default: 256, min: 1, max: 8192 },
  seed: { kind: "integer", help: "seed of weights and order", default: 0, min: 0, max: 2 ** 32 - 1 },
  optimizer: {
    kind: "choice",
    help: "where Adam runs, and whether its state stays there",
    default: "resident",
    choices: ["host", "device", "resident"],
  },
  save: { kind: "text", value: "FILE", help: "write the weights (safetensors)" },
  load: { kind: "text", value: "FILE", help: "read weights and only test them" },
  json: { kind: "flag", help: "print one JSON object on stdout, everything else on stderr" },
} as const;

type Settings = { [K in keyof typeof OPTIONS]: ValueOf<(typeof OPTIONS)[K]> };

/** Keeps fp16 gradients clear of zero. */
const LOSS_SCALE = 1024;
/** Share of the run at the full learning rate; then it falls in a line to LAST_RATE of it. */
const FULL_RATE = 0.6, LAST_RATE = 0.03;

/** Set by Ctrl-C: the step under way is finished, then the result is printed. */
const interrupt = { requested: false };

/** What a run came to. */
interface Outcome {
  steps: number;
  epochs: number;
  seconds: number;
  loss: number;
}

/** Learning rate relative to the first, after a share of the run. */
function rateAt(progress: number): number {
  return 1 - (1 - LAST_RATE) * Math.max(progress - FULL_RATE, 0) / (1 - FULL_RATE);
}

/** Lets signals and timers in. */
function breathe(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

async function train(
  trainer: Trainer,
  data: DigitData,
  test: Float16Array,
  settings: Settings,
  out: Progress,
): Promise<Outcome> {
  const perEpoch = Math.floor(data.train.count / settings.batch);
  const all = perEpoch * settings.epochs;
  const outcome: Outcome = { steps: 0, epochs: 0, seconds: 0, loss: NaN };
  let rested = performance.now();
  for (let epoch = 1; epoch <= settings.epochs && !interrupt.requested; epoch++) {
    let sum = 0, done = 0;
    const start = performance.now();
    while (done < perEpoch && !interrupt.requested) {
      trainer.lr = settings.lr * rateAt(outcome.steps / all);
      outcome.loss = trainer.step();
      outcome.steps++;
      sum += outcome.loss;
      done++;
      if (performance.now() - rested < 50) continue;
      out.bar(done, perEpoch, `epoch ${epoch}/${settings.epochs}  loss ${(sum / done).toFixed(4)}`);
      await breathe();
      rested = performance.now();
    }
    const seconds = (performance.now() - start) / 1000;
    outcome.seconds += seconds;
    if (done === perEpoch) outcome.epochs++;
    const accuracy = trainer.accuracy(test, data.test.labels);
    out.line(
      `epoch ${epoch}/${settings.epochs}  loss ${(sum / done).toFixed(4)}  test accuracy ${percent(accuracy)}  ` +
        `${(done / seconds).toFixed(0)} steps/s`,
    );
  }
  return outcome;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}

function describe(data: DigitData): string {
  const counts = `${data.train.count} images to train on, ${data.test.count} to test on`;
  return data.name === "mnist"
    ? `MNIST (${data.source}): ${counts}`
    : `Digits ${data.source}. This is not MNIST. ${counts}`;
}

async function readWeights(path: string, data: DigitData): Promise<{ bytes: Uint8Array; hidden: number }> {
  let bytes: Uint8Array;
  try {
    bytes = await Deno.readFile(path);
  } catch (error) {
    throw new DataError(`${path}: ${(error as Error).message}`, { cause: error });
  }
  const shape = parseSafetensors(bytes, path).tensors.get("W1")?.shape;
  if (shape?.length !== 2 || shape[0] !== data.train.pixels) {
    throw new DataError(
      `${path}: expected a tensor W1 [${data.train.pixels}, hidden], found ${shape ? `[${shape.join(", ")}]` : "none"}`,
    );
  }
  return { bytes, hidden: shape[1]! };
}

function makeTrainer(net: Mlp, data: DigitData, { lr, optimizer, seed }: Settings): Trainer {
  const trainer = new Trainer(net.objective, net.params, {
    lr,
    lossScale: LOSS_SCALE,
    optimizer: "adam",
    deviceOptimizer: optimizer === "device",
    residentState: optimizer === "resident",
  });
  trainer.setDataset(net.x, pixelRows(data.train), net.target, oneHotRows(data.train), seed);
  return trainer;
}

/** The whole run; returns the exit status. */
async function run(settings: Settings): Promise<number> {
  Deno.addSignalListener("SIGINT", () => interrupt.requested = true);
  if (settings.save !== undefined) await checkWritable(settings.save);
  const out = new Progress(settings.json ? Deno.stderr : Deno.stdout);
  const data = await digitData(settings.data, { note: (text) => out.status(text) });
  out.line(describe(data));
  if (settings.batch > data.train.count) {
    throw new UsageError(`--batch ${settings.batch} is more than the ${data.train.count} images to train on`);
  }
  const loaded = settings.load === undefined ? undefined : await readWeights(settings.load, data);
  const hidden = loaded?.hidden ?? settings.hidden;
  const { name: deviceName } = device();
  const start = performance.now();
  using trainer = makeTrainer(buildMlp(settings.batch, data.train.pixels, hidden, settings.seed), data, settings);
  const compileMs = performance.now() - start;
  out.line(
    `${data.train.pixels} -> ${hidden} -> 10, batch ${settings.batch}, Adam (${settings.optimizer}) on the ${deviceName} device; ` +
      `compiled in ${compileMs.toFixed(0)} ms`,
  );
  const test = pixelRows(data.test);
  trainer.predict(test.subarray(0, data.test.pixels)); // compiles the forward program before the clock runs
  if (loaded) trainer.load(loaded.bytes);
  const outcome = loaded
    ? { steps: 0, epochs: 0, seconds: 0, loss: NaN }
    : await train(trainer, data, test, settings, out);
  const counts = confusion(trainer.predict(test), data.test.labels);
  const testAccuracy = accuracyOf(counts);
  out.line(confusionTable(counts));
  const stepsPerSecond = outcome.seconds > 0 ? outcome.steps / outcome.seconds : 0;
  out.line(
    `${data.name === "mnist" ? "MNIST" : "Drawn digits, not MNIST"}: test accuracy ${percent(testAccuracy)} after ` +
      `${outcome.steps} steps (${stepsPerSecond.toFixed(0)} per second)${interrupt.requested ? ", interrupted" : ""}`,
  );
  if (settings.save !== undefined) {
    await writeFileAtomic(settings.save, trainer.save());
    out.line(`weights saved in ${settings.save}`);
  }
  if (settings.json) {
    console.log(JSON.stringify({
      dataset: data.name,
      device: deviceName,
      testAccuracy,
      epochs: outcome.epochs,
      steps: outcome.steps,
      stepsPerSecond,
      compileMs,
      finalLoss: Number.isFinite(outcome.loss) ? outcome.loss : null,
    }));
  }
  return interrupt.requested ? 130 : 0;
}

/** Reads the command line, runs, and turns failures into a message and an exit status. */
async function main(args: readonly string[]): Promise<number> {
  try {
    const settings = parseArgs(args, OPTIONS);
    if (settings.help) {
      console.log(usage("deno task train-mnist", "Trains a classifier of handwritten digits on the device.", OPTIONS));
      return 0;
    }
    if (settings.load !== undefined && settings.save !== undefined) {
      throw new UsageError("--load only tests, so there is nothing to --save");
    }
    return await run(settings);
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`train-mnist: ${error.message}`);
      return 2;
    }
    if (!(error instanceof AneforgeError)) throw error;
    console.error(`train-mnist: ${error.name}: ${error.message}`);
    return 1;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
