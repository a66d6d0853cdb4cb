// The page: photos and videos go to /v1/caption, sentences to /v1/memories or /v1/train; nothing is kept but what is shown.

const $ = (id) => document.getElementById(id);
const state = { photos: [], records: [], without: [], turn: 0, tau: null, training: null };
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
  form.append("model", $("model").value || "decap");
  if (state.tau !== null) form.append("tau", state.tau);
  return form;
}

function form(photos) {
  const made = new FormData();
  for (const photo of photos) made.append("photo", photo, photo.name);
  return options(made);
}

const isVideo = (file) => file.type.startsWith("video/");

function hideAll() {
  for (const id of ["shown", "film"]) {
    if ($(id).src) URL.revokeObjectURL($(id).src);
    $(id).removeAttribute("src");
    $(id).hidden = true;
  }
  $("unshown").hidden = true;
}

async function take(files) {
  const photos = [...files].filter((file) => /^(image|video)\//.test(file.type) || !file.type);
  if (!photos.length) return tell(new Error("That is no photo and no video. JPEG, PNG, WebP, MP4 and others can be read."));
  Object.assign(state, { photos, records: [], without: [] });
  tell(null);
  $("again").hidden = false;
  $("example").hidden = true;
  hideAll();
  const shown = $(isVideo(photos[0]) ? "film" : "shown");
  shown.src = URL.createObjectURL(photos[0]);
  if (shown.id === "film") shown.setAttribute("aria-label", photos[0].name);
  else shown.alt = photos[0].name;
  shown.hidden = false;
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
    $("before").hidden = $("others").hidden = $("timeline").hidden = true;
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
  drawTimeline(record);
}

const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
const svgElement = (name, attributes, text = "") => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
};

function drawTimeline({ segments = [] }) {
  $("timeline").hidden = !segments.length;
  const end = segments.at(-1)?.end || 1;
  $("timeline-said").textContent = `${segments.length === 1 ? "One scene" : `${segments.length} scenes`} in ${clock(end)}. Choose one to see it.`;
  $("strip").replaceChildren(...segments.map((it) =>
    svgElement("rect", { x: (100 * it.start) / end, width: (100 * (it.end - it.start)) / end, height: 4 })));
  $("segments").replaceChildren(...segments.map((it) => {
    const button = element("button", { type: "button" },
      element("span", { className: "time" }, `${clock(it.start)} – ${clock(it.end)}`), element("span", {}, it.caption));
    button.addEventListener("click", () => {
      $("film").currentTime = it.start + 0.01;
      mark();
    });
    return element("li", {}, button);
  }));
  mark();
}
// Shows which scene is on.
function mark() {
  const segments = state.records[0]?.segments || [];
  const at = segments.findLastIndex((it) => it.start <= $("film").currentTime);
  [...$("strip").children].forEach((it, index) => it.classList.toggle("now", index === at));
  [...$("segments").children].forEach((it, index) => {
    if (index === at) it.firstChild.setAttribute("aria-current", "true");
    else it.firstChild.removeAttribute("aria-current");
  });
}
$("film").addEventListener("timeupdate", mark);
$("film").addEventListener("click", (event) => event.stopPropagation());

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
    $("many-title").textContent = `${state.records.length} of ${state.photos.length} files`;
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
  $("live").textContent = `${state.records.length} files done`;
}

function row(photo, record) {
  const image = isVideo(photo) ? photo.name : element("img", { src: URL.createObjectURL(photo), alt: photo.name, loading: "lazy" });
  if (!isVideo(photo)) image.addEventListener("load", () => URL.revokeObjectURL(image.src));
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
  const isTrained = $("memory").value === "model" && $("model").value !== "decap";
  const count = $("memory").selectedOptions[0].dataset.sentences;
  $("memory-said").textContent = isTrained ? "The sentences that it was trained on" : `${count} sentences`;
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
    $("lesson-said").textContent = LESSON_SAID;
    state.without = [];
    redo();
  } catch (error) {
    tell(error);
  }
});

async function models(chosen) {
  const { data } = await ask("/v1/models");
  const before = chosen || $("model").value;
  const option = ({ id }) => element("option", { value: id }, id === "decap" ? "As it came" : id);
  $("model").replaceChildren(...data.map(option));
  $("model").value = data.some(({ id }) => id === before) ? before : "decap";
  $("models").hidden = data.length < 2;
  drawModel();
}
function drawModel() {
  const isOwn = $("model").value === "decap";
  $("model-forget").hidden = isOwn;
  $("model-said").textContent = isOwn ? "" : "Trained on this page. Each memory can be used with it.";
}
$("model").addEventListener("change", () => {
  state.without = [];
  drawModel();
  drawMemory();
  redo();
});
$("model-forget").addEventListener("click", async () => {
  try {
    await ask(`/v1/models/${encodeURIComponent($("model").value)}`, { method: "DELETE" });
    await models("decap");
    $("training").hidden = true;
    state.without = [];
    drawMemory();
    redo();
  } catch (error) {
    tell(error);
  }
});

const TRAIN_SAID = $("train-said").textContent;
const LESSON_SAID = $("lesson-said").textContent;
const ENDED = ["done", "stopped", "failed"];
const left = (seconds) => (seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : `${Math.round(seconds / 60)} min`);
let watching = null;
let quarter = 0;

// What is being trained; asks again each second while it runs.
async function watch() {
  clearTimeout(watching);
  const { allowed, trainings } = await ask("/v1/train");
  $("train").hidden = !allowed;
  const [run] = trainings;
  if (!run || !allowed) return;
  const isOver = ENDED.includes(run.state);
  $("train-go").disabled = !isOver;
  if (isOver && !state.training) return;
  state.training = isOver ? null : run.id;
  drawTraining(run);
  if (!isOver) {
    watching = setTimeout(() => watch().catch(tell), 1000);
  } else if (run.state === "done") {
    await models(run.name);
    state.without = [];
    drawMemory();
    redo();
  }
}

function drawTraining(run) {
  const { losses, steps, step } = run;
  const last = losses.at(-1);
  const words = {
    reading: "Reading the sentences…",
    stopping: "Stopping…",
    training: `Step ${step} of ${steps}${run.seconds_left === undefined ? "" : `, about ${left(run.seconds_left)} left`}`,
    done: "Done. It is chosen as the model above.",
    stopped: "Stopped. Nothing is kept of it.",
    failed: `It failed: ${run.error}`,
  }[run.state];
  $("training").hidden = false;
  $("training-title").textContent = `Training “${run.name}”`;
  $("training-said").textContent = words;
  $("training-bar").hidden = ENDED.includes(run.state);
  if (steps) $("training-bar").value = step / steps;
  else $("training-bar").removeAttribute("value");
  $("training-stop").hidden = ENDED.includes(run.state);
  $("training-stop").disabled = run.state === "stopping";
  // Few words for those who listen: a quarter at a time.
  const now = steps ? Math.floor((4 * step) / steps) : 0;
  if (now !== quarter || ENDED.includes(run.state)) $("live").textContent = `Training ${run.name}: ${words}`;
  quarter = now;
  if (ENDED.includes(run.state)) $("train-said").textContent = TRAIN_SAID;
  $("curve").hidden = losses.length < 2;
  if (losses.length > 1) drawCurve(losses, run.held_out, steps);
  if (last) {
    const heldOut = run.held_out.at(-1);
    $("curve-said").textContent = `Loss from ${losses[0].loss.toFixed(2)} to ${last.loss.toFixed(2)}${heldOut ? `; ${heldOut.loss.toFixed(2)} on held-out sentences` : ""}. Lower is better.`;
  }
}

function drawCurve(losses, heldOut, steps) {
  const all = [...losses, ...heldOut].map((it) => it.loss);
  // A curve that is flat looks flat.
  const most = Math.max(...all);
  const least = Math.min(most - 0.5, ...all);
  const x = ({ step }) => (34 + (256 * step) / steps).toFixed(1);
  const y = (loss) => (104 - (92 * (loss - least)) / (most - least || 1)).toFixed(1);
  const made = [];
  for (const loss of [least, most]) {
    made.push(svgElement("line", { class: "grid", x1: 34, x2: 290, y1: y(loss), y2: y(loss) }));
    made.push(svgElement("text", { x: 6, y: Number(y(loss)) + 4 }, loss.toFixed(1)));
  }
  made.push(svgElement("polyline", { class: "line", points: losses.map((it) => `${x(it)},${y(it.loss)}`).join(" ") }));
  made.push(...heldOut.map((it) => svgElement("circle", { cx: x(it), cy: y(it.loss), r: 3.5 })));
  document.querySelector("#curve g").replaceChildren(...made);
}

$("train-go").addEventListener("click", async () => {
  const said = $("train-said");
  const [name, text] = [$("lesson-name").value.trim(), $("lesson-text").value];
  if (!name || !text.trim()) {
    said.textContent = "Give a name and sentences above first.";
    $(name ? "lesson-text" : "lesson-name").focus();
    return;
  }
  $("train-go").disabled = true;
  try {
    const headers = { "Content-Type": "application/json" };
    const run = await ask("/v1/train", { method: "POST", headers, body: JSON.stringify({ name, text }) });
    said.textContent = "It has begun. Captions go on meanwhile.";
    state.training = run.id;
    await watch();
    $("training-stop").focus();
  } catch (error) {
    said.textContent = error.message;
    $("train-go").disabled = false;
  }
});
$("training-stop").addEventListener("click", async () => {
  try {
    await ask(`/v1/train/${state.training}`, { method: "DELETE" });
    await watch();
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
  hideAll();
  $("invite").hidden = false;
  $("again").hidden = true;
  $("example").hidden = false;
  $("drop").classList.remove("full");
  tell(null);
  show("empty");
  $("pick").focus();
});
for (const id of ["shown", "film"]) {
  $(id).addEventListener("error", () => {
    if (!state.photos.length || $(id).hidden) return;
    $("unshown-name").textContent = state.photos[0].name;
    $(id).hidden = true;
    $("unshown").hidden = false;
  });
}
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
const begin = () => Promise.all([memories(), models(), watch()]);
$("key").addEventListener("change", () => begin().then(() => tell(null), tell));

begin().catch(tell);
