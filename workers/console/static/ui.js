// Small helpers to build the page: elements, numbers, times, dialogs and drawings.

import { language, word } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "rect", "path", "line", "text", "g", "polyline", "title"]);

// Builds an element; text is always text, never markup.
export function h(tag, attributes = {}, ...children) {
  const element = SVG_TAGS.has(tag) && tag !== "title" || attributes.svg
    ? document.createElementNS(SVG, tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false || name === "svg") continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

// Fill, and keep the keyboard on the same link where it was in there.
export function refill(element, ...children) {
  const held = element.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  fill(element, ...children);
  if (held) element.querySelector(`[href="${CSS.escape(held)}"]`)?.focus();
  return element;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 120) return word("n_seconds", { n: seconds < 10 ? seconds.toFixed(1) : Math.round(seconds) });
  if (seconds < 7200) return word("n_minutes", { n: Math.round(seconds / 60) });
  const [name, unit] = seconds < 48 * 3600 ? ["n_hours", 3600] : ["n_days", 86400];
  return word(name, { n: Math.round((10 * seconds) / unit) / 10 });
}

// A time as people read it on a player, as in reports: 0:07, 12:34, 1:02:03.
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const two = (n) => String(n).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(whole % 60)}`;
}

// From when to when, or one time where both read the same.
export function span({ start_s: start, end_s: end }) {
  return clock(start) === clock(end) ? clock(start) : `${clock(start)}–${clock(end)}`;
}

export function when(iso) {
  return new Date(iso).toLocaleString(language(), { dateStyle: "medium", timeStyle: "medium" });
}

export function shortTime(iso) {
  const then = new Date(iso);
  const today = then.toDateString() === new Date().toDateString();
  const options = today ? { timeStyle: "medium" } : { dateStyle: "short", timeStyle: "short" };
  return then.toLocaleString(language(), options);
}

// Sizes of files in thousands, as systems tell them; limits are set in multiples of 1024.
export function size(bytes, step = 1000) {
  if (bytes === null || bytes === undefined) return "–";
  const units = ["B", "kB", "MB", "GB"];
  let value = bytes;
  let unit = 0;
  while (value >= step && unit < units.length - 1) {
    value /= step;
    unit += 1;
  }
  return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

// Never 0 or 100: nothing is that sure.
export const percent = (p) => `${Math.max(1, Math.min(99, Math.round(100 * p)))} %`;

// Text from outside, which may hold whatever its uploader likes: in its own direction, with U+FFFD
// for signs that act instead of being seen.
export const visible = (text) => h("bdi", {}, text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "\uFFFD"));

// The name of a file; with its folder where nothing of it would be seen.
export function fileName(key) {
  const name = key.slice(key.lastIndexOf("/") + 1);
  return visible(/^[\s\u115F\u1160\u2800\u3164\uFFA0]*$/.test(name) ? key : name);
}

export function say(text) {
  document.getElementById("news").textContent = text;
}

export function badge(kind, text) {
  return h("span", { class: `badge ${kind}` }, text);
}

export function stateBadge(job) {
  const label = job.label ?? job.verdict?.label;
  if (job.status === "complete" && label) return badge(`label-${label}`, word(`label_${label}`));
  return badge(`state-${job.status}`, word(`state_${job.status}`));
}

// The last hour as a line; the newest point is on the right.
export function sparkline(history, label) {
  const width = 240;
  const height = 44;
  const top = Math.max(1, ...history.map((point) => point.messages));
  const at = (point) => [
    (width - 2) * (1 - Math.min(3600, point.ago_s) / 3600),
    height - 3 - ((height - 8) * point.messages) / top,
  ];
  const points = history.map((point) => at(point).map((v) => v.toFixed(1)).join(","));
  if (points.length === 1) points.push(points[0].replace(/^[^,]*/, String(width)));
  const first = history.length ? at(history[0])[0].toFixed(1) : "0";
  return h(
    "svg",
    { class: "spark", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    h("line", { x1: 0, x2: width, y1: height - 2, y2: height - 2, class: "axis" }),
    points.length ? h("path", { d: `M${first},${height - 2} L${points.join(" L")} L${width},${height - 2} Z`, class: "area" }) : null,
    h("polyline", { points: points.join(" "), class: "line" }),
  );
}

// Asks a question in a dialog; with `typed`, the answer is yes only once that word is typed.
export function ask(title, text, { typed = "", yes = word("yes"), danger = false } = {}) {
  return new Promise((done) => {
    const input = typed
      ? h("input", { type: "text", autocomplete: "off", id: "typed", oninput: () => { go.disabled = input.value !== typed; } })
      : null;
    const go = h("button", { type: "submit", class: danger ? "danger" : "primary", disabled: Boolean(typed) }, yes);
    const dialog = h(
      "dialog",
      { "aria-labelledby": "dialog-title", onclose: () => { dialog.remove(); done(dialog.returnValue === "yes"); } },
      h(
        "form",
        { method: "dialog", onsubmit: (event) => { event.preventDefault(); dialog.close("yes"); } },
        h("h2", { id: "dialog-title" }, title),
        h("p", {}, text),
        typed ? h("label", { for: "typed" }, word("type_to_confirm", { n: typed })) : null,
        input,
        h("div", { class: "row end" }, h("button", { type: "button", onclick: () => dialog.close("no") }, word("cancel")), go),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

export function failed(error) {
  const known = word(`problem_${error.code}`, {}, "");
  return h("p", { class: "notice bad", role: "alert" }, known || error.message);
}

// Runs an act of a button: shows that it is busy, and what went wrong; the keyboard stays there.
export async function act(button, work) {
  button.disabled = true;
  document.querySelectorAll(".notice.act").forEach((old) => old.remove());
  try {
    return await work();
  } catch (error) {
    const notice = failed(error);
    notice.classList.add("act");
    document.getElementById("main").prepend(notice);
    notice.scrollIntoView({ block: "center" });
    return null;
  } finally {
    button.disabled = false;
    const lost = !document.activeElement || document.activeElement === document.body;
    if (lost) (button.isConnected ? button : document.getElementById("main")).focus({ preventScroll: true });
  }
}
