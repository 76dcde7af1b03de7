// The list of jobs: newest first, filtered, paged, live.

import * as api from "./api.js";
import { duration, failed, fileName, fill, h, percent, refill, shortTime, size, stateBadge } from "./ui.js";
import { word } from "./words.js";

const STATES = ["queued", "running", "complete", "rejected", "failed"];
const LABELS = ["likely_authentic", "suspicious", "likely_manipulated", "inconclusive", "not_applicable", "failed"];
const LIMIT = 25;
const HOURS = [1, 24, 168];

export const title = () => word("jobs");

export async function show(main, state) {
  const filters = (state.filters ??= { status: "", label: "", text: "", hours: "" });
  let pages = [""]; // the cursor of each page looked at
  const list = h("div", {});
  const older = h("button", { disabled: true, onclick: () => load([...pages, next]) }, word("older"));
  const newer = h("button", { disabled: true, onclick: () => load(pages.slice(0, -1)) }, word("newer"));
  let next = null;
  let timer = 0;
  let asked = 0;
  let answered = 0;

  // Shows the last page of `wanted`, unless something else has been asked for meanwhile.
  async function load(wanted = pages) {
    const turn = ++asked;
    const query = new URLSearchParams({ limit: String(LIMIT) });
    for (const name of ["status", "label", "text"]) if (filters[name]) query.set(name, filters[name]);
    if (filters.hours) query.set("after", new Date(Date.now() - filters.hours * 3600e3).toISOString());
    if (wanted.at(-1)) query.set("before", wanted.at(-1));
    let page;
    try {
      page = await api.get(`/jobs?${query}`);
    } catch (error) {
      if (turn === asked) fill(list, failed(error));
      return;
    } finally {
      if (turn === asked) answered = turn;
    }
    if (turn !== asked) return;
    pages = wanted;
    next = page.next;
    const age = page.age_s > 10 ? h("p", { class: "quiet" }, word("as_of", { n: duration(page.age_s) })) : null;
    refill(list, age, table(page), next && page.jobs.length < LIMIT ? h("p", { class: "quiet" }, word("looked_at", { n: page.looked_at })) : null);
    older.disabled = !next;
    newer.disabled = pages.length === 1;
  }

  function changed(name, value) {
    filters[name] = value;
    asked += 1; // what is under way is for the filters of before
    pages = [""];
    older.disabled = true;
    newer.disabled = true;
    clearTimeout(timer);
    timer = setTimeout(load, name === "text" ? 250 : 0);
  }

  fill(
    main,
    h("h1", {}, word("jobs")),
    h(
      "form",
      { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
      choice("status", STATES.map((name) => [name, word(`state_${name}`)])),
      choice("label", LABELS.map((name) => [name, word(`label_${name}`)])),
      choice("hours", HOURS.map((hours) => [String(hours), word("last_n", { n: duration(hours * 3600) })])),
      h("label", {}, h("span", {}, word("text")), h("input", { type: "search", value: filters.text, placeholder: word("text_hint"), oninput: (event) => changed("text", event.target.value) })),
    ),
    list,
    h("div", { class: "row" }, newer, older),
  );

  function choice(name, options) {
    const select = h(
      "select",
      { onchange: (event) => changed(name, event.target.value) },
      h("option", { value: "" }, word("all")),
      options.map(([value, text]) => h("option", { value }, text)),
    );
    select.value = filters[name];
    return h("label", {}, h("span", {}, word(name)), select);
  }

  await load();
  return {
    jobs: () => { if (pages.length === 1 && answered === asked) load(); },
  };
}

function table({ jobs, next }) {
  if (!jobs.length) return next ? null : h("p", { class: "quiet empty" }, word("no_jobs"));
  const row = (job) =>
    h(
      "tr",
      {},
      h("td", { "data-label": word("result") }, stateBadge(job)),
      h("td", { "data-label": word("file") }, h("div", {}, h("a", { class: "file", href: `#/jobs/${job.job_id}` }, fileName(job.key)), job.error ? h("div", { class: "quiet small" }, word(`problem_${job.error.code}`, {}, job.error.message)) : null)),
      h("td", { "data-label": word("probability"), class: "num" }, job.probability === null ? "–" : percent(job.probability)),
      h("td", { "data-label": word("size"), class: "num" }, size(job.size_bytes)),
      h("td", { "data-label": word("received") }, shortTime(job.created_at)),
      h("td", { "data-label": word("job"), class: "mono quiet" }, job.job_id.slice(0, 8)),
    );
  const heads = ["result", "file", "probability", "size", "received", "job"].map((name) => h("th", { scope: "col" }, word(name)));
  return h("table", { class: "list jobs" }, h("thead", {}, h("tr", {}, heads)), h("tbody", {}, jobs.map(row)));
}
