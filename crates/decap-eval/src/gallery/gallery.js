// Shows the photos that the controls ask for, and keeps what is edited. All text comes from people, files and
// models: it is only ever set as text, never as markup.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const photos = data.photos;
  const form = document.getElementById("controls");
  const list = document.getElementById("list");
  const more = document.getElementById("more");
  const dialog = document.getElementById("photo");
  const AT_A_TIME = 60;
  // Edits outlive a reload where the browser lets a page keep anything.
  const KEY = "decap gallery " + location.pathname;
  const edits = new Map(kept());
  let chosen = [];
  let shown = 0;

  function kept() {
    try {
      return JSON.parse(localStorage.getItem(KEY) ?? "[]");
    } catch {
      return [];
    }
  }

  function keep() {
    try {
      localStorage.setItem(KEY, JSON.stringify([...edits]));
    } catch {
      // The table can still be downloaded.
    }
  }

  function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  const captionOf = (photo) => edits.get(photo.path) ?? photo.caption ?? "";
  const isEdited = (photo) => edits.has(photo.path);
  const isUnsure = (photo) => data.least !== null && photo.confidence !== null && photo.confidence < data.least;

  function words(photo) {
    photo.words ??= [photo.path, ...(photo.evidence ?? []).map(({ text }) => text)].join("\n").toLowerCase();
    return photo.words + "\n" + captionOf(photo).toLowerCase();
  }

  function enlarge(photo) {
    const [image, link] = [dialog.querySelector("img"), dialog.querySelector("a")];
    image.src = photo.small;
    image.alt = captionOf(photo);
    dialog.querySelector(".caption").textContent = captionOf(photo);
    dialog.querySelector(".id").textContent = photo.path;
    link.hidden = !photo.original;
    if (photo.original) link.href = photo.original;
    dialog.showModal();
  }

  function picture(photo) {
    if (!photo.small) return element("div", "blank", "no picture");
    const button = element("button", "photo");
    button.type = "button";
    button.ariaLabel = "Enlarge " + photo.path;
    const image = element("img");
    image.src = photo.small;
    image.alt = "";
    image.loading = "lazy";
    button.append(image);
    button.addEventListener("click", () => enlarge(photo));
    return button;
  }

  function row(photo) {
    const article = element("article");
    const side = element("div");
    side.append(picture(photo));
    const body = element("div");
    body.append(element("p", "id", photo.path));
    const state = element("p", "state");
    if (photo.error) {
      const error = element("p", "error", photo.error);
      error.prepend(element("span", "", "could not be captioned"));
      body.append(error);
    }
    const text = element("textarea");
    text.value = captionOf(photo);
    text.rows = 2;
    text.placeholder = "no caption";
    text.ariaLabel = "Caption of " + photo.path;
    const tell = () => {
      state.replaceChildren();
      if (typeof photo.confidence === "number") {
        const sure = "confidence " + photo.confidence.toFixed(2);
        state.append(element("span", isUnsure(photo) ? "unsure" : "", isUnsure(photo) ? sure + ", unsure" : sure));
      }
      if (isEdited(photo)) {
        const back = element("button", "", "Undo");
        back.type = "button";
        back.ariaLabel = "Undo the edit of " + photo.path;
        back.addEventListener("click", () => {
          edits.delete(photo.path);
          text.value = captionOf(photo);
          text.focus();
          changed();
        });
        state.append(element("span", "", "edited"), back);
      }
    };
    const changed = () => {
      keep();
      tell();
      sum();
    };
    text.addEventListener("input", () => {
      const value = text.value.replace(/\s+/g, " ");
      if (value.trim() === (photo.caption ?? "")) edits.delete(photo.path);
      else edits.set(photo.path, value);
      changed();
    });
    tell();
    body.append(text, state);
    if (photo.evidence?.length) {
      const details = element("ul", "evidence");
      for (const { text: sentence, weight } of photo.evidence) {
        const item = element("li");
        const bar = element("span", "bar");
        bar.style.width = Math.round(60 * Math.min(1, weight)) + "px";
        item.append(element("span", "weight", weight.toFixed(3)), bar, element("span", "", sentence));
        details.append(item);
      }
      body.append(details);
    }
    article.append(side, body);
    return article;
  }

  function sum() {
    const number = (count, of) => count + " " + of;
    const without = photos.filter((photo) => !captionOf(photo)).length;
    const parts = [number(photos.length, photos.length === 1 ? "photo" : "photos")];
    const unsure = photos.filter(isUnsure).length;
    if (unsure) parts.push(number(unsure, "unsure"));
    if (without) parts.push(number(without, "without a caption"));
    if (edits.size) parts.push(number(edits.size, "edited"));
    document.getElementById("counts").textContent = parts.join(", ");
  }

  function showMore() {
    const next = chosen.slice(shown, shown + AT_A_TIME);
    list.append(...next.map(row));
    shown += next.length;
    more.hidden = shown >= chosen.length;
    document.getElementById("count").textContent = chosen.length === photos.length
      ? "" : chosen.length + " of " + photos.length;
  }

  function choose() {
    const { show, order, text } = Object.fromEntries(new FormData(form));
    const wanted = text.trim().toLowerCase();
    const fits = {
      all: () => true,
      unsure: isUnsure,
      without: (photo) => !captionOf(photo),
      edited: isEdited,
    }[show];
    chosen = photos.filter((photo) => fits(photo) && (!wanted || words(photo).includes(wanted)));
    if (order === "unsure") chosen.sort((a, b) => (a.confidence ?? 2) - (b.confidence ?? 2));
    if (order === "path") chosen.sort((a, b) => (a.path < b.path ? -1 : 1));
    list.replaceChildren();
    shown = 0;
    document.getElementById("nothing").hidden = chosen.length > 0;
    showMore();
  }

  function download(name, type, lines) {
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  const field = (text) => (/[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text);
  document.getElementById("csv").addEventListener("click", () => {
    const rows = photos.map((photo) =>
      [photo.path, captionOf(photo).trim(), photo.confidence ?? "", isEdited(photo) ? "yes" : ""].map(String).map(field).join(","));
    download("captions.csv", "text/csv", ["path,caption,confidence,edited", ...rows]);
  });
  document.getElementById("jsonl").addEventListener("click", () => {
    const rows = photos.map((photo) => JSON.stringify({
      path: photo.path,
      caption: captionOf(photo).trim() || null,
      confidence: photo.confidence,
      edited: isEdited(photo),
    }));
    download("captions.jsonl", "application/jsonl", rows);
  });

  document.getElementById("title").textContent = data.title;
  form.addEventListener("input", choose);
  form.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", showMore);
  dialog.querySelector("button").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  sum();
  choose();
})();
