"""Training of codecs: errors in closed form, the critic's weight and warm-up, what is written at the end."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from zoetrope.cascade.spec import CascadeSpec, SamplingSpec, StageSpec
from zoetrope.codecs import latent_identity, load_codec, save_codec
from zoetrope.codecs.autoencoder import Autoencoder
from zoetrope.codecs.pixels import PixelCodec
from zoetrope.conditioning import Conditioning
from zoetrope.data.toybox import Toybox
from zoetrope.layers.fused import fused
from zoetrope.models.weights import read_weights, write_weights
from zoetrope.networks import Network
from zoetrope.networks.mobilenet_v2 import MobileNetV2Config
from zoetrope.networks.patch_critic import PatchCriticConfig
from zoetrope.networks.reconstruction import ReconstructionConfig
from zoetrope.recipes import load_recipe
from zoetrope.shapes import VideoShape
from zoetrope.training.codecs import write_codec
from zoetrope.training.learner import Learner
from zoetrope.training.loop import Run
from zoetrope.training.objectives import Lesson
from zoetrope.training.objectives.denoise import Denoising
from zoetrope.training.objectives.reconstruct import CRITIC, Perceptual, Reconstruct
from zoetrope.training.parallel import LastLayerCall
from zoetrope.training.spec import Phase, Recipe, TrainSpec

CPU = torch.device("cpu")
CLIP = VideoShape(frames=2, height=8, width=8, fps=3)
CODEC = Autoencoder(f=2, channels=3, width=4, blocks=1)
CRITIC_OF = PatchCriticConfig(width=4, depth=1)
NONE = Conditioning()


def recipe(codec: Autoencoder = CODEC, critic: PatchCriticConfig | None = CRITIC_OF, **fields: Any) -> Recipe:
    """A codec of two frames of 8 x 8 pixels."""
    stage = StageSpec(
        name="clips",
        shape=CLIP,
        inputs=(),
        network=ReconstructionConfig(codec=codec),
        sampling=SamplingSpec(steps=1),
    )
    common: dict[str, Any] = {
        "data": Toybox(scripts=3),
        "phases": (Phase(examples=32, batch=4, peak=2e-3),),
        "objective": Reconstruct(critic=critic, warm_up=8),
        "warm_up": 0,
        "precision": "fp32",
        "sample_every": 0,
        "log_every": 8,
        "checkpoint_every": 16,
    }
    spec = TrainSpec(**common | fields)
    return Recipe(name="codec", cascade=CascadeSpec(name="codec", stages=(stage,)), training={"clips": spec})


def awake(network: Network, seed: int = 0) -> Network:
    """With no weight left at zero."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return network


def lesson(position: int = 100) -> Lesson:
    torch.manual_seed(2)
    x, eps = torch.rand(3, 3, 2, 8, 8) * 2 - 1, torch.randn(3, 3, 2, 8, 8)
    return Lesson(x, eps, torch.zeros(3), NONE, position=position)


def test_without_a_critic_the_error_is_that_of_the_paper() -> None:
    network = awake(ReconstructionConfig(codec=CODEC).build())
    x, eps = lesson().x, lesson().eps
    output = network(torch.cat([x, eps], dim=1), torch.zeros(3), NONE)
    found = network.coder.posterior(x)
    torch.testing.assert_close(output[:, 3].sum((2, 3)).mean(1), found.divergence())
    # The noise of a latent is that of pixels of its own: standard normal, and another for every latent.
    spare = (network.coder.posterior(x).mean, (found.logvar / 2).exp())
    used = eps.reshape(3, 3, 2, 4, 2, 4, 2).permute(0, 1, 4, 6, 2, 3, 5).reshape(3, 12, 2, 4, 4)[:, :3]
    drawn = torch.cat(list(network.coder.stream([spare[0] + spare[1] * used])), dim=2)
    torch.testing.assert_close(output[:, :3], drawn)
    means = network(x, torch.zeros(3), NONE)[:, :3]
    torch.testing.assert_close(means, torch.cat(list(network.coder.stream([found.mean])), dim=2))
    error = Reconstruct(critic=None, divergence=0.5)(recipe().cascade.stages[0], lesson(), {"student": network})
    per_number = found.divergence() * 2 / x[0].numel()
    torch.testing.assert_close(error, (output[:, :3] - x).abs().mean((1, 2, 3, 4)) + 0.5 * per_number)


@pytest.mark.parametrize("codec", [CODEC, CODEC.with_(f=4, temporal=True)])
def test_an_average_is_the_network(codec: Autoencoder) -> None:
    network = awake(ReconstructionConfig(codec=codec).build())
    x = lesson().x
    torch.testing.assert_close(fused(network)(x, torch.zeros(3), NONE), network(x, torch.zeros(3), NONE).detach())


def test_at_the_last_layer_the_critic_weighs_as_much_as_the_absolute_error() -> None:
    network, critic = awake(ReconstructionConfig(codec=CODEC).build()), awake(CRITIC_OF.build(), 1)
    stage, last = recipe().cascade.stages[0], network.last()
    assert last is not None and last.shape == (3, 4, 3, 3)
    players = {"student": LastLayerCall(network, last), CRITIC: critic}
    plain = Reconstruct(critic=None, divergence=0)(stage, lesson(), players).mean()
    for strength in (0.25, 1.0):
        objective = Reconstruct(critic=CRITIC_OF, divergence=0, strength=strength, warm_up=100)
        both = objective(stage, lesson(), players).mean()
        ours, sum_of = (torch.autograd.grad(each, last, retain_graph=True)[0] for each in (plain, both))
        assert float((sum_of - ours).norm() / ours.norm()) == pytest.approx(strength, rel=2e-2)
        before = objective(stage, lesson(99), players).mean()
        assert torch.equal(before, plain.detach())
    last.requires_grad_(False)  # as in a decoder of which only other layers learn
    assert objective(stage, lesson(), players).isfinite().all()


def test_the_critic_learns_the_hinge_loss_after_the_warm_up() -> None:
    stage, critic = recipe().cascade.stages[0], awake(CRITIC_OF.build(), 1)
    network = awake(ReconstructionConfig(codec=CODEC).build())
    players = {"student": network, CRITIC: critic}
    objective = Reconstruct(critic=CRITIC_OF, warm_up=100)
    now = objective.errors_of(CRITIC, stage, lesson(), players)
    made = network(torch.cat([lesson().x, lesson().eps], dim=1), torch.zeros(3), NONE)[:, :3]
    true, false = (critic(x, torch.zeros(3), NONE).flatten(1) for x in (lesson().x, made))
    torch.testing.assert_close(now, ((1 - true).relu().mean(1) + (1 + false).relu().mean(1)) / 2)
    assert objective.errors_of(CRITIC, stage, lesson(99), players).eq(0).all()


def test_who_learns_when(tmp_path: Path) -> None:
    run = Run(recipe(), "clips", tmp_path / "run", CPU)
    critic = run.state.players[CRITIC].network

    def weights() -> list[Tensor]:
        return [weight.detach().clone() for weight in (*critic.parameters(), *run.state.network.parameters())]

    start, reports = weights(), run.train(tmp_path / "cache")
    assert next(reports).examples == 8
    during = weights()
    count = len(list(critic.parameters()))
    moved = [not torch.equal(a, b) for a, b in zip(start, during, strict=True)]
    assert not any(torch.linalg.vector_norm(a - b) > 1e-4 for a, b in zip(start[:count], during[:count], strict=True))
    assert any(moved[count:])  # the critic has at most decayed
    last_layer = run.state.network.last()
    assert last_layer is not None
    players = {"student": LastLayerCall(run.state.network, last_layer), CRITIC: critic}
    by_hand = run.spec.objective(run.stage, lesson(8), players)
    torch.testing.assert_close(run.learner.errors("student", lesson(8)), by_hand)
    last = [*reports][-1]
    assert last.losses_beside[CRITIC] > 0 and last.loss is not None
    assert any(torch.linalg.vector_norm(a - b) > 1e-3 for a, b in zip(during[:count], weights()[:count], strict=True))


@pytest.mark.parametrize(("temporal", "changed"), [(False, [1]), (True, [0, 1, 2, 3])])
def test_what_frames_a_critic_sees(temporal: bool, changed: list[int]) -> None:
    critic = awake(PatchCriticConfig(width=4, depth=1, temporal=temporal).build())
    x = torch.rand(1, 3, 6, 16, 24)
    other = x.clone()
    other[:, :, 1] += 1
    before, after = (critic(each, torch.zeros(1), NONE) for each in (x, other))
    assert before.shape == (1, 1, 6, 8, 12)
    moved = (before - after).abs().amax((0, 1, 3, 4))
    assert moved.gt(1e-6).nonzero().flatten().tolist() == changed  # by two convolutions of three frames each
    deep = PatchCriticConfig(width=4, depth=3, temporal=temporal).build()
    assert deep(x, torch.zeros(1), NONE).shape == (1, 1, 6, 2, 3)


def test_the_end_of_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoetrope.training.codecs.MEASURED", 24)
    made = recipe()
    list(Run(made, "clips", tmp_path, CPU).train(tmp_path / "cache"))
    found = write_codec(made, "clips", tmp_path, CPU)
    assert found is not None and found.folder == tmp_path / "codec" and (tmp_path / "samples/codec.png").is_file()
    codec = load_codec(tmp_path / "codec")
    assert codec.codec == CODEC and float(codec.scale) == pytest.approx(found.scale)
    for weight in codec.parameters():
        assert torch.equal(weight.bfloat16().float(), weight)
    data = Toybox(scripts=3).open()
    z = torch.stack([codec.encode(data.example(number, CLIP).video[None]) for number in range(24)])
    assert float(z.std(correction=0)) == pytest.approx(1, abs=1e-3) and found.spread == pytest.approx(1, abs=0.5)
    x = torch.stack([data.example(10**9 + number, CLIP).video for number in range(24)])
    shown = codec.decode(codec.encode(x)).clamp(-1, 1)
    decibels = -10 * ((shown - x).square().flatten(1).mean(1) / 4).log10()
    assert found.psnr == pytest.approx(float(decibels.mean()), abs=1e-3)
    assert found.flicker == pytest.approx(float((shown.diff(dim=2) - x.diff(dim=2)).abs().mean()), rel=1e-4)
    assert str(found).startswith(f"{tmp_path / 'codec'}: scale ")


def test_only_codecs_write_one(tmp_path: Path) -> None:
    assert write_codec(load_recipe("mini"), "base", tmp_path, CPU) is None


def test_a_decoder_of_videos_is_tuned_with_the_encoder_frozen(tmp_path: Path) -> None:
    images = recipe()
    run = Run(images, "clips", tmp_path / "images", CPU)
    list(run.train(tmp_path / "cache"))
    file = tmp_path / "images/checkpoints/000000032/average.safetensors"
    temporal = CODEC.with_(temporal=True)
    critic = CRITIC_OF.with_(temporal=True)
    fields = {"freeze": ("coder.encoder*",), "init_missing": "fresh"}
    tuned = Run(recipe(temporal, critic, **fields), "clips", tmp_path / "videos", CPU, init=file)
    network, image = tuned.state.network, run.state.average
    x = lesson().x
    torch.testing.assert_close(network(x, torch.zeros(3), NONE).detach(), image(x, torch.zeros(3), NONE))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    list(tuned.train(tmp_path / "cache"))
    moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert not any(name.startswith("coder.encoder") for name in moved)
    assert any("temporal" in name for name in moved) and any("decoder.layers" in name for name in moved)


def test_a_tuned_decoder_decodes_the_latents_that_models_have_learnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scale stays although it was measured on other examples, unless the encoder learns on."""
    monkeypatch.setattr("zoetrope.training.codecs.MEASURED", 8)
    list(Run(recipe(), "clips", tmp_path / "images", CPU).train(tmp_path / "cache"))
    assert write_codec(recipe(), "clips", tmp_path / "images", CPU) is not None
    own = load_codec(tmp_path / "images/codec")
    file = tmp_path / "images/checkpoints/000000032/average.safetensors"
    monkeypatch.setattr("zoetrope.training.codecs.MEASURED", 12)
    scales = dict[str, float]()
    for name, freeze in (("frozen", ("coder.encoder*",)), ("partly", ("coder.encoder.0*",))):
        critic = CRITIC_OF.with_(temporal=True)
        made = recipe(CODEC.with_(temporal=True), critic, freeze=freeze, init_missing="fresh")
        reports = Run(made, "clips", tmp_path / name, CPU, init=file).train(tmp_path / "cache")
        next(reports)
        reports.close()  # type: ignore[attr-defined]
        list(Run(made, "clips", tmp_path / name, CPU).train(tmp_path / "cache"))
        found = write_codec(made, "clips", tmp_path / name, CPU)
        assert found is not None
        scales[name] = found.scale
        same = latent_identity(load_codec(tmp_path / name / "codec")) == latent_identity(own)
        assert same == (name == "frozen")
    assert scales["frozen"] == float(own.scale) != scales["partly"]


def test_a_scale_that_cannot_stay_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where no finished codec lies beside the weights, or one of other weights."""
    monkeypatch.setattr("zoetrope.training.codecs.MEASURED", 8)
    list(Run(recipe(), "clips", tmp_path / "images", CPU).train(tmp_path / "cache"))
    file = tmp_path / "images/checkpoints/000000032/average.safetensors"

    def told(name: str, **fields: Any) -> bool:
        caplog.clear()
        Run(
            recipe(CODEC.with_(temporal=True), init_missing="fresh", **fields), "clips", tmp_path / name, CPU, init=file
        )
        return f"{file}: no finished codec with this encoder" in caplog.text

    frozen = {"freeze": ("coder.encoder*",)}
    assert told("unfinished", **frozen) and not told("learning")
    save_codec(awake(ReconstructionConfig(codec=CODEC).build()).coder, tmp_path / "images/codec")
    assert told("another", **frozen)
    save_codec(CODEC.build(), tmp_path / "images/codec", over=True)
    assert write_codec(recipe(), "clips", tmp_path / "images", CPU) is not None
    assert not told("finished", **frozen)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ReconstructionConfig(codec=PixelCodec()), "codec: expected one with weights, got 'pixels'"),
        (lambda: ReconstructionConfig(codec=CODEC.with_(channels=13)), "codec.channels: expected at most 12.*, got 13"),
        (lambda: recipe(objective=Denoising()), "objective: expected 'reconstruct', for its network .* got 'denoise'"),
        (lambda: recipe(CODEC.with_(f=16)), "height: expected a multiple of the codec's factor 16, got 8; nearest: 16"),
        (
            lambda: load_recipe("mini").override("base.training.objective", {"type": "reconstruct"}),
            "objective: expected another, for its network denoises, got 'reconstruct'",
        ),
    ],
)
def test_what_no_codec_learns_from(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_critic_is_no_stage() -> None:
    stage = recipe().cascade.stages[0].with_(network=CRITIC_OF)
    with pytest.raises(ValueError, match="expected no training, for 'patch_critic' is trained beside another network"):
        Recipe(name="r", cascade=CascadeSpec(name="r", stages=(stage,)), training={"clips": recipe().training["clips"]})


def test_learning_makes_reconstructions_better() -> None:
    """Fifty steps on four pictures: the error falls by half."""
    network = ReconstructionConfig(codec=CODEC).build()
    spec = recipe(critic=None).training["clips"]
    assert isinstance(spec.objective, Reconstruct) and spec.objective.players(recipe().cascade.stages[0]) == {}
    data = Toybox(scripts=3).open()
    x = torch.stack([data.example(number, CLIP).video for number in range(4)])
    adam = torch.optim.Adam(network.parameters(), 5e-3)
    found = []
    for _ in range(50):
        one = Lesson(x, torch.randn_like(x), torch.zeros(4), NONE)
        error = spec.objective(recipe().cascade.stages[0], one, {"student": network}).mean()
        adam.zero_grad()
        error.backward()
        adam.step()
        found.append(float(error.detach()))
    assert found[-1] < found[0] / 2


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of MobileNetV2 at random."""
    torch.manual_seed(0)
    network = MobileNetV2Config().build()
    for name, value in network.named_parameters():
        torch.nn.init.normal_(value, std=0.1 if name.endswith("bias") else (2 / value[0].numel()) ** 0.5)
    path = tmp_path_factory.mktemp("weights") / "mobilenet_v2.safetensors"
    write_weights(network, path, torch.float32)
    return path


def test_the_perceptual_distance_is_that_of_unit_vectors(judge: Path) -> None:
    network = MobileNetV2Config().build()
    read_weights(network, judge)
    x, y = torch.rand(2, 2, 3, 2, 24, 16) * 2 - 1
    one, other = (network(each, torch.zeros(2), NONE) for each in (x, y))
    made = (one - other).square().sum(1)[..., 0, 0]
    total = torch.zeros(2, 2)
    pictures = [each.transpose(1, 2).flatten(0, 1) for each in (x, y)]
    layers = [[network.get_submodule("stem")(torch.nn.functional.pad(p, (0, 1, 0, 1))).clamp(0, 6)] for p in pictures]
    for found in layers:
        for number in range(13):
            found.append(network.get_submodule(f"block{number}")(found[-1]))
    for number, size in ((0, (12, 8)), (2, (6, 4)), (5, (3, 2)), (12, (1, 1))):
        a, b = (found[number + 1] for found in layers)
        assert a.shape[2:] == size
        total += (1 - torch.cosine_similarity(a, b)).mean((1, 2)).unflatten(0, (2, 2)) * 2 / 4
    torch.testing.assert_close(made, total, rtol=1e-4, atol=1e-5)
    assert made.min() > 0.01 and torch.equal(network(x, torch.zeros(2), NONE), one)
    with pytest.raises(ValueError, match="height: expected 16 or more for MobileNetV2's features, got 8"):
        network(torch.zeros(1, 3, 1, 8, 16), torch.zeros(1), NONE)


def perceiving(judge: Path, **fields: Any) -> Recipe:
    """A codec of pictures that learns by the perceptual distance too."""
    objective = Reconstruct(critic=None, perceptual=Perceptual(weights=str(judge)), **fields)
    made = recipe(objective=objective, phases=(Phase(examples=16, batch=4, peak=2e-3),))
    return made.override("clips.shape", CLIP.with_(frames=1, height=16, width=16).to_json())


def test_gradients_reach_the_codec_through_the_perceptual_distance(judge: Path, tmp_path: Path) -> None:
    run = Run(perceiving(judge), "clips", tmp_path / "run", CPU)
    x = torch.rand(2, 3, 1, 16, 16) * 2 - 1
    one = Lesson(x, torch.randn_like(x), torch.zeros(2), NONE)
    with torch.no_grad():
        for weight in run.state.network.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    found, weighed = list[Tensor](), run.spec.objective
    assert isinstance(weighed, Reconstruct) and weighed.perceptual is not None
    for strength in (1e-9, 1.0):
        objective = weighed.with_(perceptual=weighed.perceptual.with_(strength=strength), divergence=0)
        learner = Learner(run.stage, run.spec.with_(objective=objective), run.state.players, CPU)
        learner.errors("student", one).sum().backward()
        last = run.state.network.last()
        assert last is not None and last.grad is not None
        found.append(last.grad.clone())
        run.state.players["student"].forget()
    assert float((found[1] - found[0]).norm() / found[0].norm()) > 0.05
    judging = run.state.players["perceptual"].network
    assert all(weight.grad is None and not weight.requires_grad for weight in judging.parameters())
    before = [weight.clone() for weight in judging.parameters()]
    list(run.train(tmp_path / "cache"))
    assert all(torch.equal(a, b) for a, b in zip(before, judging.parameters(), strict=True))
    newest = tmp_path / "run/checkpoints/000000016"
    assert not any("perceptual" in path.name for path in newest.iterdir())


def test_without_the_weights_it_says_what_to_do(judge: Path, tmp_path: Path) -> None:
    lost = perceiving(judge).override("clips.training.objective.perceptual.weights", str(tmp_path / "none.safetensors"))
    with pytest.raises(ValueError, match=r"objective\.perceptual: expected the file of its weights.*--set clips"):
        Run(lost, "clips", tmp_path / "run", CPU)
    stage = lost.cascade.stages[0]
    assert 'perceptual={"weights": "FILE"}' in str(Reconstruct().remark(stage)) and perceiving(judge) is not None
    assert lost.training["clips"].objective.remark(stage) is None
    with pytest.raises(ValueError, match="height: expected 16 or more for MobileNetV2's features, got 8"):
        Run(recipe(objective=lost.training["clips"].objective), "clips", tmp_path / "small", CPU)
