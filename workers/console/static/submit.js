// Submit a recording: straight to S3 in presigned parts, then on to its job.

import * as api from "./api.js";
import { failed, fileName, fill, h, say, size } from "./ui.js";
import { word } from "./words.js";

// Every file that was taken, the newest first; they go on while other pages are looked at.
const uploads = [];

addEventListener("beforeunload", (event) => {
  if (uploads.some(underWay)) event.preventDefault();
});

export const title = () => word("submit");

export async function show(main, state) {
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
  const rows = h("div", { class: "uploads" }, uploads.map(row));
  fill(main, h("h1", {}, word("submit")), allowed ? [input, drop] : h("p", { class: "notice" }, word("read_only")), rows);

  function take(files) {
    for (const file of files) {
      const upload = { file, share: 0, closing: false, job: null, error: null };
      uploads.unshift(upload);
      rows.prepend(row(upload));
      send(upload, state.me.max_upload_bytes, files.length === 1);
    }
    input.value = "";
  }
  return {};
}

function underWay(upload) {
  return !upload.job && !upload.error;
}

async function send(upload, most, alone) {
  const { file } = upload;
  const stop = new AbortController();
  upload.cancel = () => {
    stop.abort();
    upload.error = api.aborted();
    upload.draw();
  };
  say(word("uploading", { n: fileName(file.name).textContent }));
  try {
    if (file.size === 0) throw new api.Problem(422, { code: "empty_object" });
    if (file.size > most) throw new api.Problem(413, { code: "too_large" });
    upload.job = await api.upload(file, stop.signal, (share, closing) => {
      Object.assign(upload, { share, closing });
      upload.progress();
    });
    if (alone && location.hash === "#/submit") location.hash = `#/jobs/${upload.job}`;
  } catch (error) {
    upload.error ??= error;
  }
  upload.draw();
}

// The row of an upload on the page that is shown now; the upload keeps it up to date.
function row(upload) {
  const name = fileName(upload.file.name);
  const bar = h("progress", { max: 1, "aria-label": name.textContent });
  const note = h("span", { class: "quiet" });
  const cancel = h("button", { onclick: () => upload.cancel() }, word("cancel"));
  const element = h("div", { class: "card upload" });
  upload.progress = () => {
    bar.value = upload.share;
    note.textContent = `${Math.round(upload.share * 100)} %`;
    cancel.disabled = upload.closing;
  };
  upload.draw = () => {
    upload.progress();
    const end = upload.job ? [bar, h("a", { href: `#/jobs/${upload.job}` }, word("see_job"))] : [bar, note, cancel];
    fill(element, h("strong", {}, name), h("span", { class: "quiet" }, size(upload.file.size)), upload.error ? failed(upload.error) : end);
  };
  upload.draw();
  return element;
}
