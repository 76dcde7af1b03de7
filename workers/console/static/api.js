// Talks to the JSON API: tokens, problems, and the stream of live events.

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || String(status));
    this.status = status;
    this.code = body.code || "unknown";
  }
}

const KEY = "guardian-token";
export const token = {
  get: () => sessionStorage.getItem(KEY) || "",
  set: (value) => sessionStorage.setItem(KEY, value),
  clear: () => sessionStorage.removeItem(KEY),
};

function headers(extra = {}) {
  const own = token.get();
  return own ? { ...extra, Authorization: `Bearer ${own}` } : extra;
}

async function checked(answer) {
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => ({}));
  if (answer.status === 401) document.dispatchEvent(new CustomEvent("guardian:login"));
  throw new Problem(answer.status, body);
}

// Asks the API and reads the answer; what the network does wrong is a problem, too.
async function ask(path, options, read) {
  try {
    return await read(await checked(await fetch(`/api${path}`, options)));
  } catch (error) {
    throw error instanceof Problem ? error : new Problem(0, { code: "unreachable", title: error.message });
  }
}

export const get = (path) => ask(path, { headers: headers() }, (answer) => answer.json());

export const blob = (path) => ask(path, { headers: headers() }, (answer) => answer.blob());

export function post(path, body = {}) {
  const options = {
    method: "POST",
    headers: headers({ "Content-Type": "application/json", "X-Guardian-Console": "1" }),
    body: JSON.stringify(body),
  };
  return ask(path, options, (answer) => (answer.status === 204 ? null : answer.json()));
}

const SILENCE_MS = 40000; // the server says something at least every 15 s

// Calls on(name, data) for every event, and connects again after a break or a long silence, ever
// more slowly.
export async function listen(on, onState) {
  let pause = 500;
  for (;;) {
    const stop = new AbortController();
    let timer = 0;
    const heard = () => {
      clearTimeout(timer);
      timer = setTimeout(() => stop.abort(), SILENCE_MS);
    };
    heard();
    try {
      const answer = await checked(await fetch("/api/live", { headers: headers(), signal: stop.signal }));
      onState(true);
      pause = 500;
      await readEvents(answer.body.getReader(), on, heard);
    } catch (error) {
      if (error.status === 401) return;
    } finally {
      clearTimeout(timer);
    }
    onState(false);
    await new Promise((done) => setTimeout(done, pause));
    pause = Math.min(15000, pause * 2);
  }
}

async function readEvents(reader, on, heard) {
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    heard();
    const parts = (rest + decoder.decode(value, { stream: true })).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const name = /^event: (.*)$/m.exec(part);
      const data = /^data: (.*)$/m.exec(part);
      if (name && data) on(name[1], JSON.parse(data[1]));
    }
  }
}

// Puts a file into S3 in the parts that the console signed, and returns the job's id. Tells
// on(share, closing) how far it is; once it is closing, nothing can be cancelled any more.
export async function upload(file, signal, on) {
  const parts = await post("/uploads", { name: file.name, size_bytes: file.size });
  const where = { key: parts.key, upload_id: parts.upload_id };
  try {
    for (const [index, url] of parts.urls.entries()) {
      unlessAborted(signal);
      const start = index * parts.part_bytes;
      const piece = file.slice(start, start + parts.part_bytes);
      await putPart(url, piece, (sent) => on((start + sent) / file.size, false), signal);
    }
    unlessAborted(signal);
    on(1, true);
    return (await post("/uploads/complete", where)).job_id;
  } catch (error) {
    await post("/uploads/abort", where).catch(() => null); // the bucket forgets it in two days
    throw error;
  }
}

export const aborted = () => new Problem(0, { code: "aborted", title: "aborted" });

function unlessAborted(signal) {
  if (signal.aborted) throw aborted();
}

function putPart(url, piece, onSent, signal) {
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest(); // fetch tells nothing about how much has been sent
    request.open("PUT", url);
    request.upload.onprogress = (event) => onSent(event.loaded);
    request.onload = () =>
      request.status < 300 ? done() : fail(new Problem(request.status, { title: request.statusText }));
    request.onerror = () => fail(new Problem(0, { code: "s3_unreachable", title: "S3" }));
    request.onabort = () => fail(aborted());
    signal.addEventListener("abort", () => request.abort());
    request.send(piece);
  });
}
