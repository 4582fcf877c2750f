// The page's frame: which list and which details are shown, by the part of the address behind '#'.
//   #/tasks  #/tasks/new  #/tasks/task-001  #/datasets/mnist_clean  #/models/mnist_cnn_v1
import { replace } from "./dom.js";
import { taskList, taskDetail, taskForm } from "./tasks.js";
import { datasetList, datasetDetail, modelList, modelDetail } from "./lake.js";

const list = document.getElementById("list"), detail = document.getElementById("detail");
const views = { tasks: [taskList, taskDetail, "Tasks"], datasets: [datasetList, datasetDetail, "Data sets"], models: [modelList, modelDetail, "Models"] };
// Each view is started with the element it may fill and an AbortSignal that ends its polling and streams.
let listEnd = null, detailEnd = null, shownTab = null, shownId = null;

function show() {
  const [, tab = "tasks", ...rest] = location.hash.split("/");
  const name = views[tab] ? tab : "tasks", id = rest.length ? decodeURIComponent(rest.join("/")) : "";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.tab === name) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  document.title = `${id || views[name][2]} · Moonlake`;
  document.body.classList.toggle("open", id !== "");
  if (name !== shownTab) {
    listEnd?.abort();
    listEnd = new AbortController();
    replace(list);
    views[name][0](list, listEnd.signal);
  }
  for (const item of list.querySelectorAll(".item")) {
    if (item.getAttribute("href") === location.hash) item.setAttribute("aria-current", "true"); else item.removeAttribute("aria-current");
  }
  if (name !== shownTab || id !== shownId) {
    detailEnd?.abort();
    detailEnd = new AbortController();
    replace(detail);
    if (name === "tasks" && id === "new") taskForm(detail, detailEnd.signal);
    else if (id) views[name][1](detail, id, detailEnd.signal);
    if (shownTab !== null && id) { detail.setAttribute("tabindex", "-1"); detail.focus({ preventScroll: true }); window.scrollTo(0, 0); }
  }
  shownTab = name;
  shownId = id;
}
window.addEventListener("hashchange", show);
show();
