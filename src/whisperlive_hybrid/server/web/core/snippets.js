// What was just done on the page, as commands and programs to paste elsewhere.

/** @typedef {{kind: "job", source: {file?: string, url?: string}, fields: [string, string][]}} JobAct */
/** @typedef {{kind: "live", url: string, handshake: Record<string, unknown>}} LiveAct */
/** @typedef {JobAct | LiveAct} Act */
/** @typedef {{name: string, code: string}} Snippet */

export const KEY_NAME = "WHISPERLIVE_KEY";

/**
 * The same act in each language.
 *
 * @param {Act} act
 * @param {{base: string, hasKey: boolean}} server `base` without a slash at its end
 * @returns {Snippet[]}
 */
export function snippets(act, server) {
  if (act.kind === "live") return liveSnippets(act, server.hasKey);
  return [
    { name: "curl", code: curlJob(act, server) },
    { name: "Python", code: pythonJob(act, server) },
    { name: "JavaScript", code: javascriptJob(act, server) },
  ];
}

/** @param {JobAct} act @param {{base: string, hasKey: boolean}} server */
function curlJob(act, { base, hasKey }) {
  const key = hasKey ? ` -H "Authorization: Bearer $${KEY_NAME}"` : "";
  const { file, url } = act.source;
  const source =
    file === undefined
      ? `--form-string ${shell(`url=${url}`)}`
      : `-F ${shell(`file=@${curlName(file)}`)}`;
  const fields = act.fields.map(([name, value]) => `--form-string ${shell(`${name}=${value}`)}`);
  const lines = [`curl -s${key} ${base}/v1/jobs`, source, ...fields].join(" \\\n  ");
  return [
    `ID=$(${lines} |`,
    `  sed -E 's/.*"id":"(job_[^"]+)".*/\\1/')`,
    `curl -sN${key} ${base}/v1/jobs/$ID/events`,
    `curl -s${key} "${base}/v1/jobs/$ID/result?format=srt"`,
  ].join("\n");
}

/** @param {JobAct} act @param {{base: string, hasKey: boolean}} server */
function pythonJob(act, { base, hasKey }) {
  const { file, url } = act.source;
  const fields = file === undefined ? [["url", url ?? ""], ...act.fields] : act.fields;
  const sent = fields.map(
    ([name, value]) => `    (${python(name ?? "")}, (None, ${python(value ?? "")})),`,
  );
  if (file !== undefined) sent.unshift(`    ("file", open(${python(file)}, "rb")),`);
  return [
    hasKey ? "import os\n\nimport requests" : "import requests",
    "",
    "server = requests.Session()",
    ...(hasKey ? [`server.headers["Authorization"] = "Bearer " + os.environ["${KEY_NAME}"]`] : []),
    `jobs = ${python(`${base}/v1/jobs`)}`,
    "form = [",
    ...sent,
    "]",
    "job = server.post(jobs, files=form).json()",
    `with server.get(f"{jobs}/{job['id']}/events", stream=True) as events:`,
    "    for line in events.iter_lines():",
    "        print(line.decode())",
    `print(server.get(f"{jobs}/{job['id']}/result", params={"format": "srt"}).text)`,
  ].join("\n");
}

/** @param {JobAct} act @param {{base: string, hasKey: boolean}} server */
function javascriptJob(act, { base, hasKey }) {
  const { file, url } = act.source;
  const fields = file === undefined ? [["url", url ?? ""], ...act.fields] : act.fields;
  const name = file === undefined ? "" : JSON.stringify(file);
  return [
    ...(file === undefined ? [] : ['import { openAsBlob } from "node:fs";', ""]),
    `const jobs = ${JSON.stringify(`${base}/v1/jobs`)};`,
    hasKey
      ? `const headers = { Authorization: \`Bearer \${process.env.${KEY_NAME}}\` };`
      : "const headers = {};",
    "const form = new FormData();",
    ...(file === undefined ? [] : [`form.append("file", await openAsBlob(${name}), ${name});`]),
    ...fields.map(
      ([field, value]) => `form.append(${JSON.stringify(field)}, ${JSON.stringify(value)});`,
    ),
    'const job = await (await fetch(jobs, { method: "POST", headers, body: form })).json();',
    "const events = await fetch(`${jobs}/${job.id}/events`, { headers });",
    "for await (const part of events.body.pipeThrough(new TextDecoderStream())) console.log(part);",
    "const result = await fetch(`${jobs}/${job.id}/result?format=srt`, { headers });",
    "console.log(await result.text());",
  ].join("\n");
}

/**
 * @param {LiveAct} act
 * @param {boolean} hasKey
 * @returns {Snippet[]}
 */
function liveSnippets(act, hasKey) {
  return [
    { name: "Python", code: pythonLive(act, hasKey) },
    { name: "JavaScript", code: javascriptLive(act, hasKey) },
  ];
}

/** @param {LiveAct} act @param {boolean} hasKey */
function pythonLive(act, hasKey) {
  const header = `, additional_headers={"Authorization": "Bearer " + os.environ["${KEY_NAME}"]}`;
  const said = wishes(act).map(([name, value]) => `    ${python(name)}: ${pythonValue(value)},`);
  return [
    ...(hasKey ? ["import json", "import os", "import wave"] : ["import json", "import wave"]),
    "",
    "from websockets.sync.client import connect",
    "",
    "wish = {",
    ...said,
    "}",
    `with connect(${python(act.url)}${hasKey ? header : ""}) as server:`,
    "    server.send(json.dumps(wish))",
    "    print(server.recv())",
    '    with wave.open("speech-16khz-mono.wav") as audio:',
    "        while chunk := audio.readframes(4096):",
    "            server.send(chunk)",
    '    server.send("END_OF_AUDIO")',
    "    for message in server:",
    "        print(message)",
  ].join("\n");
}

/** @param {LiveAct} act @param {boolean} hasKey */
function javascriptLive(act, hasKey) {
  const protocols = hasKey ? `, ["bearer", process.env.${KEY_NAME}]` : "";
  const said = wishes(act).map(([name, value]) => `  ${name}: ${JSON.stringify(value)},`);
  return [
    "// Node 22, or Node 20 with --experimental-websocket",
    'import { readFile } from "node:fs/promises";',
    "",
    "const wish = {",
    ...said,
    "};",
    'const audio = (await readFile("speech-16khz-mono.wav")).subarray(44);',
    `const server = new WebSocket(${JSON.stringify(act.url)}${protocols});`,
    "server.onopen = () => server.send(JSON.stringify(wish));",
    "server.onmessage = ({ data }) => {",
    "  console.log(data);",
    '  if (JSON.parse(data).message !== "SERVER_READY") return;',
    "  server.send(audio);",
    '  server.send("END_OF_AUDIO");',
    "};",
  ].join("\n");
}

/**
 * What of the page's own first message another program would say too.
 *
 * @param {LiveAct} act
 * @returns {[string, unknown][]}
 */
function wishes({ handshake }) {
  return [
    ["uid", "my-program"],
    ["language", handshake.language],
    ["task", handshake.task],
    ["audio_format", "int16"],
  ];
}

/** @param {unknown} value */
function pythonValue(value) {
  return value === null ? "None" : python(String(value));
}

/** @param {string} text */
function shell(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * A name that curl does not take for a list or a type: it reads commas and semicolons unless quoted.
 *
 * @param {string} name
 */
function curlName(name) {
  return /[,;"\\]/u.test(name) ? `"${name.replace(/["\\]/gu, "\\$&")}"` : name;
}

/** @param {string} text */
function python(text) {
  return JSON.stringify(text); // its escapes mean the same in Python
}
