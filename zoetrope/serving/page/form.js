// The form: what is to be made. `read` gives the jobs, `fill` takes one that was made before.

import { ask, film, make, send } from "./api.js";

const at = (id) => document.getElementById(id);
const files = new Map(); // by place: { id, type }
let models = [];

export const model = () => models.find((one) => one.offer === at("model").value);
const kind = () => document.querySelector("[name=kind]:checked").value;

export function offer(found) {
  models = found.filter((one) => !one.error);
  const chosen = at("model").value;
  at("model").replaceChildren(...models.map((one) => make("option", { value: one.offer }, one.offer)));
  at("compare").replaceChildren(make("option", { value: "" }, "nothing"), ...models.map((one) => make("option", { value: one.offer }, one.offer)));
  if (models.some((one) => one.offer === chosen)) at("model").value = chosen;
  at("compare-part").hidden = models.length < 2;
  adapt();
  return found.filter((one) => one.error);
}

// Show what the chosen model can be told.
export function adapt() {
  const now = model();
  const upscales = kind() === "upscale";
  for (const each of document.querySelectorAll(".only-upscale")) each.hidden = !upscales;
  for (const each of document.querySelectorAll(".only-generate")) each.hidden = upscales;
  at("prompt-name").textContent = upscales ? "What the clip shows (may be empty)" : "Prompt";
  at("go").textContent = upscales ? "Upscale it" : "Make it";
  at("go").disabled = !now;
  if (!now) return;
  at("model-note").textContent = now.trained_on ? `Trained on ${now.trained_on}.` : "";
  at("prompt").parentElement.hidden = !now.text && !upscales;
  at("teacher-part").hidden = !now.teachers;
  at("control-part").hidden = upscales || now.controls.length === 0;
  at("control-name").replaceChildren(...now.controls.map((name) => make("option", { value: name }, name)));
  at("known-part").hidden = upscales || !now.known;
  const base = now.stages[0];
  if (base) {
    at("steps").placeholder = base.steps;
    at("guidance").placeholder = base.guidance;
    at("frames").placeholder = base.frames;
    at("fps").placeholder = base.fps;
  }
  stages(now, upscales);
}

function stages(now, upscales) {
  const shown = upscales ? now.stages.filter((stage) => stage.kind === "ssr" || (at("add-frames").checked && stage.kind === "tsr")) : now.stages;
  const before = document.querySelector("[name=until]:checked")?.value;
  const wanted = [before, now.until, shown.at(-1)?.name].find((name) => shown.some((stage) => stage.name === name));
  at("stages").replaceChildren(
    ...shown.map((stage) =>
      make(
        "label",
        {},
        make("input", { type: "radio", name: "until", value: stage.name, ...(stage.name === wanted ? { checked: true } : {}) }),
        make("span", {}, stage.name, make("small", {}, `${stage.width}×${stage.height}`, make("br"), stage.frames === 1 ? "1 picture" : `${stage.frames} frames`)),
      ),
    ),
  );
}

// What is to be made, as jobs for the server. Throws an Error that says what is missing.
export function read() {
  const upscales = kind() === "upscale";
  const prompt = at("prompt").value.trim();
  const text = (id) => at(id).value.trim() || null;
  const number = (id) => (at(id).value === "" ? null : Number(at(id).value));
  const job = { kind: kind(), model: at("model").value, until: document.querySelector("[name=until]:checked")?.value ?? null };
  if (prompt && (upscales || model().text)) job.prompt = prompt;
  if (at("teacher").checked && model().teachers) job.teacher = true;
  if (upscales) {
    if (!files.has("video")) throw new Error("Drop a clip, or choose one, to upscale it.");
    return [{ ...job, video: files.get("video").id, add_frames: at("add-frames").checked }];
  }
  if (model().text && !prompt) throw new Error("Say what the video shows: a prompt.");
  Object.assign(job, { steps: number("steps"), guidance: number("guidance"), frames: number("frames"), fps: number("fps"), negative: text("negative") });
  job.known = {};
  if (files.has("first") && model().known) job.known["0"] = files.get("first").id;
  if (files.has("last") && model().known) job.known["-1"] = files.get("last").id;
  if (files.has("control") && model().controls.length) job.control_from = { [at("control-name").value]: files.get("control").id };
  const seed = Number(at("seed").value);
  const count = Number(at("grid").value);
  const named = at("compare").value && at("compare").value !== job.model ? [job.model, at("compare").value] : [job.model];
  if (count * named.length > 1) job.group = `g${Date.now().toString(36)}`;
  const every = [];
  for (let k = 0; k < count; k++)
    for (const name of named) every.push({ ...job, model: name, seed: seed + k, until: name === job.model ? job.until : null });
  return every;
}

// Set the form to what made a job.
export function fill(job) {
  const was = job.request;
  document.querySelector(`[name=kind][value=${was.kind}]`).checked = true;
  at("prompt").value = was.prompt ?? "";
  if (models.some((one) => one.offer === was.model)) at("model").value = was.model;
  for (const name of ["steps", "guidance", "frames", "fps", "negative"]) at(name).value = was[name] ?? "";
  at("seed").value = was.seed;
  at("grid").value = "1";
  at("compare").value = "";
  at("teacher").checked = was.teacher;
  at("add-frames").checked = was.add_frames;
  adapt();
  const until = was.until && document.querySelector(`[name=until][value="${was.until}"]`);
  if (until) until.checked = true;
  const control = Object.entries(was.control_from)[0];
  if (control) at("control-name").value = control[0];
  const places = { first: was.known["0"], last: was.known["-1"], control: control?.[1], video: was.video };
  for (const drop of document.querySelectorAll(".drop")) {
    const id = places[drop.dataset.drop];
    if (id) take(drop, id);
    else clear(drop);
  }
}

async function take(drop, id) {
  const answer = await fetch(`/api/files/${id}`, { method: "GET" });
  if (!answer.ok) return clear(drop);
  show(drop, { id, type: answer.headers.get("content-type") ?? "" });
}

function clear(drop) {
  files.delete(drop.dataset.drop);
  const input = make("input", { type: "file", accept: drop.dataset.drop === "video" ? "video/*,image/gif" : "image/*,video/*", "aria-label": drop.dataset.name });
  input.addEventListener("change", () => input.files[0] && accept(drop, input.files[0]));
  drop.replaceChildren(make("span", {}, `${drop.dataset.name}: drop a file here, or choose one`), input);
}

function show(drop, file) {
  files.set(drop.dataset.drop, file);
  const address = `/api/files/${file.id}`;
  const shown = file.type.startsWith("video/")
    ? film(address)
    : make("img", { src: address, alt: drop.dataset.name });
  drop.replaceChildren(shown, make("button", { type: "button", "aria-label": `Remove ${drop.dataset.name}`, onclick: () => clear(drop) }, "×"));
}

async function accept(drop, file) {
  drop.replaceChildren(make("span", {}, "Sending…"));
  try {
    show(drop, await send(file));
    wrong("");
  } catch (error) {
    clear(drop);
    wrong(error.message);
  }
}

export function wrong(message) {
  at("wrong").textContent = message;
  at("wrong").hidden = !message;
}

export function begin(submitted) {
  for (const drop of document.querySelectorAll(".drop")) {
    clear(drop);
    drop.addEventListener("dragover", (event) => (event.preventDefault(), drop.classList.add("over")));
    drop.addEventListener("dragleave", () => drop.classList.remove("over"));
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      if (event.dataTransfer.files[0]) accept(drop, event.dataTransfer.files[0]);
    });
  }
  addEventListener("dragover", (event) => event.preventDefault()); // a file dropped beside would open
  addEventListener("drop", (event) => event.preventDefault());
  for (const each of document.querySelectorAll("[name=kind]")) each.addEventListener("change", adapt);
  at("model").addEventListener("change", adapt);
  at("add-frames").addEventListener("change", adapt);
  at("dice").addEventListener("click", () => (at("seed").value = Math.floor(Math.random() * 1e6)));
  at("prompt").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("form").requestSubmit();
  });
  at("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    wrong("");
    at("go").disabled = true;
    try {
      let first = null;
      for (const job of read()) {
        const made = await ask("/api/jobs", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(job) });
        first ??= made;
        submitted(made, first);
      }
    } catch (error) {
      wrong(error.message);
    } finally {
      at("go").disabled = false;
    }
  });
}
