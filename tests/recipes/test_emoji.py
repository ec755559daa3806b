"""The recipe of animated emoji, on three clips in a folder: every stage learns, and a caption becomes a video."""

import json
from pathlib import Path

import numpy as np

from zoetrope.__main__ import main
from zoetrope.recipes import load_recipe
from zoetrope.video import Video, probe


def test_it_learns_from_a_folder_and_makes_a_video(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    rows = []
    for number, colour in enumerate(((250, 200, 60), (20, 20, 250), (20, 200, 20))):
        frames = np.full((18, 96, 96, 3), 255, np.uint8)
        for frame, picture in enumerate(frames):
            picture[30 + frame : 60 + frame, 30:60] = colour
        Video(frames, 12.5).save(folder / f"{number}.mp4")
        text, split = f"an animated emoji of box {number}", "train" if number else "test"
        rows.append({"file_name": f"{number}.mp4", "text": text, "split": split})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stages = [stage.name for stage in load_recipe("emoji").cascade.stages]
    short = [
        f"{name}.{path}"
        for name in stages
        for path in ("training.warm_up=1", "training.cool_down=1", "training.phases=[" + PHASE + "]")
    ]
    changes = [word for change in short for word in ("--set", change)]
    main(["train", "emoji", "--data", str(folder), "--out", str(tmp_path / "runs"), "-q", *changes])
    told = ["--model", str(tmp_path / "runs"), "-o", str(tmp_path / "box.mp4"), "--steps", "1", "-q"]
    main(["generate", "an animated emoji of box 1", *told])
    info = probe(tmp_path / "box.mp4")
    assert (info.height, info.width, info.fps, info.frames) == (96, 96, 12.5, 16)


PHASE = '{"examples": 2, "batch": 2}'
