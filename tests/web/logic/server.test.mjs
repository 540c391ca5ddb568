import assert from "node:assert/strict";
import test from "node:test";
import { page } from "./page.mjs";

const { EventReader } = await page("core/sse.js");
const { problemOf } = await page("core/problems.js");
const { Series, roundTop } = await page("server/series.js");
const { facts, readings } = await page("server/status.js");
const { KeyStore } = await page("api/key.js");
const { Edits } = await page("files/edits.js");
const { peaks } = await page("core/peaks.js");

/** What a browser keeps, with room for so many characters. */
class Shelf {
  kept = new Map();
  constructor(room = Infinity) {
    this.room = room;
  }
  get length() {
    return this.kept.size;
  }
  key(index) {
    return [...this.kept.keys()][index] ?? null;
  }
  getItem(name) {
    return this.kept.get(name) ?? null;
  }
  setItem(name, value) {
    const others = [...this.kept].filter(([each]) => each !== name);
    if (others.reduce((sum, [, each]) => sum + each.length, value.length) > this.room)
      throw new Error("full");
    this.kept.set(name, value);
  }
  removeItem(name) {
    this.kept.delete(name);
  }
}

test("events are the same however their bytes are cut", () => {
  const text = 'data: {"a": 1}\n\n: ping\n\ndata: {"b":\ndata: 2}\n\n';
  for (let cut = 0; cut <= text.length; cut++) {
    const reader = new EventReader();
    assert.deepEqual(
      [...reader.read(text.slice(0, cut)), ...reader.read(text.slice(cut))],
      [{ a: 1 }, { b: 2 }],
    );
  }
});

test("a problem is told in the server's words, with the time it names", () => {
  const body = '{"error": {"message": "Too many jobs wait.", "code": "busy"}}';
  const problem = problemOf(429, body, "1.2");
  assert.equal(problem.message, "Too many jobs wait. Try again in 2 s.");
  assert.equal(problem.code, "busy");
});

test("a proxy's page is no message, a status of which nothing is known still is one", () => {
  assert.equal(problemOf(413, "<html>").message, "The file is larger than this server accepts.");
  assert.match(problemOf(418, "").message, /418/);
  assert.equal(problemOf(401, "").wantsKey, true);
});

test("a series forgets what is older than its span and draws the newest at the right", () => {
  const series = new Series(10);
  for (let at = 0; at <= 20; at++) series.add(at, at);
  const line = series.line(100, 50, 20);
  assert.deepEqual([line.length, line[0], line.at(-1)], [11, [0, 25], [100, 0]]);
  assert.deepEqual([series.last, series.most], [20, 20]);
});

test("the top of a chart is round and never below its line", () => {
  const tops = [0, 0.3, 1, 1.1, 2, 3, 7, 11, 99, 101].map((value) => roundTop(value, 1));
  assert.deepEqual(tops, [1, 1, 1, 2, 2, 5, 10, 20, 100, 200]);
  assert.equal(roundTop(0.034, 0.01), 0.05);
});

test("a key is kept for the tab, or for the browser, never for both", () => {
  const [session, local] = [new Shelf(), new Shelf()];
  const keys = new KeyStore(session, local);
  keys.keep("one", true);
  assert.deepEqual([keys.key, keys.isRemembered, session.length], ["one", true, 0]);
  keys.keep("two", false);
  assert.deepEqual([keys.key, keys.isRemembered, local.length], ["two", false, 0]);
  keys.forget();
  assert.equal(keys.key, "");
});

test("edits come back, and taken back they leave nothing", () => {
  const shelf = new Shelf();
  const edits = new Edits(shelf);
  assert.equal(edits.keep("job_1", 0, new Map([[3, "x"]]), 1), true);
  assert.deepEqual([...edits.of("job_1", 0)], [[3, "x"]]);
  assert.equal(edits.of("job_1", 1).size, 0);
  edits.keep("job_1", 0, new Map(), 2);
  assert.equal(shelf.length, 0);
});

test("the oldest edits make room, and what never fits is said to be lost", () => {
  const shelf = new Shelf(200);
  const edits = new Edits(shelf);
  const texts = new Map([[0, "x".repeat(60)]]);
  for (let job = 0; job < 5; job++) assert.equal(edits.keep(`job_${job}`, 0, texts, job), true);
  assert.deepEqual([edits.of("job_4", 0).size, edits.of("job_0", 0).size], [1, 0]);
  assert.equal(edits.keep("job_9", 0, new Map([[0, "x".repeat(500)]]), 9), false);
});

test("no more than fifty transcripts are kept", () => {
  const edits = new Edits(new Shelf());
  for (let job = 0; job < 60; job++) edits.keep(`job_${job}`, 0, new Map([[0, "x"]]), job);
  assert.deepEqual([edits.of("job_9", 0).size, edits.of("job_10", 0).size], [0, 1]);
});

test("peaks are the loudest of each stretch, of every channel", () => {
  const found = peaks([Float32Array.of(0, -1, 0.25, 0), Float32Array.of(0.5, 0, 0, -0.5)], 2);
  assert.deepEqual([...found], [1, 0.5]);
  assert.equal(peaks([]).length, 0);
});

test("a moment of the server is told and drawn", () => {
  const status = {
    version: "1.0",
    status: "draining",
    backend: "faster_whisper",
    device: "cpu",
    compute_type: "int8",
    workers: 2,
    models: [
      { name: "demo", real_time_factor: 0.02 },
      { name: "small", real_time_factor: null },
    ],
    queue: { final: 1, update: 2, short_file: 0, bulk: 4 },
    live_clients: 3,
    live_clients_limit: 32,
    live_capacity: 24,
    live_lateness_s: 0.5,
    jobs: { running: 1 },
  };
  assert.deepEqual(readings(status), { queue: 7, live: 3, factor: 0.02, lateness: 0.5 });
  assert.equal(readings({ ...status, models: [] }).factor, 0);
  const told = new Map(facts(status));
  assert.equal(told.get("In memory"), "demo, small");
  assert.match(told.get("Status"), /stopping/);
  assert.equal(told.get("Room for live"), "24 clients");
  assert.equal(told.get("Jobs"), "1 running, 0 waiting");
});
