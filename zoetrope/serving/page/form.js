// The form: what is to be made. `read` gives the jobs, `fill` takes one that was made before.

import { ask, make } from "./api.js";
import * as drops from "./drops.js";
import * as inputs from "./inputs.js";

const at = (id) => document.getElementById(id);
const { files } = drops;
let models = [];

const named = (name) => models.find((one) => one.offer === name);
export const model = () => named(at("model").value);
const kind = () => document.querySelector("[name=kind]:checked").value;
const until = () => document.querySelector("[name=until]:checked")?.value ?? null;
const options = (names) => names.map((name) => make("option", { value: name }, name));

export function offer(found) {
  models = found.filter((one) => !one.error);
  const chosen = at("model").value;
  at("model").replaceChildren(...options(models.map((one) => one.offer)));
  at("compare").replaceChildren(make("option", { value: "" }, "nothing"), ...options(models.map((one) => one.offer)));
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
  at("prompt").parentElement.hidden = !now.text;
  at("teacher-part").hidden = !now.teachers;
  at("known-part").hidden = upscales || !now.known;
  at("mask-part").hidden = !now.masks;
  at("look-part").hidden = upscales || now.rgb;
  at("guidance").parentElement.hidden = !guided(now);
  at("negative").parentElement.hidden = upscales || !now.text;
  usual(now, upscales);
  stages(now, upscales);
  follow();
}

const guided = (of) => of.text || of.inputs.length > 0;

// The settings of the model, in the fields that may replace them. Of each choice the first, "", is the model's own.
function usual(now, upscales) {
  const base = now.stages[0];
  if (!base) return;
  const first = (upscales && now.stages.find((stage) => stage.kind === "ssr")) || base;
  at("steps").placeholder = first.steps;
  for (const name of ["guidance", "frames", "fps", "height", "width"]) at(name).placeholder = base[name];
  at("ways").textContent = ways(now);
  const own = [...new Set(now.stages.filter((stage) => !upscales || ["ssr", "tsr"].includes(stage.kind)).map((stage) => stage.sampler))]; // one that is chosen is that of all
  choices("sampler", [["", own.join(", ")], ...now.samplers.filter((name) => own.length !== 1 || name !== own[0]).map((name) => [name, name])]);
  const sizes = [...new Set(now.grids.map((grid) => `${grid.height}x${grid.width}`))];
  const shown = (size) => size.split("x").reverse().join("×");
  choices("size", [["", shown(sizes[0])], ...sizes.slice(1).map((size) => [size, shown(size)]), ["other", "another…"]]);
  const lengths = [...new Set(now.grids.map((grid) => grid.frames))].sort((a, b) => a - b);
  at("frames").title = lengths.length > 1 ? `Trained on ${lengths.join(", ")}` : "";
  choices("channel", now.channels.map((one, place) => [place ? one.name : "", one.unit ? `${one.name} [${one.unit}]` : one.name]));
  choices("colours", [["", "viridis"], ...now.colours.filter((name) => name !== "viridis").map((name) => [name, name])]);
}

// The steps and samplers that distilled stages take.
function ways(now) {
  const told = new Map();
  for (const stage of now.stages.filter((one) => Object.keys(one.ways).length)) {
    const way = Object.entries(stage.ways).map(([name, steps]) => `${steps} ${steps === 1 ? "step" : "steps"} of ${name}`).join(" or ");
    told.set(way, [...(told.get(way) ?? []), stage.name]);
  }
  if (!told.size) return "";
  const each = [...told].map(([way, names]) => `${names.join(", ")}: ${way}`);
  return `Distilled stages take nothing else (${each.join("; ")}), unless you run their originals.`;
}

// Replace the options of a select, [value, text] each; what is chosen stays, if it can be.
function choices(id, every) {
  const chosen = at(id).value;
  at(id).replaceChildren(...every.map(([value, text]) => make("option", { value }, text)));
  if (every.some(([value]) => value === chosen)) at(id).value = chosen;
}

// What follows from the stage and the size that are chosen.
function follow() {
  at("size-part").hidden = at("size").value !== "other";
  const now = model();
  if (now && kind() === "generate") inputs.offer(now, until());
  sizes();
  for (const each of at("form").querySelectorAll("input:not([type=file]), select, textarea")) each.disabled = each.closest("[hidden]") !== null; // or what is wrong in them would keep the form back, unseen
}

function stages(now, upscales) {
  const shown = upscales ? now.stages.filter((stage) => stage.kind === "ssr" || (at("add-frames").checked && stage.kind === "tsr")) : now.stages;
  const before = until();
  const wanted = [before, now.until, shown.at(-1)?.name].find((name) => shown.some((stage) => stage.name === name));
  at("stages").replaceChildren(
    ...shown.map((stage) =>
      make(
        "label",
        {},
        make("input", { type: "radio", name: "until", value: stage.name, ...(stage.name === wanted ? { checked: true } : {}) }),
        make("span", {}, stage.name, make("small", { "data-stage": stage.name })),
      ),
    ),
  );
}

// The height and width that are asked for; null: the model's.
function size() {
  const chosen = at("size").value;
  if (chosen !== "other") return chosen ? chosen.split("x").map(Number) : null;
  const base = model().stages[0];
  const asked = ["height", "width"].map((name) => Number(at(name).value || base[name]));
  return asked[0] === base.height && asked[1] === base.width ? null : asked;
}

// What every stage makes, with the size and the frames that are asked for.
function sizes() {
  const now = model();
  const base = now?.stages[0];
  if (!base) return;
  const grows = kind() === "generate";
  const [height, width] = (grows && size()) || [base.height, base.width];
  const frames = (grows && Number(at("frames").value)) || base.frames;
  for (const small of at("stages").querySelectorAll("small")) {
    const stage = now.stages.find((one) => one.name === small.dataset.stage);
    const count = Math.round((stage.frames / base.frames) * frames);
    const across = Math.round((stage.width / base.width) * width);
    const down = Math.round((stage.height / base.height) * height);
    small.replaceChildren(`${across}×${down}`, make("br"), count === 1 ? "1 picture" : `${count} frames`);
  }
  if (grows) inputs.note(now, { frames: frames / base.frames, height: height / base.height, width: width / base.width });
}

// What is to be made, as jobs for the server. Throws an Error that says what is missing.
export function read() {
  drops.expect_all_here();
  const chosen = model();
  if (kind() === "upscale") {
    if (!files.has("video")) throw new Error("Drop a clip, or choose one, to upscale it.");
    return [{ ...common(chosen), until: until(), video: files.get("video").id, add_frames: at("add-frames").checked }];
  }
  const other = named(at("compare").value);
  const every = [made(chosen, until())];
  if (other && other !== chosen) every.push(made(other, null));
  const seed = Number(at("seed").value);
  const count = Number(at("grid").value);
  const group = count * every.length > 1 ? `g${Date.now().toString(36)}` : null;
  return [...Array(count).keys()].flatMap((k) => every.map((job) => ({ ...job, group, seed: seed + k })));
}

const number = (id) => (at(id).value === "" ? null : Number(at(id).value));

// What every job has.
function common(of) {
  const prompt = at("prompt").value.trim();
  const job = { kind: kind(), model: of.offer, steps: number("steps"), sampler: at("sampler").value || null };
  if (prompt && of.text) job.prompt = prompt;
  if (at("teacher").checked && of.teachers) job.teacher = true;
  return job;
}

// A job that makes a video by a model, whatever of the form the model takes.
function made(of, last) {
  const job = { ...common(of), ...inputs.read(of, last), until: last };
  if (of.text && !job.prompt && !job.picture) throw new Error("Say what the video shows: a prompt.");
  for (const name of ["frames", "fps"]) job[name] = number(name);
  job.guidance = guided(of) ? number("guidance") : null;
  job.negative = (of.text && at("negative").value.trim()) || null;
  job.size = size();
  job.known = {};
  if (files.has("first") && of.known) job.known["0"] = files.get("first").id;
  if (files.has("last") && of.known) job.known["-1"] = files.get("last").id;
  if (files.has("mask") && of.masks && Object.keys(job.known).length) job.mask = files.get("mask").id;
  if (of.channels.some((one) => one.name === at("channel").value)) job.channel = at("channel").value;
  if (!of.rgb) job.colours = at("colours").value || null;
  const range = [number("low"), number("high")];
  if (!of.rgb && range.some((end) => end !== null)) {
    if (range.includes(null)) throw new Error("Give the values of both the first and the last colour, or neither.");
    job.range = range;
  }
  return job;
}

// Set the form to what made a job.
export function fill(job) {
  const was = job.request;
  document.querySelector(`[name=kind][value=${was.kind}]`).checked = true;
  at("prompt").value = was.prompt ?? "";
  const here = named(was.model) !== undefined;
  if (here) at("model").value = was.model;
  for (const name of ["steps", "guidance", "frames", "fps", "negative"]) at(name).value = was[name] ?? "";
  [at("low").value, at("high").value] = was.range ?? ["", ""];
  at("seed").value = was.seed;
  at("grid").value = "1";
  at("compare").value = "";
  at("teacher").checked = was.teacher;
  at("add-frames").checked = was.add_frames;
  adapt();
  const last = was.until && document.querySelector(`[name=until][value="${was.until}"]`);
  if (last) last.checked = true;
  for (const name of ["sampler", "colours", "channel"]) {
    const known = [...at(name).options].some((option) => option.value === was[name]);
    at(name).value = known ? was[name] : ""; // of channels the first has no name here
  }
  const asked = was.size?.join("x") ?? "";
  const listed = [...at("size").options].some((option) => option.value === asked);
  at("size").value = listed ? asked : "other";
  [at("height").value, at("width").value] = listed ? ["", ""] : was.size;
  follow();
  inputs.fill(was);
  const places = { first: was.known["0"], last: was.known["-1"], mask: was.mask, video: was.video };
  for (const [name, id] of Object.entries(places)) drops.take(document.querySelector(`[data-drop=${name}]`), id);
  const inner = Object.keys(was.known).filter((place) => !["0", "-1"].includes(place));
  const lost = [here ? "" : `the model ${was.model}, which is no longer offered`, inner.length ? `the known frames at ${inner.join(", ")}` : "", was.fit === "crop" ? "" : `the fit “${was.fit}”`].filter(Boolean);
  wrong(lost.length ? `The form cannot show ${lost.join(", and ")}; “Make it again” keeps all settings.` : "");
}

export function wrong(message) {
  at("wrong").textContent = message;
  at("wrong").hidden = !message;
}

export function begin(submitted) {
  drops.begin(wrong);
  for (const drop of document.querySelectorAll(".drop")) drops.prepare(drop);
  for (const each of document.querySelectorAll("[name=kind]")) each.addEventListener("change", adapt);
  at("model").addEventListener("change", adapt);
  at("add-frames").addEventListener("change", adapt);
  for (const id of ["stages", "size", "height", "width", "frames"]) at(id).addEventListener("input", follow);
  at("dice").addEventListener("click", () => (at("seed").value = Math.floor(Math.random() * 1e6)));
  at("prompt").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("form").requestSubmit();
  });
  at("form").addEventListener("invalid", (event) => event.target.closest("details")?.setAttribute("open", ""), true); // what is folded away cannot be shown to be wrong
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
