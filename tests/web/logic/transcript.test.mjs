import assert from "node:assert/strict";
import test from "node:test";
import { page } from "./page.mjs";

const { Transcript, pieces, withWords } = await page("core/transcript.js");
const { survivors } = await page("core/matching.js");

/** Words of a text, one second each, at their places. */
function words(text, said = text.match(/[\p{L}\p{N}'-]+/gu)) {
  let from = 0;
  return said.map((word, index) => {
    const at = text.indexOf(word, from);
    from = at + word.length;
    return { text: word, start: index, end: index + 1, at };
  });
}

const BODY = {
  task: "transcribe",
  language: "english",
  duration: 4,
  text: "One, two. Two three!",
  segments: [
    { id: 0, start: 0, end: 2, text: " One, two.", tokens: [1] },
    { id: 1, start: 2, end: 4, text: " Two three!", tokens: [2] },
  ],
  words: [
    { word: "One", start: 0, end: 1 },
    { word: "two", start: 1, end: 2 },
    { word: "Two", start: 2, end: 3 },
    { word: "three", start: 3, end: 4 },
  ],
};

test("words find their segments, and pieces put the text together again", () => {
  const segments = withWords(BODY.segments, BODY.words);
  assert.deepEqual(
    segments.map((segment) => segment.words.map((word) => word.text)),
    [
      ["One", "two"],
      ["Two", "three"],
    ],
  );
  for (const segment of segments) {
    assert.equal(
      pieces(segment)
        .map((piece) => piece.text)
        .join(""),
      segment.text,
    );
  }
});

test("a word that is not in the text ends the search of its segment and crashes nothing", () => {
  const segments = withWords(
    [{ start: 0, end: 1, text: " a b" }],
    [{ word: "x", start: 0, end: 1 }],
  );
  assert.deepEqual(segments[0].words, []);
});

test("scripts without spaces have words too", () => {
  const [segment] = withWords(
    [{ start: 0, end: 2, text: "你好世界。" }],
    [
      { word: "你好", start: 0, end: 1 },
      { word: "世界", start: 1, end: 2 },
    ],
  );
  assert.deepEqual(
    segment.words.map((word) => word.at),
    [0, 2],
  );
});

test("an edit leaves the words alone that it does not touch", () => {
  const before = " the cat sat on the mat.";
  const kept = survivors(before, words(before), " the black cat sat on a mat.");
  assert.deepEqual(
    kept.map((word) => word.text),
    ["the", "cat", "sat", "on", "mat"],
  );
  assert.equal(kept.at(-1).start, 5);
  for (const word of kept)
    assert.equal(
      " the black cat sat on a mat.".slice(word.at, word.at + word.text.length),
      word.text,
    );
});

test("a word that was changed, or is part of a longer one now, has no time", () => {
  const before = " a cat is in the car";
  assert.deepEqual(
    survivors(before, words(before), " a cats is in the oscar").map((word) => word.text),
    ["a", "is", "in", "the"],
  );
  assert.deepEqual(
    survivors("你好世界", words("你好世界", ["你好", "世界"]), "你好新世界").map((word) => word.at),
    [0, 3],
  );
});

test("the json of an edited transcript differs in what was edited, and only there", () => {
  const transcript = new Transcript(JSON.stringify(BODY));
  transcript.edit(1, "Two  or three!");
  const made = JSON.parse(transcript.file("json"));
  assert.equal(made.text, "One, two. Two or three!");
  assert.deepEqual(made.segments[0], BODY.segments[0]);
  assert.equal(made.segments[1].text, " Two or three!");
  assert.deepEqual(made.words, BODY.words);
  transcript.edit(1, "Two three!");
  assert.equal(transcript.isEdited, false);
  assert.equal(transcript.file("json"), JSON.stringify(BODY));
});

test("an emptied line makes no cue", () => {
  const transcript = new Transcript(JSON.stringify(BODY), new Map([[0, ""]]));
  assert.equal(transcript.file("srt"), "1\n00:00:02,000 --> 00:00:04,000\nTwo three!\n\n");
  assert.equal(transcript.file("txt"), "Two three!\n");
});

test("edits of segments that are no more are forgotten", () => {
  assert.equal(new Transcript(JSON.stringify(BODY), new Map([[7, "x"]])).isEdited, false);
});

test("a job that asked for words alone has one segment, and silence none", () => {
  const { segments: _, ...wordsOnly } = BODY;
  assert.equal(new Transcript(JSON.stringify(wordsOnly)).segments.length, 1);
  assert.equal(new Transcript('{"duration": 3, "text": ""}').segments.length, 0);
});
