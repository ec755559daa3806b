// Requests to the server, and small helpers that every part of the page uses.

export async function ask(path, options = {}) {
  const answer = await fetch(path, options);
  if (answer.status === 204) return null;
  const text = await answer.text();
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    value = { error: text || answer.statusText };
  }
  if (!answer.ok) throw new Error(value.error || answer.statusText);
  return value;
}

export const submit = (job) =>
  ask("/api/jobs", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(job) });
export const cancel = (id) => ask(`/api/jobs/${id}/cancel`, { method: "POST" });
export const remove = (id) => ask(`/api/jobs/${id}`, { method: "DELETE" });
export const send = (file) => ask("/api/files", { method: "POST", body: file });

// An element: make("p", { class: "soft" }, "text", child). Text is never taken for HTML.
export function make(name, fields = {}, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(fields)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "style") for (const [property, text] of Object.entries(value)) made.style.setProperty(property, text);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...inside.filter((one) => one !== null && one !== undefined && one !== false));
  return made;
}

// A video without sound that repeats. What is muted before it has an address may start by itself.
export function film(address, fields = {}) {
  const made = document.createElement("video");
  Object.assign(made, { muted: true, loop: true, autoplay: true, playsInline: true, ...fields });
  made.src = address;
  return made;
}

export function seconds(number) {
  if (number < 90) return `${Math.max(1, Math.round(number))} s`;
  const minutes = Math.round(number / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// What a job is called: its prompt, or else what its model is told.
export function title(job) {
  const was = job.request;
  const told = Object.entries(was.given).filter(([, value]) => !Array.isArray(value)).map(([name, value]) => `${name} ${value}`);
  return was.prompt ?? (was.kind === "upscale" ? "An upscaled clip" : told.length ? told.join(", ") : "A video without text");
}

// Of the jobs that were known, those that are no longer among the newest ones, as the server tells of these.
export function gone(known, told) {
  const here = new Set(told.jobs.map((job) => job.id));
  const oldest = told.more ? told.jobs.at(-1).id : "";
  return known.filter((id) => id >= oldest && !here.has(id));
}

export const ENDED = ["done", "failed", "cancelled"];
export const STATES = { queued: "waits", running: "runs", done: "done", failed: "failed", cancelled: "cancelled" };
