import assert from "node:assert/strict";
import test from "node:test";
import { page } from "./page.mjs";

const { ago, clock, inWords, lastBegun } = await page("core/times.js");

test("a clock has hours only where there are any", () => {
  assert.deepEqual([0, 9.9, 61, 3599, 3600, 36061].map(clock), [
    "0:00",
    "0:09",
    "1:01",
    "59:59",
    "1:00:00",
    "10:01:01",
  ]);
});

test("a length in words names two units and no zero", () => {
  assert.deepEqual([0, 1, 61, 3600, 3725].map(inWords), [
    "0 seconds",
    "1 second",
    "1 minute 1 second",
    "1 hour",
    "1 hour 2 minutes",
  ]);
});

test("the word at a moment is the last that has begun, as a search from the front finds it", () => {
  const starts = [0.3, 0.3, 1.2, 5];
  for (const time of [0, 0.29, 0.3, 1, 1.2, 4.99, 5, 100]) {
    assert.equal(lastBegun(starts, time), starts.filter((start) => start <= time).length - 1);
  }
  assert.equal(lastBegun([], 3), -1);
});

test("how long ago is told roughly, never as the future", () => {
  assert.deepEqual(
    [5, -5, 60, 7300, 200000].map((age) => ago(1e6 - age, 1e6)),
    ["just now", "just now", "1 min ago", "2 h ago", "2 d ago"],
  );
});
