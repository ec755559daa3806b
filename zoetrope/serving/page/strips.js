// Strips of frames, one below the other, played on a canvas. One clock moves all that can be seen.

const playing = new Set();
const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Strip {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.canvas.className = "pixelated";
    this.address = "";
    this.image = null;
    playing.add(this);
  }

  // Show the preview of a stage; the frames before stay until the new ones are there.
  show(job, number, preview) {
    const address = `/api/jobs/${job}/previews/${number}.png?version=${preview.version}`;
    if (address === this.address) return;
    this.address = address;
    const image = new Image();
    image.onload = () => {
      if (address !== this.address) return;
      this.image = image;
      this.preview = preview;
      this.canvas.width = preview.width;
      this.canvas.height = preview.height;
      this.canvas.dataset.version = preview.version;
      this.canvas.dataset.stage = number;
      this.shown = -1;
      this.draw(performance.now());
    };
    image.src = address;
  }

  draw(now) {
    if (this.image === null) return;
    const { frames, height, width, fps } = this.preview;
    const frame = still.matches ? 0 : Math.floor((now / 1000) * Math.max(fps, 1)) % frames;
    if (frame === this.shown) return;
    this.shown = frame;
    this.canvas.getContext("2d").drawImage(this.image, 0, frame * height, width, height, 0, 0, width, height);
  }
}

function turn(now) {
  for (const strip of playing) {
    if (!strip.canvas.isConnected) {
      if (strip.left) playing.delete(strip);
      strip.left = true; // it was made, but is not in the page yet, or no longer
    } else {
      strip.left = false;
      strip.draw(now);
    }
  }
  requestAnimationFrame(turn);
}
requestAnimationFrame(turn);

// The last stage of a job that has a preview: its number, or -1.
export function newest(job) {
  return job.stages.reduce((last, stage, number) => (stage.preview ? number : last), -1);
}
