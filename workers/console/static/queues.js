// The queues page: depths, rates, pauses and the workers, live.

import * as api from "./api.js";
import { act, ask, badge, duration, fill, h, refill, say, shortTime, sparkline } from "./ui.js";
import { word } from "./words.js";

const STALE_S = 10; // older figures are no longer shown as the present

export const title = () => word("queues");

export async function show(main, state) {
  const age = h("div", { role: "status" });
  const summary = h("dl", { class: "figures" });
  const cards = h("div", { class: "cards" });
  const workers = h("div", { class: "workers" });
  const log = h("div", {});
  fill(
    main,
    h("h1", {}, word("queues")),
    age,
    summary,
    cards,
    h("h2", {}, word("workers")),
    workers,
    h("h2", {}, word("audit")),
    log,
  );
  const draw = (overview) => {
    if (!overview) return;
    fill(age, overview.stale_s > STALE_S ? h("p", { class: "notice" }, word("as_of", { n: duration(overview.stale_s) })) : null);
    fill(summary, figures(overview));
    drawCards(cards, overview.queues, state);
    refill(workers, workerTable(overview.workers));
  };
  draw(state.overview);
  if (!state.overview) fill(cards, h("p", { class: "quiet" }, word("sampling")));
  const drawLog = async () => fill(log, auditLog(await entries()));
  await drawLog();
  state.refresh = drawLog;
  return { overview: draw };
}

function figures(overview) {
  const rows = [
    ["arrivals", `${overview.arrivals_per_min}${word("per_minute")}`],
    ["mean_length", duration(overview.mean_media_s)],
    ["workers_alive", String(overview.workers.length)],
    ["dead_letters", String(overview.queues.reduce((sum, queue) => sum + queue.dead, 0))],
  ];
  if (overview.probes.length) rows.push(["probes", overview.probes.map((probe) => word(`probe_${probe.outcome}`)).join(", ")]);
  return rows.map(([name, value]) => h("div", {}, h("dt", {}, word(name)), h("dd", {}, value)));
}

function numbers(queue) {
  const rows = [
    ["visible", queue.visible],
    ["in_flight", queue.in_flight],
    ["delayed", queue.delayed],
    ["oldest", duration(queue.oldest_s)],
    ["done_rate", queue.done_per_min === null ? "–" : `${queue.done_per_min}${word("per_minute")}`],
    ["backlog", duration(queue.backlog_media_s)],
    ["eta", duration(queue.eta_s)],
  ];
  return rows.map(([name, value]) =>
    h("div", {}, h("dt", {}, word(name)), h("dd", { "data-figure": name }, String(value))),
  );
}

// What a card shows besides figures; while it stays, so does the card, and whoever is about to click.
const frame = (queue) => JSON.stringify([queue.name, queue.paused, queue.dead]);

function drawCards(cards, queues, state) {
  if (!cards.querySelector("[data-queue]")) {
    fill(cards, queues.map((queue) => card(queue, state)));
    return;
  }
  for (const queue of queues) {
    const old = cards.querySelector(`[data-queue="${queue.queue}"]`);
    if (old.dataset.frame === frame(queue)) {
      fill(old.querySelector("dl"), numbers(queue));
      old.querySelector("svg").replaceWith(lastHour(queue));
    } else {
      const held = old.contains(document.activeElement);
      const made = card(queue, state);
      old.replaceWith(made);
      if (held) made.querySelector("button").focus({ preventScroll: true });
    }
  }
}

const lastHour = (queue) => sparkline(queue.history, word("last_hour"));

function card(queue, state) {
  const name = word(`queue_${queue.queue}`);
  const paused = Boolean(queue.paused);
  const button = h(
    "button",
    { onclick: () => act(button, () => toggle(queue, state)), disabled: state.me.role !== "operator" },
    word(paused ? "resume" : "pause"),
    h("span", { class: "visually-hidden" }, ` ${name}`),
  );
  return h(
    "section",
    { class: `card queue${paused ? " is-paused" : ""}`, "data-queue": queue.queue, "data-frame": frame(queue), "aria-label": name },
    h("header", {}, h("h2", {}, name), paused ? badge("state-paused", word("paused")) : null),
    h("p", { class: "quiet mono" }, queue.name),
    paused ? h("p", { class: "notice" }, word("paused_by", { n: queue.paused.by, at: shortTime(queue.paused.at) })) : null,
    h("dl", { class: "numbers" }, numbers(queue)),
    lastHour(queue),
    h("p", { class: "quiet small" }, word("last_hour")),
    h(
      "footer",
      {},
      queue.dead
        ? h("a", { class: "dead", href: `#/letters/${queue.queue}` }, word("n_dead", { n: queue.dead }))
        : h("span", { class: "quiet" }, word("no_dead")),
      button,
    ),
  );
}

async function toggle(queue, state) {
  const name = word(`queue_${queue.queue}`);
  if (queue.paused) {
    await api.post(`/queues/${queue.queue}/resume`);
  } else {
    if (!(await ask(word("pause_title", { n: name }), word("pause_text"), { yes: word("pause") }))) return;
    await api.post(`/queues/${queue.queue}/pause`);
  }
  say(word(queue.paused ? "resumed" : "paused"));
  await state.refresh?.();
}

function workerTable(workers) {
  if (!workers.length) return h("p", { class: "quiet" }, word("no_workers"));
  const row = (worker) =>
    h(
      "tr",
      {},
      h("td", { "data-label": word("role") }, word(`role_${worker.role}`)),
      h("td", { "data-label": word("process"), class: "mono" }, worker.name),
      h(
        "td",
        { "data-label": word("doing") },
        worker.doing.length
          ? worker.doing.map((id) => h("a", { href: `#/jobs/${id}`, class: "mono" }, id.slice(0, 8)))
          : word("idle"),
      ),
      h(
        "td",
        { "data-label": word("models") },
        Object.entries(worker.models).map(([name, version]) => `${name} ${version}`).join(", ") || "–",
      ),
      h("td", { "data-label": word("since") }, shortTime(worker.started_at)),
    );
  const heads = ["role", "process", "doing", "models", "since"].map((name) => h("th", { scope: "col" }, word(name)));
  return h("table", { class: "list" }, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, workers.map(row)));
}

const ACTS = 15;

const entries = (before) => api.get(`/audit?limit=${ACTS}${before ? `&before=${encodeURIComponent(before)}` : ""}`);

// The latest entries; a button shows older ones below them.
function auditLog(first) {
  if (!first.length) return h("p", { class: "quiet" }, word("no_audit"));
  const rows = h("tbody", {}, first.map(auditRow));
  let last = first;
  const older = h("button", { hidden: first.length < ACTS, onclick: () => act(older, more) }, word("older_acts"));
  async function more() {
    last = await entries(last.at(-1).at);
    rows.append(...last.map(auditRow));
    older.hidden = last.length < ACTS;
  }
  const heads = ["time", "who", "action", "target"].map((name) => h("th", { scope: "col" }, word(name)));
  return [h("table", { class: "list" }, h("thead", {}, h("tr", {}, heads)), rows), h("div", { class: "row" }, older)];
}

function auditRow(entry) {
  const target = (name) => (/^[0-9a-f]{32}$/.test(name) ? h("a", { href: `#/jobs/${name}` }, name) : word(`queue_${name}`, {}, name));
  return h(
    "tr",
    {},
    h("td", { "data-label": word("time") }, shortTime(entry.at)),
    h("td", { "data-label": word("who") }, entry.who),
    h("td", { "data-label": word("action") }, word(`action_${entry.action}`, {}, entry.action), entry.failed ? [" ", badge("state-failed", word("act_failed"))] : null),
    h("td", { "data-label": word("target"), class: "mono" }, target(entry.target), entry.detail ? ` ${word(`detail_${entry.detail}`, {}, entry.detail)}` : null),
  );
}
