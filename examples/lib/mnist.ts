/**
 * Where the digit examples get their data: a directory of IDX files, a verified download, or digits drawn on the spot.
 *
 * @module
 */

import { gunzip, type LabelledImages, labelledImages, parseIdx } from "../../src/data/idx.ts";
import { cacheBase, envText } from "../../src/env.ts";
import { DataError } from "../../src/errors.ts";
import { drawDigits } from "./digits.ts";
import { writeFileAtomic } from "../../src/cli/files.ts";

/** The four files and the SHA-256 of their uncompressed bytes. */
export const MNIST_FILES: Readonly<Record<string, string>> = {
  "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
  "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
  "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
  "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
};

/** Where the compressed files are published. */
export const MNIST_MIRRORS: readonly string[] = [
  "https://ossci-datasets.s3.amazonaws.com/mnist",
  "https://storage.googleapis.com/cvdf-datasets/mnist",
  "https://raw.githubusercontent.com/fgnt/mnist/master",
];

/** Milliseconds a mirror has to answer, and to deliver a file. */
const ANSWER_MS = 4000, DELIVER_MS = 60_000;

/** Drawn digits for training and testing when there is nothing else. */
const DRAWN = { train: 20_000, test: 4_000 };

/** A training and a test set. */
export interface DigitData {
  /** What it is: `mnist` or `drawn`. */
  name: "mnist" | "drawn";
  /** Where it came from, for people. */
  source: string;
  /** Images to learn from. */
  train: LabelledImages;
  /** Images to be judged by. */
  test: LabelledImages;
}

/** Gets the bytes behind an address; throws when it cannot. */
export type Fetcher = (url: string) => Promise<Uint8Array<ArrayBuffer>>;

async function fetchBytes(url: string): Promise<Uint8Array<ArrayBuffer>> {
  const abort = new AbortController();
  let timer = setTimeout(() => abort.abort(new Error(`no answer within ${ANSWER_MS} ms`)), ANSWER_MS);
  try {
    const response = await fetch(url, { signal: abort.signal });
    clearTimeout(timer);
    timer = setTimeout(() => abort.abort(new Error(`not delivered within ${DELIVER_MS} ms`)), DELIVER_MS);
    if (!response.ok) {
      await response.body?.cancel();
      throw new Error(`HTTP status ${response.status}`);
    }
    return new Uint8Array(await response.arrayBuffer());
  } finally {
    clearTimeout(timer);
  }
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

async function readIfThere(path: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw new DataError(`${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** Reads `name` or `name.gz` from a directory. */
async function readPlainOrGzip(dir: string, name: string): Promise<Uint8Array<ArrayBuffer>> {
  for (const path of [`${dir}/${name}`, `${dir}/${name}.gz`]) {
    const bytes = await readIfThere(path);
    if (bytes) return gunzip(bytes, path);
  }
  throw new DataError(`${dir}: neither ${name} nor ${name}.gz is there`);
}

/** From the four files' bytes, in the order of {@link MNIST_FILES}. */
function assemble(files: readonly Uint8Array[], source: string): DigitData {
  const names = Object.keys(MNIST_FILES);
  const [trainImages, trainLabels, testImages, testLabels] = files.map((bytes, i) => parseIdx(bytes, names[i]));
  const train = labelledImages(trainImages!, trainLabels!);
  const test = labelledImages(testImages!, testLabels!);
  if (train.pixels !== test.pixels) {
    throw new DataError(`training images have ${train.pixels} pixels, test images ${test.pixels}`);
  }
  if (train.count === 0 || test.count === 0) throw new DataError(`${source}: a set without images`);
  return { name: "mnist", source, train, test };
}

/**
 * Reads MNIST from a directory with the four IDX files, plain or gzip-compressed.
 *
 * @throws {DataError} When a file is missing, damaged, or not what its name says.
 */
export async function readMnist(dir: string): Promise<DigitData> {
  const files = [];
  for (const name of Object.keys(MNIST_FILES)) files.push(await readPlainOrGzip(dir, name));
  return assemble(files, dir);
}

/**
 * MNIST from the cache directory; files that are missing or damaged there are downloaded, verified by their SHA-256, and
 * put into it.
 *
 * @throws {DataError} When a file cannot be had from any mirror.
 */
export async function downloadMnist(
  cache: string,
  options: { fetcher?: Fetcher; note?: (text: string) => void } = {},
): Promise<DigitData> {
  const { fetcher = fetchBytes, note = () => {} } = options;
  const files: Uint8Array<ArrayBuffer>[] = [];
  for (const [name, digest] of Object.entries(MNIST_FILES)) {
    const path = `${cache}/${name}`;
    const cached = await readIfThere(path);
    if (cached && await sha256(cached) === digest) {
      files.push(cached);
      continue;
    }
    const failures: string[] = [];
    let bytes: Uint8Array<ArrayBuffer> | undefined;
    for (const mirror of MNIST_MIRRORS) {
      const url = `${mirror}/${name}.gz`;
      try {
        note(`downloading ${url}`);
        const candidate = await gunzip(await fetcher(url), url);
        const found = await sha256(candidate);
        if (found !== digest) throw new DataError(`SHA-256 is ${found}, expected ${digest}`);
        bytes = candidate;
        break;
      } catch (error) {
        failures.push(`${new URL(url).host}: ${(error as Error).message}`);
      }
    }
    if (!bytes) throw new DataError(`${name} cannot be downloaded (${failures.join("; ")})`);
    await Deno.mkdir(cache, { recursive: true });
    await writeFileAtomic(path, bytes);
    files.push(bytes);
  }
  return assemble(files, `download, kept in ${cache}`);
}

/**
 * The data of the digit examples: from `dir` if given, else from `ANEFORGE_MNIST_DIR`, else from the cache or a download,
 * else drawn.
 *
 * @param dir What the user asked for, if anything.
 * @param options How to download, and where to say so.
 * @throws {DataError} When a directory was named and its files are not usable.
 */
export async function digitData(
  dir: string | undefined,
  options: { fetcher?: Fetcher; note?: (text: string) => void; cache?: string } = {},
): Promise<DigitData> {
  const named = dir ?? envText("ANEFORGE_MNIST_DIR");
  if (named) return readMnist(named);
  try {
    return await downloadMnist(options.cache ?? `${cacheBase()}/mnist`, options);
  } catch (error) {
    const reason = (error as Error).message;
    return {
      name: "drawn",
      source: `drawn here, because MNIST is not at hand: ${reason}`,
      train: drawDigits(DRAWN.train, 1),
      test: drawDigits(DRAWN.test, 2),
    };
  }
}
