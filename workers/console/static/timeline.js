// Both timelines on one axis, over the spectrogram, with the suspicious spans marked.

import * as api from "./api.js";
import { clock, h, percent, span } from "./ui.js";
import { word } from "./words.js";

const WIDTH = 1000;
const ROW = 64;
const MARKED = 0.75;

const tone = (p) => (p >= MARKED ? "high" : p >= 0.5 ? "mid" : "low");

export function timelines(job, id, urls) {
  const parts = ["audio", "video"].map((modality) => [modality, job[modality]?.timeline ?? []]);
  const length = Math.max(job.media?.duration_s ?? 0, ...parts.flatMap(([, points]) => points.map((point) => point.end_s)));
  if (!length || !parts.some(([, points]) => points.length)) return null;
  return h(
    "section",
    { class: "card timeline" },
    h("h2", {}, word("timeline")),
    h("p", { class: "quiet" }, word("timeline_help")),
    job.verdict && job.audio && job.media?.tracks.some((track) => track.kind === "audio") ? spectrogram(id, parts[0][1], length, urls) : null,
    parts.map(([modality, points]) => row(modality, points, length)),
    axis(length),
    spans(parts),
  );
}

function spectrogram(id, points, length, urls) {
  const image = h("img", { class: "spectrogram", alt: word("spectrogram"), width: WIDTH, height: 120 });
  const box = h("div", { class: "sound" }, h("h3", {}, word("spectrogram")), h("div", { class: "sound-box" }, image, marks(points, length)));
  api.blob(`/jobs/${id}/spectrogram`)
    .then((content) => { const url = URL.createObjectURL(content); urls.push(url); image.src = url; })
    .catch(() => box.remove()); // still at work, or the recording is gone
  return box;
}

function marks(points, length) {
  return h(
    "svg",
    { class: "marks", viewBox: `0 0 ${WIDTH} 100`, preserveAspectRatio: "none", "aria-hidden": "true" },
    points.filter((point) => point.probability >= MARKED).map((point) =>
      h("rect", { x: (WIDTH * point.start_s) / length, width: (WIDTH * (point.end_s - point.start_s)) / length, y: 0, height: 100, class: "mark" }),
    ),
  );
}

function row(modality, points, length) {
  const heading = h("h3", {}, word(modality));
  if (!points.length) return h("div", {}, heading, h("p", { class: "quiet small" }, word("no_timeline")));
  const top = points.reduce((best, point) => (point.probability > best.probability ? point : best));
  const label = word("timeline_label", { n: word(modality), m: percent(top.probability), at: clock(top.start_s) });
  const bars = points.map((point, index) => {
    const end = Math.min(point.end_s, Math.max(points[index + 1]?.start_s ?? length, point.start_s));
    const x = Math.min((WIDTH * point.start_s) / length, WIDTH - 2);
    const height = Math.max(3, ROW * point.probability);
    return h(
      "rect",
      { x, y: ROW - height, width: Math.max(2, (WIDTH * (end - point.start_s)) / length - 1), height, class: `bar ${tone(point.probability)}` },
      h("title", { svg: true }, `${span(point)}: ${percent(point.probability)}`),
    );
  });
  return h(
    "div",
    {},
    heading,
    h(
      "svg",
      { class: "bars", viewBox: `0 0 ${WIDTH} ${ROW}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
      h("line", { x1: 0, x2: WIDTH, y1: ROW / 2, y2: ROW / 2, class: "middle" }),
      bars,
    ),
  );
}

function axis(length) {
  const steps = [0, 0.25, 0.5, 0.75, 1];
  return h("div", { class: "axis-words mono", "aria-hidden": "true" }, steps.map((step) => h("span", {}, clock(length * step))));
}

function spans(parts) {
  const found = parts.flatMap(([modality, points]) => merged(points).map((one) => ({ modality, ...one })));
  if (!found.length) return null;
  return h("ul", { class: "spans" }, found.slice(0, 12).map((one) => h("li", {}, h("span", { class: "mono" }, span(one)), ` ${word(one.modality)}, ${word("up_to", { n: percent(one.probability) })}`)));
}

// Where it stays above the middle and is marked in a part of it, as spans.
function merged(points) {
  const out = [];
  for (const point of points.filter((one) => one.probability >= 0.5)) {
    const last = out.at(-1);
    if (last && point.start_s <= last.end_s + 0.5) {
      last.end_s = Math.max(last.end_s, point.end_s);
      last.probability = Math.max(last.probability, point.probability);
    } else {
      out.push({ ...point });
    }
  }
  return out.filter((one) => one.probability >= MARKED);
}
