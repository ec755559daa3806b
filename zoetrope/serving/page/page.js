// The page: the jobs that the server knows, kept up to date by its events.

import { STATES, ask, gone, make, seconds, title } from "./api.js";
import { begin, offer, wrong } from "./form.js";
import { Strip, newest } from "./strips.js";
import { evaluations, trainings } from "./views.js";
import { empty, view } from "./viewer.js";

const at = (id) => document.getElementById(id);
const jobs = new Map();
const cards = new Map();
let chosen = null;
let followed = null; // the newest job of this page, which is shown when it begins
let more = false;

const sorted = () => [...jobs.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
const queue = () => sorted().filter((job) => job.state === "queued").map((job) => job.id).reverse();

function choose(id) {
  chosen = id;
  location.replace(`#${id}`);
  render();
}

let asked = false;
function render() {
  if (asked) return;
  asked = true;
  setTimeout(() => ((asked = false), draw()), 30); // not by frames of animation, which hidden pages do not have
}

function draw() {
  const waiting = queue();
  const running = sorted().filter((job) => job.state === "running");
  if (!jobs.has(chosen)) chosen = sorted()[0]?.id ?? null;
  const job = jobs.get(chosen);
  if (job) {
    const group = job.request.group ? sorted().filter((one) => one.request.group === job.request.group).reverse() : [job];
    view(job, group, waiting, choose);
  } else empty();
  for (const one of cards.keys()) if (!jobs.has(one)) (cards.get(one).whole.remove(), cards.delete(one));
  let before = null;
  for (const one of sorted()) {
    const own = card(one);
    const wanted = before === null ? at("history").firstChild : before.nextSibling;
    if (own !== wanted) at("history").insertBefore(own, wanted);
    before = own;
  }
  at("history-name").parentElement.hidden = jobs.size === 0;
  at("older").hidden = !more;
  standing(running, waiting);
}

function card(job) {
  let own = cards.get(job.id);
  if (own === undefined) {
    const strip = new Strip();
    const frame = make("div", { class: "frame" }, strip.canvas, make("span", {}));
    const bar = make("div", { class: "bar" }, make("i", {}));
    const small = make("small", {}, make("span", {}, job.request.kind === "upscale" ? job.request.model : `${job.request.model}, seed ${job.request.seed}`), make("span", {}));
    const whole = make("button", { type: "button", class: "card", onclick: () => (choose(job.id), innerWidth < 920 && at("viewer").scrollIntoView()) }, frame, bar, make("p", {}, title(job)), small);
    own = { whole, strip, frame, bar, small };
    cards.set(job.id, own);
  }
  const number = newest(job);
  if (number >= 0) own.strip.show(job.id, number, job.stages[number].preview);
  own.frame.lastChild.textContent = number >= 0 ? "" : STATES[job.state];
  own.bar.hidden = job.state !== "running";
  own.bar.firstChild.style.width = `${(job.progress.share ?? 0) * 100}%`;
  own.small.lastChild.textContent = STATES[job.state];
  own.small.lastChild.className = `state-${job.state}`;
  own.whole.classList.toggle("chosen", job.id === chosen);
  return own.whole;
}

let trouble = null;
let ready = false;
function standing(running, waiting) {
  const left = running.reduce((sum, job) => sum + (job.progress.left ?? 0), 0);
  const busy = running.length ? `${running.length} running${left ? `, about ${seconds(left)} left` : ""}` : "";
  const rest = waiting.length ? `${waiting.length} waiting` : "";
  const told = [busy, rest].filter(Boolean).join("; ") || (ready ? "Ready" : "Loading models…");
  at("standing").textContent = trouble ?? told;
  at("standing").classList.toggle("bad", trouble !== null);
  document.title = running.length ? `${Math.round((running[0].progress.share ?? 0) * 100)} % – Zoetrope` : "Zoetrope";
}

async function load(before = "") {
  const known = [...jobs.keys()];
  const told = await ask(`/api/jobs${before && `?before=${before}`}`);
  if (!before) for (const id of gone(known, told)) jobs.delete(id);
  for (const job of told.jobs) jobs.set(job.id, job);
  more = told.more;
  render();
}

function follow() {
  const events = new EventSource("/api/events");
  let lost = false;
  events.addEventListener("open", () => {
    trouble = null;
    if (lost) load().catch(() => {}); // what changed meanwhile
    lost = false;
    render();
  });
  events.addEventListener("error", () => {
    lost = true;
    trouble = "The server does not answer; trying again…";
    render();
    if (events.readyState === EventSource.CLOSED) setTimeout(follow, 3000);
  });
  events.addEventListener("job", (event) => {
    const job = JSON.parse(event.data);
    const fresh = !jobs.has(job.id);
    const old = jobs.get(job.id);
    jobs.set(job.id, job);
    if (fresh && sorted()[0].id === job.id && (chosen === null || ["done", "failed", "cancelled"].includes(jobs.get(chosen)?.state))) choose(job.id);
    if (old?.state === "queued" && job.state === "running" && followed === job.id) choose(job.id);
    render();
  });
  events.addEventListener("removed", (event) => {
    jobs.delete(JSON.parse(event.data));
    render();
  });
}

async function models() {
  for (;;) {
    try {
      const bad = offer(await ask("/api/models"));
      if (bad.length) wrong(bad.map((one) => `${one.offer}: ${one.error}`).join("; "));
      ready = true;
      return render();
    } catch (error) {
      trouble = error.message;
      render();
      await new Promise((done) => setTimeout(done, 3000));
      trouble = null;
    }
  }
}

for (const button of document.querySelectorAll("nav button"))
  button.addEventListener("click", () => {
    for (const other of document.querySelectorAll("nav button")) other.removeAttribute("aria-current");
    button.setAttribute("aria-current", "page");
    for (const part of document.querySelectorAll("main")) part.hidden = part.id !== button.dataset.view;
    if (button.dataset.view === "trainings") trainings();
    if (button.dataset.view === "evaluations") evaluations();
  });
at("older").addEventListener("click", () => load(sorted().at(-1).id).catch((error) => wrong(error.message)));

begin((job, first) => {
  jobs.set(job.id, jobs.get(job.id) ?? job);
  followed = first.id;
  choose(first.id);
  if (innerWidth < 920) at("viewer").scrollIntoView({ behavior: "smooth" }); // it is below the form there
});
chosen = location.hash.slice(1) || null;
empty();
follow();
models();
load().catch((error) => wrong(error.message));
