import { assertEquals, assertThrows } from "@std/assert";
import { CompileBackoffError } from "../src/errors.ts";
import { type BreakerOptions, CompileBreaker } from "../src/compile/backoff.ts";
import { onWarning } from "../src/warnings.ts";

/** A breaker with a clock that only moves when told to, and what it slept and said. */
function breakerWith(options: BreakerOptions = {}) {
  const state = { now: 100, slept: [] as number[], said: [] as string[] };
  const breaker = new CompileBreaker({
    clock: () => state.now,
    sleep: (seconds) => {
      state.slept.push(seconds);
      state.now += seconds;
    },
    ...options,
  });
  const guard = () => {
    const restore = onWarning((kind, message) => state.said.push(`${kind}: ${message}`));
    try {
      breaker.guard();
    } finally {
      restore();
    }
  };
  return { breaker, state, guard };
}

Deno.test("nothing is held back before a failure", () => {
  const { state, guard } = breakerWith();
  guard();
  assertEquals([state.slept, state.said], [[], []]);
});

Deno.test("a failure holds the next compile back for the whole window, with the warning's text", () => {
  const { breaker, state, guard } = breakerWith();
  breaker.record(false);
  guard();
  assertEquals(state.slept, [15]);
  assertEquals(state.said, [
    "compile-backoff: aneforge: pacing this compile by 15.0s - a compile failed recently (a defensive backstop for the " +
    "autotuner's burst of variant compiles). (ANEFORGE_DISABLE_COMPILE_BREAKER=1 to override.)",
  ]);
});

Deno.test("only the rest of the window is waited for", () => {
  for (const [elapsed, expected] of [[9, [6]], [14.5, [0.5]], [15, []], [20, []]] as const) {
    const { breaker, state, guard } = breakerWith();
    breaker.record(false);
    state.now += elapsed;
    guard();
    assertEquals(state.slept, [...expected], `after ${elapsed} s`);
  }
});

Deno.test("a success clears, each failure starts the full window again", () => {
  const cleared = breakerWith();
  cleared.breaker.record(false);
  cleared.breaker.record(true);
  cleared.guard();
  assertEquals(cleared.state.slept, []);

  const twice = breakerWith();
  twice.breaker.record(false);
  twice.guard();
  twice.breaker.record(false);
  twice.guard();
  assertEquals(twice.state.slept, [15, 15]);
});

Deno.test("the state is kept by a guard and forgotten by reset", () => {
  const { breaker, state, guard } = breakerWith({ strict: true });
  breaker.record(false);
  assertThrows(guard, CompileBackoffError);
  assertThrows(guard, CompileBackoffError);
  breaker.reset();
  guard();
  assertEquals(state.slept, []);
});

Deno.test("strict mode throws the text instead of waiting", () => {
  const { breaker, state, guard } = breakerWith({ strict: true });
  breaker.record(false);
  state.now += 2.26;
  const error = assertThrows(guard, CompileBackoffError);
  assertEquals(
    error.message,
    "aneforge: a compile failed < 15s ago; refusing another for 12.7s (a defensive backstop for the autotuner's burst of " +
      "variant compiles). Set ANEFORGE_DISABLE_COMPILE_BREAKER=1 to override.",
  );
  assertEquals(error.name, "CompileBackoffError");
  assertEquals(state.slept, []);
});

Deno.test("disabled, or a window of 0 or less, never waits", () => {
  for (const options of [{ disabled: true }, { window: 0 }, { window: -1 }, { disabled: true, strict: true }]) {
    const { breaker, state, guard } = breakerWith(options);
    breaker.record(false);
    guard();
    assertEquals(state.slept, [], JSON.stringify(options));
  }
});

Deno.test("the window can be set", () => {
  const { breaker, state, guard } = breakerWith({ window: 2.5 });
  breaker.record(false);
  state.now += 1;
  guard();
  assertEquals(state.slept, [1.5]);
});

Deno.test("the default clock and sleep hold a real compile back", () => {
  const breaker = new CompileBreaker({ window: 0.05 });
  const restore = onWarning(() => {});
  breaker.record(false);
  const start = performance.now();
  breaker.guard();
  const waited = performance.now() - start;
  restore();
  assertEquals(waited > 40 && waited < 2000, true, `waited ${waited} ms`);
});
