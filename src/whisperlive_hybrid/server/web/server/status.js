// One moment of the server, as /v1/server tells it: facts in words, and numbers to draw.

/**
 * The parts of /v1/server that are shown.
 *
 * @typedef {object} Status
 * @property {string} version
 * @property {string} status
 * @property {string} backend
 * @property {string} device
 * @property {string} compute_type
 * @property {number} workers
 * @property {{name: string, real_time_factor: number | null}[]} models
 * @property {Record<string, number>} queue by urgency
 * @property {number} live_clients
 * @property {number} live_clients_limit
 * @property {number} live_capacity
 * @property {number} live_lateness_s
 * @property {Record<string, number>} jobs by status
 */

/** @typedef {{name: string, title: string, written: (value: number) => string, least: number}} Measure */

/** @type {readonly Measure[]} */
export const MEASURES = [
  { name: "queue", title: "Waiting in the queue", written: String, least: 2 },
  { name: "live", title: "Live clients", written: String, least: 2 },
  {
    name: "factor",
    title: "Real-time factor: seconds of work per second of sound",
    written: (value) => (value ? value.toFixed(3) : "idle"),
    least: 0.01,
  },
  {
    name: "lateness",
    title: "Live text is late by",
    written: (value) => `${value.toFixed(1)} s`,
    least: 1,
  },
];

/**
 * What there is to draw; the real-time factor is that of the busiest model, 0 while none reads.
 *
 * @param {Status} status
 * @returns {Record<string, number>}
 */
export function readings({ queue, models, live_clients, live_lateness_s }) {
  return {
    queue: Object.values(queue).reduce((sum, waiting) => sum + waiting, 0),
    live: live_clients,
    factor: Math.max(0, ...models.map((model) => model.real_time_factor ?? 0)),
    lateness: live_lateness_s,
  };
}

/**
 * What there is to say.
 *
 * @param {Status} status
 * @returns {[string, string][]}
 */
export function facts(status) {
  const { queued = 0, running = 0 } = status.jobs;
  return [
    ["Status", status.status === "draining" ? "stopping: new work is refused" : "ready"],
    ["In memory", status.models.map((model) => model.name).join(", ")],
    ["Backend", status.backend],
    ["Device", `${status.device}, ${status.compute_type}, ${status.workers} at once`],
    ["Room for live", `${status.live_capacity} clients`],
    ["Jobs", `${running} running, ${queued} waiting`],
    ["Version", status.version],
  ];
}
