// Places where files are dropped. `files` holds what was sent, by the name of the place: { id, type, name }.

import { film, make, send } from "./api.js";

export const files = new Map();
const coming = new Map(); // what is on its way to a place, by the name of the place
let say = () => {};

// Throws an Error while a file is on its way, without which a job would be made.
export function expect_all_here() {
  if (coming.size) throw new Error("A file is still being sent; make it once the file is there.");
}

// Put what `told` promises into its place: { id, type, name }. What is asked for later for the same place replaces it.
async function expect(name, told) {
  coming.set(name, told);
  files.delete(name);
  every(name, refresh);
  const [kept, wrong] = await told.then((file) => [file, null], (error) => [null, error]);
  if (coming.get(name) !== told) return;
  coming.delete(name);
  if (kept) files.set(name, kept);
  else say(wrong.message);
  every(name, refresh);
}

// The places of a name that are in the page now: another model may have made them anew.
const every = (name, act) => document.querySelectorAll(`[data-drop="${name}"]`).forEach(act);

function refresh(drop) {
  const { drop: name } = drop.dataset;
  if (coming.has(name)) drop.replaceChildren(make("span", { role: "status" }, "Sending…"));
  else if (files.has(name)) show(drop, files.get(name));
  else blank(drop);
}

// Make places ready; `tell` shows what is wrong with a file.
export function begin(tell) {
  say = tell;
  addEventListener("dragover", (event) => event.preventDefault()); // a file dropped beside would open
  addEventListener("drop", (event) => event.preventDefault());
}

export function prepare(drop) {
  refresh(drop);
  drop.addEventListener("dragover", (event) => (event.preventDefault(), drop.classList.add("over")));
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files[0]) accept(drop, event.dataTransfer.files[0]);
  });
  return drop;
}

// A new place: make(name of the place, what people call it, the files that it takes).
export const place = (name, called, accepts) =>
  prepare(make("div", { class: "drop wide", "data-drop": name, "data-name": called, "data-accept": accepts }));

// Take a file that was sent before; of null, none.
export function take(drop, id) {
  if (id) return expect(drop.dataset.drop, sent(id, drop.dataset.name));
  clear(drop);
}

async function sent(id, called) {
  const answer = await fetch(`/api/files/${id}`, { method: "HEAD" });
  if (!answer.ok) throw new Error(`${called}: the file of that job is no longer there.`);
  return { id, type: answer.headers.get("content-type") ?? "", name: "" };
}

function clear(drop) {
  const { drop: name } = drop.dataset;
  files.delete(name);
  coming.delete(name);
  every(name, refresh);
}

function blank(drop) {
  const { name: called, accept: accepts = "image/*,video/*" } = drop.dataset;
  const input = make("input", { type: "file", accept: accepts, "aria-label": called });
  input.addEventListener("change", () => input.files[0] && accept(drop, input.files[0]));
  drop.replaceChildren(make("span", {}, `${called}: drop a file here, or choose one`), input);
}

function show(drop, file) {
  const address = `/api/files/${file.id}`;
  const called = drop.dataset.name;
  const shown = file.type.startsWith("video/")
    ? film(address)
    : file.type.startsWith("image/")
      ? make("img", { src: address, alt: called })
      : make("span", { class: "file" }, called, make("br"), make("b", {}, file.name || "the same array as before"));
  drop.replaceChildren(shown, make("button", { type: "button", "aria-label": `Remove: ${called}`, title: "Remove", onclick: () => (clear(drop), drop.querySelector("input").focus()) }, "×"));
}

function accept(drop, file) {
  say("");
  expect(drop.dataset.drop, send(file).then((kept) => ({ ...kept, name: file.name })));
}
