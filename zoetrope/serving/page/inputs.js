// What a model is told beside the text: numbers, labels, actions, maps and pictures, and clips that control the video.

import { make } from "./api.js";
import { files, place, take } from "./drops.js";

const at = (id) => document.getElementById(id);
const field = (name) => at("inputs").querySelector(`[data-given="${name}"]`);
let shown = null; // the model whose fields these are

// The inputs of a model that one of the stages to run reads.
export function read_by(model, until) {
  const names = model.stages.map((stage) => stage.name);
  const last = names.indexOf(until ?? model.until);
  return model.inputs.filter((each) => last < 0 || names.indexOf(each.stage) <= last);
}

// Show the fields of a model. What was written stays in those of the same name.
export function offer(model, until) {
  if (shown?.offer !== model.offer) {
    const before = new Map([...at("inputs").querySelectorAll("[data-given]")].map((each) => [each.dataset.given, each.value]));
    shown = model;
    const pictures = model.inputs.filter((each) => each.kind === "picture");
    at("inputs").replaceChildren(...model.inputs.filter((each) => !pictures.slice(1).includes(each)).map(part)); // a job has one
    for (const [name, value] of before) if (field(name)) put(field(name), value);
    at("controls").replaceChildren(...model.controls.map(control));
  }
  const read = new Set(read_by(model, until).map((each) => each.name));
  for (const each of at("inputs").children) each.hidden = !read.has(each.dataset.input);
  at("inputs-part").hidden = read.size === 0;
  at("control-part").hidden = model.controls.length === 0;
}

function put(own, value) {
  if (own.tagName !== "SELECT" || [...own.options].some((option) => option.value === value)) own.value = value;
}

const PARTS = { number, label, action, map, picture };
const part = (each) => make("div", { "data-input": each.name }, PARTS[each.kind](each));
const words = (name) => name.replaceAll("_", " ");

function number(each) {
  const usual = each.usual === null ? "not told" : each.usual;
  return make("label", { class: "field" }, `${words(each.name)}, from ${each.lo} to ${each.hi}`, make("input", { type: "number", min: each.lo, max: each.hi, step: "any", placeholder: usual, "data-given": each.name }));
}

function label(each) {
  const options = each.classes.map((name) => make("option", { value: name }, name));
  return make("label", { class: "field" }, words(each.name), make("select", { "data-given": each.name }, make("option", { value: "" }, "not told"), ...options));
}

function action(each) {
  const id = `action-${each.name}`;
  const text = make("textarea", { id, rows: 4, spellcheck: "false", "data-given": each.name, placeholder: Array(2).fill(Array(Math.min(each.size, 4)).fill("0").join(", ")).join("\n"), "aria-describedby": `${id}-note` });
  const file = make("input", { type: "file", accept: ".csv,.txt,text/csv,text/plain", hidden: true });
  file.addEventListener("change", async () => file.files[0] && ((text.value = await file.files[0].text()), (file.value = "")));
  const pick = make("button", { type: "button", class: "quiet", onclick: () => file.click() }, "Fill from a file .csv");
  return make("div", { class: "field" }, make("label", { for: id }, words(each.name)), text, make("p", { class: "hint", id: `${id}-note`, "data-note": each.name }), make("div", {}, pick, file));
}

function map(each) {
  return make("div", { class: "field" }, make("div", { class: "drops" }, place(`map ${each.name}`, `Map “${words(each.name)}” (.npy)`, ".npy")), make("p", { class: "hint", "data-note": each.name }));
}

const many = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

// What a file or lines have to be, for a video of so many times the frames, the height and the width of the model's.
const NOTES = {
  action: (each, frames) => `${many(frames, "line")}, one a frame, of ${many(each.size, "number")} with commas between; nan where unknown.`,
  map: (each, frames, height, width) =>
    `${each.size > 1 ? `Channels × height × width ${each.size}×` : "Height × width "}${height}×${width}, or larger in these proportions; one for all frames${frames > 1 ? `, or one for each of ${frames}` : ""}.`,
};

export function note(model, times) {
  for (const each of model.inputs.filter((one) => one.kind in NOTES)) {
    const sizes = ["frames", "height", "width"].map((name) => Math.round(each[name] * times[name]));
    at("inputs").querySelector(`[data-note="${each.name}"]`).textContent = NOTES[each.kind](each, ...sizes);
  }
}

function picture() {
  const begins = shown.inputs.some((each) => each.name === "first_frame");
  return make("div", { class: "drops" }, place("picture", begins ? "A picture to begin with" : "A picture to show", "image/*"));
}

function control(name) {
  const how = make("select", { "data-how": name }, make("option", { value: "control_from" }, "is what to compute it from"), make("option", { value: "control" }, "shows it, white on black"));
  const scale = make("input", { type: "number", min: 0, max: 10, step: "any", placeholder: "1", "data-scale": name });
  return make(
    "div", { class: "control", role: "group", "aria-label": words(name) },
    make("div", { class: "drops" }, place(`control ${name}`, `A clip or a picture for “${words(name)}”`, "image/*,video/*")),
    make("label", { class: "field" }, "The file", how),
    make("label", { class: "field" }, "Strength, from 0 to 10", scale),
  );
}

// The fields of a job for a model. Throws an Error that says what is no value.
export function read(model, until) {
  const job = { given: {}, map: {}, control: {}, control_from: {}, control_scale: {} };
  for (const each of read_by(model, until)) {
    const text = field(each.name)?.value;
    if (each.kind === "map" && files.has(`map ${each.name}`)) job.map[each.name] = files.get(`map ${each.name}`).id;
    else if (each.kind === "picture" && files.has("picture")) job.picture = files.get("picture").id;
    else if (text && (each.kind !== "action" || text.trim())) job.given[each.name] = VALUES[each.kind](each, text);
  }
  for (const name of model.controls.filter((one) => files.has(`control ${one}`))) {
    job[at("controls").querySelector(`[data-how="${name}"]`)?.value ?? "control_from"][name] = files.get(`control ${name}`).id;
    const scale = at("controls").querySelector(`[data-scale="${name}"]`)?.value;
    if (scale) job.control_scale[name] = Number(scale);
  }
  return job;
}

// The values of fields, which may be those of another model that is compared.
const VALUES = {
  number: (each, text) => {
    if (!(each.lo <= Number(text) && Number(text) <= each.hi)) throw new Error(`${words(each.name)}: expected a number from ${each.lo} to ${each.hi}, got ${text}`);
    return Number(text);
  },
  label: (each, text) => {
    if (!each.classes.includes(text)) throw new Error(`${words(each.name)}: expected ${each.classes.slice(0, 20).join(", ")}${each.classes.length > 20 ? ", …" : ""}, got ${text}`);
    return text;
  },
  action: (each, text) => rows(each.name, text),
};

// Lines of numbers with commas, semicolons or blanks between; null is unknown.
function rows(name, text) {
  const lines = text.split(/\r?\n/).map((line) => line.trim()).filter((line) => line && !line.startsWith("#"));
  return lines.map((line, number) =>
    line.split(/\s*[,;]\s*|\s+/).map((cell) => {
      if (cell.toLowerCase() === "nan") return null;
      const value = Number(cell);
      if (cell === "" || !Number.isFinite(value)) throw new Error(`${words(name)}: expected numbers with commas between, got “${cell}” in line ${number + 1}`);
      return value;
    }),
  );
}

// Set the fields to those of a job.
export function fill(was) {
  for (const own of at("inputs").querySelectorAll("[data-given]")) {
    const value = was.given[own.dataset.given] ?? "";
    own.value = Array.isArray(value) ? value.map((row) => row.map((one) => one ?? "nan").join(", ")).join("\n") : value;
  }
  for (const drop of document.querySelectorAll("#inputs .drop, #controls .drop")) {
    const [kind, name] = drop.dataset.drop.split(" ");
    take(drop, kind === "picture" ? was.picture : kind === "map" ? was.map[name] : (was.control[name] ?? was.control_from[name]));
  }
  for (const own of at("controls").querySelectorAll("[data-how]")) own.value = was.control[own.dataset.how] ? "control" : "control_from";
  for (const own of at("controls").querySelectorAll("[data-scale]")) own.value = was.control_scale[own.dataset.scale] ?? "";
}
