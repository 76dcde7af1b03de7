// One job: the verdict, what it rests on, and the way through the system.

import * as api from "./api.js";
import { timelines } from "./timeline.js";
import { act, ask, badge, clock, duration, failed, fileName, fill, h, percent, say, size, span, stateBadge, visible, when } from "./ui.js";
import { language, phrase, word } from "./words.js";

const FINAL = ["complete", "rejected", "failed"];
const TRIES = 5; // the report follows the verdict; one that is not there by then is gone

export const title = () => word("job");

export async function show(main, state, [id], shown) {
  const urls = [];
  let known = null;
  let timer = 0;
  let prior = null;
  let missing = 0;
  let missed = false;

  function again(pause) {
    clearTimeout(timer);
    timer = setTimeout(() => load().catch((error) => {
      if (!shown()) return;
      if (error.status === 404) fill(main, failed(error)); // expired meanwhile
      else again(5000);
    }), pause);
  }

  async function load() {
    if (!/^[0-9a-f]{32}$/.test(id)) throw new api.Problem(404, { code: "unknown_job" });
    let job;
    try {
      job = await api.get(`/jobs/${id}`);
    } catch (error) {
      if (error.status !== 404) throw error;
      const receipt = missed && !known ? null : await api.get(`/receipts/${id}`).catch(() => null);
      missed = true;
      if (!shown()) return;
      if (receipt) {
        fill(main, erased(receipt));
        return;
      }
      if (known) throw error;
      fill(main, h("h1", {}, word("job")), h("p", { class: "notice" }, word("not_yet")));
      again(1500);
      return;
    }
    if (!shown()) return;
    if (known && known.updated_at === job.updated_at && known.status === job.status) {
      if (!FINAL.includes(job.status)) again(2000);
      return;
    }
    if (known && !FINAL.includes(known.status) && FINAL.includes(job.status)) say(word("finished"));
    known = job;
    const report = job.verdict ? await api.get(`/jobs/${id}/report/report.json`).catch(() => null) : null;
    const told = job.verdict ? await api.get(`/jobs/${id}/feedback`).catch(() => null) : null;
    if (!shown()) return;
    draw(job, report, told);
    clearTimeout(timer);
    missing = job.verdict && !report ? missing + 1 : 0;
    const late = missing > 0 && missing < TRIES;
    if (late) known = { ...job, updated_at: "" };
    if (late || !FINAL.includes(job.status)) again(2000);
  }

  function draw(job, report, told) {
    fill(
      main,
      h("p", { class: "crumbs" }, h("a", { href: "#/jobs" }, word("jobs")), " / ", h("span", { class: "mono" }, job.job_id)),
      h("div", { class: "headline" }, h("h1", {}, fileName(job.key)), stateBadge(job)),
      progress(job),
      job.error ? h("p", { class: "notice bad" }, word(`problem_${job.error.code}`, {}, job.error.message)) : null,
      job.verdict ? verdictCard(job, report?.text?.[language()], prior ?? job.verdict.prior, (value) => { prior = value; }) : null,
      timelines(job, id, urls),
      h("div", { class: "columns" }, [half(job, "audio"), half(job, "video")]),
      faces(job),
      pictures(job, id, urls),
      way(job),
      earlier(job),
      models(job),
      job.verdict ? feedback(told, state, id) : null,
      buttons(job, state, id, load),
    );
  }

  await load();
  return {
    jobs: (changed) => { if (changed.some((row) => row.job_id === id)) load().catch(() => null); },
    close: () => { clearTimeout(timer); urls.forEach((url) => URL.revokeObjectURL(url)); },
  };
}

// What is left of a job that was erased.
function erased(receipt) {
  const id = receipt.job_id;
  const made = h("button", { onclick: () => act(made, () => download(`/receipts/${id}`, `${id.slice(0, 12)}-receipt.json`)) }, word("save_receipt"));
  return [
    h("h1", {}, word("job")),
    h("p", { class: "notice" }, word("erased_by", { n: receipt.erased_by, at: when(receipt.erased_at) })),
    made,
  ];
}

async function download(path, name) {
  const url = URL.createObjectURL(await api.blob(path));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

function progress(job) {
  const steps = [
    ["step_received", true],
    ["step_audio", Boolean(job.audio)],
    ["step_video", Boolean(job.video)],
    ["step_verdict", Boolean(job.verdict)],
  ];
  if (FINAL.includes(job.status)) return null;
  return h(
    "ol",
    { class: "steps", "aria-label": word("progress") },
    steps.map(([name, done]) => h("li", { class: done ? "done" : "open" }, word(name), h("span", { class: "visually-hidden" }, ` ${word(done ? "done" : "open")}`))),
  );
}

const logit = (p) => Math.log(p / (1 - p));
const sigmoid = (x) => 1 / (1 + Math.exp(-x));

function verdictCard(job, text, prior, remember) {
  const verdict = job.verdict;
  const reasons = text?.reasons ?? verdict.reasons.map((reason) => reason.text);
  return h(
    "section",
    { class: `card verdict label-${verdict.label}`, "aria-labelledby": "verdict-words" },
    h("h2", { id: "verdict-words" }, text?.headline ?? word(`label_${verdict.label}`)),
    text?.part ? h("p", {}, text.part) : null,
    verdict.probability === null ? null : estimate(verdict, prior, remember),
    reasons.length ? h("ul", { class: "reasons" }, reasons.map((reason) => h("li", {}, reason))) : null,
    h("p", { class: "next" }, h("strong", {}, `${word("next_step")} `), text?.next_step ?? verdict.next_step),
    job.cache_hit ? h("p", { class: "quiet" }, word("cache_hit")) : null,
    h("details", {}, h("summary", {}, word("limits")), h("ul", {}, (text?.limits ?? [word("limits_short")]).map((line) => h("li", {}, line)))),
  );
}

function estimate(verdict, start, remember) {
  const shown = h("p", { class: "estimate" });
  const meaning = h("p", {});
  const out = h("output", { for: "prior" });
  const bar = h("div", { class: "scale", "aria-hidden": "true" }, h("span", { class: "range" }), h("span", { class: "mark" }));
  const slider = h("input", { type: "range", id: "prior", min: "0.1", max: "90", step: "0.1", oninput: () => update(Number(slider.value) / 100) });
  slider.value = String(start * 100);
  const shifted = (p, prior) => sigmoid(logit(Math.min(0.9999, Math.max(0.0001, p))) - logit(verdict.prior) + logit(prior));
  function update(prior) {
    remember(prior);
    const p = shifted(verdict.probability, prior);
    const [low, high] = (verdict.interval ?? [verdict.probability, verdict.probability]).map((end) => shifted(end, prior));
    fill(shown, h("strong", {}, percent(p)), h("span", { class: "quiet" }, ` ${word("between", { n: percent(low), m: percent(high) })}`));
    const rate = prior < 0.0995 ? `${(prior * 100).toFixed(1)} %` : `${Math.round(prior * 100)} %`;
    out.textContent = rate;
    meaning.textContent = word("prior_means", { n: rate, m: Math.max(1, Math.min(99, Math.round(p * 100))) });
    bar.children[0].style.left = `${100 * low}%`;
    bar.children[0].style.width = `${Math.max(1, 100 * (high - low))}%`;
    bar.children[1].style.left = `${100 * p}%`;
  }
  update(start);
  return h("div", { class: "estimate-box" }, shown, bar, h("label", { for: "prior" }, word("prior_label"), " ", out), slider, meaning);
}

function half(job, modality) {
  const result = job[modality];
  const heading = h("h2", {}, word(modality));
  if (!result) return h("section", { class: "card" }, heading, h("p", { class: "quiet" }, word(FINAL.includes(job.status) ? "not_examined" : "not_done")));
  const cover = result.coverage;
  const facts = [
    ["probability", result.probability === null ? null : percent(result.probability)],
    ["llr", result.llr === null ? null : `${result.llr.toFixed(2)}${result.llr_interval ? ` [${result.llr_interval.map((v) => v.toFixed(2)).join(", ")}]` : ""}`],
    ["analysed_s", cover.analysed_s ? duration(cover.analysed_s) : null],
    ["speech_s", cover.speech_s === null ? null : duration(cover.speech_s)],
    ["windows", cover.windows],
    ["frames_sampled", cover.frames_sampled],
    ["faces", cover.faces],
    ["dropped", Object.entries(cover.dropped).filter(([, n]) => n).map(([cause, n]) => `${phrase(cause)}: ${n}`).join(", ") || null],
    ["attempt", result.attempt],
  ];
  return h(
    "section",
    { class: "card" },
    heading,
    result.outcome === "scored" ? null : h("p", { class: "notice" }, word(`problem_${result.reason}`, {}, result.message ?? result.reason)),
    h("dl", { class: "facts" }, facts.filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => h("div", {}, h("dt", {}, word(name)), h("dd", {}, String(value))))),
    findings(result),
  );
}

function findings(result) {
  if (!result.findings.length) return null;
  return [
    h("h3", {}, word("findings")),
    h("ul", { class: "findings" }, result.findings.map((one) => h("li", {}, h("span", { class: "mono" }, span(one)), ` ${phrase(one.type)} `, language() === "en" ? h("span", { class: "quiet" }, one.detail, " ") : null, one.ruled_out.length ? h("span", { class: "quiet" }, word("ruled_out", { n: one.ruled_out.map(phrase).join(", ") })) : null))),
  ];
}

const personsOf = (job) => job.video?.persons ?? [];

// Whose face it is, where there are several.
const whose = (job, person) => (personsOf(job).length > 1 && person !== null ? h("div", {}, word("face", { n: person + 1 })) : null);

const FACES = 8; // half of them those that are seen longest, the rest those with most signs, as in the report

function faces(job) {
  const persons = personsOf(job);
  if (persons.length < 2) return null;
  const longest = [...persons].sort((a, b) => b.frames - a.frames).slice(0, FACES / 2);
  const withSigns = persons.filter((one) => !longest.includes(one)).sort((a, b) => b.llr - a.llr).slice(0, FACES - longest.length);
  const told = [...longest, ...withSigns].sort((a, b) => a.person - b.person);
  return h(
    "section",
    { class: "card" },
    h("h2", {}, word("persons")),
    persons.length > FACES ? h("p", { class: "quiet" }, `${word("persons_help")} (${FACES} / ${persons.length})`) : null,
    h("ul", { class: "spans" }, told.map((one) => h("li", {}, h("span", { class: "mono" }, span(one)), ` ${word("face", { n: one.person + 1 })}, ${percent(one.probability)}`))),
  );
}

function pictures(job, id, urls) {
  const others = ["spectrogram", "full_result"]; // shown with the timeline; no picture
  const refs = [job.audio, job.video].flatMap((part) => part?.evidence ?? []).filter((ref) => !others.includes(ref.kind));
  if (!refs.length) return null;
  const figure = (ref) => {
    const image = h("img", { alt: word("picture_at", { n: clock(ref.start_s) }) });
    api.blob(`/jobs/${id}/evidence/${encodeURIComponent(ref.name)}`)
      .then((content) => { const url = URL.createObjectURL(content); urls.push(url); image.src = url; })
      .catch(() => image.replaceWith(h("p", { class: "quiet" }, word("gone"))));
    return h("figure", {}, image, h("figcaption", {}, whose(job, ref.person), clock(ref.start_s), ref.probability === null ? null : ` · ${percent(ref.probability)}`));
  };
  return h("section", { class: "card" }, h("h2", {}, word("pictures")), h("p", { class: "quiet" }, word("pictures_help")), h("div", { class: "gallery" }, refs.slice(0, 24).map(figure)));
}

function way(job) {
  const row = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  const stages = ["audio", "video"].flatMap((modality) =>
    Object.entries(job[modality]?.timings_ms ?? {}).map(([stage, ms]) => row(`${word(modality)}: ${word(`stage_${stage}`, {}, stage)}`, duration(ms / 1000))),
  );
  // of a job that was asked for again, nothing says when
  const total = job.verdict && !job.fresh ? (new Date(job.verdict.decided_at) - new Date(job.created_at)) / 1000 : null;
  const worked = Math.max(...["audio", "video"].map((modality) =>
    Object.values(job[modality]?.timings_ms ?? {}).reduce((a, b) => a + b, 0) / 1000));
  return h(
    "section",
    { class: "card" },
    h("h2", {}, word("way")),
    h(
      "dl",
      { class: "facts" },
      row(word("received"), when(job.created_at)),
      job.verdict ? row(word("decided"), when(job.verdict.decided_at)) : null,
      total === null ? null : row(word("took"), duration(total)),
      total === null ? null : row(word("waited"), duration(Math.max(0, total - worked))),
      stages,
      job.telling ? row(word("telling"), telling(job.telling)) : null,
      row(word("size"), size(job.size_bytes)),
      job.media ? row(word("media"), `${job.media.container}, ${duration(job.media.duration_s)}, ${job.media.tracks.map((track) => track.codec).join(" + ")}`) : null,
      row("SHA-256", h("span", { class: "mono break" }, job.sha256 ?? "–")),
      row(word("object"), h("span", { class: "mono break" }, visible(`s3://${job.bucket}/${job.key}`))),
    ),
  );
}

function telling({ state, attempts, last_error: error }) {
  const text = `${word(`telling_${state}`)}, ${word("attempt")}: ${attempts}`;
  return state === "delivered" || !error ? text : `${text} (${error})`;
}

function earlier(job) {
  if (!job.superseded?.length) return null;
  const row = (one) => h("div", {},
    h("dt", {}, when(one.decided_at)),
    h("dd", {}, badge(`label-${one.label}`, word(`label_${one.label}`)), one.probability === null ? null : ` ${percent(one.probability)}`, h("div", { class: "quiet small" }, one.models.map((ref) => `${ref.name} ${ref.version}`).join(", "))));
  return h("section", { class: "card" }, h("h2", {}, word("earlier")), h("dl", { class: "facts" }, [...job.superseded].reverse().map(row)));
}

function models(job) {
  const used = new Map();
  for (const ref of [...(job.audio?.models ?? []), ...(job.video?.models ?? []), ...(job.verdict ? [job.verdict.model] : [])]) used.set(ref.name, ref);
  if (!used.size) return null;
  const shadow = job.verdict?.shadow;
  return h(
    "section",
    { class: "card" },
    h("h2", {}, word("models")),
    h("dl", { class: "facts" }, [...used.values()].map((ref) => h("div", {}, h("dt", {}, `${ref.name} ${ref.version}`), h("dd", { class: "mono break" }, ref.sha256)))),
    shadow ? h("p", { class: shadow.flip ? "notice" : "quiet" }, word(shadow.flip ? "shadow_flip" : "shadow_same", { n: word(`label_${shadow.label}`), m: shadow.models.map((ref) => `${ref.name} ${ref.version}`).join(", ") })) : null,
  );
}

// What the recording turned out to be, and for operators to say so.
function feedback(told, state, id) {
  const news = h("p", { role: "status" });
  const choices = ["genuine", "manipulated"].map((truth) => {
    const made = h("button", { disabled: state.me.role !== "operator", onclick: () => act(made, () => give(truth)) }, word(`turned_out_${truth}`));
    return made;
  });
  const show = (one) => fill(news, one ? word("turned_out_noted", { n: word(`detail_${one.truth}`), at: when(one.given_at) }) : null, one?.note ? [" ", visible(one.note)] : null);
  const give = async (truth) => show(await api.post(`/jobs/${id}/feedback`, { truth }));
  show(told);
  return h("section", { class: "card" }, h("h2", {}, word("turned_out")), h("p", { class: "quiet" }, word("turned_out_help")), news, h("div", { class: "row wrap" }, choices));
}

function buttons(job, state, id, load) {
  const operator = state.me.role === "operator";
  const save = (name) => () => download(`/jobs/${id}/report/${name}`, `${id.slice(0, 12)}-${name}`);
  const button = (text, kind, disabled, work) => {
    const made = h("button", { class: kind, disabled, onclick: () => act(made, work) }, text);
    return made;
  };
  const retry = async () => {
    if (!(await ask(word("retry"), word("retry_text"), { yes: word("retry") }))) return;
    await api.post(`/jobs/${id}/retry`);
    await load();
  };
  const erase = async () => {
    const options = { typed: id.slice(0, 8), yes: word("erase"), danger: true };
    if (!(await ask(word("erase"), word("erase_text"), options))) return;
    await api.post(`/jobs/${id}/erase`, { confirm: id.slice(0, 8) });
    say(word("erased"));
    location.hash = "#/jobs";
  };
  const decided = Boolean(job.verdict);
  return h(
    "div",
    { class: "row wrap" },
    button(word("save_page"), "", !decided, save(`report.${language()}.html`)),
    button(word("save_json"), "", !decided, save("report.json")),
    button(word("retry"), "", !operator || !["complete", "failed"].includes(job.status), retry),
    button(word("erase"), "danger", !operator || !FINAL.includes(job.status), erase),
  );
}
