// Server-sent events, read from pieces of text that end anywhere.

export class EventReader {
  #rest = "";

  /**
   * The JSON of every event that `text` completes; comments (the server's pings) are passed over.
   *
   * @param {string} text
   * @returns {any[]}
   */
  read(text) {
    const blocks = (this.#rest + text).split("\n\n");
    this.#rest = blocks.pop() ?? "";
    return blocks.flatMap((block) => {
      const lines = block.split("\n").filter((line) => line.startsWith("data:"));
      return lines.length ? [JSON.parse(lines.map((line) => line.slice(5)).join("\n"))] : [];
    });
  }
}
