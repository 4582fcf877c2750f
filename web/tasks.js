// Tasks: the list with live states, one task with progress, curves, log, result or error, and the form for a new one.
import { agree, ago, api, bytes, clock, fault, h, pairs, replace, safeLink, seconds, whole } from "./dom.js";
import { charts } from "./chart.js";

const OVER = new Set(["completed", "failed", "cancelled"]);
const state = (task) => h("span", { class: `state ${OVER.has(task.status) || task.status === "running" || task.status === "pending" ? task.status : ""}` },
  task.status === "running" && task.cancel_requested_at ? "stopping" : task.status === "running" && task.endpoint ? "serving" : task.status);
const share = (task) => task.progress && task.progress.total > 0 ? Math.min(1, task.progress.done / task.progress.total) : null;

/** Calls `work` now and then every `rest` ms after it ended, until `signal`; slower while the page is hidden. */
export function poll(work, rest, signal) {
  let timer = 0;
  const turn = async () => {
    try { await work(); } catch (error) { if (error.name === "AbortError") return; }
    if (!signal.aborted) timer = setTimeout(turn, document.hidden ? 5 * rest : rest);
  };
  signal.addEventListener("abort", () => clearTimeout(timer));
  turn();
}

/** Replaces the children of an <ul class="items"> and keeps keyboard focus on the same entry. */
export function fillList(items, entries) {
  const focused = items.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  items.replaceChildren(...entries.map((entry) => h("li", {}, entry)));
  for (const entry of entries) if (entry.getAttribute("href") === location.hash) entry.setAttribute("aria-current", "true");
  if (focused) entries.find((entry) => entry.getAttribute("href") === focused)?.focus();
}

export function taskList(place, signal) {
  const items = h("ul", { class: "items" }), message = h("div", {});
  replace(place, h("div", { class: "listhead" }, h("h2", {}, "Tasks"), h("a", { class: "button main", href: "#/tasks/new" }, "New task")), message, items);
  let shown = "";
  poll(async () => {
    let tasks;
    try { tasks = await api("/tasks?limit=200", { signal }); }
    catch (error) { if (error.name !== "AbortError" && error.code !== "OFFLINE") replace(message, fault(error)); throw error; }
    const text = JSON.stringify(tasks) + Math.floor(Date.now() / 10000);
    if (text === shown) return;
    shown = text;
    replace(message, tasks.length === 0 && h("div", { class: "empty" }, h("b", {}, "No tasks yet"), "A task runs one Lua script. Start one here, or with ", h("code", {}, "make demo"), "."));
    fillList(items, tasks.map((task) => h("a", { class: "item", href: `#/tasks/${encodeURIComponent(task.id)}` },
      h("div", { class: "row" }, h("span", { class: "name" }, task.name), state(task)),
      h("div", { class: "under" }, h("span", {}, task.id), h("span", {}, ago(task.created_at))),
      task.status === "running" && share(task) !== null && h("progress", { max: 1, value: share(task), "aria-label": `progress of ${task.id}` }))));
  }, 1000, signal);
}

// A task's input and output lead to the lake where they name something in it.
function lakeLink(name, path) {
  if (name !== "input" && name !== "output") return null;
  const found = /(?:^|\/)(datasets|models)\/([^/]+)\.lance\/?$/.exec(path);
  return found ? `#/${found[1]}/${encodeURIComponent(found[2])}` : null;
}

export function taskDetail(place, id, signal) {
  const path = `/tasks/${encodeURIComponent(id)}`;
  const head = h("div", {}), middle = h("div", {}), curves = h("div", {}), facts = h("div", {});
  const log = h("pre", { class: "log", tabindex: 0, role: "log", "aria-label": "Log", "aria-live": "off" });
  const logTitle = h("h2", {}, "Log");
  replace(place, h("a", { class: "back", href: "#/tasks" }, "← all tasks"), head, middle, curves, facts, logTitle, log);
  let task = null, points = [], drawn = -1;

  async function cancel(event) {
    event.target.disabled = true;
    try { task = await api(`${path}/cancel`, { method: "POST", signal }) ?? task; draw(); refresh(); }
    catch (error) { if (error.name !== "AbortError") replace(middle, fault(error)); }
  }
  function draw() {
    const ended = task.completed_at ?? (OVER.has(task.status) ? task.updated_at : null), started = task.started_at ?? task.created_at;
    const running = (Date.parse(ended ?? new Date()) - Date.parse(started)) / 1000, usage = task.usage ?? {};
    replace(head,
      h("div", { class: "head" }, h("h1", {}, task.name), state(task), h("div", { class: "buttons" },
        h("a", { class: "button", href: "#/tasks/new", click: () => { repeat = task; } }, "Repeat …"),
        !OVER.has(task.status) && h("button", { class: "danger", click: cancel, disabled: !!task.cancel_requested_at }, task.cancel_requested_at ? "Stopping …" : "Cancel"))),
      h("p", { class: "sub" }, `${task.id} · created ${clock(task.created_at)} · ${OVER.has(task.status) ? "took" : "for"} ${task.status === "pending" ? "–" : seconds(running)}`,
        usage.peak_rss_bytes ? ` · at most ${bytes(usage.peak_rss_bytes)}` : "", usage.cpu_s !== undefined ? ` · ${seconds(usage.cpu_s)} CPU` : ""));
    const part = share(task), left = part > 0.02 && part < 1 && task.status === "running" ? running / part - running : null, address = task.endpoint && safeLink(task.endpoint);
    replace(middle,
      task.progress && task.status === "running" && !task.endpoint && [
        h("div", { class: "progressline" }, h("span", {}, task.progress.phase ?? "progress"),
          h("span", {}, `${whole(task.progress.done)} of ${whole(task.progress.total)}`, part !== null ? ` · ${Math.floor(100 * part)} %` : "", left !== null ? ` · about ${seconds(left)} left` : "")),
        h("progress", { max: 1, value: part ?? false, "aria-label": "progress" })],
      task.endpoint && !OVER.has(task.status) && h("p", { class: "endpoint" }, "Serving at ", address ? h("a", { href: address, target: "_blank", rel: "noopener" }, task.endpoint) : task.endpoint),
      task.error && h("div", { class: "fault" }, h("strong", {}, task.error.code), h("p", {}, task.error.message),
        task.error.script && h("p", { class: "mono" }, `${task.error.script}${task.error.line ? `, line ${task.error.line}` : ""}`),
        task.error.excerpt && h("pre", {}, task.error.excerpt),
        task.error.traceback && h("details", {}, h("summary", {}, "Traceback"), h("pre", {}, task.error.traceback))),
      task.result && Object.keys(task.result).length > 0 && [h("h2", {}, "Result"), pairs(task.result)]);
    const params = Object.keys(task.params ?? {}).length > 0;
    replace(facts, h("h2", {}, "Request"), pairs({ script: task.script, input: task.input || "none", output: task.output || "none" }, lakeLink), params && [h("h2", {}, "Parameters"), pairs(task.params)]);
  }
  function drawCurves() {
    if (points.length === drawn) return;
    drawn = points.length;
    const made = charts(points);
    replace(curves, made && [h("h2", {}, "Metrics"), made]);
  }

  let asking = null;
  async function refresh() {
    if (asking) return asking;
    asking = api(path, { signal }).then((fresh) => { task = fresh; draw(); })
      .catch((error) => { if (error.name !== "AbortError" && (error.code !== "OFFLINE" || !task)) { replace(head, fault(error)); } })
      .finally(() => { asking = null; });
    return asking;
  }

  // Live: the event stream where there is one, and a slow poll beside it, which alone is enough.
  let stream = null;
  function follow() {
    stream = new EventSource(`api/v1${path}/events?kinds=status,cancel_requested,ready,progress,metric`);
    const on = (kind, work) => stream.addEventListener(kind, (event) => {
      let data = null;
      try { data = JSON.parse(event.data); } catch { return; }
      work(data);
    });
    for (const kind of ["status", "cancel_requested", "ready"]) on(kind, () => later(refresh));
    on("progress", (data) => { if (task && Number.isFinite(data.done)) { task.progress = { done: data.done, total: data.total, phase: data.phase }; later(draw); } });
    on("metric", (data) => { points.push(data); later(drawCurves); });
    on("end", () => { stream.close(); refresh(); });
    stream.addEventListener("open", () => { points = []; });
    signal.addEventListener("abort", () => stream.close());
  }
  const waiting = new Map();
  function later(work) {                            // at most five times a second, however fast events come
    if (waiting.has(work)) return;
    waiting.set(work, setTimeout(() => { waiting.delete(work); if (!signal.aborted) work(); }, 200));
  }

  let logText = null;
  async function readLog() {
    const response = await fetch(`api/v1${path}/logs?tail=1000`, { signal });
    if (!response.ok) return;
    const text = (await response.text()).replace(/^\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)\.\d+Z/gm, "$1");     // the time of day is enough
    if (text === logText) return;
    logText = text;
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 24;
    replace(log, text === "" ? h("span", { class: "quiet" }, "Nothing written yet.") : text);
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  refresh().then(() => { if (task && !signal.aborted) follow(); });
  let quietTurns = 0;
  poll(async () => {
    if (task && OVER.has(task.status) && quietTurns++ > 2) return;
    await Promise.all([task ? refresh() : null, readLog()]);
  }, 1000, signal);
}

// The task that "Repeat" was pressed on fills the form.
let repeat = null;

export function taskForm(place, signal) {
  const from = repeat;
  repeat = null;
  const field = (name, text, hint, needed) => h("label", {}, h("span", {}, text, " ", h("small", {}, hint)),
    h("input", { name, required: needed, value: from?.[name] ?? "", autocomplete: "off", spellcheck: "false" }));
  const params = h("textarea", { name: "params", spellcheck: "false" });
  params.value = JSON.stringify(from?.params ?? {}, null, 2);
  const answer = h("div", {}), send = h("button", { class: "main" }, "Start the task");
  const form = h("form", { class: "task", submit }, field("name", "Name", "what this run is called", true), field("script", "Script", "below the script root, such as mnist/mnist_cnn.lua", true),
    field("input", "Input", "a data set, a model, or a path below the data roots"), field("output", "Output", "a name in the lake; may stay empty"),
    h("label", {}, h("span", {}, "Parameters ", h("small", {}, "a JSON object")), params), answer, h("div", {}, send));
  replace(place, h("a", { class: "back", href: "#/tasks" }, "← all tasks"), h("h1", {}, "New task"), form);
  async function submit(event) {
    event.preventDefault();
    let object = null;
    try {
      object = JSON.parse(params.value.trim() || "{}");
      if (object === null || typeof object !== "object" || Array.isArray(object)) throw new Error("it has to be an object, such as {\"epochs\": 3}");
      params.removeAttribute("aria-invalid");
    } catch (error) {
      params.setAttribute("aria-invalid", "true");
      replace(answer, fault({ code: "PARAMETERS", message: `The parameters are not a JSON object: ${error.message}` }));
      params.focus();
      return;
    }
    send.disabled = true;
    const data = new FormData(form), text = (name) => String(data.get(name)).trim();
    try {
      const task = await api("/tasks", { method: "POST", signal, body: { name: text("name"), input: text("input"), script: text("script"), output: text("output"), params: object } });
      location.hash = `#/tasks/${encodeURIComponent(task.id)}`;
    } catch (error) {
      if (error.name !== "AbortError") replace(answer, fault(error));
      send.disabled = false;
    }
  }
}

/** A button that deletes after asking, then goes back to the list. */
export function deleteButton(path, what, back, problem) {
  return h("button", { class: "danger", click: async () => {
    if (!await agree(`Delete ${what}? This cannot be undone.`, "Delete")) return;
    try { await api(path, { method: "DELETE" }); location.hash = back; } catch (error) { problem(error); }
  } }, "Delete");
}
