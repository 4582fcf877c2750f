// Curves as SVG: one small chart for each metric, x = step, y = value.
import { h, svg, value } from "./dom.js";

const WIDTH = 320, HEIGHT = 150, LEFT = 42, RIGHT = 8, TOP = 10, BOTTOM = 20;

/** Metric points in any of the shapes that the API gives -> Map name -> [[step, value], ...] in the order of steps. */
export function series(points) {
  const made = new Map();
  const add = (name, step, number) => {
    if (typeof number !== "number" || !Number.isFinite(number)) return;
    if (!made.has(name)) made.set(name, []);
    made.get(name).push([Number.isFinite(step) ? step : made.get(name).length + 1, number]);
  };
  if (Array.isArray(points)) for (const point of points) add(point.name, point.step, point.value);
  else for (const [name, list] of Object.entries(points ?? {}))
    for (const point of Array.isArray(list) ? list : []) {
      if (Array.isArray(point)) add(name, point[0], point[1]);
      else if (typeof point === "number") add(name, undefined, point);
      else add(name, point?.step, point?.value);
    }
  for (const list of made.values()) list.sort((a, b) => a[0] - b[0]);
  return made;
}

/** At most `most` points, keeping the lowest and highest of each stretch so that spikes stay visible. */
function thinned(points, most) {
  if (points.length <= most) return points;
  const kept = [], stretch = points.length / (most / 2);
  for (let start = 0; start < points.length; start += stretch) {
    const part = points.slice(Math.floor(start), Math.max(Math.floor(start) + 1, Math.floor(start + stretch)));
    let low = part[0], high = part[0];
    for (const point of part) { if (point[1] < low[1]) low = point; if (point[1] > high[1]) high = point; }
    kept.push(...(low[0] < high[0] ? [low, high] : low === high ? [low] : [high, low]));
  }
  kept[kept.length - 1] = points[points.length - 1];
  return kept;
}

/** Three to five round numbers that span low..high. */
export function ticks(low, high) {
  if (!(high > low)) return [low];
  const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough)), step = [1, 2, 2.5, 5, 10].find((m) => m * power >= rough) * power;
  const made = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) made.push(Number((k * step).toPrecision(12)));
  return made;
}

const label = (n) => Math.abs(n) >= 10000 || (n !== 0 && Math.abs(n) < 0.001) ? n.toExponential(1) : String(Number(n.toPrecision(4)));

/** A chart of one metric. */
export function chart(name, all) {
  const points = thinned(all, 600);
  let low = Infinity, high = -Infinity;
  for (const [, y] of points) { low = Math.min(low, y); high = Math.max(high, y); }
  if (low === high) { low -= Math.abs(low) * 0.05 || 0.5; high += Math.abs(high) * 0.05 || 0.5; }
  const first = points[0][0], last = points[points.length - 1][0];
  const x = (step) => LEFT + (last > first ? (step - first) / (last - first) : 0.5) * (WIDTH - LEFT - RIGHT);
  const y = (number) => TOP + (high - number) / (high - low) * (HEIGHT - TOP - BOTTOM);
  const reading = h("output", {}, value(all[all.length - 1][1]));
  const mark = svg("circle", { class: "mark", r: 3.5, cx: x(last), cy: y(points[points.length - 1][1]) });
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${name}: ${points.length} points, last value ${value(all[all.length - 1][1])}` },
    ticks(low, high).map((tick) => [svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick) }),
      svg("text", { x: LEFT - 6, y: y(tick) + 3.5, "text-anchor": "end" }, label(tick))]),
    svg("text", { x: LEFT, y: HEIGHT - 4 }, label(first)), svg("text", { x: WIDTH - RIGHT, y: HEIGHT - 4, "text-anchor": "end" }, label(last)),
    svg("polyline", { class: "curve", points: points.map(([step, number]) => `${x(step).toFixed(1)},${y(number).toFixed(1)}`).join(" ") }), mark);
  const show = (point) => { mark.setAttribute("cx", x(point[0])); mark.setAttribute("cy", y(point[1])); reading.textContent = point === points[points.length - 1] ? value(all[all.length - 1][1]) : `${label(point[0])}: ${value(point[1])}`; };
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect(), at = (event.clientX - box.left) / box.width * WIDTH;
    show(points.reduce((near, point) => Math.abs(x(point[0]) - at) < Math.abs(x(near[0]) - at) ? point : near));
  });
  drawing.addEventListener("pointerleave", () => show(points[points.length - 1]));
  return h("figure", { class: "chart" }, h("figcaption", {}, h("span", {}, name), reading), drawing);
}

/** Charts of all metrics, or nothing. */
export function charts(points) {
  const all = [...series(points)].filter(([, list]) => list.length > 1);
  return all.length === 0 ? null : h("div", { class: "charts" }, all.map(([name, list]) => chart(name, list)));
}
