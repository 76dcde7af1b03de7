// Dead letters: by cause, each readable, redrive and discard.

import * as api from "./api.js";
import { act, ask, badge, fill, h, refill, say, shortTime } from "./ui.js";
import { word } from "./words.js";

const QUEUES = ["uploads", "audio", "video", "aggregate"];

export const title = () => word("letters");

export async function show(main, state, [chosen]) {
  const queue = QUEUES.includes(chosen) ? chosen : deadest(state.overview);
  const body = h("div", {});
  fill(main, h("h1", {}, word("letters")), h("nav", { class: "tabs", "aria-label": word("queues") }, tabs(queue, state.overview)), body);
  const load = async () => fill(body, content(queue, await api.get(`/letters/${queue}`), state, load));
  await load();
  return {
    overview: (overview) => refill(main.querySelector(".tabs"), tabs(queue, overview)),
  };
}

const deadest = (overview) =>
  [...(overview?.queues ?? [])].sort((a, b) => b.dead - a.dead)[0]?.queue ?? "uploads";

function tabs(queue, overview) {
  return QUEUES.map((name) => {
    const dead = overview?.queues.find((row) => row.queue === name)?.dead ?? 0;
    return h(
      "a",
      { href: `#/letters/${name}`, "aria-current": name === queue ? "page" : null },
      word(`queue_${name}`),
      dead ? badge("count", String(dead)) : null,
    );
  });
}

function content(queue, found, state, load) {
  if (!found.letters.length) return h("p", { class: "quiet empty" }, word("no_letters"));
  const operator = state.me.role === "operator";
  const button = (text, kind, work) => {
    const made = h("button", { class: kind, disabled: !operator, onclick: () => act(made, work) }, text);
    return made;
  };
  const redrive = async (id) => {
    const done = await api.post(`/letters/${queue}/redrive`, { message_id: id });
    say(word("n_redriven", { n: done.message_ids.length }));
    await load();
  };
  const discard = async (id) => {
    const options = { typed: queue, yes: word("discard"), danger: true };
    if (!(await ask(word("discard_title"), word("discard_text"), options))) return;
    await api.post(`/letters/${queue}/discard`, { message_id: id, confirm: queue });
    say(word("discarded"));
    await load();
  };
  const letter = (one) =>
    h(
      "details",
      { class: "card letter" },
      h("summary", {}, h("span", {}, one.cause), h("span", { class: "quiet" }, shortTime(one.sent_at))),
      h(
        "dl",
        { class: "facts" },
        fact("message", h("span", { class: "mono" }, one.message_id)),
        fact("receives", String(one.receives)),
        one.job_id ? fact("job", h("a", { class: "mono", href: `#/jobs/${one.job_id}` }, one.job_id)) : null,
      ),
      h("pre", { tabindex: "0", "aria-label": word("message") }, pretty(one.body)),
      h("div", { class: "row end" }, button(word("discard"), "danger", () => discard(one.message_id)), button(word("redrive"), "primary", () => redrive(one.message_id))),
    );
  const groups = Object.entries(found.causes).sort((a, b) => b[1] - a[1]);
  return [
    found.cut ? h("p", { class: "notice" }, word("letters_cut", { n: found.letters.length })) : null,
    h(
      "div",
      { class: "row end" },
      button(word("discard_all"), "danger", () => discard(null)),
      button(word("redrive_all"), "primary", () => redrive(null)),
    ),
    groups.map(([cause, count]) => [
      h("h2", {}, word(`cause_${cause}`, {}, cause), " ", badge("count", String(count))),
      found.letters.filter((one) => one.code === cause).map(letter),
    ]),
  ];
}

const fact = (name, value) => h("div", {}, h("dt", {}, word(name)), h("dd", {}, value));

function pretty(body) {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}
