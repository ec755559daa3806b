// The chosen job, large: what it makes while it makes it, and what to do with it then.

import { ENDED, STATES, cancel, film, make, remove, seconds, submit, title } from "./api.js";
import { fill, wrong } from "./form.js";
import { Strip, newest } from "./strips.js";

const place = () => document.getElementById("viewer");
let parts = null; // of the job or group that is shown

// Show a job, or all jobs of its group side by side.
export function view(job, group, queue, choose) {
  const key = group.map((one) => one.id).join();
  if (parts === null || parts.key !== key || parts.chosen !== job.id) {
    parts = { key, chosen: job.id, screens: new Map(), below: make("div", { class: "below" }) };
    const columns = group.length > 4 ? 3 : Math.min(group.length, 2);
    const screens = group.map((one) => screen(one, group.length > 1, one.id === job.id, () => choose(one.id)));
    place().replaceChildren(make("div", { class: group.length > 1 ? "screens many" : "screens", style: { "--columns": columns } }, ...screens), parts.below);
  }
  for (const one of group) refresh(one);
  below(job, queue);
}

export function empty() {
  parts = null;
  place().replaceChildren(make("p", { class: "empty" }, "Write what the video shows, and make it. Previews of every stage appear here while the model denoises."));
}

function screen(job, many, chosen, choose) {
  const frame = make("div", { class: "frame", ...(many ? { onclick: choose } : {}) });
  const caption = many && make("figcaption", {}, make("span", {}, label(job)), make("span", { class: `state-${job.state}` }));
  const whole = make("figure", { class: chosen && many ? "screen chosen" : "screen" }, frame, caption);
  parts.screens.set(job.id, { frame, caption, strip: null, video: null });
  return whole;
}

const label = (job) => `${job.request.model}, seed ${job.request.seed}`;

function refresh(job) {
  const own = parts.screens.get(job.id);
  if (own.caption) own.caption.lastChild.className = `state-${job.state}`;
  if (own.caption) own.caption.lastChild.textContent = job.state === "running" && job.progress.share ? `${Math.round(job.progress.share * 100)} %` : STATES[job.state];
  if (job.state === "done") {
    if (own.video === null) {
      own.video = made(job);
      own.frame.style.setProperty("--ratio", `${job.result.width} / ${job.result.height}`);
      own.frame.replaceChildren(own.video);
    }
    return;
  }
  const number = newest(job);
  if (number < 0) {
    own.frame.replaceChildren(make("span", {}, job.state === "running" ? "Reads the prompt and the weights…" : STATES[job.state]));
    own.strip = null;
    return;
  }
  if (own.strip === null) {
    own.strip = new Strip();
    own.frame.replaceChildren(own.strip.canvas);
  }
  const preview = job.stages[number].preview;
  own.frame.style.setProperty("--ratio", `${preview.width} / ${preview.height}`);
  own.strip.show(job.id, number, preview);
}

function made(job) {
  const suffix = job.file.split(".").pop();
  const address = `/api/jobs/${job.id}/video.${suffix}`;
  const sharp = job.result.width < 200 ? "pixelated" : "";
  if (suffix === "png") return make("img", { src: address, alt: title(job), class: sharp });
  return film(address, { controls: true, className: sharp });
}

// What is known of the job, and its buttons. While it goes on only what changes is replaced, so that a click meets its button.
function below(job, queue) {
  const key = [job.id, job.state, job.stages.length, job.notes.length].join();
  if (parts.drawn !== key) {
    const open = parts.below.querySelector("details")?.open;
    parts.drawn = key;
    parts.live = { bar: make("i", {}), told: make("span", { class: "soft grow" }), row: make("div", { class: "steps", "aria-label": "Stages" }) };
    parts.below.replaceChildren(...lines(job));
    if (open) parts.below.querySelector("details").open = true;
  }
  const { bar, told, row } = parts.live;
  const { share = 0, left, stage = 0, step = 0, steps = 0 } = job.progress;
  bar.style.width = `${(share ?? 0) * 100}%`;
  bar.parentElement?.setAttribute("aria-valuenow", Math.round((share ?? 0) * 100));
  if (job.state === "queued") {
    const before = queue.indexOf(job.id);
    told.textContent = before > 0 ? `Waits for ${before} more` : "Waits; it is the next one";
  } else {
    const known = left !== undefined && left !== null;
    told.textContent = known ? `${job.stages[stage]?.name}: step ${step} of ${steps}, about ${seconds(left)} left` : "Prepares";
  }
  if (job.stages.length > 1) row.replaceChildren(...figures(job));
}

function lines(job) {
  const { bar, told, row } = parts.live;
  const made = [make("p", { class: "told" }, title(job))];
  if (job.state === "running") made.push(make("div", { class: "bar", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": "Progress" }, bar));
  if (!ENDED.includes(job.state)) made.push(line(told, button("Cancel", () => cancel(job.id), "danger")));
  if (job.state === "failed") made.push(make("p", { class: "bad-text" }, `It failed: ${job.error || "for an unknown reason"}`));
  if (job.state === "cancelled") made.push(make("p", { class: "soft" }, "It was cancelled."));
  for (const note of job.notes) made.push(make("p", { class: "soft" }, note));
  if (job.stages.length > 1) made.push(row);
  if (ENDED.includes(job.state)) made.push(actions(job));
  return [...made, settings(job)];
}

// Every stage with its last preview. Strips stay, so that they go on playing.
function figures(job) {
  parts.strips ??= new Map();
  const number = job.progress.stage ?? (job.state === "done" ? job.stages.length : -1);
  return job.stages.map((stage, place) => {
    const frame = make("div", { class: "frame" });
    if (stage.preview) {
      if (!parts.strips.has(place)) parts.strips.set(place, new Strip());
      const strip = parts.strips.get(place);
      strip.show(job.id, place, stage.preview);
      frame.append(strip.canvas);
      frame.style.setProperty("--ratio", `${stage.preview.width} / ${stage.preview.height}`);
    }
    const state = place < number ? "past" : place === number ? "now" : "";
    const shape = stage.shape.split("@")[0].split("x");
    return make("figure", { class: state }, frame, make("figcaption", {}, make("b", {}, stage.name), ` ${shape[2]}×${shape[1]}, ${shape[0]} frames`));
  });
}

function actions(job) {
  const made = [button("Make it again", () => submit({ ...job.request, group: null })), button("Use these settings", () => (fill(job), scrollTo({ top: 0, behavior: "smooth" })))];
  if (job.state === "done") {
    const still = job.file.endsWith(".png");
    for (const [format, name] of [["mp4", "MP4"], ["webm", "WebM"], ["gif", "GIF"], ["png", still ? "PNG" : "Sheet (PNG)"], ["zip", "Frames (ZIP)"]])
      if (!still || !["mp4", "webm", "zip"].includes(format))
        made.push(make("a", { class: "quiet", href: `/api/jobs/${job.id}/video.${format}?download`, download: `zoetrope-${job.id}.${format}` }, name));
  }
  made.push(make("span", { class: "grow" }), button("Remove", () => confirm("Remove this job and its video?") && remove(job.id), "danger"));
  return line(...made);
}

function settings(job) {
  const was = job.request;
  const rows = [["model", was.model], ["seed", was.kind === "generate" ? was.seed : null], ["last stage", was.until]];
  for (const name of ["negative", "steps", "guidance", "sampler", "frames", "fps", "channel", "colours"]) rows.push([name, was[name]]);
  rows.push(["size", was.size && `${was.size[1]}×${was.size[0]}`], ["range", was.range?.join(" to ")]);
  for (const [name, value] of Object.entries(was.given)) rows.push([name, Array.isArray(value) ? value.map((row) => row.map((one) => one ?? "nan").join(", ")).join("; ") : value]);
  for (const name of Object.keys(was.map)) rows.push([name, "a map"]);
  if (was.picture) rows.push(["picture", "a file"]);
  for (const [field, how] of [["control", "a file that shows it"], ["control_from", "computed from a file"]])
    for (const name of Object.keys(was[field])) rows.push([name, `${how}, strength ${was.control_scale[name] ?? 1}`]);
  if (Object.keys(was.known).length) rows.push(["known frames", `${Object.keys(was.known).join(", ")}${was.mask ? ", in part" : ""}`]);
  if (was.teacher) rows.push(["originals", "instead of distilled stages"]);
  if (job.result.frames) rows.push(["made", `${job.result.frames} frames of ${job.result.width}×${job.result.height} at ${job.result.fps} a second`]);
  if (job.state === "done") rows.push(["took", `${seconds(job.ended - job.started)} on ${job.result.device}, in ${job.result.dtype}`]);
  rows.push(["id", job.id], ["asked for", new Date(job.created * 1000).toLocaleString()]);
  const listed = rows.filter(([, value]) => value !== null && value !== undefined).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))]);
  return make("details", {}, make("summary", {}, "Settings"), make("dl", {}, ...listed));
}

const line = (...inside) => make("div", { class: "line" }, ...inside);

function button(text, act, more = "") {
  const go = async () => {
    try {
      await act();
    } catch (error) {
      wrong(error.message);
    }
  };
  return make("button", { type: "button", class: `quiet ${more}`, onclick: go }, text);
}
