// Trainings with their curves and samples, and evaluations.

import { ask, make, seconds } from "./api.js";

const NAMES = {
  loss: "Loss", examples_per_second: "Examples a second", learning_rate: "Learning rate", grad_norm: "Norm of the gradient",
  data_wait: "Share of time that waits for data", peak_memory: "Peak memory, GB",
};
let shown = null;
let timer = null;

export async function trainings() {
  const part = document.getElementById("trainings");
  clearTimeout(timer);
  if (part.hidden) return;
  try {
    const runs = await ask("/api/runs");
    if (!runs.length) {
      part.replaceChildren(empty("No trainings are shown here. Start the server with --runs DIR, the folder of a training or one with several."));
    } else {
      if (!runs.some((run) => run.number === shown)) shown = (runs.find((run) => run.state === "running") ?? runs[0]).number;
      const chosen = runs.find((run) => run.number === shown);
      const detail = chosen.stage ? await ask(`/api/runs/${shown}`) : null;
      const parts = [table(runs)];
      if (detail) parts.push(...panels(chosen, detail));
      const at = scrollY;
      part.replaceChildren(...parts);
      scrollTo(0, at);
    }
  } catch (error) {
    part.replaceChildren(empty(error.message));
  }
  timer = setTimeout(trainings, 10000); // as they come
}

const empty = (text) => make("div", { class: "panel" }, make("p", { class: "empty" }, text));

function table(runs) {
  const head = ["run", "stage", "state", "examples", "loss", "examples/s", "left"];
  const numbers = ["examples", "loss", "examples/s", "left"];
  const row = (run) => {
    const cells = [
      run.name, run.stage ?? "", run.state, run.total ? `${run.examples.toLocaleString()} of ${run.total.toLocaleString()}` : "",
      run.loss?.toFixed(4) ?? "", run.examples_per_second?.toFixed(1) ?? "", run.eta ? seconds(run.eta) : "",
    ];
    const choose = () => ((shown = run.number), trainings());
    const state = run.state === "running" ? "running" : ["failed", "damaged"].includes(run.state) ? "failed" : run.state === "finished" ? "done" : "";
    return make(
      "tr", { tabindex: "0", class: run.number === shown ? "chosen" : "", onclick: choose, onkeydown: (event) => event.key === "Enter" && choose() },
      ...cells.map((text, k) => make("td", { class: numbers.includes(head[k]) ? "number" : head[k] === "state" ? `state-${state}` : "" }, text)),
    );
  };
  const heads = head.map((name) => make("th", { scope: "col", class: numbers.includes(name) ? "number" : "" }, name));
  return make("div", { class: "panel scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...runs.map(row))));
}

function panels(run, detail) {
  const found = [];
  if (run.error) found.push(make("div", { class: "panel" }, make("p", { class: "bad-text" }, run.error)));
  const drawn = Object.entries(detail.curves).map(([name, points]) => curve(NAMES[name], name === "peak_memory" ? points.map(([x, y]) => [x, y / 1e9]) : points, "examples", name === "loss"));
  if (detail.loss_by_time.length) drawn.push(curve("Loss by diffusion time, from clean to noise", detail.loss_by_time.map((y, k, all) => [(k + 0.5) / all.length, y]), "", true));
  if (drawn.length) found.push(make("div", { class: "panel curves" }, ...drawn));
  if (detail.samples.length) {
    const image = make("img", { src: sheet(run, detail.samples[0]), alt: "Samples", loading: "lazy" });
    const pick = make("select", { "aria-label": "Samples after so many examples", onchange: (event) => (image.src = sheet(run, event.target.value)) }, ...detail.samples.map((name) => make("option", { value: name }, `after ${Number.parseInt(name).toLocaleString()} examples`)));
    found.push(make("div", { class: "panel sheet" }, make("h2", {}, "Samples"), pick, make("p", {}, image)));
  }
  return found;
}

const sheet = (run, name) => `/api/runs/${run.number}/samples/${name}`;
const brief = (value) => (value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 1e6) ? value.toExponential(1) : Number(value.toPrecision(3)).toLocaleString());

// A curve with its extremes over `unit`; the loss on a logarithmic scale.
function curve(title, points, unit, logarithmic) {
  const [width, height, left, bottom] = [360, 170, 52, 20];
  const usable = logarithmic ? points.filter(([, y]) => y > 0) : points;
  const scale = logarithmic ? Math.log : (y) => y;
  const xs = usable.map(([x]) => x);
  const ys = usable.map(([, y]) => scale(y));
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const across = (x) => left + ((x - x0) / (x1 - x0 || 1)) * (width - left - 8);
  const up = (y) => height - bottom - ((y - y0) / (y1 - y0 || 1)) * (height - bottom - 12);
  const path = usable.map(([x], k) => `${k ? "L" : "M"}${across(x).toFixed(1)} ${up(ys[k]).toFixed(1)}`).join("");
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", title);
  const add = (name, fields, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(fields)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    svg.append(made);
  };
  const back = logarithmic ? Math.exp : (y) => y;
  for (const y of y1 > y0 ? [y0, (y0 + y1) / 2, y1] : [y0]) {
    add("line", { x1: left, x2: width - 8, y1: up(y), y2: up(y) });
    add("text", { x: left - 6, y: up(y) + 4, "text-anchor": "end" }, brief(back(y)));
  }
  const whole = (x) => (unit ? `${x.toLocaleString()} ${unit}` : brief(x));
  add("text", { x: left, y: height - 5 }, brief(x0));
  add("text", { x: width - 8, y: height - 5, "text-anchor": "end" }, whole(x1));
  add("path", { d: path });
  return make("section", {}, make("h3", {}, title), svg);
}

export async function evaluations() {
  const part = document.getElementById("evaluations");
  try {
    const found = await ask("/api/reports");
    const links = found.map((one) => make("tr", {}, make("td", {}, make("a", { href: `/api/reports/${one.number}/index.html`, target: "_blank", rel: "noopener" }, one.name))));
    part.replaceChildren(
      found.length
        ? make("div", { class: "panel" }, make("h2", {}, "Evaluations"), make("table", {}, make("tbody", {}, ...links)))
        : empty("No evaluations are shown here. Start the server with --reports DIR, the folder that `zoetrope evaluate --out` wrote or one with several."),
    );
  } catch (error) {
    part.replaceChildren(empty(error.message));
  }
}
