// Building the page. Text from the server only ever becomes a text node or an attribute value that cannot run
// (never innerHTML), so nothing that a task prints or a data set holds can become markup.

/** An element: h("a", {href: "#/x", class: "item"}, "text", otherElement, [more]). Functions become event listeners. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** An SVG element; attributes only. */
export function svg(tag, properties = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties)) element.setAttribute(name, String(value));
  append(element, children);
  return element;
}

export function replace(parent, ...children) {
  parent.replaceChildren();
  append(parent, children);
}

/** An error of the API in the contract's shape, or of the connection. */
export class ApiError extends Error {
  constructor(code, message) { super(message); this.code = code; }
}

/** One call under /api/v1; the decoded JSON (null for 204). Throws ApiError. */
export async function api(path, { method = "GET", body, signal } = {}) {
  let response;
  try {
    response = await fetch(`api/v1${path}`, {
      method, signal, headers: body === undefined ? { Accept: "application/json" } : { Accept: "application/json", "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    connection(false);
    throw new ApiError("OFFLINE", "The server cannot be reached.");
  }
  connection(true);
  if (response.status === 204) return null;
  const text = await response.text();
  let value = null;
  try { value = text === "" ? null : JSON.parse(text); } catch { /* not JSON: handled below */ }
  if (!response.ok) throw new ApiError(value?.error?.code ?? `HTTP_${response.status}`, value?.error?.message ?? `The server answered with status ${response.status}.`);
  if (value === null && text !== "") throw new ApiError("NOT_JSON", "The server's answer is not JSON.");
  return value;
}

function connection(alive) {
  const text = alive ? "" : "server not reachable, trying again …", place = document.getElementById("link");
  if (place.textContent !== text) place.textContent = text;
}

/** Only http and https addresses may become links. */
export function safeLink(address) {
  try {
    const url = new URL(address);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch { return null; }
}

// --- how values are written
export const whole = (n) => Number.isFinite(n) ? n.toLocaleString("en-US") : "–";
export function bytes(n) {
  if (!Number.isFinite(n)) return "–";
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) { n /= 1024; unit++; }
  return `${unit === 0 ? n : n.toFixed(n < 10 ? 2 : 1)} ${units[unit]}`;
}
export function seconds(s) {
  if (!Number.isFinite(s) || s < 0) return "–";
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
  return `${Math.floor(s / 3600)} h ${Math.round(s % 3600 / 60)} min`;
}
export function ago(time) {
  const s = (Date.now() - Date.parse(time)) / 1000;
  if (!Number.isFinite(s)) return "";
  return s < 5 ? "just now" : s < 90 ? `${Math.round(s)} s ago` : s < 5400 ? `${Math.round(s / 60)} min ago` : s < 129600 ? `${Math.round(s / 3600)} h ago` : new Date(time).toLocaleDateString();
}
export const clock = (time) => time ? new Date(time).toLocaleString() : "–";
export function value(v) {
  if (v === null || v === undefined) return "–";
  if (typeof v === "number") return Number.isInteger(v) ? v.toLocaleString("en-US", { useGrouping: Math.abs(v) >= 10000 }) : String(Number(v.toPrecision(6)));
  return typeof v === "object" ? JSON.stringify(v) : String(v);
}

/** A table of two columns; nothing for an empty object. */
export function pairs(object, link = () => null) {
  const rows = Object.entries(object ?? {});
  if (rows.length === 0) return null;
  return h("div", { class: "scroll" }, h("table", {}, h("tbody", {}, rows.map(([name, v]) => {
    const address = typeof v === "string" ? link(name, v) : null;
    return h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "long mono" }, v instanceof Node ? v : address ? h("a", { href: address }, v) : value(v)));
  }))));
}

/** Asks before something that cannot be undone; resolves to true when agreed. */
export function agree(question, action) {
  return new Promise((resolve) => {
    const box = h("dialog", { "aria-label": question, close: () => { box.remove(); resolve(box.returnValue === "yes"); } },
      h("p", {}, question),
      h("form", { method: "dialog", class: "buttons" }, h("button", { value: "no", autofocus: true }, "Keep"), h("button", { value: "yes", class: "danger" }, action)));
    document.body.append(box);
    box.showModal();
  });
}

export function fault(error) {
  return h("div", { class: "fault", role: "alert" }, h("strong", {}, error.code ?? "ERROR"), h("p", {}, error.message));
}
