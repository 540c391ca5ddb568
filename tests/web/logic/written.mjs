// Writes transcripts as the page would: reads a list of lists of segments, answers with the files.

import { page } from "./page.mjs";

const { Transcript, FORMATS } = await page("core/transcript.js");

let input = "";
for await (const chunk of process.stdin) input += chunk;
const files = JSON.parse(input).map((segments) => {
  const transcript = new Transcript(JSON.stringify({ duration: 0, segments }));
  return Object.fromEntries(FORMATS.map((format) => [format, transcript.file(format)]));
});
process.stdout.write(JSON.stringify(files));
