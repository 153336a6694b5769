"""Every preset and every backbone plays: two steps, saved, loaded, drawn; what a dry run says of it."""

import tomllib
from functools import cache

import numpy as np
import pytest
import torch

import tiny
from gander import backbones, cli, config, data, training
from gander.config import Config
from gander.model import load


@cache
def glyphs():
    """A few glyphs of 28 px as an .npz."""
    drawn = data.load("glyphs", limit=160)
    path = tiny.home() / "glyphs.npz"
    columns = {n: c.values.numpy() for n, c in drawn.columns.items()}
    np.savez(path, images=drawn.images.permute(0, 2, 3, 1).numpy(), label=columns["digit"])
    return str(path)


@pytest.mark.parametrize("preset", config.preset_names())
def test_a_preset_trains_saves_loads_and_draws_at_28_px(preset, tmp_path):
    own = config.load(preset)
    steps = 2 * own.game.critic_steps
    run = tiny.train(preset, out=tmp_path / "run", steps=steps, data=glyphs())
    model = load(run)
    assert model.images_seen == steps * tiny.BATCH
    assert model.draw(3).shape == (3, 1, 28, 28)
    with torch.no_grad():  # before rounding: after two steps most are still nearly gray
        raw = model.generator(model.values(range(9)))
    assert len(raw.flatten(1).unique(dim=0)) == 9
    assert model.card.preset == preset
    for knob in model.spec.knobs:
        if knob.given:  # the label itself, by name
            assert model.draw(2, **{knob.name: 3}).shape == (2, 1, 28, 28)


@pytest.mark.parametrize("preset", config.preset_names())
def test_a_preset_is_described_reads_back_and_is_its_own_family(preset):
    assert len(config.presets()[preset]) > 20
    own = config.load(preset)
    assert isinstance(own, Config) and own.preset == preset
    again = tomllib.loads(config.to_toml(own))
    assert config.from_dict(again) == own
    family = tiny.plan(preset).spec.family
    if preset.startswith(("cgan", "acgan", "infogan")):
        assert family.lower().startswith(preset.split("-")[0])
    else:
        assert family == "GAN"


@pytest.mark.parametrize("preset", config.preset_names())
def test_a_dry_run_says_what_would_be_done_and_does_nothing(preset, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["train", preset, "--data", glyphs(), "--dry-run", "--set", *tiny.SMALL]
    assert cli.run(words) == 0
    said = capsys.readouterr().out
    table = tomllib.loads(said)  # it is a file that would do it
    assert config.from_dict(table).training.batch == tiny.BATCH
    for word in ("parameters", "engine", "memory", "speed", "time", "would begin", "1 x 28 x 28"):
        assert word in said
    assert f"runs/00000-{preset}-glyphs-s0" in said
    assert list(tmp_path.iterdir()) == []


def test_the_tutorials_category_takes_the_frequencies_of_the_labels():
    spec = tiny.plan("infogan-lsgan", data=glyphs()).spec
    with np.load(glyphs()) as file:
        shares = np.bincount(file["label"], minlength=10) / len(file["label"])
    category = spec.code("category")
    assert category.given is None and category.is_discovered
    assert category.resolved.probs == pytest.approx(shares.tolist(), abs=1e-6)
    assert len(set(category.resolved.probs)) > 1


def test_the_presets_of_the_contract_are_there_with_the_codes_it_names():
    needed = {"gan", "dcgan", "cgan", "cgan-concat", "cgan-multiply", "cgan-embed", "acgan"}
    needed |= {"infogan", "acgan-infogan", "infogan-lsgan"}
    assert needed <= set(config.preset_names())
    discovered = {p: {c.name for c in config.load(p).codes.codes} - {"noise"} for p in needed}
    assert discovered["infogan"] == {"category", "c1", "c2"} == discovered["infogan-lsgan"]
    assert discovered["acgan-infogan"] == {"label", "c1", "c2", "c3"}
    lsgan = config.load("infogan-lsgan")
    assert (lsgan.optimiser.generator_rate, lsgan.optimiser.critic_rate) == (2e-4, 2e-4)
    assert (lsgan.optimiser.beta1, lsgan.optimiser.beta2) == (0.5, 0.999)
    assert (lsgan.training.batch, lsgan.game.critic_steps) == (32, 2)
    assert (lsgan.game.objective, lsgan.game.recogniser) == ("least-squares", "joint")
    assert lsgan.codes.code("c1").recognised == lsgan.codes.code("c2").recognised == 0.2
    gan = config.load("gan")
    assert (gan.model.backbone, gan.model.width, gan.training.batch) == ("mlp", 256, 96)
    assert gan.optimiser.generator_rate == gan.optimiser.critic_rate == 3e-4


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("backbone", backbones.names())
def test_a_backbone_trains_at_32_px_and_any_number_of_channels(
    backbone, channels, tmp_path, monkeypatch
):
    monkeypatch.setattr(training.sheets, "write_samples", lambda *_: [])
    source = tiny.source(channels=channels, side=32)
    run = tiny.train(
        "acgan-infogan", f"backbone={backbone}", out=tmp_path / "run", steps=2, data=source
    )
    model = load(run)
    drawn = model.draw(2)
    assert drawn.shape == (2, channels, 32, 32)
    assert model.read(drawn)["label"].shape == (2, 4)


@pytest.mark.parametrize(("labelled", "preset"), [(True, "cgan"), (False, "dcgan")])
def test_without_a_preset_the_images_decide(labelled, preset):
    settings = [*tiny.SMALL, "codes.noise.size=4"]
    chosen = tiny.configured(None, settings, data=tiny.source(labelled=labelled))
    assert chosen.preset == preset
    assert tiny.make_plan(chosen).images.label == ("label" if labelled else None)
