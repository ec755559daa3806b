"""Learning rates by name: their shapes, and what old recipes mean."""

import itertools
import json
from collections.abc import Callable

import pytest

from zoetrope.training.rates import Rate
from zoetrope.training.rates.cosine import CosineDecay
from zoetrope.training.rates.inverse_sqrt import InverseSqrt
from zoetrope.training.spec import Phase, Recipe, TrainSpec

Tiny = Callable[..., Recipe]


def test_every_rate_is_found_and_is_a_share() -> None:
    assert Rate.names() == ["constant", "cosine", "inverse_sqrt"]
    for kind in Rate.every():
        made = kind()
        assert Rate.from_json(made.to_json()) == made
        shares = [made.share(examples, 100) for examples in range(0, 101, 10)]
        assert shares[0] == 1 and all(0 < later <= share for share, later in itertools.pairwise(shares))


def test_values() -> None:
    assert [CosineDecay(least=0.2).share(n, 8) for n in (0, 4, 8, 9)] == pytest.approx([1, 0.6, 0.2, 0.2])
    assert [InverseSqrt(after=100).share(n, 8) for n in (0, 100, 400, 10_000)] == pytest.approx([1, 1, 0.5, 0.1])


def test_warm_up_and_cool_down_multiply_it(tiny: Tiny) -> None:
    spec = tiny().training["base"].with_(phases=(Phase(examples=100, peak=1e-2),))
    plain = spec.with_(warm_up=10, cool_down=10)
    curved = plain.with_(rate=CosineDecay(least=0.5))
    assert plain.learning_rate(4) == pytest.approx(5e-3) and plain.learning_rate(50) == pytest.approx(1e-2)
    for examples in (0, 4, 50, 95, 100):
        share = CosineDecay(least=0.5).share(examples, 100)
        assert curved.learning_rate(examples) == pytest.approx(share * plain.learning_rate(examples))


def test_recipes_from_before_there_were_rates(tiny: Tiny) -> None:
    made = tiny()
    old = made.to_json()
    for training in old["training"].values():
        for field in ("rate", "freeze", "lora", "patience", "trackers"):
            del training[field]
    assert Recipe.from_json(json.dumps(old)) == made
    assert isinstance(old["training"]["base"]["half_life"], int)


def test_refusals(tiny: Tiny) -> None:
    made = tiny()
    with pytest.raises(ValueError, match=r"training\.base: rate: unknown rate 'cosin'; did you mean 'cosine'\?"):
        made.override("base.training.rate", {"type": "cosin"})
    with pytest.raises(ValueError, match="least: expected above 0 and at most 1"):
        made.override("base.training.rate", {"type": "cosine", "least": 2})
    with pytest.raises(ValueError, match="half_life: expected different numbers"):
        made.override("base.training.half_life", [3, 3])
    with pytest.raises(ValueError, match="freeze: with lora all but the adapters is frozen"):
        made.override("base.training.lora", {}).override("base.training.freeze", ["*"])
    assert TrainSpec.from_json(made.training["base"].to_json() | {"half_life": [5, 7]}).half_lives == (5, 7)
