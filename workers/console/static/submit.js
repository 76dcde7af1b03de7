// Submit a recording: straight to S3 in presigned parts, then on to its job.

import * as api from "./api.js";
import { failed, fill, h, say, size } from "./ui.js";
import { word } from "./words.js";

export const title = () => word("submit");

export async function show(main, state) {
  const news = h("div", { class: "uploads" });
  const input = h("input", { type: "file", id: "file", class: "visually-hidden", multiple: true, accept: "video/*,audio/*", onchange: () => take(input.files) });
  const drop = h(
    "label",
    {
      class: "drop",
      for: "file",
      ondragover: (event) => { event.preventDefault(); drop.classList.add("over"); },
      ondragleave: () => drop.classList.remove("over"),
      ondrop: (event) => { event.preventDefault(); drop.classList.remove("over"); take(event.dataTransfer.files); },
    },
    h("strong", {}, word("drop_here")),
    h("span", { class: "quiet" }, word("drop_hint", { n: size(state.me.max_upload_bytes, 1024) })),
  );
  const allowed = state.me.role === "operator";
  fill(main, h("h1", {}, word("submit")), allowed ? [input, drop] : h("p", { class: "notice" }, word("read_only")), news);

  function take(files) {
    for (const file of files) send(file, files.length === 1);
    input.value = "";
  }

  async function send(file, alone) {
    const bar = h("progress", { max: 1, value: 0, "aria-label": file.name });
    const note = h("span", { class: "quiet" }, "0 %");
    const stop = new AbortController();
    const cancel = h("button", { onclick: () => stop.abort() }, word("cancel"));
    const row = h("div", { class: "card upload" }, h("strong", {}, file.name), h("span", { class: "quiet" }, size(file.size)), bar, note, cancel);
    news.prepend(row);
    say(word("uploading", { n: file.name }));
    try {
      if (file.size > state.me.max_upload_bytes) throw new api.Problem(413, { code: "too_large" });
      const id = await api.upload(
        file,
        (share) => { bar.value = share; note.textContent = `${Math.round(share * 100)} %`; },
        stop.signal,
      );
      bar.value = 1;
      fill(note, h("a", { href: `#/jobs/${id}` }, word("see_job")));
      cancel.remove();
      if (alone && location.hash === "#/submit") location.hash = `#/jobs/${id}`;
    } catch (error) {
      bar.remove();
      cancel.remove();
      fill(note, failed(error));
    }
  }
  return {};
}
