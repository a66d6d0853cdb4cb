// Shows the photos that the controls ask for. All text comes from people and models: it is only
// ever set as text, never as markup.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const form = document.getElementById("controls");
  const list = document.getElementById("photos");
  const count = document.getElementById("count");
  const more = document.getElementById("more");
  const AT_A_TIME = 40;
  let chosen = [];
  let shown = 0;

  function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function option(select, value) {
    select.append(new Option(value, value));
  }

  function score(photo, method, metric) {
    return photo.captions[method].scores[metric];
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

  function scoreLine(caption) {
    return data.metrics
      .filter((metric) => caption.scores[metric] !== undefined)
      .map((metric) => `${metric} ${(caption.scores[metric] * 100).toFixed(1)}`)
      .join(" · ");
  }

  function section(title, items) {
    const part = document.createDocumentFragment();
    const ul = element("ul");
    ul.append(...items);
    part.append(element("h3", "", title), ul);
    return part;
  }

  function card(photo, method) {
    const article = element("article");
    const left = element("div");
    if (photo.thumbnail) {
      const image = element("img");
      image.src = "data:image/jpeg;base64," + photo.thumbnail;
      image.alt = photo.captions[method].text;
      image.loading = "lazy";
      left.append(image);
    }
    left.append(element("div", "id", photo.id));
    const right = element("div");
    right.append(element("p", "caption", photo.captions[method].text || "(empty)"));
    right.append(element("p", "scores", scoreLine(photo.captions[method])));
    right.append(section("People wrote", photo.references.map((text) => element("li", "", text))));
    if (photo.evidence.length > 0) {
      right.append(section("Evidence: memory sentences and their weights", photo.evidence.map(([text, weight]) => {
        const item = element("li");
        const track = element("span", "track");
        const bar = element("span", "bar");
        bar.style.width = Math.max(2, weight * 100).toFixed(0) + "%";
        track.append(bar);
        item.append(element("span", "weight", weight.toFixed(3)), track, text);
        return item;
      })));
    }
    const others = data.methods.filter((other) => other !== method);
    if (others.length > 0) {
      const metric = form.elements.metric.value;
      right.append(section("Other methods", others.map((other) => {
        const item = element("li");
        const value = (score(photo, other, metric) * 100).toFixed(1);
        item.append(element("span", "method", other), photo.captions[other].text, element("span", "id", `  ${metric} ${value}`));
        return item;
      })));
    }
    article.append(left, right);
    return article;
  }

  function showMore() {
    const method = form.elements.method.value;
    for (const photo of chosen.slice(shown, shown + AT_A_TIME)) list.append(card(photo, method));
    shown = Math.min(chosen.length, shown + AT_A_TIME);
    more.hidden = shown >= chosen.length;
  }

  function update() {
    const { method, metric, order, least, most, text } = form.elements;
    const value = (photo) => score(photo, method.value, metric.value) * 100;
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

  for (const method of data.methods) option(form.elements.method, method);
  for (const metric of data.metrics) option(form.elements.metric, metric);
  form.elements.metric.value = "CIDEr";
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", showMore);
  new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting) && !more.hidden) showMore();
  }, { rootMargin: "800px" }).observe(more);
  update();
})();
