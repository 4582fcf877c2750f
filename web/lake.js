// The lake: data sets (schema, first rows, vectors that are pictures drawn as pictures) and models (metrics, curves, weights).
import { ago, api, bytes, clock, fault, h, pairs, replace, value, whole } from "./dom.js";
import { charts } from "./chart.js";
import { deleteButton, fillList, poll } from "./tasks.js";

function list(place, signal, { path, title, tab, none, under }) {
  const items = h("ul", { class: "items" }), message = h("div", {});
  replace(place, h("div", { class: "listhead" }, h("h2", {}, title)), message, items);
  let shown = "";
  poll(async () => {
    let entries;
    try { entries = await api(path, { signal }); }
    catch (error) { if (error.name !== "AbortError" && error.code !== "OFFLINE") replace(message, fault(error)); throw error; }
    const text = JSON.stringify(entries);
    if (text === shown) return;
    shown = text;
    replace(message, entries.length === 0 && h("div", { class: "empty" }, h("b", {}, none[0]), none[1]));
    fillList(items, entries.map((entry) => h("a", { class: "item", href: `#/${tab}/${encodeURIComponent(entry.id)}` },
      h("div", { class: "row" }, h("span", { class: "name" }, entry.id), entry.error ? h("span", { class: "state failed" }, "cannot be opened") : entry.version !== undefined && h("span", { class: "quiet" }, `v${entry.version}`)),
      h("div", { class: "under" }, (entry.error ? [entry.error.message] : under(entry)).filter(Boolean).map((part) => h("span", {}, part))))));
  }, 3000, signal);
}

export function datasetList(place, signal) {
  list(place, signal, { path: "/datasets", title: "Data sets", tab: "datasets",
    none: ["No data sets yet", "A script that writes its output into the lake makes one."],
    under: (set) => [`${whole(set.num_rows)} rows`, set.bytes !== undefined && bytes(set.bytes)] });
}

export function modelList(place, signal) {
  list(place, signal, { path: "/models", title: "Models", tab: "models",
    none: ["No models yet", "A script that trains a network and saves it makes one."],
    under: (model) => [Object.entries(model.metrics ?? {}).filter(([, number]) => typeof number === "number").slice(0, 2).map(([name, number]) => `${name} ${value(number)}`).join(" · "), model.created_at && ago(model.created_at)] });
}

/** Whether a list of numbers can be a square picture: the side, or 0. */
function pictureSide(cell) {
  if (!Array.isArray(cell)) return 0;
  if (Array.isArray(cell[0])) return cell.length >= 8 && cell.every((row) => Array.isArray(row) && row.length === cell.length) ? cell.length : 0;
  const side = Math.round(Math.sqrt(cell.length));
  return side >= 8 && side <= 256 && side * side === cell.length && typeof cell[0] === "number" ? side : 0;
}

function picture(cell, side) {
  const numbers = cell.flat(), canvas = h("canvas", { width: side, height: side, role: "img", "aria-label": `picture of ${side} by ${side} values` });
  let low = 0, high = 0;
  for (const number of numbers) { if (number < low) low = number; if (number > high) high = number; }
  const image = new ImageData(side, side), scale = high > low ? 255 / (high - low) : 0;
  numbers.forEach((number, i) => { const grey = (number - low) * scale; image.data.set([grey, grey, grey, 255], 4 * i); });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function cellView(cell) {
  const side = pictureSide(cell);
  if (side) return h("td", {}, picture(cell, side));
  if (Array.isArray(cell) && cell.length > 8) return h("td", { class: "mono long", title: `${cell.length} values` }, `[${cell.slice(0, 6).map(value).join(", ")}, … ${whole(cell.length)} values]`);
  if (typeof cell === "number") return h("td", { class: "number" }, Number.isInteger(cell) ? String(cell) : value(cell));
  const text = value(cell);
  return h("td", { class: "long" }, text.length > 300 ? `${text.slice(0, 300)} …` : text);
}

/** The rows of an answer of /rows: an array of objects, alone or as "rows". */
function rowsOf(answer) { return Array.isArray(answer) ? answer : Array.isArray(answer?.rows) ? answer.rows : []; }

export async function datasetDetail(place, id, signal) {
  const path = `/datasets/${encodeURIComponent(id)}`, rows = h("div", {}, h("p", { class: "quiet" }, "Reading the first rows …"));
  const problem = (error) => { if (error.name !== "AbortError") replace(place, h("a", { class: "back", href: "#/datasets" }, "← all data sets"), fault(error)); };
  let set;
  try { set = await api(path, { signal }); } catch (error) { problem(error); return; }
  const columns = Object.keys(set.schema ?? {}), versions = h("div", {});
  const filter = h("input", { name: "where", type: "search", placeholder: "label = 3 AND split = 'test'", "aria-label": "Only rows for which this is true", maxlength: 4000, autocomplete: "off", spellcheck: "false" });
  const show = async () => {
    try {
      const where = filter.value.trim(), found = rowsOf(await api(`${path}/rows?limit=20${where ? `&where=${encodeURIComponent(where)}` : ""}`, { signal }));
      if (found.length === 0) { replace(rows, h("div", { class: "empty" }, h("b", {}, "No rows"), where ? "No row meets the condition." : "The data set is empty.")); return; }
      const names = columns.length ? columns : Object.keys(found[0]);
      replace(rows, h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col", class: typeof found[0][name] === "number" && "number" }, name)))),
        h("tbody", {}, found.map((row) => h("tr", {}, names.map((name) => cellView(row[name]))))))));
    } catch (error) { if (error.name !== "AbortError") replace(rows, fault(error)); }
  };
  replace(place, h("a", { class: "back", href: "#/datasets" }, "← all data sets"),
    h("div", { class: "head" }, h("h1", {}, set.id), h("div", { class: "buttons" }, deleteButton(path, `the data set '${set.id}'`, "#/datasets", problem))),
    h("p", { class: "sub mono" }, set.path),
    set.error && fault(set.error), h("h2", {}, "Figures"), h("div", { class: "cards" }, [["rows", whole(set.num_rows)], ["columns", columns.length], set.version !== undefined && ["version", set.version],
      set.bytes !== undefined && ["on disk", bytes(set.bytes)], set.fragments !== undefined && ["fragments", set.fragments], set.updated_at && ["changed", ago(set.updated_at)]]
      .filter(Boolean).map(([name, figure]) => h("div", { class: "figure" }, h("b", {}, figure), h("span", {}, name)))),
    h("h2", {}, "Schema"), pairs(set.schema) ?? h("p", { class: "quiet" }, "no columns"),
    h("h2", {}, "First rows"), h("form", { class: "filter", submit: (event) => { event.preventDefault(); show(); } }, filter, h("button", {}, "Show")), rows, versions);
  await Promise.all([show(), showVersions(versions, path, signal)]);
}

/** The newest versions of a data set: what was done, when, and the rows after it. */
async function showVersions(place, path, signal) {
  let found;
  try { found = await api(`${path}/versions?limit=20`, { signal }); } catch { return; }
  replace(place, h("h2", {}, "Versions"), h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, ["version", "time", "what", "rows", "tags"].map((name) => h("th", { scope: "col", class: (name === "version" || name === "rows") && "number" }, name)))),
    h("tbody", {}, found.map((one) => h("tr", {}, h("td", { class: "number" }, one.version), h("td", {}, clock(one.time)), h("td", { class: "long" }, one.error ?? one.operation ?? "–"),
      h("td", { class: "number" }, whole(one.rows)), h("td", { class: "long" }, one.tags.join(", "))))))));
}

const parsed = (thing) => { if (typeof thing !== "string") return thing; try { return JSON.parse(thing); } catch { return thing; } };

export async function modelDetail(place, id, signal) {
  const path = `/models/${encodeURIComponent(id)}`;
  const problem = (error) => { if (error.name !== "AbortError") replace(place, h("a", { class: "back", href: "#/models" }, "← all models"), fault(error)); };
  let model;
  try { model = await api(path, { signal }); } catch (error) { problem(error); return; }
  const weights = model.weights ?? [], count = (weight) => (weight.shape ?? []).reduce((product, n) => product * n, 1);
  const layers = parsed(model.graph)?.layers, labels = parsed(model.labels), curves = charts(parsed(model.curves)), lineage = parsed(model.lineage);
  replace(place, h("a", { class: "back", href: "#/models" }, "← all models"),
    h("div", { class: "head" }, h("h1", {}, model.id), model.version !== undefined && h("span", { class: "state completed" }, `version ${model.version}`),
      h("div", { class: "buttons" }, deleteButton(path, `the model '${model.id}'`, "#/models", problem))),
    h("p", { class: "sub mono" }, model.path), model.created_at && h("p", { class: "sub" }, `saved ${clock(model.created_at)}`),
    model.error && fault(model.error), Object.keys(model.metrics ?? {}).length > 0 && [h("h2", {}, "Metrics"), h("div", { class: "cards" }, Object.entries(model.metrics).map(([name, number]) => h("div", { class: "figure" }, h("b", {}, value(number)), h("span", {}, name))))],
    curves && [h("h2", {}, "Curves"), curves],
    Object.keys(model.hyperparameters ?? {}).length > 0 && [h("h2", {}, "Hyperparameters"), pairs(model.hyperparameters)],
    Array.isArray(layers) && layers.length > 0 && [h("h2", {}, "Layers"), h("div", { class: "scroll" }, h("table", {}, h("tbody", {}, layers.map((layer, i) => {
      const { type, ...rest } = layer ?? {};
      return h("tr", {}, h("th", { scope: "row" }, `${i + 1}. ${type}`), h("td", { class: "mono long" }, Object.entries(rest).map(([name, v]) => `${name} ${value(v)}`).join(", ")));
    }))))],
    weights.length > 0 && [h("h2", {}, `Weights · ${whole(weights.reduce((sum, weight) => sum + count(weight), 0))} numbers in ${bytes(weights.reduce((sum, weight) => sum + (weight.bytes ?? 0), 0))}`),
      h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, ["name", "shape", "type", "bytes"].map((name) => h("th", { scope: "col", class: name === "bytes" && "number" }, name)))),
        h("tbody", {}, weights.map((weight) => h("tr", {}, h("td", { class: "mono" }, weight.name), h("td", { class: "mono" }, (weight.shape ?? []).join(" × ") || "scalar"), h("td", {}, weight.dtype), h("td", { class: "number" }, whole(weight.bytes)))))))],
    Array.isArray(labels) && [h("h2", {}, "Labels"), h("p", { class: "mono" }, labels.map(value).join(", "))],
    lineage && Object.keys(lineage).length > 0 && [h("h2", {}, "Made from"), pairs(lineage, (name, text) => name === "task" ? `#/tasks/${encodeURIComponent(text)}` : null)]);
}
