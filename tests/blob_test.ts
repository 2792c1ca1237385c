import { assertEquals } from "@std/assert";
import { BlobWriter } from "../src/mil/blob.ts";
import { halfBytes } from "../src/graph/fp16.ts";

const hex = (bytes: Uint8Array): string => [...bytes].map((b) => b.toString(16).padStart(2, "0")).join(" ");

Deno.test("an empty container is the header alone", () => {
  const bytes = new BlobWriter().finish();
  assertEquals(bytes.length, 64);
  assertEquals(hex(bytes.slice(0, 8)), "00 00 00 00 02 00 00 00");
  assertEquals(bytes.slice(8).every((b) => b === 0), true);
});

Deno.test("one fp16 blob of four values", () => {
  const writer = new BlobWriter();
  assertEquals(writer.add("fp16", halfBytes([1, -2, 0.5, 65504])), 64);
  const bytes = writer.finish();
  assertEquals(bytes.length, 136);
  assertEquals(hex(bytes.slice(0, 8)), "01 00 00 00 02 00 00 00");
  assertEquals(
    hex(bytes.slice(64, 88)),
    "ef be ad de 01 00 00 00 08 00 00 00 00 00 00 00 80 00 00 00 00 00 00 00",
  );
  assertEquals(bytes.slice(88, 128).every((b) => b === 0), true);
  assertEquals(hex(bytes.slice(128)), "00 3c 00 c0 00 38 ff 7b");
});

Deno.test("blobs follow each other without padding", () => {
  const writer = new BlobWriter();
  const payloads = [3, 0, 5, 1].map((length, i) => new Uint8Array(length).fill(i + 1));
  const types = ["int8", "fp16", "uint4", "uint1"] as const;
  const offsets = payloads.map((payload, i) => writer.add(types[i]!, payload));
  assertEquals(offsets, [64, 64 + 67, 64 + 67 + 64, 64 + 67 + 64 + 69]);
  assertEquals(writer.count, 4);
  const bytes = writer.finish();
  assertEquals(bytes.length, 64 + 67 + 64 + 69 + 65);
  const view = new DataView(bytes.buffer);
  assertEquals(view.getUint32(0, true), 4);
  offsets.forEach((offset, i) => {
    assertEquals(view.getUint32(offset, true), 0xdeadbeef);
    assertEquals(view.getUint32(offset + 4, true), [4, 1, 11, 9][i]);
    assertEquals(view.getBigUint64(offset + 8, true), BigInt(payloads[i]!.length));
    assertEquals(view.getBigUint64(offset + 16, true), BigInt(offset + 64));
    assertEquals(bytes.slice(offset + 64, offset + 64 + payloads[i]!.length), payloads[i]);
  });
});
