// Asks a server through OpenAI's Node client and the Vercel AI SDK; prints all answers as JSON.
// usage: node clients.mjs BASE_URL RECORDING

import fs from "node:fs";
import { createGroq } from "@ai-sdk/groq";
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

// Groq's base URL is /openai/v1 of a host. Its schema refuses a body without Groq's own mark.
const groqURL = baseURL.replace(/\/v1$/, "/openai/v1");
const groq = createGroq({ baseURL: groqURL, apiKey: "none" }).transcription("whisper-1");
const askGroq = async (wish) => {
  const made = await transcribe({
    model: groq,
    audio,
    maxRetries: 0,
    providerOptions: wish && { groq: wish },
  });
  return { text: made.text, language: made.language, segments: made.segments };
};
answers.groq_plain = await askGroq();
answers.groq_verbose = await askGroq({
  responseFormat: "verbose_json",
  timestampGranularities: ["segment"],
});
answers.groq_words = await askGroq({ timestampGranularities: ["word"] });

console.log(JSON.stringify(answers));
