"""The study of characters in held-out combinations: how they are composed, held out, read and compared."""

import importlib
import io
import json
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from zoetrope.shapes import VideoShape

Image = pytest.importorskip("PIL.Image")
ROOT = Path(__file__).parents[1]
FEW = {"body": 3, "hair": 3, "topwear": 3, "bottomwear": 3, "action": 2, "direction": 2}
BOXES = {  # left, top, width, height of what the drawn sheets have in a cell
    "body": (18, 12, 26, 48),
    "shoes": (18, 54, 26, 6),
    "bottomwear": (20, 42, 20, 14),
    "topwear": (16, 26, 28, 20),
    "hair": (20, 10, 20, 12),
}


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "studies"))


def study() -> Any:
    return importlib.import_module("sprites")


def world() -> Any:
    return importlib.import_module("_characters")


def reading() -> Any:
    return importlib.import_module("_sprites")


@pytest.fixture(scope="session")
def sheets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sheets with a box for each layer, in colours of its own, that moves with the frame and the row; some glass."""
    folder, rng = tmp_path_factory.mktemp("sheets"), np.random.default_rng(0)
    for layer, (left, top, width, height) in BOXES.items():
        (folder / layer).mkdir()
        for number in range(1 if layer == "shoes" else 3):
            sheet = np.zeros((21 * 64, 13 * 64, 4), np.uint8)
            for row, column in product(range(20), range(13)):
                colour = [*rng.integers(0, 40, 3), 255]
                colour[number] += 200
                y, x = 64 * row + top + row % 4, 64 * column + left + (column + row // 4) % 5 - 2
                sheet[y : y + height, x : x + width] = colour
                sheet[y : y + height, x : x + 2, 3] = 90
            Image.fromarray(sheet).save(folder / layer / f"{number}.png")
    return folder


@pytest.fixture
def few(sheets: Path) -> Any:
    return world().Sprites(sheets=str(sheets), clips=40, most=FEW)


@cache
def opened(path: Path) -> Any:
    return Image.open(path).convert("RGBA")


def pasted(folder: Path, numbers: dict[str, int], row: int, column: int) -> np.ndarray:
    """A character in a cell of its sheets, as Pillow composes it, (64, 64, 3) uint8."""
    picture = Image.new("RGBA", (64, 64), (*world().GROUND, 255))
    for layer in ("body", "shoes", "bottomwear", "topwear", "hair"):
        sheet = opened(folder / layer / f"{numbers[layer]}.png")
        picture.alpha_composite(sheet.crop((64 * column, 64 * row, 64 * column + 64, 64 * row + 64)))
    return np.array(picture)[..., :3]


CELLS = {  # of the eight frames of each action: by hand
    0: (0, [0, 0, 1, 2, 3, 4, 5, 6]),
    1: (4, [0, 1, 2, 3, 4, 5, 6, 7]),
    2: (8, [1, 2, 3, 4, 5, 6, 7, 8]),
    3: (12, [0, 0, 1, 2, 3, 3, 4, 5]),
    4: (16, [0, 1, 3, 4, 6, 8, 9, 11]),
}


def expect_as_pasted(folder: Path, source: Any, one: tuple[int, ...]) -> None:
    body, hair, above, below, action, direction = one
    files = {name: list(world().WORDS[name]) for name in ("body", "hair", "topwear", "bottomwear")}
    numbers = {
        "body": files["body"][body],
        "hair": files["hair"][hair],
        "topwear": files["topwear"][above],
        "bottomwear": files["bottomwear"][below],
        "shoes": 0,
    }
    row, columns = CELLS[action]
    truth = np.stack([pasted(folder, numbers, row + direction, column) for column in columns])
    seen = truth[:, 8:64, 4:60].astype(float)
    made = (source.video(one).permute(1, 2, 3, 0).double().numpy() + 1) * 127.5
    assert np.abs(made - seen).max() < 1.6  # Pillow rounds where layers are glass
    half = (source.video(one, 28).permute(1, 2, 3, 0).double().numpy() + 1) * 127.5
    assert np.abs(half - seen.reshape(8, 28, 2, 28, 2, 3).mean((2, 4))).max() < 1.6
    outside = truth.copy()
    outside[:, 8:64, 4:60] = world().GROUND
    assert (outside == world().GROUND).all()  # nothing is cut off


def test_layers_are_composed_as_pillow_does_and_nothing_is_cut_off(sheets: Path) -> None:
    source = world().Sprites(sheets=str(sheets), most={**FEW, "action": 5, "direction": 4}).characters()
    for one in [(0, 1, 2, 0, 0, 0), (2, 2, 1, 1, 1, 3), (1, 0, 0, 2, 2, 2), (0, 2, 2, 1, 3, 1), (2, 0, 1, 0, 4, 0)]:
        expect_as_pasted(sheets, source, one)


def test_fewer_frames_are_some_of_the_eight(few: Any) -> None:
    data, whole = few.open(), VideoShape(frames=8, height=28, width=28, fps=8)
    for index in (0, 7, 55):
        clip = data.example(index, whole)
        assert clip.video.shape == (3, 8, 28, 28) and clip.video.abs().max() <= 1
        four, one = (data.example(index, whole.with_(frames=frames)) for frames in (4, 1))
        assert torch.equal(four.video, clip.video[:, ::2]) and four.text == one.text == clip.text
        assert any(torch.equal(one.video, clip.video[:, frame : frame + 1]) for frame in range(8))
    starts = {data.example(index, whole.with_(frames=1)).video.sum().item() for index in range(0, 400, 40)}
    assert len(starts) > 2  # pictures are of any frame
    passes = [[data.example(40 * turn + place, whole.with_(frames=1)).text for place in range(40)] for turn in (0, 1)]
    assert sorted(passes[0]) == sorted(passes[1]) == sorted(data.captions()) and passes[0] != passes[1]
    assert data.count(whole) == 40


def test_captions_tell_every_attribute(few: Any) -> None:
    told = few.characters().told((2, 1, 0, 2, 1, 1))
    assert told == "a grey man with a blue ponytail, a maroon shirt and red trousers, thrusting, facing left"
    everything = world().Characters(world().Sprites(sheets="").words, {})
    every = [everything.told(one) for one in everything.drawn(True, 0)[:500].tolist()]
    assert len(set(every)) == 500


def test_held_out_combinations_have_a_pair_that_training_never_shows() -> None:
    characters = world().Characters(world().Sprites(sheets="").words, {})
    shown, apart = characters.drawn(held_out=False, seed=0)[:8192], characters.drawn(held_out=True, seed=1)
    assert len(shown) == 8192 and len(np.unique(shown, axis=0)) == 8192
    known = {pair: {tuple(values) for values in shown[:, list(pair)].tolist()} for pair in combinations(range(4), 2)}
    lacking = np.zeros(len(apart), int)
    for (one, other), values in known.items():
        lacking += [tuple(each) not in values for each in apart[:, [one, other]].tolist()]
    assert lacking.min() >= 1  # every combination that is held out has one
    for layer in range(4):  # each value is shown with every action and from every direction
        found = {tuple(values) for values in shown[:, [layer, 4, 5]].tolist()}
        assert len(found) == characters.counts[layer] * 5 * 4


def test_no_example_of_the_training_is_held_out(few: Any) -> None:
    data, held_out = few.open(), world().is_held_out(few.counts)
    apart = {data.characters.told(one) for one in np.argwhere(held_out).tolist()}
    shape = VideoShape(frames=1, height=14, width=14, fps=8)
    assert apart and not apart & {data.example(index, shape).text for index in range(120)}
    assert not held_out[tuple(data.chosen.T)].any()


def test_the_reader_reads_true_videos_and_soft_ones(few: Any) -> None:
    characters = few.characters()
    asked = np.concatenate([characters.drawn(held_out, 3)[:12] for held_out in (True, False)])
    true = reading().films(characters, asked, 28)
    soft = study().softened(true)
    assert (soft - true).abs().mean() > 0.1
    for videos in (true, soft):
        assert (reading().read(characters, videos) == asked).all()
    with pytest.raises(ValueError, match="8, side, side"):
        reading().read(characters, true[:, :, :4])


def test_the_reader_says_the_nearest_of_all_combinations(few: Any) -> None:
    """Of noise too: compared with every combination and blur, one by one."""
    characters = few.characters()
    every = np.argwhere(np.ones(characters.counts, bool))
    noise = torch.randn(3, 3, 8, 14, 14, generator=torch.Generator().manual_seed(0))
    known = reading().films(characters, every, 14)
    least = torch.full((3, len(every)), torch.inf)
    for deviation in reading().BLURS:
        spread = gaussian(14, deviation)
        apart = torch.cdist(noise.flatten(1).double(), (spread @ known.double() @ spread.T).flatten(1))
        least = torch.minimum(least, apart.float())
    assert (reading().read(characters, noise) == every[least.argmin(1)]).all()


def gaussian(side: int, deviation: float) -> Tensor:
    rows = [
        [np.exp(-((a - b) ** 2) / (2 * deviation**2)) if deviation else float(a == b) for b in range(side)]
        for a in range(side)
    ]
    return torch.tensor([[value / sum(row) for value in row] for row in rows], dtype=torch.float64)


def test_the_nearest_clip_has_most_in_common_and_is_judged_like_any_other() -> None:
    clips = np.array([[0, 0, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0], [1, 1, 0, 1, 0, 0], [1, 2, 1, 1, 0, 1]])
    asked = np.array([[1, 1, 1, 1, 0, 0], [1, 2, 1, 0, 0, 1], [0, 0, 0, 0, 1, 1]])
    like = reading().nearest(clips, asked)
    assert like.tolist() == [clips[1].tolist(), clips[3].tolist(), clips[0].tolist()]  # of two alike the first
    found = reading().hits(like, asked)
    assert found["bottomwear"] == [0, 0, 1] and found["body"] == [1, 1, 1] and found["direction"] == [1, 1, 0]
    assert found["attributes"] == pytest.approx([5 / 6, 5 / 6, 4 / 6]) and found["all"] == [0, 0, 0]
    guessed = reading().chance((2, 4, 2, 2, 1, 1))
    assert guessed["hair"] == 0.25 and guessed["all"] == 1 / 32 and guessed["attributes"] == pytest.approx(3.75 / 6)


def test_only_combinations_whose_layers_are_seen_are_asked_for(few: Any) -> None:
    characters = few.characters()
    among = characters.drawn(True, 0)
    assert reading().clear(characters, among, 4, 28).tolist() == among[:4].tolist()
    characters.layers["bottomwear"][:] = characters.layers["bottomwear"][:1]  # all alike
    with pytest.raises(ValueError, match="expected 4 combinations in which every layer is clearly seen, got 0"):
        reading().clear(characters, among[:9], 4, 28)


def test_wrong_sheets_grids_and_values_are_refused(few: Any, sheets: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"body.3\.png: expected a sheet, a PNG of 832x1280"):
        few.with_(most={**FEW, "body": 4}).open()
    (tmp_path / "body").mkdir()
    Image.new("RGBA", (64, 64)).save(tmp_path / "body/0.png")
    with pytest.raises(ValueError, match="expected 832x1280 pixels or more, got 64x64"):
        few.with_(sheets=str(tmp_path)).open()
    with pytest.raises(ValueError, match="unknown attribute 'tops'; known: action, body, bottomwear"):
        few.with_(most={"tops": 2})
    with pytest.raises(ValueError, match="all 1 combinations are held out"):
        few.with_(most=dict.fromkeys(FEW, 1)).open()
    data = few.open()
    for size in ((3, 28, 28), (8, 24, 24), (8, 28, 14)):
        shape = VideoShape(frames=size[0], height=size[1], width=size[2], fps=8)
        assert not data.gives(shape)
        with pytest.raises(ValueError, match="such as 4 of 28x28"):
            data.example(0, shape)


def columns(share: float, count: int = 40) -> dict[str, list[list[float]]]:
    """Two rows of prompts of which this share is right in everything."""
    row = [float(number < share * count) for number in range(count)]
    return {
        **{key: [row, row] for key in (*world().ATTRIBUTES, "attributes", "all")},
        "psnr": [[20 * v for v in row]] * 2,
    }


def numbers(familiar: float, held_out: float, like: float) -> dict[str, Any]:
    st = study()
    sets = {
        name: {
            st.MADE: columns(share),
            st.NEAREST: {key: rows[:1] for key, rows in columns(like).items()},
            st.TRUE: columns(1.0),
            st.SOFT: columns(1.0),
            "lacking": [1 + number % 2 for number in range(40)],
        }
        for name, share in (("familiar", familiar), ("held_out", held_out))
    }
    return {"sets": sets, "chance": reading().chance((7, 10, 6, 6, 5, 4)), "minutes": {"characters": [1.0]}}


@pytest.mark.parametrize(
    ("shares", "told", "of_this"),
    [
        ((0.9, 0.9, 0.4), ["holds", "not shown", "not shown", "not shown"], "shown"),
        ((0.9, 0.4, 0.9), ["holds", "not shown", "not shown", "not shown"], "the opposite"),
        ((0.2, 0.2, 0.1), ["not shown to hold", "not testable", "not testable", "not testable"], ""),
    ],
)
def test_one_training_shows_nothing_however_clear_its_own_numbers_are(
    shares: tuple[float, float, float], told: list[str], of_this: str
) -> None:
    given = numbers(*shares)
    page = study().page(given)
    assert [claim.told for claim in page.claims] == told
    text = importlib.import_module("_page").written(study().STUDY, given, page)
    assert "**Here**: not shown. One training tells nothing" in text and text.count("| none: one seed |") == 3
    _, *compared = study().claims_of(given["sets"], given["chance"])
    alone = [
        line for line in text.splitlines() if line in {"| " + " | ".join(one.row()[:3]) + " |" for one in compared}
    ]
    assert len(alone) == 3 and (not of_this or {one.verdict for one in compared} == {of_this})
    product = shares[1] ** 6
    assert f"{product:.1%} of held-out combinations, where {shares[1]:.1%} are" in text
    assert "| 1 | 20 |" in text and "| 2 | 20 |" in text and "| chance | 14.3% |" in text
    assert text.endswith("`python studies/sprites.py SHEETS` trains, measures and writes this page.\n")
    plt = pytest.importorskip("matplotlib.figure")
    figure = plt.Figure()
    page.draw(figure.subplots(1, 2))
    figure.savefig(io.BytesIO())


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_the_share_of_the_six_is_never_sure(right: float) -> None:
    found = study().of_six(columns(right, 96))
    assert found.value == right and 0.03 < found.high - found.low < 0.05  # as 96 prompts, whose attributes are alike
    some = study().of_six(columns(0.5, 96))
    assert some.value == 0.5 and some.low < 0.42 and some.high > 0.58


@pytest.mark.long
def test_a_miniature_is_trained_measured_and_told(few: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two batches of each phase and a measurement of three prompts; what was measured is not measured again."""
    st, page = study(), importlib.import_module("_page")
    for name, value in (("PROMPTS", 3), ("STEPS", 1)):
        monkeypatch.setattr(st, name, value)
    phases = [
        {"examples": 8, "batch": 4, "frames": 1, "peak": 1e-3},
        {"examples": 4, "batch": 2, "frames": 4, "images": 0.5, "peak": 1e-3},
        {"examples": 4, "batch": 2, "peak": 1e-3},
    ]
    arm = st.arm(few)
    changes = {"phases": phases, "log_every": 4, "sample_every": 0}
    arm = arm._replace(recipe=arm.recipe.overridden({f"base.training.{key}": value for key, value in changes.items()}))
    folder, kept = tmp_path / "characters/0", importlib.import_module("_measured").Kept(tmp_path / "measured")
    arm.train(folder, 1.0, 0)
    assert arm.trained(folder, 1.0)
    found = st.measure(few, {"characters": [folder]}, kept)
    for name in st.SETS:
        one = found["sets"][name]
        assert all(torch.tensor(one[st.MADE][key]).shape == (2, 3) for key in (*world().ATTRIBUTES, "all", "psnr"))
        assert one[st.TRUE]["all"] == one[st.SOFT]["all"] == [[1, 1, 1]]
        assert one[st.TRUE]["psnr"] == [[st.CEILING] * 3]
        lacking = [round(6 * (1 - share)) for share in one[st.NEAREST]["attributes"][0]]
        assert one["lacking"] == lacking and all((lacks > 0) == st.SETS[name] for lacks in lacking)
        assert (tmp_path / f"measured/{name}.png").is_file()
    monkeypatch.setattr(st, "of_set", pytest.fail)
    assert st.measure(few, {"characters": [folder]}, kept) == json.loads(json.dumps(found))
    text = page.written(st.STUDY, found | {"minutes": {"characters": [1.0]}}, st.page(found))
    assert "| held-out combinations | nearest training clip |" in text


@pytest.fixture
def real(shared: Path) -> Path:
    folder = shared / "data/sprites/sheets"
    if not folder.is_dir():
        pytest.skip(f"{folder}: the sheets of the Sprites data are not here")
    return folder


@pytest.mark.shared
def test_every_layer_of_the_real_sheets_is_drawn_in_every_frame(real: Path) -> None:
    characters = world().Sprites(sheets=str(real)).characters()
    assert characters.counts == (7, 10, 6, 6, 5, 4)
    for name, layer in characters.layers.items():
        assert (layer[..., 3, :, :, :] > 0).sum((-1, -2)).min() >= 50, name
    for one in ((6, 6, 5, 5, 0, 2), (0, 1, 4, 1, 3, 1), (5, 9, 0, 3, 4, 0)):
        expect_as_pasted(real, characters, one)


@pytest.mark.shared
@pytest.mark.parametrize("pose", [(0, 0), (2, 1)])
def test_the_reader_reads_real_characters(pose: tuple[int, int], real: Path) -> None:
    """All layers, in one action from one direction; those whose layers are seen also if blurred and noisy."""
    characters = world().Sprites(sheets=str(real)).characters()
    action, direction = pose
    layers = {
        name: layer[:, action : action + 1, direction : direction + 1] for name, layer in characters.layers.items()
    }
    words = {**characters.words, "action": ["acting"], "direction": ["somewhere"]}
    posed = world().Characters(words, layers)
    asked = posed.drawn(True, 0)[:30]
    clear = np.array([reading().clearness(posed, one, 28) >= reading().CLEAR for one in asked])
    true = reading().films(posed, asked, 28)
    found = reading().read(posed, torch.cat([true, study().softened(true)]))
    assert (found[:30] == asked).all()
    assert clear.sum() > 10 and (found[30:] == asked)[clear].mean() > 0.98
