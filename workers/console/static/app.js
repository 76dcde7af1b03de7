// The page's frame: log-in, routes, language, colours and the live stream.

import * as api from "./api.js";
import * as job from "./job.js";
import * as jobs from "./jobs.js";
import * as letters from "./letters.js";
import * as queues from "./queues.js";
import * as submit from "./submit.js";
import { failed, fill, h } from "./ui.js";
import { chooseLanguage, language, learn, word } from "./words.js";

const PAGES = { queues, jobs, submit, letters };
const state = { me: null, overview: null, refresh: null, alive: null };
const main = document.getElementById("main");
let view = {};
let shown = 0;

function frame() {
  document.documentElement.lang = language();
  document.querySelectorAll("[data-word]").forEach((element) => { element.textContent = word(element.dataset.word); });
  document.querySelectorAll("[data-word-label]").forEach((element) => element.setAttribute("aria-label", word(element.dataset.wordLabel)));
  const current = route()[0];
  fill(
    document.getElementById("nav"),
    Object.entries(PAGES).map(([name, page]) =>
      h("a", { href: `#/${name}`, "aria-current": name === current ? "page" : null }, page.title()),
    ),
    api.token.get() ? h("button", { class: "plain", onclick: leave }, word("log_out")) : null,
  );
  const theme = document.getElementById("theme");
  fill(theme, ["auto", "light", "dark"].map((name) => h("option", { value: name }, word(`theme_${name}`))));
  theme.value = localStorage.getItem("guardian-theme") || "auto";
  document.documentElement.dataset.theme = theme.value;
  document.getElementById("language").value = language();
  if (state.alive !== null) onLive(state.alive);
}

const route = () => location.hash.replace(/^#\/?/, "").split("/").filter(Boolean);

async function draw() {
  const turn = ++shown;
  const [name = "queues", ...rest] = route();
  const page = name === "jobs" && rest.length ? job : PAGES[name] ?? queues;
  frame();
  view.close?.();
  view = {};
  state.refresh = null;
  document.title = `${page.title()} – Silver Guardian`;
  fill(main, h("p", { class: "quiet" }, word("loading")));
  try {
    const made = await page.show(main, state, rest, () => turn === shown);
    if (turn === shown) view = made ?? {};
    else made?.close?.();
  } catch (error) {
    if (turn === shown && error.status !== 401) fill(main, h("h1", {}, page.title()), failed(error));
  }
}

function onEvent(name, data) {
  if (name === "overview") state.overview = data;
  view[name]?.(data);
}

function onLive(alive) {
  state.alive = alive;
  const sign = document.getElementById("live");
  sign.className = `live ${alive ? "on" : "off"}`;
  sign.textContent = word(alive ? "live" : "offline");
}

function logIn() {
  view = {};
  shown += 1;
  frame();
  document.title = "Silver Guardian";
  const input = h("input", { type: "password", id: "token", autocomplete: "current-password", required: true });
  const news = h("div", {});
  const enter = async (event) => {
    event.preventDefault();
    api.token.set(input.value.trim());
    try {
      await meet();
      start();
    } catch (error) {
      api.token.clear();
      fill(news, failed(error));
    }
  };
  const form = h(
    "form",
    { class: "card login", onsubmit: enter },
    h("h1", {}, word("log_in")),
    h("label", { for: "token" }, word("token")),
    input,
    h("button", { class: "primary", type: "submit" }, word("log_in")),
    news,
  );
  fill(main, form);
  input.focus();
}

async function meet() {
  const [me, phrases] = await Promise.all([api.get("/me"), api.get("/phrases")]);
  state.me = me;
  learn(phrases);
}

function leave() {
  api.token.clear();
  location.reload();
}

function start() {
  api.listen(onEvent, onLive);
  draw();
}

document.getElementById("language").addEventListener("change", (event) => {
  chooseLanguage(event.target.value);
  draw();
});
document.getElementById("theme").addEventListener("change", (event) => {
  localStorage.setItem("guardian-theme", event.target.value);
  frame();
});
window.addEventListener("hashchange", async () => {
  if (!state.me) return;
  await draw();
  main.focus({ preventScroll: true });
  scrollTo(0, 0);
});
document.addEventListener("guardian:login", () => { if (state.me) leave(); });

frame();
try {
  await meet();
  start();
} catch (error) {
  if (error.status === 401) logIn();
  else fill(main, failed(error));
}
