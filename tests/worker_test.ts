import { assertEquals } from "@std/assert";

const MODULE = JSON.stringify(new URL("../mod.ts", import.meta.url).href);

Deno.test("a Worker that is terminated in the middle of a run does not take the process with it", async () => {
  const worker = `import * as af from ${MODULE};
    const n = 512, x = af.input([n, n]);
    const net = af.compile(x.matmul(af.array(new Float32Array(n * n).fill(1 / n), [n, n])));
    const data = new Float32Array(n * n).fill(1);
    postMessage("running");
    while (true) await net.runAsync(data);`;
  const script = `const url = URL.createObjectURL(new Blob([${JSON.stringify(worker)}], { type: "text/javascript" }));
    for (let i = 0; i < 3; i++) {
      const worker = new Worker(url, { type: "module" });
      await new Promise((done) => worker.onmessage = done);
      await new Promise((done) => setTimeout(done, 30));
      worker.terminate();
    }
    await new Promise((done) => setTimeout(done, 100));
    console.log("alive");`;
  const { code, signal, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", script],
    env: { ANEFORGE_HOST_STRICT: "0" }, // strict mode rightly counts the programs the Worker left behind
  }).output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assertEquals({ code, signal, alive: text.includes("alive") }, { code: 0, signal: null, alive: true }, text);
});
