// The page: photos go to /v1/caption, sentences to /v1/memories; nothing is kept but what is shown.

const $ = (id) => document.getElementById(id);
const state = { photos: [], records: [], without: [], turn: 0, tau: null };
const EVIDENCE = 6;
const CANDIDATES = 6;

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

async function ask(path, options = {}) {
  const headers = { ...(options.headers || {}) };
  if ($("key").value) headers.Authorization = `Bearer ${$("key").value}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service does not answer. Is it still running?");
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  if (response.status === 401) document.querySelector(".key").hidden = false;
  const problem = await response.json().catch(() => ({}));
  const words = { 401: "This service asks for a key: enter it above.", 429: "The service is busy. Try again in a moment." };
  const error = new Error(words[response.status] || problem.detail || `The service answered ${response.status}.`);
  error.title = { 401: "A key, please" }[response.status];
  throw error;
}

function show(part) {
  for (const id of ["empty", "one", "many"]) $(id).hidden = id !== part;
}

function tell(error) {
  $("error").hidden = !error;
  $("error-title").textContent = error?.title || "That did not work";
  $("error-said").textContent = error ? error.message : "";
  if (error && !state.records.length) show(null);
  if (!error && !state.photos.length) show("empty");
}

function options(form) {
  form.append("method", $("method").value);
  form.append("evidence", EVIDENCE);
  form.append("candidates", CANDIDATES);
  form.append("memory", $("memory").value || "model");
  if (state.tau !== null) form.append("tau", state.tau);
  return form;
}

function form(photos) {
  const made = new FormData();
  for (const photo of photos) made.append("photo", photo, photo.name);
  return options(made);
}

async function take(files) {
  const photos = [...files].filter((file) => file.type.startsWith("image/") || !file.type);
  if (!photos.length) return tell(new Error("That is no photo. JPEG, PNG, WebP and others can be read."));
  Object.assign(state, { photos, records: [], without: [] });
  tell(null);
  $("again").hidden = false;
  $("example").hidden = true;
  URL.revokeObjectURL($("shown").src);
  $("shown").src = URL.createObjectURL(photos[0]);
  $("shown").alt = photos[0].name;
  $("shown").hidden = false;
  $("unshown").hidden = true;
  $("invite").hidden = true;
  $("drop").classList.add("full");
  await (photos.length === 1 ? one() : many());
}

let running = null;

async function one() {
  const turn = ++state.turn;
  running?.abort();
  running = new AbortController();
  const body = form(state.photos);
  for (const sentence of state.without) body.append("without", sentence);
  show("one");
  if (!state.records.length) {
    $("caption").textContent = "Looking…";
    $("before").hidden = $("others").hidden = true;
    $("evidence").replaceChildren(...[1, 2, 3].map(() => element("li", { className: "ghost" })));
  }
  $("one").classList.toggle("first", !state.records.length);
  $("one").classList.add("busy");
  $("one").setAttribute("aria-busy", "true");
  try {
    const record = await ask("/v1/caption", { method: "POST", body, signal: running.signal });
    if (turn !== state.turn) return;
    const before = state.records[0]?.caption;
    state.records = [record];
    $("one").classList.remove("first");
    draw(record, before);
    tell(null);
  } catch (error) {
    if (turn !== state.turn || error.name === "AbortError") return;
    tell(error);
  } finally {
    if (turn === state.turn) {
      $("one").classList.remove("busy");
      $("one").removeAttribute("aria-busy");
    }
  }
}

const plain = (text) => text.toLowerCase().replace(/[\s.]+$/, "");
// A number with a true minus sign.
const signed = (value) => value.toFixed(2).replace("-", "−");

function draw(record, before) {
  $("caption").textContent = record.caption;
  $("live").textContent = `Caption: ${record.caption}`;
  const ms = Object.values(record.ms).reduce((sum, it) => sum + it, 0);
  $("before").hidden = !before || before === record.caption;
  $("before").querySelector("s").textContent = before || "";
  const from = record.chosen_from === "memory" ? ["A memory sentence, word for word"] : [];
  const sure = record.confidence === undefined ? [] : [`Confidence ${Math.round(record.confidence * 100)} %`];
  $("facts").textContent = [...from, ...sure, `Score ${signed(record.score)}`, `${Math.round(ms)} ms`, `Model ${record.model}`].join(" · ");
  const out = state.without.map((text) => ({ text, weight: 0, out: true }));
  const heaviest = Math.max(...record.evidence.map((it) => it.weight), 1e-9);
  const focused = document.activeElement?.dataset?.text;
  $("evidence").replaceChildren(...[...record.evidence, ...out].map((it) => bar(it, heaviest)));
  if (focused) [...$("evidence").querySelectorAll("button")].find((it) => it.dataset.text === focused)?.focus();
  $("hint").textContent = record.evidence.length ? "The memory sentences behind the caption. Choose one to take it out." : "This method uses no memory.";
  $("restore").hidden = !state.without.length;
  // Those that differ from another by a full stop alone are shown once.
  const told = new Set([plain(record.caption)]);
  const others = (record.candidates || []).filter((it) => !told.has(plain(it.text)) && told.add(plain(it.text)));
  $("candidates").replaceChildren(...others.map((it) =>
    element("li", {}, element("span", {}, it.text), element("span", { className: "share" }, signed(it.score)))));
  $("others").hidden = !others.length;
}

function bar(evidence, heaviest) {
  const button = element("button", { type: "button", className: evidence.out ? "out" : "" });
  button.dataset.text = evidence.text;
  button.setAttribute("aria-pressed", String(Boolean(evidence.out)));
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  rect.setAttribute("height", "100%");
  rect.setAttribute("width", `${Math.max(0.5, (100 * evidence.weight) / heaviest)}%`);
  svg.append(rect);
  const share = evidence.out ? "out" : `${(100 * evidence.weight).toFixed(evidence.weight < 0.1 ? 1 : 0)} %`;
  const sign = element("span", { className: "sign" }, evidence.out ? "↺" : "×");
  sign.setAttribute("aria-hidden", "true");
  button.append(element("span", { className: "words" }, evidence.text), element("span", { className: "share" }, share), sign);
  if (!evidence.out) button.append(svg);
  button.title = evidence.out ? "Put it back" : "Take it out";
  button.addEventListener("click", () => {
    state.without = evidence.out
      ? state.without.filter((it) => it !== evidence.text)
      : [...state.without, evidence.text];
    one();
  });
  return element("li", {}, button);
}

async function many() {
  const turn = ++state.turn;
  show("many");
  $("rows").replaceChildren();
  state.records = [];
  const title = () => {
    $("many-title").textContent = `${state.records.length} of ${state.photos.length} photos`;
  };
  title();
  // A few at a time, so that each request stays small.
  for (let start = 0; start < state.photos.length; start += 4) {
    const some = state.photos.slice(start, start + 4);
    let records;
    try {
      const answer = await ask("/v1/caption", { method: "POST", body: form(some) });
      records = answer.captions || [answer];
    } catch (error) {
      records = some.map((photo) => ({ path: photo.name, error: { message: error.message } }));
    }
    if (turn !== state.turn) return;
    records.forEach((record, index) => row(some[index], record));
    state.records.push(...records);
    title();
  }
  $("live").textContent = `${state.records.length} photos done`;
}

function row(photo, record) {
  const image = element("img", { src: URL.createObjectURL(photo), alt: photo.name, loading: "lazy" });
  image.addEventListener("load", () => URL.revokeObjectURL(image.src));
  const words = element("td", { className: record.error ? "bad" : "" }, record.caption || record.error.message);
  const score = element("td", {}, record.error ? "" : signed(record.score));
  $("rows").append(element("tr", {}, element("td", {}, image), words, score));
}

function save(name, kind, text) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: kind })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// A cell that a spreadsheet would run as a formula begins with an apostrophe.
const cell = (text) => `"${String(text ?? "").replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;

$("csv").addEventListener("click", () => {
  const lines = state.records.map((it) => [it.path, it.caption, it.error?.message].map(cell).concat(it.score ?? "").join(","));
  save("captions.csv", "text/csv", ["path,caption,error,score", ...lines, ""].join("\r\n"));
});
$("jsonl").addEventListener("click", () => {
  save("captions.jsonl", "application/jsonl", state.records.map((it) => `${JSON.stringify(it)}\n`).join(""));
});

const redo = () => {
  if (state.photos.length === 1) one();
  else if (state.photos.length) many();
};

let later;
const soon = () => {
  clearTimeout(later);
  later = setTimeout(redo, 120);
};

const tauOf = () => 10 ** Number($("tau").value);
const drawTau = () => {
  $("tau-value").textContent = state.tau === null ? "the model's" : tauOf().toFixed(4);
};
$("tau").addEventListener("input", () => {
  state.tau = Number(tauOf().toFixed(4));
  drawTau();
  soon();
});
drawTau();
const METHODS = {
  projection: "Mixes the evidence, then writes.",
  nearest: "Rewrites the nearest sentence.",
  retrieval: "Shows the nearest sentence as it is.",
  consensus: "Shows the sentence that others agree with most.",
  visual: "Writes from the photo alone, without the memory.",
};
const drawMethod = () => {
  $("method-said").textContent = METHODS[$("method").value];
  // The other methods do without it.
  $("tau").disabled = $("method").value !== "projection";
};
drawMethod();
$("method").addEventListener("change", () => {
  drawMethod();
  state.without = [];
  redo();
});

async function memories(chosen) {
  const { memories } = await ask("/v1/memories");
  const option = (it) => {
    const made = element("option", { value: it.name }, it.name === "model" ? "The model's own" : it.name);
    made.dataset.sentences = it.sentences.toLocaleString("en");
    return made;
  };
  $("memory").replaceChildren(...memories.map(option));
  if (chosen) $("memory").value = chosen;
  drawMemory();
}
function drawMemory() {
  $("memory-said").textContent = `${$("memory").selectedOptions[0].dataset.sentences} sentences`;
  $("forget").hidden = $("memory").value === "model";
}
$("memory").addEventListener("change", () => {
  state.without = [];
  drawMemory();
  redo();
});
$("forget").addEventListener("click", async () => {
  try {
    await ask(`/v1/memories/${encodeURIComponent($("memory").value)}`, { method: "DELETE" });
    await memories("model");
    state.without = [];
    redo();
  } catch (error) {
    tell(error);
  }
});

$("lesson").addEventListener("submit", async (event) => {
  event.preventDefault();
  const said = $("lesson-said");
  const [name, text] = [$("lesson-name").value.trim(), $("lesson-text").value];
  if (!text.trim()) {
    said.textContent = "Write or open some sentences first.";
    $("lesson-text").focus();
    return;
  }
  $("lesson-go").disabled = true;
  said.textContent = "Reading the sentences…";
  try {
    const headers = { "Content-Type": "application/json" };
    const taught = await ask("/v1/memories", { method: "POST", headers, body: JSON.stringify({ name, text }) });
    said.textContent = `It speaks from “${name}” now: ${taught.sentences.toLocaleString("en")} sentences.`;
    await memories(name);
    state.without = [];
    redo();
  } catch (error) {
    said.textContent = error.message;
  } finally {
    $("lesson-go").disabled = false;
  }
});
$("lesson-file").addEventListener("click", () => $("lesson-upload").click());
$("lesson-upload").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  if (!file) return;
  $("lesson-text").value = await file.text();
  if (!$("lesson-name").value) $("lesson-name").value = file.name.replace(/\.\w+$/, "").replace(/[^\p{L}\p{N} ._-]/gu, " ").trim().slice(0, 40);
});

$("pick").addEventListener("click", () => $("files").click());
$("drop").addEventListener("click", () => $("files").click());
$("files").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = "";
});
$("again").addEventListener("click", () => {
  running?.abort();
  Object.assign(state, { photos: [], records: [], without: [], turn: state.turn + 1 });
  URL.revokeObjectURL($("shown").src);
  $("shown").removeAttribute("src");
  $("shown").hidden = $("unshown").hidden = true;
  $("invite").hidden = false;
  $("again").hidden = true;
  $("example").hidden = false;
  $("drop").classList.remove("full");
  tell(null);
  show("empty");
  $("pick").focus();
});
$("shown").addEventListener("error", () => {
  if (!state.photos.length) return;
  $("unshown-name").textContent = state.photos[0].name;
  $("shown").hidden = true;
  $("unshown").hidden = false;
});
$("example").addEventListener("click", async () => {
  try {
    const answer = await fetch("/example.webp");
    take([new File([await answer.blob()], "example.webp", { type: "image/webp" })]);
  } catch {
    tell(new Error("The service does not answer. Is it still running?"));
  }
});
$("restore").addEventListener("click", () => {
  state.without = [];
  one();
});
addEventListener("paste", (event) => {
  if (event.clipboardData?.files.length) take(event.clipboardData.files);
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  $("drop").classList.add("over");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) $("drop").classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  if (event.dataTransfer.files.length) take(event.dataTransfer.files);
});
$("key").addEventListener("change", () => memories().then(() => tell(null), tell));

memories().catch(tell);
