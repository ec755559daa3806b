"""Labels, actions and maps: what networks see of them, what is refused, and that actions reach no earlier frame."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import SamplingSpec, StageSpec
from zoetrope.conditioning import Conditioning
from zoetrope.data import Example, joined
from zoetrope.guidance.inputs import InputGuidance
from zoetrope.inputs import Examples, Extent, Input
from zoetrope.inputs.action import Action
from zoetrope.inputs.label import Label
from zoetrope.inputs.map import Map
from zoetrope.inputs.number import Number
from zoetrope.models.asking import conditioning_of
from zoetrope.models.long import _expect_of_whole
from zoetrope.networks import Network, SizedInput
from zoetrope.networks.dit import DiTConfig
from zoetrope.networks.video_unet import Level, VideoUNetConfig
from zoetrope.scales.log import Log
from zoetrope.scales.range import Range
from zoetrope.shapes import VideoShape, Window
from zoetrope.video.resample import resize_present

SHAPE = VideoShape(frames=4, height=4, width=8, fps=2)
VIEW = Label(told="view", classes=("apical", "parasternal", "3"), dropout=0.1)
ACTION = Action(entries=2, dropout=0.1)
LAND = Map(told="land", scale=Range(lo=0, hi=2), dropout=0.0)
NAN = torch.nan


def examples(*beside: dict[str, Tensor], told: dict[str, float | str] | None = None) -> Examples:
    """Examples with these arrays beside them."""
    x = torch.zeros(len(beside), 3, *SHAPE.sizes)
    samples = [[Example(x[row], "", f"clip {row}", told=told or {}, beside=one)] for row, one in enumerate(beside)]
    draws = [torch.Generator().manual_seed(row) for row in range(len(beside))]
    return Examples(x=x, samples=samples, draws=draws, packed=None, encode=lambda texts: None)  # type: ignore[arg-type]


def test_a_label_is_its_class() -> None:
    assert VIEW.of_examples(SHAPE, examples({}, told={"view": "parasternal"})).numbers["view"].tolist() == [1]
    assert VIEW.of_request("apical", 2).numbers["view"].tolist() == [0, 0]
    assert VIEW.of_request([3, "apical"], 2).numbers["view"].tolist() == [2, 0]
    assert VIEW.of_request(None, 1).numbers["view"].isnan().all()
    with pytest.raises(ValueError, match=r"^view: unknown label 'apicl'; did you mean 'apical'\?"):
        VIEW.of_request("apicl", 1)
    with pytest.raises(ValueError, match=r"^clip 0: view: unknown label 'x'"):
        VIEW.of_examples(SHAPE, examples({}, told={"view": "x"}))
    with pytest.raises(ValueError, match=r"expected a label, such as 'apical', got 0\.5"):
        VIEW.of_request(0.5, 1)
    with pytest.raises(ValueError, match="expected every class once, got 'a' twice"):
        Label(told="view", classes=("a", "a"))


def test_actions_are_those_of_each_frame_and_unknown_where_they_are_missing() -> None:
    own = torch.arange(8.0).reshape(4, 2)
    some = own.clone()
    some[1, 0] = NAN
    seen = ACTION.of_examples(SHAPE, examples({"action": own}, {"action": some}, {})).tokens["action"]
    assert torch.equal(seen.values[0, :, 0], own) and seen.mask[0].all()
    assert seen.mask[1, :, 0].tolist() == [True, False, True, True] and not seen.mask[2].any()
    assert seen.values.isfinite().all()
    with pytest.raises(ValueError, match=r"clip 0: action: expected 4 frames, got 3"):
        ACTION.of_examples(SHAPE, examples({"action": own[:3]}))
    with pytest.raises(ValueError, match=r"clip 0: action: expected 2 numbers a frame, got the shape \(4, 1\)"):
        ACTION.of_examples(SHAPE, examples({"action": own[:, :1]}))


def test_actions_of_a_pack_and_of_a_clip_with_images_are_each_frames_own() -> None:
    clip = Example(torch.zeros(3, 2, 4, 8), "", "clip", beside={"action": torch.tensor([[1.0, 1], [2, 2]])})
    still = Example(torch.zeros(3, 1, 4, 8), "", "still", beside={"action": torch.tensor([[3.0, 3]])})
    other = Example(torch.zeros(3, 1, 4, 8), "", "other")
    x, draws = torch.zeros(1, 3, *SHAPE.sizes), [torch.Generator().manual_seed(0)]
    batch = Examples(x=x, samples=[[clip, clip, still, other]], draws=draws, packed=None, encode=lambda texts: None)  # type: ignore[arg-type]
    seen = ACTION.of_examples(SHAPE, batch).tokens["action"]
    assert seen.values[0, :, 0, 0].tolist() == [1, 2, 3, 0] and seen.mask[0, :, 0].tolist() == [True] * 3 + [False]


def test_actions_are_asked_for_by_arrays_lists_and_files(tmp_path: Path) -> None:
    own = np.arange(8.0).reshape(4, 2)
    np.save(tmp_path / "a.npy", own)
    np.savez(tmp_path / "a.npz", action=own)
    (tmp_path / "a.csv").write_text("\n".join(f"{x},{y}" for x, y in own))
    for value in (
        own,
        own.tolist(),
        torch.from_numpy(own),
        *(tmp_path / f"a.{kind}" for kind in ("npy", "npz", "csv")),
    ):
        seen = ACTION.of_request(ACTION.fitted(value, SHAPE), 2).tokens["action"]
        assert seen.values.shape == (2, 4, 1, 2) and torch.equal(seen.values[1, :, 0].double(), torch.from_numpy(own))
    assert not conditioning_of(causal(), {}, 1).tokens["action"].mask.any()


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.zeros((3, 2)), r"action: expected 4 frames of 2 numbers, \(4, 2\), got \(3, 2\)"),
        (np.zeros((4, 3)), r"got \(4, 3\)"),
        ([[0, 1], [0, 1], [0, NAN], [0, 0]], r"action: expected finite numbers, got \[0.0, nan\] in frame 2"),
        (np.full((4, 2), NAN), "got NaN in every frame; leave it out"),
        ([[0, 1], [0, np.inf], [0, 1], [0, 0]], r"got \[0.0, inf\] in frame 1"),
        ("none.npy", "action=none.npy: cannot be read"),
        ("a.txt", "action=a.txt: expected numbers .*got .txt"),
        ("fast", "action=fast: expected numbers"),
        (0.5, r"got \(\)"),
    ],
)
def test_other_actions_are_refused(value: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ACTION.fitted(value, SHAPE)


@pytest.mark.parametrize(
    ("size", "fits"), [((2, 4), True), ((3, 5), True), ((2, 2), False), ((1, 4), False), ((4, 6), False)]
)
def test_maps_have_the_proportions_of_the_videos(size: tuple[int, int], fits: bool) -> None:
    if fits:
        assert LAND.fitted(np.zeros(size), SHAPE).shape == (1, *SHAPE.sizes)
        return
    with pytest.raises(ValueError, match="or others of these proportions"):
        LAND.fitted(np.zeros(size), SHAPE)


def test_labels_and_numbers_of_numpy() -> None:
    assert VIEW.of_request(np.array(["3", "apical"]), 2).numbers["view"].tolist() == [2, 0]
    assert VIEW.of_request(np.int64(3), 1).numbers["view"].tolist() == [2]
    size = Number(told="size", lo=0, hi=1)
    assert size.of_request(np.array([0.0, 1.0]), 2).numbers["size"].tolist() == [-1, 1]


def test_frames_may_be_without_an_action() -> None:
    seen = ACTION.of_request(ACTION.fitted([[0, 1], [NAN, NAN], [0, 1], [0, 0]], SHAPE), 1).tokens["action"]
    assert seen.mask[0, :, 0].tolist() == [True, False, True, True] and seen.values.isfinite().all()


def test_a_map_is_resized_scaled_and_known_where_it_has_numbers() -> None:
    coarse = torch.tensor([[0.0, 2.0], [NAN, NAN]])[None, None]
    own = torch.full((1, 4, 4, 8), 1.0)
    seen = LAND.of_examples(SHAPE, examples({"land": own}, {"land": coarse.expand(1, 4, 2, 2)}, {})).maps["land"]
    assert seen.shape == (3, 2, *SHAPE.sizes)
    assert (seen[0, 0] == 0).all() and (seen[0, 1] == 1).all() and not seen[2].any()
    assert seen[1, 1, 0, 0].all() and not seen[1, 1, 0, -1].any() and seen[1, 0, 0, 0, [0, -1]].tolist() == [-1, 1]
    asked = LAND.of_request(LAND.fitted(np.array([[0, 2]]), SHAPE), 2).maps["land"]
    assert asked.shape == (2, 2, *SHAPE.sizes) and asked[:, 0, :, :, 0].eq(-1).all() and asked[:, 1].all()
    assert not LAND.unknown(extent()).maps["land"].any()


def extent() -> Extent:
    return Extent(2, SHAPE.sizes, 0, 0)


def test_a_map_of_one_size_is_as_it_is_and_missing_values_stay_local() -> None:
    own = torch.rand(2, 3, 6, 6)
    own[:, :, 0, 0] = NAN
    assert torch.equal(resize_present(own, 6, 6).nan_to_num(), own.nan_to_num())
    small = resize_present(own, 3, 3)
    assert small.isfinite().all()
    whole = resize_present(torch.rand(1, 1, 6, 6), 3, 3)
    assert whole.shape == (1, 1, 3, 3)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (
            np.zeros((8, 4)),
            r"land: expected the axes \(4, 8\) or \(4, 4, 8\), or others of these proportions, got \(8, 4\)",
        ),
        (np.zeros((3, 4, 8)), r"got \(3, 4, 8\)"),
        (np.zeros(4), r"got \(4,\)"),
        (np.full((4, 8), np.nan), "got NaN everywhere"),
        (np.full((4, 8), np.inf), "got infinity"),
        ("sea.npy", "land=sea.npy: cannot be read"),
        ("sea.npz", "sea.npz: no such file"),
    ],
)
def test_other_maps_are_refused(value: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        LAND.fitted(value, SHAPE)


def test_maps_of_several_channels_are_told_apart_from_frames() -> None:
    wind = Map(told="wind", channels=2)
    assert wind.fitted(np.zeros((2, 4, 8)), SHAPE).shape == wind.fitted(np.zeros((2, 4, 4, 8)), SHAPE).shape
    with pytest.raises(ValueError, match=r"expected the axes \(2, 4, 8\) or \(2, 4, 4, 8\)"):
        wind.fitted(np.zeros((4, 4, 8)), SHAPE)


def unet(**fields: object) -> VideoUNetConfig:
    levels = (Level(width=8, temporal=("convolution",)),)
    return VideoUNetConfig(text_width=None, embedding=8, head=8, levels=levels, **fields)  # type: ignore[arg-type]


def causal(*inputs: Input, guided: float = 0.0) -> StageSpec:
    """A stage of a causal network with actions, and perhaps a label."""
    labels = tuple(SizedInput(name=one.name, size=len(one.classes)) for one in inputs if isinstance(one, Label))
    actions = (SizedInput(name="action", size=2),)
    network = DiTConfig(
        channels=1,
        text_width=None,
        patch=(1, 2, 2),
        width=16,
        depth=2,
        head=8,
        causal=True,
        actions=actions,
        labels=labels,
    )
    sampling = SamplingSpec(steps=3, guidance=InputGuidance(weight=guided))
    return StageSpec(name="base", shape=SHAPE, inputs=(ACTION, *inputs), network=network, sampling=sampling)


def stirred(network: Network) -> Network:
    """The network with other weights than those that it begins with, of which many are zero."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw))
    return network.eval()


@pytest.mark.parametrize("guided", [0.0, 1.5])
def test_a_changed_last_action_changes_no_earlier_frame(guided: float) -> None:
    stage = causal(VIEW, guided=guided)
    network, seeing = (stirred(one.build()) for one in (stage.network, stage.network.with_(causal=False)))
    actions = np.random.default_rng(0).integers(-1, 2, (4, 2)).astype(float)
    changed = actions.copy()
    changed[-1] = [7, -7]
    draw = Draw(seed=1, samples=[0, 1])

    def made(actions: np.ndarray, both: bool = False) -> Tensor:
        told = conditioning_of(stage, {"action": actions, "view": "3"}, 2)
        with torch.inference_mode():
            return stage_video(stage, seeing if both else network, told, None, draw)

    first, other = made(actions), made(changed)
    assert torch.equal(first[:, :, :-1], other[:, :, :-1])
    assert (first[:, :, -1] - other[:, :, -1]).abs().max() > 1e-3
    assert not torch.equal(made(actions, both=True)[:, :, :-1], made(changed, both=True)[:, :, :-1])
    changed[0] = [5, 5]
    assert (made(changed)[:, :, 1] - first[:, :, 1]).abs().max() > 1e-4


def test_networks_say_what_is_wrong_with_actions_and_maps() -> None:
    z, level = torch.zeros(1, 3, *SHAPE.sizes), torch.zeros(1)
    network = unet(actions=(SizedInput(name="action", size=2),), aligned=(SizedInput(name="land", size=1),)).build()
    land = LAND.unknown(extent()).select(torch.arange(1))
    with pytest.raises(
        ValueError, match=r"tokens\['action'\]: expected \(1, F, 1, 2\), a vector for each frame, got None"
    ):
        network(z, level, land)
    with pytest.raises(ValueError, match="maps: expected 'land', got none"):
        network(z, level, ACTION.of_request(torch.zeros(4, 2), 1))
    with pytest.raises(ValueError, match="expected one for each of 4 frames, got 3"):
        network(z, level, land | ACTION.of_request(torch.zeros(3, 2), 1))


@pytest.mark.parametrize("kind", ["unet", "dit"])
def test_a_network_sees_a_map_where_it_lies(kind: str) -> None:
    fields = {"channels": 1, "text_width": None, "aligned": (SizedInput(name="land", size=1),)}
    network = stirred(_of(kind, fields).build())
    stage_given = LAND.of_request(LAND.fitted(np.zeros((4, 8)), SHAPE), 1)
    own = np.zeros((4, 8))
    own[1, 1] = 2.0
    other = LAND.of_request(LAND.fitted(own, SHAPE), 1)
    z, level = torch.zeros(1, 1, *SHAPE.sizes), torch.zeros(1)
    with torch.inference_mode():
        plain = network(z, level, stage_given)
        assert (network(z, level, other) - plain)[0, 0, 0, :2, :2].abs().max() > 1e-4
        assert (network(z, level, stage_given.without("land")) - plain).abs().max() > 1e-4


def _of(kind: str, fields: dict[str, object]) -> VideoUNetConfig | DiTConfig:
    if kind == "dit":
        return DiTConfig(width=16, depth=1, head=8, **fields)  # type: ignore[arg-type]
    levels = (Level(width=8, temporal=("convolution",)),)
    return VideoUNetConfig(embedding=8, head=8, levels=levels, **fields)  # type: ignore[arg-type]


def test_examples_are_cut_and_joined_with_what_lies_beside_them() -> None:
    beside = {"action": torch.arange(8.0).reshape(4, 2), "land": torch.rand(1, *SHAPE.sizes)}
    whole = Example(torch.rand(3, *SHAPE.sizes), "", "clip", beside=beside)
    window = Window(range(1, 3), range(2), range(4, 8))
    part = whole.cut(window.of, window.frames)
    assert torch.equal(part.beside["action"], beside["action"][1:3])
    assert torch.equal(part.beside["land"], window.of(beside["land"]))
    both = joined([part, part])
    assert both.beside["action"].shape == (4, 2) and both.beside["land"].shape == (1, 4, 2, 4)
    assert joined([part, part._replace(beside={})]).beside == {}


def test_a_stage_has_inputs_of_the_sizes_of_its_network() -> None:
    with pytest.raises(
        ValueError, match=r"stage 'base': network: action: expected the size 3, that of its input, got 2"
    ):
        StageSpec(name="base", shape=SHAPE, inputs=(Action(entries=3),), network=causal().network)
    with pytest.raises(ValueError, match="expected every name once, got 'a' twice"):
        unet(numbers=("a",), labels=(SizedInput(name="a", size=2),))
    one = Conditioning()
    assert one.without("nothing") is one


def test_a_long_video_has_no_actions_of_each_frame() -> None:
    """Every block would have the same ones."""
    stages, keys = [causal()], np.zeros((4, 2))
    _expect_of_whole(stages, {"action": keys})
    keys[2] = 1
    with pytest.raises(ValueError, match=r"action: expected the same in all frames, .* each of which would have these"):
        _expect_of_whole(stages, {"action": keys})


@pytest.mark.parametrize("own", [ACTION, LAND], ids=["action", "land"])
def test_values_that_a_scale_does_not_take_are_of_a_named_input(own: Action | Map) -> None:
    own, value = own.with_(scale=Log(floor=1, hi=10)), -np.ones((4, 2) if isinstance(own, Action) else (4, 8))
    with pytest.raises(ValueError, match=rf"^{own.told}: expected values of at least 0 on a logarithmic scale, got -1"):
        own.of_request(own.fitted(value, SHAPE), 1)


def test_guidance_is_over_inputs_that_there_are() -> None:
    network = VideoUNetConfig(text_width=None, embedding=16, head=8, levels=(Level(width=8),), numbers=("kappa",))

    def stage(*over: str) -> StageSpec:
        own, sampling = Number(told="kappa", lo=0, hi=1), SamplingSpec(guidance=InputGuidance(weight=1.0, over=over))
        return StageSpec(name="base", shape=SHAPE, inputs=(own,), network=network, sampling=sampling)

    assert stage("kappa").sampling.guided and stage().sampling.guided
    message = r"stage 'base': sampling\.guidance\.over: unknown input 'kapa'; did you mean 'kappa'\?"
    with pytest.raises(ValueError, match=message):
        stage("kappa", "kapa")
