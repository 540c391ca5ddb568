import assert from "node:assert/strict";
import test from "node:test";
import { page } from "./page.mjs";

const { Backlog } = await page("live/backlog.js");
const { Captions } = await page("live/captions.js");
const { Delay } = await page("live/delay.js");
const { Resampler } = await page("live/resampler.js");
const { afterEnding, backoff } = await page("live/retries.js");
const { asInt16, handshake, understood } = await page("live/protocol.js");

/** So many samples that count up from `from`. */
function run(from, count) {
  return Int16Array.from({ length: count }, (_, index) => from + index);
}

/** All samples of pieces. */
function joined(pieces) {
  return pieces.flatMap((piece) => [...piece]);
}

/** A segment as the server sends it. */
function segment(start, end, text, completed, stable) {
  return {
    start: start.toFixed(3),
    end: end.toFixed(3),
    text,
    completed,
    ...(stable ? { stable } : {}),
  };
}

/** What a message with these segments says. */
function captions(...segments) {
  return understood(JSON.stringify({ uid: "u", segments })).captions;
}

test("every sample goes out once on a connection, whatever the pieces", () => {
  const backlog = new Backlog(1000);
  backlog.push(run(0, 7));
  assert.deepEqual(joined(backlog.takeUnsent()), [...run(0, 7)]);
  backlog.push(run(7, 5));
  backlog.push(run(12, 1));
  assert.deepEqual(joined(backlog.takeUnsent()), [...run(7, 6)]);
  assert.deepEqual(backlog.takeUnsent(), []);
});

test("the next connection hears again what is not yet text, from the middle of a piece", () => {
  const backlog = new Backlog(1000);
  backlog.push(run(0, 10));
  backlog.takeUnsent();
  backlog.settle(4);
  backlog.push(run(10, 5));
  assert.equal(backlog.rewind(), 4);
  assert.deepEqual(joined(backlog.takeUnsent()), [...run(4, 11)]);
});

test("what is thrown away unsent is counted, what was sent is not", () => {
  const backlog = new Backlog(10);
  backlog.push(run(0, 8));
  backlog.takeUnsent();
  backlog.push(run(8, 8));
  assert.equal(backlog.takeLost(), 0);
  backlog.push(run(16, 8));
  assert.equal(backlog.takeLost(), 6);
  assert.equal(backlog.takeLost(), 0);
  assert.deepEqual(joined(backlog.takeUnsent()), [...run(14, 10)]);
});

test("nothing is left when all has become text", () => {
  const backlog = new Backlog(10);
  backlog.push(run(0, 5));
  backlog.takeUnsent();
  backlog.settle(5);
  assert.equal(backlog.rewind(), 5);
  assert.deepEqual(backlog.takeUnsent(), []);
});

test("final text is taken once, though every message repeats the last segments", () => {
  const text = new Captions();
  text.connect(0);
  text.hear(captions(segment(0, 1, " one", true)));
  const { added } = text.hear(
    captions(
      segment(0, 1, " one", true),
      segment(1, 2, " two", true),
      segment(2, 3, " thr", false),
    ),
  );
  assert.deepEqual(
    added.map((line) => line.text),
    ["two"],
  );
  assert.deepEqual(
    text.lines.map((line) => line.text),
    ["one", "two"],
  );
  assert.deepEqual(text.tentative, { stable: "", rest: "thr" });
});

test("the same words said twice are two lines", () => {
  const text = new Captions();
  text.connect(0);
  text.hear(captions(segment(0, 1, " yes", true), segment(1, 2, " yes", true)));
  assert.equal(text.lines.length, 2);
});

test("a later connection's times count from where its sound began", () => {
  const text = new Captions();
  text.connect(0);
  text.hear(captions(segment(0, 1.5, " one", true)));
  assert.equal(text.settled, 1.5);
  text.connect(1.5);
  text.hear(captions(segment(0.25, 1, " two", true)));
  assert.deepEqual(text.lines[1], { start: 1.75, end: 2.5, text: "two" });
  assert.equal(text.settled, 2.5);
});

test("what will hardly change is told from what may", () => {
  const text = new Captions();
  text.connect(0);
  text.hear(captions(segment(0, 1, " one two three", false, " one two")));
  assert.deepEqual(text.tentative, { stable: "one two", rest: " three" });
});

test("when the last word was over is known where the model has measured it", () => {
  const text = new Captions();
  text.connect(10);
  assert.equal(text.hear(captions(segment(0, 1, " one", false))).spoken, null);
  const words = [{ word: " one", start: "0.100", end: "0.750", probability: 1 }];
  assert.equal(text.hear(captions({ ...segment(0, 1, " one", false), words })).spoken, 10.75);
});

test("saved segments put the running text together with spaces", () => {
  const text = new Captions();
  text.connect(0);
  text.hear(captions(segment(0, 1, " one", true), segment(1, 2, " two", true)));
  assert.deepEqual(
    text.segments.map((each) => each.text),
    [" one", " two"],
  );
});

test("every message of the protocol is understood", () => {
  const messages = [
    { status: "WAIT", message: 2.5 },
    { status: "ERROR", message: "no" },
    { message: "DISCONNECT" },
    { message: "SERVER_READY", backend: "faster_whisper" },
    { language: "en", language_prob: 0.9 },
    { news: "of tomorrow" },
  ];
  const kinds = messages.map(
    (message) => understood(JSON.stringify({ uid: "u", ...message })).kind,
  );
  assert.deepEqual(kinds, ["wait", "error", "time-up", "ready", "language", "unknown"]);
});

test("an open language is null in the handshake", () => {
  assert.equal(
    handshake({ uid: "u", language: "", task: "transcribe", hasWordTimes: true }).language,
    null,
  );
});

test("samples become whole numbers without running over", () => {
  assert.deepEqual(
    [...asInt16(Float32Array.of(0, 0.5, -1, 1, 2, -2))],
    [0, 16384, -32768, 32767, 32767, -32768],
  );
});

test("an error is final, everything else is tried again, more slowly each time", () => {
  const refused = { kind: "error", message: "No such model." };
  assert.equal(
    afterEnding({ code: 1000, last: refused, tries: 0, isWelcome: true }).retryInMs,
    null,
  );
  const lost = [0, 1, 2, 10].map(
    (tries) => afterEnding({ code: 1006, last: null, tries, isWelcome: true }).retryInMs,
  );
  assert.deepEqual(lost, [500, 1000, 2000, 15000]);
  assert.match(
    afterEnding({ code: 1012, last: { kind: "ready" }, tries: 0, isWelcome: true }).words,
    /restarting/,
  );
  assert.match(
    afterEnding({ code: 1012, last: { kind: "wait", minutes: 0 }, tries: 0, isWelcome: true })
      .words,
    /restarting/,
  );
  assert.match(
    afterEnding({ code: 1000, last: { kind: "wait", minutes: 2.4 }, tries: 0, isWelcome: true })
      .words,
    /about 3 min/,
  );
  assert.equal(
    afterEnding({ code: 1000, last: { kind: "time-up" }, tries: 0, isWelcome: true }).retryInMs,
    0,
  );
  assert.equal(afterEnding({ code: 1006, last: null, tries: 0, isWelcome: false }).retryInMs, null);
  assert.equal(backoff(100), 15000);
});

test("the delay is from the end of the last word to its text, once for each", () => {
  const delay = new Delay();
  assert.equal(delay.median, null);
  for (let piece = 1; piece <= 30; piece++) delay.captured(piece / 10, piece * 100);
  delay.shown(1, 1400);
  delay.shown(1, 9000);
  delay.shown(0.5, 9000);
  assert.equal(delay.median, 0.4);
  delay.shown(1.1, 9000);
  delay.shown(2, 2600);
  delay.shown(3, 3900);
  assert.equal(delay.median, 0.6);
});

/** A tone of one second. */
function tone(hertz, rate) {
  return Float32Array.from({ length: rate }, (_, index) =>
    Math.sin((2 * Math.PI * hertz * index) / rate),
  );
}

/** The loudness of the middle, where the edges no longer matter. */
function loudness(samples) {
  const middle = samples.slice(samples.length / 4, (samples.length * 3) / 4);
  return Math.sqrt(middle.reduce((sum, sample) => sum + sample * sample, 0) / middle.length);
}

for (const rate of [48000, 44100, 96000, 22050, 8000]) {
  test(`speech passes the resampler from ${rate} Hz unchanged in pitch and loudness`, () => {
    const made = new Resampler(rate, 16000).push(tone(1000, rate));
    assert.ok(Math.abs(made.length - 16000) < 100);
    assert.ok(Math.abs(loudness(made) - Math.SQRT1_2) < 0.005, `${loudness(made)}`);
    const expected = tone(1000, 16000);
    const worst = Math.max(
      ...made.slice(1000, 12000).map((sample, index) => Math.abs(sample - expected[index + 1000])),
    );
    assert.ok(worst < 0.01, `${worst}`);
  });
}

test("what 16 kHz cannot hold is taken out, not folded back", () => {
  for (const hertz of [9500, 12000, 20000]) {
    const made = new Resampler(48000, 16000).push(tone(hertz, 48000));
    assert.ok(20 * Math.log10(loudness(made)) < -60, `${hertz} Hz: ${loudness(made)}`);
  }
});

test("the resampler makes the same samples however its input is cut", () => {
  const input = tone(700, 44100);
  const whole = new Resampler(44100, 16000).push(input);
  const cut = new Resampler(44100, 16000);
  const pieces = [];
  for (let from = 0; from < input.length; from += 128)
    pieces.push(...cut.push(input.subarray(from, from + 128)));
  assert.deepEqual(pieces.slice(0, whole.length), [...whole].slice(0, pieces.length));
});
