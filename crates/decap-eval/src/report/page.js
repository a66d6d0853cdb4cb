// Shows the photos that the controls ask for. All text comes from people and models: it is only
// ever set as text, never as markup.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const titles = new Map(data.metrics);
  const form = document.getElementById("controls");
  const list = document.getElementById("list");
  const count = document.getElementById("count");
  const more = document.getElementById("more");
  const dialog = document.getElementById("photo");
  const AT_A_TIME = 40;
  let chosen = [];
  let shown = 0;

  function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function score(photo, method, metric) {
    return photo.captions[method].scores[metric] * 100;
  }

  function source(photo) {
    return "data:image/jpeg;base64," + photo.thumbnail;
  }

  // A photo's words, in lower case, made when they are first looked for.
  function words(photo) {
    photo.words ??= [
      photo.id,
      ...photo.references,
      ...photo.evidence.map(([text]) => text),
      ...Object.values(photo.captions).map((caption) => caption.text),
    ].join("\n").toLowerCase();
    return photo.words;
  }

  function enlarge(photo, caption) {
    const [image, link] = [dialog.querySelector("img"), dialog.querySelector("a")];
    image.src = source(photo);
    image.alt = caption;
    dialog.querySelector(".caption").textContent = caption;
    dialog.querySelector(".id").textContent = photo.id;
    link.hidden = !photo.original;
    if (photo.original) link.href = photo.original;
    dialog.showModal();
  }

  // The photo, which a click enlarges, and its id.
  function picture(photo, caption) {
    const part = element("div");
    if (photo.thumbnail) {
      const image = element("img");
      image.src = source(photo);
      image.alt = caption;
      image.loading = "lazy";
      const button = element("button", "photo");
      button.type = "button";
      button.title = "Enlarge";
      button.append(image);
      button.addEventListener("click", () => enlarge(photo, caption));
      part.append(button);
    }
    part.append(element("p", "id", photo.id));
    return part;
  }

  function section(title, className, items) {
    if (items.length === 0) return "";
    const part = document.createDocumentFragment();
    const ul = element("ul", className);
    ul.append(...items);
    part.append(element("h4", "", title), ul);
    return part;
  }

  function references(photo) {
    return photo.references.map((text) => element("li", "", text));
  }

  function evidence(photo) {
    return section("Evidence: memory sentences and their weights", "evidence", photo.evidence.map(([text, weight]) => {
      const item = element("li");
      const bar = element("span", "bar");
      bar.style.width = Math.max(2, weight * 100).toFixed(0) + "%";
      item.append(element("span", "weight", weight.toFixed(3)), bar, element("span", "", text));
      return item;
    }));
  }

  function caption(photo, method) {
    return element("p", "caption", photo.captions[method].text || "(empty)");
  }

  function card(photo, method) {
    const article = element("article");
    const right = element("div");
    const { text, scores } = photo.captions[method];
    const line = data.metrics
      .filter(([key]) => scores[key] !== undefined)
      .map(([key, title]) => `${title} ${(scores[key] * 100).toFixed(1)}`)
      .join(" · ");
    const metric = form.elements.metric.value;
    const others = data.methods.filter((other) => other !== method).map((other) => {
      const item = element("li");
      const value = score(photo, other, metric).toFixed(1);
      item.append(element("span", "method", `${other}, ${titles.get(metric)} ${value}: `), photo.captions[other].text || "(empty)");
      return item;
    });
    right.append(caption(photo, method), element("p", "scores", line), section("People wrote", "", references(photo)), evidence(photo), section("Other methods", "", others));
    article.append(picture(photo, text), right);
    return article;
  }

  // A photo on which the first method beats the second.
  function pairCard(photo, first, second) {
    const article = element("article");
    const right = element("div");
    for (const method of [first, second]) {
      right.append(caption(photo, method), element("p", "scores", `${method}, CIDEr ${score(photo, method, "CIDEr").toFixed(1)}`));
    }
    const details = element("details");
    const lines = element("ul");
    lines.append(...references(photo));
    details.append(element("summary", "", "People wrote"), lines);
    right.append(evidence(photo), details);
    article.append(picture(photo, photo.captions[first].text), right);
    return article;
  }

  function showPair(pair) {
    const half = (first, second, places) => {
      const part = element("section");
      part.append(element("h3", "", `Photos where ${first} beats ${second}`));
      if (places.length === 0) part.append(element("p", "note", "There are none."));
      part.append(...places.map((place) => pairCard(data.photos[place], first, second)));
      return part;
    };
    document.getElementById("pair").replaceChildren(
      half(pair.first, pair.second, pair.first_better),
      half(pair.second, pair.first, pair.second_better),
    );
  }

  function showMore() {
    const method = form.elements.method.value;
    for (const photo of chosen.slice(shown, shown + AT_A_TIME)) list.append(card(photo, method));
    shown = Math.min(chosen.length, shown + AT_A_TIME);
    more.hidden = shown >= chosen.length;
  }

  function update() {
    const { method, metric, order, least, most, text } = form.elements;
    const value = (photo) => score(photo, method.value, metric.value);
    const low = least.value === "" ? -Infinity : Number(least.value);
    const high = most.value === "" ? Infinity : Number(most.value);
    const wanted = text.value.toLowerCase().trim();
    chosen = data.photos.filter((photo) => value(photo) >= low && value(photo) <= high && (wanted === "" || words(photo).includes(wanted)));
    // Sorting is stable: equal scores stay in the data set's order.
    if (order.value === "worst") chosen.sort((a, b) => value(a) - value(b));
    if (order.value === "best") chosen.sort((a, b) => value(b) - value(a));
    count.textContent = `${chosen.length} of ${data.photos.length} photos`;
    shown = 0;
    list.replaceChildren();
    showMore();
  }

  for (const method of data.methods) form.elements.method.append(new Option(method, method));
  for (const [key, title] of data.metrics) form.elements.metric.append(new Option(title, key));
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", showMore);
  new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting) && !more.hidden) showMore();
  }, { rootMargin: "800px" }).observe(more);
  update();

  const pairs = document.getElementById("pairs");
  if (pairs) {
    const select = pairs.elements.pair;
    data.differences.forEach((pair, place) => select.append(new Option(`${pair.first} and ${pair.second}`, place)));
    select.addEventListener("input", () => showPair(data.differences[select.value]));
    showPair(data.differences[0]);
  }

  dialog.querySelector("button").addEventListener("click", () => dialog.close());
  // A click beside the dialog's content is one on the dialog itself.
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
})();
