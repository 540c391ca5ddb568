// Puts the page together: what every room needs is made here, once, and handed to them.

import { Client } from "./api/client.js";
import { Jobs } from "./api/jobs.js";
import { KeyStore } from "./api/key.js";
import { Problem } from "./core/problems.js";
import { Edits } from "./files/edits.js";
import { Player } from "./files/player.js";
import { Reader } from "./files/reader.js";
import { FilesRoom } from "./files/room.js";
import { LiveRoom } from "./live/room.js";
import { ServerRoom } from "./server/room.js";
import { part, show, write } from "./ui/dom.js";
import { Notices } from "./ui/notices.js";
import { tabs } from "./ui/tabs.js";

/**
 * What the server tells the page before anything else: /web/config.json.
 *
 * @typedef {object} Config
 * @property {string | null} live_url
 * @property {string[]} models
 * @property {string} model_note
 * @property {Record<string, string>} languages names by code
 * @property {string[]} tasks
 * @property {boolean} word_times
 * @property {number} max_upload_bytes
 * @property {boolean} fetches_urls
 */

const SAMPLE = "sample.flac";

/** @param {Config} config */
function tellModel(config) {
  write(part("model", HTMLElement), config.models[0] ?? "");
  write(part("model-note", HTMLElement), config.model_note);
  show(part("model-note", HTMLElement), config.model_note !== "");
}

/** @param {FilesRoom} files @param {Client} client */
async function trySample(files, client) {
  const clip = await (await client.request(new URL(SAMPLE, import.meta.url).href)).blob();
  files.hand([new File([clip], SAMPLE, { type: "audio/flac" })]);
}

async function begin() {
  const rooms = [...document.querySelectorAll('[role="tab"]')];
  const showRoom = tabs(rooms.map((tab) => /** @type {HTMLElement} */ (tab)));
  const notices = new Notices(part("notices", HTMLElement));
  const keys = new KeyStore(sessionStorage, localStorage);
  const client = new Client(
    document.baseURI,
    () => keys.key,
    () => {
      server.askForKey();
      if (!keys.key) showRoom("server"); // there it is entered
    },
  );
  /** @type {FilesRoom | null} */
  let files = null;
  const server = new ServerRoom({ client, keys, notices, onKey: () => void files?.refresh() });
  try {
    const config = /** @type {Config} */ (await client.json("web/config.json"));
    tellModel(config);
    const jobs = new Jobs(client);
    const player = new Player(document.documentElement.dataset.nonce ?? "", (seconds) =>
      reader.at(seconds),
    );
    const reader = new Reader({ jobs, edits: new Edits(localStorage), player, notices });
    /** @param {import("./core/snippets.js").Act} act */
    const onAct = (act) => server.did(act);
    files = new FilesRoom({ config, jobs, reader, notices, onAct });
    const isWelcome = () => client.isWelcome();
    new LiveRoom({ config, key: () => keys.key, isWelcome, notices, onAct });
    const room = files;
    part("sample", HTMLButtonElement).addEventListener("click", () => void trySample(room, client));
    await files.refresh();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    notices.tell(error.message, "failed");
  }
}

await begin();
document.documentElement.dataset.ready = "yes";
