// Asks a server through OpenAI's Node client and the Vercel AI SDK; prints all answers as JSON.
// usage: node clients.mjs BASE_URL RECORDING

import fs from "node:fs";
import { createOpenAI } from "@ai-sdk/openai";
import { experimental_transcribe as transcribe } from "ai";
import OpenAI from "openai";

const [baseURL, recording] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const answers = {};

const ask = (wish) =>
  client.audio.transcriptions.create({
    file: fs.createReadStream(recording),
    model: "whisper-1",
    ...wish,
  });

const failure = async (wish) => {
  try {
    await ask(wish);
  } catch (error) {
    const { status, code, param, type, requestID } = error;
    return { class: error.constructor.name, status, code, param, type, requestID };
  }
  return null;
};

for (const response_format of ["json", "text", "srt", "vtt"]) {
  answers[response_format] = await ask({ response_format });
}
answers.verbose_json = await ask({
  response_format: "verbose_json",
  timestamp_granularities: ["word", "segment"],
});
answers.logprobs = await ask({ include: ["logprobs"] });
answers.vad = await ask({ chunking_strategy: { type: "server_vad", silence_duration_ms: 300 } });
answers.events = [];
for await (const event of await ask({ stream: true })) answers.events.push(event);
answers.translation = await client.audio.translations.create({
  file: await OpenAI.toFile(fs.readFileSync(recording), "a.flac"),
  model: "whisper-1",
  response_format: "verbose_json",
});

answers.bad = await failure({ language: "klingon" });
answers.missing = await failure({ model: "no-such-model" });
answers.undecodable = await failure({ file: await OpenAI.toFile(Buffer.from("MZ"), "a.wav") });
answers.large = await failure({ file: await OpenAI.toFile(Buffer.alloc(9 << 20), "a.wav") });

const model = createOpenAI({ baseURL, apiKey: "none" }).transcription("whisper-1");
const audio = fs.readFileSync(recording);
answers.ai_plain = (await transcribe({ model, audio, maxRetries: 0 })).text;
// Only with options of its own does the SDK ask for verbose_json.
const { text, language, durationInSeconds, segments } = await transcribe({
  model,
  audio,
  maxRetries: 0,
  providerOptions: { openai: { timestampGranularities: ["segment"] } },
});
answers.ai = { text, language, durationInSeconds, segments };

console.log(JSON.stringify(answers));
