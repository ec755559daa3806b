// Places where files are dropped. `files` holds what was sent, by the name of the place: { id, type, name }.

import { film, make, send } from "./api.js";

export const files = new Map();
let say = () => {};

// Make places ready; `tell` shows what is wrong with a file.
export function begin(tell) {
  say = tell;
  addEventListener("dragover", (event) => event.preventDefault()); // a file dropped beside would open
  addEventListener("drop", (event) => event.preventDefault());
}

export function prepare(drop) {
  const kept = files.get(drop.dataset.drop);
  if (kept) show(drop, kept);
  else clear(drop);
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
export async function take(drop, id) {
  if (!id) return clear(drop);
  const answer = await fetch(`/api/files/${id}`, { method: "HEAD" }).catch(() => null);
  if (!answer?.ok) return clear(drop);
  show(drop, { id, type: answer.headers.get("content-type") ?? "", name: "" });
}

export function clear(drop) {
  const { drop: name, name: called, accept: accepts = "image/*,video/*" } = drop.dataset;
  files.delete(name);
  const input = make("input", { type: "file", accept: accepts, "aria-label": called });
  input.addEventListener("change", () => input.files[0] && accept(drop, input.files[0]));
  drop.replaceChildren(make("span", {}, `${called}: drop a file here, or choose one`), input);
}

function show(drop, file) {
  files.set(drop.dataset.drop, file);
  const address = `/api/files/${file.id}`;
  const called = drop.dataset.name;
  const shown = file.type.startsWith("video/")
    ? film(address)
    : file.type.startsWith("image/")
      ? make("img", { src: address, alt: called })
      : make("span", { class: "file" }, called, make("br"), make("b", {}, file.name || "the same array as before"));
  drop.replaceChildren(shown, make("button", { type: "button", "aria-label": `Remove: ${called}`, title: "Remove", onclick: () => (clear(drop), drop.querySelector("input").focus()) }, "×"));
}

async function accept(drop, file) {
  drop.replaceChildren(make("span", {}, "Sending…"));
  try {
    show(drop, { ...(await send(file)), name: file.name });
    say("");
  } catch (error) {
    clear(drop);
    say(error.message);
  }
}
