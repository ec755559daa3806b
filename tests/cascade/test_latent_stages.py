"""Stages of latents: their grids, their videos, their training, and what does not fit them."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from zoetrope.cascade.execution.cost import codec_bytes
from zoetrope.cascade.execution.layout import expect_memory, least_memory
from zoetrope.cascade.execution.meter import peak_bytes
from zoetrope.cascade.grid import on_grid
from zoetrope.cascade.sample import Draw, stage_video
from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.cascade.start import Start, start_from
from zoetrope.codecs import CodecNetwork, decoded, identity, load_codec, save_codec
from zoetrope.codecs.autoencoder import Autoencoder
from zoetrope.codecs.pixels import PixelCodec
from zoetrope.data.toybox import Toybox
from zoetrope.inputs import Input
from zoetrope.inputs.edges import Edges
from zoetrope.inputs.hint import HintInput
from zoetrope.inputs.low_res import usual_inputs
from zoetrope.inputs.luma import Luma
from zoetrope.inputs.region import Region
from zoetrope.inputs.structure import Structure
from zoetrope.inputs.text import Text
from zoetrope.models.cascade import Cascade
from zoetrope.models.finding import find
from zoetrope.models.folder import write_model
from zoetrope.models.opening import open_model
from zoetrope.models.weights import write_weights
from zoetrope.networks import NetworkConfig, SizedInput
from zoetrope.networks.controlled import Control, ControlledConfig
from zoetrope.networks.reconstruction import ReconstructionConfig
from zoetrope.planning.count import flops_of
from zoetrope.planning.work import sampling
from zoetrope.training.loop import Run
from zoetrope.training.objectives.reconstruct import Reconstruct
from zoetrope.training.spec import Phase, Recipe, TrainSpec
from zoetrope.video import Video

from .latent import BASE, CODEC, LARGE, MADE, SPEC, SSR, Z, codec, network, random_network, recipe
from .test_between import TSR1

AVERAGE = 8

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cascade on disk."""
    folder = tmp_path_factory.mktemp("models") / "latent"
    networks = {stage.name: random_network(stage) for stage in SPEC.stages}
    write_model(folder, SPEC, networks, "# latent\n", codec=codec())
    return folder


def test_the_grids_of_a_stage() -> None:
    assert (BASE.shape, BASE.made, BASE.channels) == (Z, MADE, 3)
    assert (SSR.shape, SSR.made, SSR.channels) == (LARGE, LARGE, 3)
    assert SPEC.codec == CODEC and SPEC.with_(stages=(SSR.on(LARGE), BASE)[1:]).codec == CODEC
    assert CascadeSpec.from_json(SPEC.to_json()) == SPEC
    assert CODEC.latents(MADE) == Z and CODEC.pixels(Z) == MADE


def test_a_cascade_whose_base_is_latent_decodes_it_and_nothing_else(model: Path) -> None:
    cascade = Cascade.from_pretrained(model)
    steps = list(cascade.stream(["a red ball", None], seed=3, samples=[0, 1]))
    assert [(now.stage, now.step, now.shape) for now in steps] == [
        ("base", 1, MADE), ("base", 2, MADE), ("ssr1", 1, LARGE), ("ssr1", 2, LARGE)
    ]  # fmt: skip
    assert steps[0].x_hat.shape == (2, 2, *Z.sizes)  # latents, until they are complete
    assert steps[0].videos()[1].frames.shape == (2, 8, 12, 3)
    base = steps[1].x_hat
    assert base.shape == (2, 3, *MADE.sizes) and base.abs().max() <= 1
    # As the stage samples its latents, and the codec decodes them; the stage after it reads the decoded video.
    text, _ = cascade._encode(["a red ball", None], None)
    stored = load_codec(model / "codec")
    assert identity(stored) == identity(codec())
    draw = Draw(seed=3, samples=[0, 1])
    z = stage_video(BASE, cascade._network(BASE), text, None, draw)
    torch.testing.assert_close(base, stored.decode(z).clamp(-1, 1), rtol=1e-5, atol=1e-6)
    assert not (base - z.mean()).eq(0).all() and z.std() > 0.05
    again = stage_video(SSR, cascade._network(SSR), text, base, draw)
    torch.testing.assert_close(steps[3].x_hat, again, rtol=1e-5, atol=1e-6)


def test_a_start_replaces_the_decoded_video(model: Path) -> None:
    cascade = Cascade.from_pretrained(model)
    whole = cascade.generate("fog", seed=1)
    base = cascade.generate("fog", seed=1, until="base")
    assert base.frames.shape == (2, 8, 12, 3)
    assert start_from(cascade.spec, base).stage == "base"
    after = cascade.generate("fog", seed=1, video=base, after="base")
    assert after.frames.shape == whole.frames.shape and after.fps == whole.fps
    with pytest.raises(ValueError, match=r"expected shape \(1, 3, 2, 8, 12\), got \(1, 2, 2, 4, 6\)"):
        Start(stage="base", video=torch.zeros(1, 2, *Z.sizes)).check(cascade.spec, 1)


def test_other_sizes_are_in_pixels() -> None:
    larger = on_grid(SPEC, size=(12, 16), frames=4)
    assert [stage.made.sizes for stage in larger.stages] == [(4, 12, 16), (4, 24, 32)]
    assert larger.stages[0].shape.sizes == (4, 6, 8)
    with pytest.raises(
        ValueError, match=r"size 9x12 .*: stage 'base' .* height: .* factor 2, got 9; the nearest .* 8x12|10x12"
    ):
        on_grid(SPEC, size=(9, 12))


def test_decoding_in_parts_is_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    network, z = codec(codec=CODEC.with_(temporal=True)), torch.randn(2, 2, 5, 3, 4)
    whole = network.decode(z).clamp(-1, 1)
    for most in (1, 2 * 4 * 12, 10**9):
        monkeypatch.setattr("zoetrope.codecs.AT_ONCE", most)
        torch.testing.assert_close(decoded(network, z), whole, rtol=1e-5, atol=1e-6)


def test_training_reads_latents_and_keeps_their_codec(tmp_path: Path) -> None:
    made = recipe(tmp_path / "codec")
    data = made.train_spec("base").data.open()
    one, pixels = data.example(5, Z), Toybox(scripts=3).open().example(5, MADE)
    expected = codec().encode(pixels.video[None])[0]
    assert torch.equal(one.video, expected) and one.text == pixels.text
    torch.testing.assert_close(data.frames(5, Z, [1]).video, expected[:, 1:], rtol=1e-5, atol=1e-6)
    run = Run(made, "base", tmp_path / "run", CPU)
    list(run.train(tmp_path / "cache"))
    assert sorted(path.name for path in (tmp_path / "run/samples").iterdir()) == ["000000016.png"]
    from PIL import Image

    with Image.open(tmp_path / "run/samples/000000016.png") as sheet:  # of pixels: 8 rows of 2 frames of 8 x 12
        assert sheet.height >= 8 * 8 and sheet.width >= 2 * 12
    opened = open_model(tmp_path / "run")
    opened.check(opened.spec.stages)
    video = Cascade.of(opened).generate("fog")
    assert isinstance(video, Video) and video.frames.shape == (2, 8, 12, 3)
    saved = tmp_path / "saved"
    Cascade.of(opened).save_pretrained(saved)
    assert identity(load_codec(saved / "codec")) == identity(codec())


def test_a_killed_training_on_latents_goes_on_bitwise(tmp_path: Path) -> None:
    made = recipe(tmp_path / "codec")
    list(Run(made, "base", tmp_path / "whole", CPU).train(tmp_path / "cache"))
    reports = Run(made, "base", tmp_path / "parts", CPU).train(tmp_path / "cache")
    next(reports)
    reports.close()  # type: ignore[attr-defined]
    list(Run(made, "base", tmp_path / "parts", CPU).train(tmp_path / "cache"))
    names = ("model", "average", "optimizer")
    one, two = (
        [(tmp_path / run / f"checkpoints/000000024/{name}.safetensors").read_bytes() for name in names]
        for run in ("whole", "parts")
    )
    assert one == two


def test_latents_of_another_codec_are_refused(tmp_path: Path, model: Path) -> None:
    made = recipe(tmp_path / "codec")
    list(Run(made, "base", tmp_path / "run", CPU).train(tmp_path / "cache"))
    save_codec(codec(seed=7), tmp_path / "other")
    other = made.override("base.training.data.codec", str(tmp_path / "other"))
    with pytest.raises(ValueError, match="expected the codec that this run has learnt from so far"):
        Run(other, "base", tmp_path / "run", CPU)
    save_codec(codec(codec=CODEC.with_(width=8)), tmp_path / "wide")
    wide = made.override("base.training.data.codec", str(tmp_path / "wide"))
    with pytest.raises(ValueError, match=r"wide: expected the codec of stage 'base', .*'width': 4.*, got .*'width': 8"):
        Run(wide, "base", tmp_path / "second", CPU)


def test_another_decoder_takes_the_place_of_a_runs(tmp_path: Path) -> None:
    made = recipe(tmp_path / "codec")
    list(Run(made, "base", tmp_path / "run", CPU).train(tmp_path / "cache"))
    save_codec(redecoded(CODEC), tmp_path / "other")
    other = made.overridden(
        {"base.training.data.codec": str(tmp_path / "other"), "base.training.phases.0.examples": 28}
    )
    list(Run(other, "base", tmp_path / "run", CPU).train(tmp_path / "cache"))
    assert identity(load_codec(tmp_path / "run/codec")) == identity(redecoded(CODEC)) != identity(codec())


def test_a_run_that_is_refused_keeps_its_codec(tmp_path: Path) -> None:
    """So that it can be sampled as before."""
    list(Run(recipe(tmp_path / "codec"), "base", tmp_path / "run", CPU).train(tmp_path / "cache"))
    videos = CODEC.with_(temporal=True)
    save_codec(redecoded(videos), tmp_path / "videos")
    changes = {"base.codec": videos.to_json(), "base.training.data.codec": str(tmp_path / "videos")}
    others = tmp_path / "others.safetensors"
    write_weights(random_network(BASE), others, torch.float32)
    with pytest.raises(ValueError, match=r"expected the weights that .* has begun with, or no --init, got others"):
        Run(
            recipe(tmp_path / "codec").overridden(changes),
            "base",
            tmp_path / "run",
            CPU,
            tmp_path / "others.safetensors",
        )
    opened = open_model(tmp_path / "run")
    opened.check(opened.spec.stages)
    assert identity(load_codec(tmp_path / "run/codec")) == identity(codec())


def redecoded(like: Autoencoder) -> CodecNetwork:
    """A codec of the same latents with another decoder."""
    own, network = codec(), codec(seed=5, codec=like)
    network.load_state_dict(
        {name: value for name, value in own.state_dict().items() if not name.startswith("decoder")}, strict=False
    )
    return network


def test_a_codec_that_is_named_beside_a_model_decodes_its_latents(tmp_path: Path, model: Path) -> None:
    """As the run of one keeps it."""
    of_codec = codec_run(tmp_path / "videos", redecoded(CODEC.with_(temporal=True)))
    opened, own = open_model([of_codec, model]), open_model(model)
    assert opened.codec_folder == of_codec / "codec" and opened.spec.codec == CODEC.with_(temporal=True)
    opened.check(opened.spec.stages)
    video = Cascade.of(opened).generate("fog", until="base", seed=1)
    expected = Cascade.of(own).generate("fog", until="base", seed=1)
    assert not np.array_equal(video.frames, expected.frames)
    cascade = Cascade.of(opened)
    steps = list(cascade.stream("fog", until="base", seed=1))
    text, _ = cascade._encode(["fog"], None)
    z = stage_video(BASE, cascade._network(opened.spec.stages[0]), text, None, Draw(seed=1, samples=[0]))
    expected_x = redecoded(CODEC.with_(temporal=True)).decode(z).clamp(-1, 1)
    torch.testing.assert_close(steps[-1].x_hat, expected_x, rtol=1e-5, atol=1e-6)
    Cascade.of(opened).save_pretrained(tmp_path / "saved")
    assert identity(load_codec(tmp_path / "saved/codec")) == identity(redecoded(CODEC.with_(temporal=True)))
    # Stages whose decoders differ need one to be named.
    made = recipe(tmp_path / "codec")
    list(Run(made, "base", tmp_path / "run", CPU).train(tmp_path / "cache"))
    assert open_model([model, tmp_path / "run", of_codec]).codec_folder == of_codec / "codec"
    noise = codec_run(tmp_path / "noise", codec(seed=9))
    second = codec_run(tmp_path / "second", codec())
    for names, message in (
        ([model, noise], "expected stages that make latents of one codec, got those of another codec than that of"),
        ([model, second, of_codec], "expected one codec to decode latents, got two"),
        (["mini", second], "is a codec, but nothing that is named with it makes latents"),
    ):
        with pytest.raises(ValueError, match=message):
            open_model(names)


def test_a_codecs_own_folder_decodes_as_well(tmp_path: Path, model: Path) -> None:
    """Also where copies of it differ in their decoders."""
    videos = CODEC.with_(temporal=True)
    save_codec(redecoded(videos), tmp_path / "videos")
    opened = open_model([tmp_path / "videos", model])
    opened.check(opened.spec.stages)
    assert opened.codec_folder == tmp_path / "videos" and opened.spec.codec == videos
    whole = CascadeSpec(name="w", text=SPEC.text, stages=(BASE.with_(codec=videos), TSR1.with_(codec=videos)))
    networks = {stage.name: random_network(stage) for stage in whole.stages}
    write_model(tmp_path / "whole", whole, networks, "", codec=redecoded(videos))
    list(Run(recipe(tmp_path / "codec"), "base", tmp_path / "run", CPU).train(tmp_path / "cache"))
    with pytest.raises(ValueError, match=f"has another decoder.* such as {tmp_path / 'whole/codec'}"):
        open_model([tmp_path / "whole", tmp_path / "run"])
    both = open_model([tmp_path / "whole", tmp_path / "run", tmp_path / "run/codec"])
    both.check(both.spec.stages)
    assert both.spec.codec == CODEC


def test_codecs_that_cannot_decode_are_named(tmp_path: Path, model: Path) -> None:
    own = codec_run(tmp_path / "own", codec())
    assert open_model([model, own, f"{own}/", own / "codec"]).codec_folder == own / "codec"
    for channels, f in ((3, 2), (2, 4)):
        other = tmp_path / f"other{f}"
        save_codec(codec(codec=CODEC.with_(channels=channels, f=f)), other)
        with pytest.raises(ValueError, match=f"got those of another codec than that of {other}"):
            open_model([model, other])
    with pytest.raises(ValueError, match=f"{own}@{AVERAGE}: a codec has the first moving average; name its run"):
        open_model([model, f"{own}@{AVERAGE}"])
    shutil.rmtree(own / "codec")
    with pytest.raises(ValueError, match=f"{own}: expected a codec whose training has ended, got no codec/ in it"):
        open_model([model, own])
    with pytest.raises(ValueError, match=f"{tmp_path / 'other2'}: is a codec, but nothing that is named"):
        open_model(tmp_path / "other2")
    with pytest.raises(
        ValueError, match=f"{tmp_path / 'other2'}: expected a model or a run, got the folder of a codec"
    ):
        find(tmp_path / "other2")


def codec_run(folder: Path, network: CodecNetwork) -> Path:
    """The run of a codec."""
    stage = StageSpec(
        name="autoencoder",
        shape=MADE,
        inputs=(),
        network=ReconstructionConfig(codec=network.codec),
        sampling=SamplingSpec(steps=1),
    )
    spec = TrainSpec(
        data=Toybox(scripts=3),
        phases=(Phase(examples=4, batch=4, peak=1e-3),),
        objective=Reconstruct(critic=None),
        warm_up=0,
        precision="fp32",
        half_life=(4, AVERAGE),
    )
    made = Recipe(name="codec", cascade=CascadeSpec(name="codec", stages=(stage,)), training={"autoencoder": spec})
    list(Run(made, "autoencoder", folder, CPU).train(folder.parent / "cache"))
    save_codec(network, folder / "codec")
    return folder


def test_models_without_their_codec_are_refused(tmp_path: Path, model: Path) -> None:
    networks = {stage.name: random_network(stage) for stage in SPEC.stages}
    with pytest.raises(ValueError, match=r"latent: codec: expected Autoencoder.*, got None"):
        write_model(tmp_path / "model", SPEC, networks, "")
    with pytest.raises(ValueError, match="codec: expected the codec that its latents are of, got none"):
        Cascade(SPEC, random_network)
    write_model(tmp_path / "model", SPEC, networks, "", codec=codec())
    (tmp_path / "model/codec/model.safetensors").unlink()
    opened = open_model(tmp_path / "model")
    with pytest.raises(ValueError, match=r"codec/model.safetensors: expected a file of a codec"):
        opened.check(opened.spec.stages)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"network": network(4, False)}, "network.channels: expected 2, those of its codec's latents, got 4"),
        ({"sampling": SamplingSpec(steps=2)}, "sampling.threshold: expected null, latents have no range, got 'static'"),
        (
            {"inputs": (Text(), Region()), "network": network(2, False).with_(region=True)},
            r"inputs: expected none that are made from pixels, for z is latents, got \['region'\]",
        ),
    ],
)
def test_stages_that_cannot_make_latents(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BASE.with_(**fields)


def test_cascades_that_do_not_fit_their_codec(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"'ssr1' expects 2x4x6@3fps, but 'base' makes 2x8x12@3fps"):
        SPEC.with_(stages=(BASE, SSR.with_(inputs=usual_inputs(Z))))
    named = StageSpec(**{**dict(SSR), "name": "codec"})
    with pytest.raises(ValueError, match="expected another name than 'codec'"):
        SPEC.with_(stages=(BASE, named))
    made = recipe(tmp_path / "codec")
    pixels = {"training.base.data": Toybox().to_json()}
    with pytest.raises(ValueError, match=r"training.base.data: expected latents .*, got videos in pixels, 'toybox'"):
        made.overridden(pixels)
    latents = made.train_spec("base").data
    with pytest.raises(ValueError, match=r"training.ssr1.data: expected videos in pixels, got latents, 'latents'"):
        Recipe(name="r", cascade=SPEC, training={"ssr1": made.train_spec("base").with_(data=latents)})
    (tmp_path / "codec/codec.json").unlink()
    with pytest.raises(
        ValueError, match=r"training.base.data: .*codec.json: expected a file of a codec.*; name .*--codec"
    ):
        Run(made, "base", tmp_path / "run", CPU)


def controlled_by(each: Input) -> StageSpec:
    """The stage with a network that also reads a control."""
    network: NetworkConfig
    if each.size is None:
        network = ControlledConfig(network=BASE.network, controls=(Control(name=each.name),))
    else:
        network = BASE.network.with_(aligned=(SizedInput(name=each.name, size=each.size),))
    return BASE.with_(network=network, inputs=(*BASE.inputs, each))


@pytest.mark.parametrize("each", [Edges(), Luma(), Structure(), Structure(estimate="luma")])
def test_controls_are_computed_from_pixels(each: Input) -> None:
    """In training they would be of the latents, and in sampling of pictures."""
    with pytest.raises(ValueError, match=f"expected none that are made from pixels, .* got .'{each.name}'"):
        controlled_by(each)
    with pytest.raises(ValueError, match="structure: expected the size 5, that of its input, got one without a size"):
        BASE.with_(
            network=ControlledConfig(network=BASE.network, controls=(Control(name="structure"),)),
            inputs=(*BASE.inputs, Structure()),
        )
    controlled_by(HintInput())  # which has as many pixels as videos


def test_plans_and_budgets_count_the_decoder() -> None:
    wide = BASE.with_(codec=CODEC.with_(width=64, temporal=True), shape=Z.with_(frames=6, height=16, width=24))
    pixels = wide.with_(codec=PixelCodec(channels=2))
    network, z = codec(codec=wide.codec), torch.randn(2, 2, *wide.shape.sizes)  # type: ignore[arg-type]
    weights = sum(value.nbytes for value in network.state_dict().values())
    counted, held = codec_bytes(wide, 2)
    measured = peak_bytes(lambda: decoded(network, z))  # views of weights among it
    assert counted == weights and held == pytest.approx(measured + z.nbytes, rel=0.02)
    assert codec_bytes(pixels, 2) == (0, 0)
    one, other = (sampling(stage, torch.float32, 10**10) for stage in (pixels, wide))
    own = convolutions(wide.codec, wide.shape.sizes)  # type: ignore[arg-type]
    assert flops_of(other.whole) - flops_of(one.whole) == own and other.peak - one.peak > weights
    least = least_memory(wide, 1, 4, CPU)
    assert least >= least_memory(pixels, 1, 4, CPU) + weights
    with pytest.raises(ValueError, match=r"memory: stage 'base' \(6x32x48@3fps\) needs \d+ MB"):
        expect_memory([wide], 1, 4, least - 1, CPU)
    expect_memory([wide], 1, 4, least, CPU)


def convolutions(codec: Autoencoder, latents: tuple[int, int, int]) -> int:
    """The operations of the convolutions of a decoder with layers along time, by hand; f = 2 and one block a level."""
    frames, height, width = latents
    fine, coarse = codec.levels
    spatial = coarse * (codec.channels + 2 * coarse) + 4 * fine * (2 * fine + 3)
    return 2 * frames * height * width * (9 * spatial + 3 * (coarse**2 + 4 * fine**2) + 4 * coarse * fine)
