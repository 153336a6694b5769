"""The way back: whatever the model, what is found lies where draws lie, is no worse than its start, and is judged among others."""

import pytest
import torch

import gander
import tiny
from gander import backbones, inversion
from gander import data as sources
from gander.errors import CodeError, RunError
from gander.inversion import Edit, invert, judged
from gander.model import Model, load
from test_model import fresh

FEW = ((4, 6), (2, 6), (1, 8))
FAMILY = ("gan", "cgan", "cgan-multiply", "cgan-embed", "acgan", "infogan", "acgan-infogan")


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """A search of a few steps among a few draws."""
    monkeypatch.setattr(inversion, "DRAWS", 64)
    monkeypatch.setattr(inversion, "NEAR", 16)


def found(model, images, stages=FEW, read=True, **options):
    reads = model.read if read and model.spec.recognised else None
    return invert(model.generator, model.spec, images, read=reads, stages=stages, **options)


def noise(model, count=2):
    dice = torch.Generator().manual_seed(3)
    shape = (count, *model.card.shape)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=dice)


# ---------------------------------------------------------------------- laws of every member
@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("backbone", backbones.names())
def test_what_is_found_lies_where_draws_lie_and_is_no_worse_than_its_start(backbone, read):
    model = fresh(backbone, channels=3, side=max(16, backbones.find(backbone).SIZES[0]))
    images = torch.cat([model.draw(2, seed=5), noise(model)])
    result = found(model, images, read=read)
    assert (result.errors <= result.first_errors + 0.6).all()  # the drawing is rounded
    assert torch.equal(result.errors, inversion.difference(images, result.drawings))
    assert torch.equal(result.drawings, model.render(result.values))
    for code in model.spec.codes:
        value, kind = result.values[code.name], code.resolved
        assert value.shape == (4, *kind.shape) and not value.requires_grad
        assert value.dtype == model.values([0])[code.name].dtype
        if code.is_noise:
            assert (value.norm(dim=1) <= kind.size**0.5 + inversion.LONGER + 1e-4).all()
        elif kind.name == "categorical":
            assert ((value >= 0) & (value < kind.size)).all()
        elif kind.name == "binary":
            assert ((value == 0) | (value == 1)).all()
        else:
            slider = kind.slider()
            assert (value >= slider["low"] - 1e-5).all() and (value <= slider["high"] + 1e-5).all()


@pytest.mark.parametrize("preset", FAMILY)
def test_every_member_of_the_family_finds_its_own_drawings_better_than_any_start(preset):
    model = fresh(line=tiny.plan(preset).card.spec.__str__())
    result = found(model, model.draw(4, seed=9), ((4, 20), (1, 60)))
    assert (result.errors < 0.7 * result.first_errors).all()


def test_everything_that_is_a_number_moves_and_every_choice_stays_with_a_start():
    model = fresh()
    start = found(model, noise(model), ((1, 0),), read=False).values
    end = found(model, noise(model), ((1, 5),), read=False).values
    for code in model.spec.codes:
        moved = not torch.equal(start[code.name], end[code.name])
        assert moved == (not code.resolved.discrete), code.name


def test_networks_stay_as_they_are_whether_they_learn_or_not():
    model = fresh()
    for k, parameter in enumerate([*model.generator.parameters(), *model.critic.parameters()]):
        parameter.requires_grad_(k % 2 == 0)
    before = {n: t.clone() for n, t in model.generator.state_dict().items()}
    learns = [p.requires_grad for p in model.generator.parameters()]
    with torch.no_grad():  # whoever asks may be drawing
        result = found(model, noise(model))
    assert (result.errors < result.first_errors).all()
    assert [p.requires_grad for p in model.generator.parameters()] == learns
    assert all(p.grad is None for p in model.generator.parameters())
    assert all(torch.equal(before[n], t) for n, t in model.generator.state_dict().items())


def test_a_search_is_a_function_of_its_seed_alone():
    model = fresh()
    torch.manual_seed(1)
    first = found(model, noise(model))
    torch.manual_seed(2)
    again, other = found(model, noise(model)), found(model, noise(model), seed=1)
    assert all(torch.equal(first.values[n], again.values[n]) for n in first.values)
    assert not torch.equal(first.values["noise"], other.values["noise"])


def test_many_images_are_searched_in_parts_and_do_not_disturb_each_other(monkeypatch):
    model, parts = fresh(), []
    images = torch.cat([noise(model), model.draw(3, seed=1)])
    together = found(model, images)
    monkeypatch.setattr(inversion, "MOST_PIXELS", 16 * images[0].numel() * 4 * 2)
    whole = inversion._invert
    monkeypatch.setattr(inversion, "_invert", lambda *a: parts.append(len(a[2])) or whole(*a))
    apart = found(model, images)
    assert parts == [2, 2, 1]
    assert torch.allclose(apart.errors, together.errors, atol=1.0)


def test_the_codes_that_are_read_are_where_half_of_the_starts_begin():
    model, said = fresh(), {}

    def read(images):
        said["asked"] = tuple(images.shape)
        reading = model.read(images)
        reading["label"] = torch.tensor([[0.0, 0.0, 0.9, 0.1]] * len(images))
        return reading

    wide = found(model, noise(model), ((4, 0), (4, 0)))
    told = invert(model.generator, model.spec, noise(model), read=read, stages=((2, 0),))
    assert said["asked"] == (2, 1, 16, 16)
    assert (told.first_errors >= wide.first_errors - 40).all()
    tried = inversion._as_read(
        model.spec, {n: r[0] for n, r in read(noise(model)).items()}, model.values(range(16))
    )
    assert sorted(set(tried["label"].tolist())) == [2, 3]
    assert len(set(tried["u"].flatten().tolist())) == 1


# ---------------------------------------------------------------------- the verdict
DRAWN, REAL, CONTRASTS = (1.0, 2.0, 4.0), (5.0, 9.0, 20.0), (0.1, 0.2, 0.4)


@pytest.mark.parametrize(
    ("error", "contrast", "real", "outside", "says"),
    [
        (8.0, 0.2, REAL, False, "nearer than 2 of 3 real images (5.0 to 20.0"),
        (
            20.5,
            0.3,
            REAL,
            True,
            "OUTSIDE what this model can draw: error 20.5 gray levels, more than",
        ),
        (8.0, 0.5, REAL, True, "50% of the picture's own contrast"),
        (60.0, 0.8, (50.0, 70.0), True, "2 real images do no better (50.0 to 70.0"),
        (3.0, 0.2, (), False, "drawings of the model itself: 1.0 to 4.0"),
        (50.0, 0.9, (), True, "OUTSIDE"),
    ],
)
def test_the_verdict_ranks_an_error_among_those_of_others(error, contrast, real, outside, says):
    contrasts = [c if real == REAL else 0.9 for c in CONTRASTS[: len(real)]]
    verdict = judged(error, contrast, DRAWN, real, contrasts)
    assert verdict[0] == outside and says in verdict[1]
    assert ("something else than your picture" in verdict[1]) == outside


# ---------------------------------------------------------------------- from Python
def test_an_edit_is_the_found_drawing_with_the_codes_changed():
    model = load(tiny.run())
    one = model.draw(1, seed=3)[0]
    edit = model.edit(one, own=3, c1=1, label=2)
    assert isinstance(edit, Edit) and str(edit) == edit.verdict
    assert edit.image.shape == edit.reconstruction.shape == edit.original.shape == one.shape
    assert edit.image.dtype == torch.uint8 and torch.equal(edit.original, one)
    assert set(edit.values) == set(model.spec.by_name)
    assert edit.edited["c1"].tolist() == [1.0] and int(edit.edited["label"]) == 2
    assert torch.equal(edit.edited["noise"], edit.values["noise"])
    rows = {n: v.unsqueeze(0) for n, v in edit.edited.items()}
    assert torch.equal(model.render(rows)[0], edit.image)
    assert len(edit.drawn) == 3 and edit.real == ()
    batch = model.edit(one.unsqueeze(0), own=3, c1=1, label=2)
    assert torch.equal(batch.image, edit.image)


def test_real_images_are_searched_for_beside_the_picture():
    model, real = load(tiny.run()), tiny.data().images[:5]
    edit = model.edit(real[0], real=real[1:], own=2)
    assert len(edit.real) == 4 and len(edit.drawn) == 2
    assert torch.equal(edit.image, edit.reconstruction)
    assert "4 real images" in edit.verdict


def test_a_model_without_a_reader_or_without_knobs_finds_too():
    model = load(tiny.run("infogan"))
    alone = Model(model.card, model.generator)
    assert alone.edit(model.draw(1)[0], own=0).read == {}
    bare = load(tiny.run("gan"))
    assert bare.edit(bare.draw(1)[0], own=0).error >= 0
    with pytest.raises(CodeError, match="no knob"):
        bare.edit(bare.draw(1)[0], slant=1)


def test_what_cannot_be_edited_is_said_before_the_search(monkeypatch):
    model = load(tiny.run())
    monkeypatch.setattr(inversion, "invert", None)
    good = model.draw(1)[0]
    for bad in (good[:, 1:], good.float(), model.draw(2)):
        with pytest.raises(RunError, match="one image of shape"):
            model.edit(bad)
    with pytest.raises(CodeError, match="c9"):
        model.edit(good, c9=1)


# ---------------------------------------------------------------------- a trained model
@pytest.mark.slow
def test_a_trained_model_finds_its_drawings_with_their_codes_and_no_impostor(tmp_path, monkeypatch):
    monkeypatch.undo()  # the whole search
    run = gander.train(
        "acgan-infogan",
        settings=["width=16"],
        data="glyphs",
        images=50_000,
        out=str(tmp_path / "run"),
        quiet=True,
    )
    model = load(run)
    values = model.values(range(24))
    result = found(model, model.render(values), inversion.STAGES)
    assert result.errors.median() < 0.4 * result.first_errors.median()
    assert (result.values["digit"] == values["digit"]).float().mean() > 0.8
    test = sources.load("glyphs", "test").images
    impostors = {
        "inverted": 255 - test[0],
        "noise": noise(model, 1)[0],
        "blank": torch.zeros_like(test[0]),
        "two": torch.maximum(test[1].roll(-7, 2), test[2].roll(7, 2)),
    }
    for name, impostor in impostors.items():
        assert model.edit(impostor, real=test[10:34]).outside, name
    inside = [not model.edit(image, real=test[10:34], own=0).outside for image in test[:5]]
    assert sum(inside) >= 4
