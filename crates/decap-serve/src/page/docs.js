// Shows /openapi.json: a section a tag, an article a path, a table of fields for each body.

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

// Words between backticks are code.
const words = (text) =>
  (text || "").split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));

let schemas = {};
const resolve = (schema) => (schema?.$ref ? schemas[schema.$ref.split("/").pop()] : schema) || {};

function kind(schema) {
  const it = resolve(schema);
  if (it.title) return it.title;
  if (it.oneOf || it.anyOf) return (it.oneOf || it.anyOf).map(kind).filter((one) => one !== "null").join(" or ");
  if (it.enum) return it.enum.filter((one) => one !== null).join(" | ");
  const types = [].concat(it.type || "anything").filter((one) => one !== "null");
  if (types[0] === "array") return `list of ${kind(it.items)}`;
  const format = { binary: "file", byte: "text in base64" }[it.format];
  return format || { string: "text", integer: "whole number" }[types[0]] || types.join(" or ");
}

// Lists and objects within are shown under their own names.
function fields(schema, prefix = "", depth = 0) {
  const it = resolve(schema);
  if (it.oneOf) return it.oneOf.flatMap((one) => fields(one, prefix, depth));
  return Object.entries(it.properties || {}).flatMap(([name, field]) => {
    const own = resolve(field);
    const must = (it.required || []).includes(name);
    const rest = own.type === "array" ? fields(own.items, `${prefix}${name}[].`, depth + 1) : fields(own, `${prefix}${name}.`, depth + 1);
    return [[`${prefix}${name}`, kind(field), field.description || own.description || "", must], ...(depth < 2 ? rest : [])];
  });
}

function table(rows, title, marksRequired) {
  const seen = new Set();
  const body = rows.filter(([name]) => !seen.has(name) && seen.add(name)).map(([name, type, said, must]) =>
    element("tr", {}, element("td", {}, element("code", {}, name), must && marksRequired ? " (required)" : ""),
      element("td", {}, type), element("td", {}, ...words(said))));
  const head = element("tr", {}, ...["Field", "Kind", "Meaning"].map((it) => element("th", { scope: "col" }, it)));
  const made = element("table", {}, element("caption", { className: "unseen" }, title), element("thead", {}, head), element("tbody", {}, ...body));
  const scroll = element("div", { className: "scroll", tabIndex: 0 }, made);
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", title);
  return scroll;
}

function bodies(content, said, place, marksRequired) {
  // The first is open; the others say much the same in another form.
  return Object.entries(content || {}).flatMap(([type, { schema }], index) => {
    const rows = fields(schema);
    const title = element("h4", {}, `${said}: `, element("code", {}, type));
    if (!rows.length) return [title];
    const shown = table(rows, `${place}, ${title.textContent}`, marksRequired);
    return index ? [element("details", {}, element("summary", {}, ...title.childNodes), shown)] : [title, shown];
  });
}

function article(method, path, operation) {
  const made = element("article", { id: `${method}${path}` });
  const place = `${method.toUpperCase()} ${path}`;
  const verb = element("span", { className: "method" }, method.toUpperCase());
  made.append(element("h3", {}, verb, element("code", {}, path)), element("p", {}, ...words(`${operation.summary || ""}.`)));
  if (operation.description) made.append(element("p", { className: "quiet" }, ...words(operation.description)));
  const parameters = operation.parameters || [];
  if (parameters.length) {
    const rows = parameters.map((it) => [it.name, kind(it.schema), it.description || "", it.required]);
    made.append(element("h4", {}, "In the path"), table(rows, `${place}, parameters`, true));
  }
  made.append(...bodies(operation.requestBody?.content, "Request", place, true));
  const errors = [];
  for (const [status, response] of Object.entries(operation.responses || {})) {
    if (/^[45]/.test(status)) errors.push([status, response.description]);
    else made.append(...(response.content ? bodies(response.content, status, place) : [element("h4", {}, `${status}: ${response.description}`)]));
  }
  const list = element("ul", {}, ...errors.map(([status, said]) => element("li", {}, element("code", {}, status), ` ${said}`)));
  if (errors.length) made.append(element("details", {}, element("summary", {}, "Errors"), list));
  return made;
}

try {
  const answer = await fetch("/openapi.json");
  if (!answer.ok) throw new Error(`it answered ${answer.status}`);
  const described = await answer.json();
  schemas = described.components.schemas;
  document.getElementById("content").replaceChildren();
  for (const tag of described.tags) {
    const list = element("ul");
    const section = element("section", {}, element("h2", {}, tag.name), element("p", { className: "quiet" }, ...words(tag.description)));
    for (const [path, methods] of Object.entries(described.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        if (!operation.tags?.includes(tag.name)) continue;
        section.append(article(method, path, operation));
        list.append(element("li", {}, element("a", { href: `#${method}${path}` }, `${method.toUpperCase()} ${path}`)));
      }
    }
    document.getElementById("paths").append(element("h2", {}, tag.name), list);
    document.getElementById("content").append(section);
  }
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
} catch (error) {
  document.getElementById("state").textContent = `The service does not tell its API: ${error.message}. Is it still running?`;
}
