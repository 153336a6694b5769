"""A trained game: one seed is one image, one knob is one knob, and a stranger's file is looked at before it is believed."""

import json
import shutil

import numpy as np
import pytest
import torch

import gander
import tiny
from gander import backbones, weights
from gander.errors import CodeError, GanderError, RunError
from gander.model import CHUNK, Card, Model, load
from gander.runs import Run

LINE = (
    "noise:gaussian(5) style:gaussian(3),recognised label:given,shown,recognised "
    "c:categorical(3),recognised u:uniform,recognised turn:circular,recognised "
    "on:binary(2),recognised"
)


def fresh(backbone="dcgan", channels=1, side=16, line=LINE):
    """An untrained model under every kind of code."""
    plan = tiny.plan(
        "gan",
        f"codes={line}",
        f"backbone={backbone}",
        data=tiny.source(channels=channels, side=side),
    )
    game = plan.game()
    with torch.no_grad():
        for parameter in game.generator.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return Model(plan.card, game.generator, game.critic)


# ---------------------------------------------------------------------- one seed, one image
@pytest.mark.parametrize("backbone", backbones.names())
def test_one_seed_is_one_image_whatever_is_drawn_beside_it(backbone):
    model = fresh(backbone, channels=3, side=max(20, backbones.find(backbone).SIZES[0]))
    seeds = [*range(60), 7, 7, 2**31, 2**40, 3, 123456, 10**9, 0, 61, 5]
    together = model.draw(seeds=seeds)
    assert len(together) == 70 > 2 * CHUNK
    for row, seed in enumerate(seeds):
        assert torch.equal(together[row], model.draw(seed=seed)[0]), (row, seed)
    assert torch.equal(model.draw(5, seed=2), together[2:7])
    assert len({image.numpy().tobytes() for image in together}) > 50


@pytest.mark.parametrize("backbone", backbones.names())
def test_a_reading_does_not_depend_on_the_images_beside_it(backbone):
    model = fresh(backbone, side=max(16, backbones.find(backbone).SIZES[0]))
    images = torch.randint(0, 256, (CHUNK + 9, *model.card.shape), dtype=torch.uint8)
    whole = model.read(images)
    for row in (0, CHUNK - 1, CHUNK, CHUNK + 8):
        alone = model.read(images[row : row + 1])
        assert all(torch.equal(whole[name][row], alone[name][0]) for name in whole)


def test_drawing_twice_is_drawing_once_and_changes_nothing():
    model = fresh()
    before = {n: t.clone() for n, t in model.generator.state_dict().items()}
    torch.manual_seed(1)
    first = model.draw(40)
    torch.manual_seed(2)
    assert torch.equal(first, model.draw(40))
    assert all(torch.equal(before[n], t) for n, t in model.generator.state_dict().items())


def test_no_images_are_no_images():
    assert fresh().draw(0).shape == (0, 1, 16, 16)


# ---------------------------------------------------------------------- knobs
SETTINGS = {
    "label": 2,
    "c": 1,
    "u": 0.25,
    "turn": "90deg",
    "on": "yes",
    "style": -1.5,
    "style.1": 0.75,
    "on.0": 1,
    "noise": 0.0,
    "noise.4": 2.0,
}


@pytest.mark.parametrize("name", SETTINGS)
def test_setting_one_code_leaves_every_other_random_number_untouched(name):
    model, seeds = fresh(), range(50)
    free, fixed = model.values(seeds), model.values(seeds, **{name: SETTINGS[name]})
    code, _, part = name.partition(".")
    for other in free:
        if other != code:
            assert torch.equal(free[other], fixed[other])
    wanted = model.spec.code(code).resolved.parse(str(SETTINGS[name]))
    if part:
        rest = [k for k in range(free[code].shape[1]) if k != int(part)]
        assert torch.equal(free[code][:, rest], fixed[code][:, rest])
        assert (fixed[code][:, int(part)] == wanted).all()
    else:
        assert torch.allclose(fixed[code].double(), torch.tensor(wanted).double())
    assert not torch.equal(free[code], fixed[code])


def test_a_code_takes_a_value_for_each_image():
    model = fresh()
    values = model.values(range(3), label=[0, 1, 2], u=torch.tensor([0.1, 0.2, 0.3]))
    assert values["label"].tolist() == [0, 1, 2]
    assert values["u"][:, 0].tolist() == pytest.approx([0.1, 0.2, 0.3])
    with pytest.raises(CodeError, match="2 values for 3 images"):
        model.values(range(3), label=[0, 1])


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"labl": 1}, "Did you mean 'label'"),
        ({"label": 4}, "index from 0 to 3"),
        ({"label": -1}, "index from 0 to 3"),
        ({"label": 1.5}, "index from 0 to 3"),
        ({"label": "cat"}, "index from 0 to 3"),
        ({"label": True}, "index from 0 to 3"),
        ({"label.0": 1}, "is one class"),
        ({"u": float("nan")}, "usually between -1 and 1"),
        ({"u": "x"}, "usually between -1 and 1"),
        ({"u": None}, "usually between -1 and 1"),
        ({"style.3": 1}, "parts 0 to 2"),
        ({"style.x": 1}, "parts 0 to 2"),
        ({"style.²": 1}, "parts 0 to 2"),
        ({"on": 2}, "0 or 1"),
        ({"turn": "north"}, "angle"),
    ],
)
def test_a_wrong_code_or_value_is_one_message_naming_the_right_ones(setting, says):
    with pytest.raises(CodeError, match=says):
        fresh().draw(2, **setting)


def test_a_sweep_moves_one_code_from_end_to_end_for_each_seed():
    model = fresh()
    swept = model.sweep("u", 5, seed=3, rows=2, label=1)
    assert swept.shape == (2, 5, 1, 16, 16)
    for row, seed in enumerate((3, 4)):
        for column, u in enumerate((-1, -0.5, 0, 0.5, 1)):
            assert torch.equal(swept[row, column], model.draw(seed=seed, u=u, label=1)[0])
    assert model.points("label").tolist() == [0, 1, 2, 3]
    assert model.points("on").tolist() == [0, 1]
    assert len(model.points("u")) == len(model.points("style.1")) == 9


# ---------------------------------------------------------------------- reading
def test_a_reading_is_probabilities_or_means_in_the_codes_own_unit():
    model = fresh()
    read = model.read(torch.randint(0, 256, (9, 1, 16, 16), dtype=torch.uint8))
    assert {name: tuple(r.shape) for name, r in read.items()} == {
        "style": (9, 3),
        "label": (9, 4),
        "c": (9, 3),
        "u": (9, 1),
        "turn": (9, 1),
        "on": (9, 2),
    }
    for name in ("label", "c"):
        assert torch.allclose(read[name].sum(1), torch.ones(9)) and (read[name] >= 0).all()
    assert ((read["on"] >= 0) & (read["on"] <= 1)).all()
    assert (read["turn"].abs() <= np.pi + 1e-6).all()


def test_reading_needs_a_recogniser_the_critic_and_images_of_the_right_shape():
    model = fresh()
    with pytest.raises(RunError, match="no recogniser"):
        fresh(line="noise:gaussian(4)").read(torch.zeros(1, 1, 16, 16, dtype=torch.uint8))
    with pytest.raises(RunError, match="only the generator"):
        Model(model.card, model.generator).read(torch.zeros(1, 1, 16, 16, dtype=torch.uint8))
    with pytest.raises(RunError, match=r"\(1, 16, 16\)"):
        model.read(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))


# ---------------------------------------------------------------------- loading
@pytest.mark.parametrize(
    "preset", ["acgan-infogan", "infogan-lsgan", "cgan", "cgan-multiply", "cgan-embed", "gan"]
)
def test_a_generators_file_alone_draws_what_its_run_draws(preset, tmp_path):
    run = tiny.run(preset)
    shutil.copy(run / "weights" / "averaged.safetensors", tmp_path / "elsewhere.safetensors")
    (tmp_path / "folder").mkdir()
    shutil.copy(run / "weights" / "averaged.safetensors", tmp_path / "folder")
    whole, alone = load(run), gander.load(tmp_path / "elsewhere.safetensors")
    assert alone.critic is None and whole.critic is not None
    assert torch.equal(whole.draw(40), alone.draw(40))
    assert torch.equal(whole.draw(9), load(tmp_path / "folder").draw(9))
    assert repr(alone) == repr(whole) and alone.images_seen == 4 * tiny.BATCH


def test_a_model_draws_what_training_would_have_drawn():
    """Saved and loaded again, the averaged generator makes the same images bit by bit."""
    plan = tiny.plan("acgan-infogan", images=4 * tiny.BATCH)
    from gander.players import make_players, model_of, restore

    players = make_players(plan)
    restore(players, Run(tiny.run("acgan-infogan")), print)
    inside, loaded = model_of(plan, players), load(tiny.run("acgan-infogan"))
    assert torch.equal(inside.draw(40), loaded.draw(40))
    images = plan.images.images[:5]
    inside_read, loaded_read = inside.read(images), loaded.read(images)
    assert all(torch.allclose(inside_read[k], loaded_read[k], atol=1e-5) for k in inside_read)


def test_averaged_and_live_weights_are_both_there_and_differ(tmp_path):
    run = tiny.run("acgan-infogan")
    averaged, live = load(run), load(run, averaged=False)
    assert not torch.equal(averaged.draw(9), live.draw(9))
    for who, model in (("averaged", averaged), ("generator", live)):
        tensors, _ = weights.read(run / "weights" / f"{who}.safetensors")
        assert all(torch.equal(t, tensors[n]) for n, t in model.generator.state_dict().items())
    off = load(tiny.run("acgan-infogan", "average_halflife=0"))
    on = load(tiny.run("acgan-infogan", "average_halflife=0"), averaged=False)
    assert torch.equal(off.draw(9), on.draw(9))


def test_an_unknown_device_is_one_message():
    for device in ("tpu", "cuda:99", "", "meta", "cpu0"):
        with pytest.raises(GanderError, match="no device"):
            load(tiny.run("gan"), device)


def test_a_folder_without_weights_says_so(tmp_path):
    with pytest.raises(RunError, match="holds no weights yet"):
        load(tmp_path)


# ---------------------------------------------------------------------- strangers
def stranger(path, change, tensors=None):
    """A generator's file whose card someone has edited."""
    own, facts = weights.read(tiny.run("acgan-infogan") / "weights" / "averaged.safetensors")
    facts = json.loads(json.dumps(facts))
    change(facts)
    weights.write(path, own if tensors is None else tensors(own), facts)
    return path


def card(**fields):
    return lambda facts: facts["card"].update(fields)


def code(name, **fields):
    return lambda facts: facts["card"]["spec"][name].update(fields)


HUGE = 10**12
WRONG = {
    "no card": lambda facts: facts.pop("card"),
    "a card of text": lambda facts: facts.update(card="hello"),
    "a card that is a list": lambda facts: facts.update(card=[1, 2]),
    "no shape": lambda facts: facts["card"].pop("shape"),
    "no codes": lambda facts: facts["card"].pop("spec"),
    "codes that are text": card(spec="noise"),
    "an empty specification": card(spec={}),
    "a shape of two": card(shape=[28, 28]),
    "a shape of words": card(shape=["a", "b", "c"]),
    "a negative side": card(shape=[1, -16, 16]),
    "nine channels": card(shape=[9, 16, 16]),
    "an infinite side": card(shape=[1, float("inf"), 16]),
    "a huge side": card(shape=[1, HUGE, HUGE]),
    "a larger side": card(shape=[1, 32, 32]),
    "a huge width": card(width=HUGE),
    "another width": card(width=5),
    "the largest width": card(width=8192),
    "no width": card(width=0),
    "a strange backbone": card(backbone="../../etc/passwd"),
    "another backbone": card(backbone="resnet"),
    "huge noise": code("noise", size=HUGE),
    "more than an integer of noise": code("noise", size=10**30),
    "wide noise": code("noise", size=90_000),
    "a strange kind": code("noise", kind="cauchy"),
    "a strange way in": code("c1", fed="telepathy"),
    "too few names": code("label", names=["a"]),
    "bad chances": code("label", probs=[2, -1, 0, 0]),
    "a code that waits for data": lambda facts: facts["card"]["spec"].update(
        extra={"given": "digit", "recognised": 1.0}
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_the_card_of_a_stranger_is_refused_before_anything_is_built(wrong, tmp_path):
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(GanderError) as refused:
        load(stranger(tmp_path / "x.safetensors", WRONG[wrong]))
    assert refused.value.exit_code == 2 and len(str(refused.value)) < 1000
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000  # kB


@pytest.mark.parametrize(
    "change",
    [
        lambda own: {},
        lambda own: {n: t for i, (n, t) in enumerate(own.items()) if i},
        lambda own: own | {"extra": torch.zeros(2)},
        lambda own: {n: t[..., :1] if t.dim() else t for n, t in own.items()},
    ],
    ids=["none", "one missing", "one too many", "wrong shapes"],
)
def test_weights_that_do_not_fit_their_card_are_refused(change, tmp_path):
    with pytest.raises(RunError, match="does not hold the weights"):
        load(stranger(tmp_path / "x.safetensors", lambda facts: None, change))


def test_two_files_of_different_models_are_told_as_that(tmp_path):
    run = tiny.train("infogan", out=tmp_path / "run", steps=1)
    other = tiny.train("gan", out=tmp_path / "other", steps=1)
    name = "weights/averaged.safetensors"
    (run / name).write_bytes((other / name).read_bytes())
    with pytest.raises(
        RunError, match=r"critic\.safetensors and averaged\.safetensors .* not of one model"
    ):
        load(run)
    assert load(run / name).draw(2).shape[0] == 2


def test_facts_that_do_not_matter_may_be_odd(tmp_path):
    file = stranger(tmp_path / "x.safetensors", lambda facts: facts.update(images_seen="many"))
    assert load(file).images_seen == 0


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"\xff" * 100, b"\x08\0\0\0\0\0\0\0{}      ", b"\0" * 5000],
    ids=["empty", "text", "ones", "no facts", "zeros"],
)
def test_a_file_that_is_no_weights_is_refused(content, tmp_path):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(RunError, match=r"x\.safetensors"):
        load(tmp_path / "x.safetensors")


def test_any_cut_or_flipped_byte_is_loaded_or_refused_but_never_a_crash(tmp_path):
    whole = (tiny.run("gan") / "weights" / "averaged.safetensors").read_bytes()
    generator = np.random.default_rng(0)
    file, refused = tmp_path / "x.safetensors", 0
    for turn in range(60):
        content = bytearray(whole)
        if turn % 2:
            del content[int(generator.integers(len(content))) :]
        else:
            content[int(generator.integers(min(1500, len(content))))] ^= 1 << int(
                generator.integers(8)
            )
        file.write_bytes(content)
        try:
            load(file).draw(1)
        except GanderError:
            refused += 1
    assert refused >= 30


def test_a_card_survives_the_way_through_json():
    model = fresh()
    again = Card.from_dict(json.loads(json.dumps(model.card.to_dict())))
    assert again == model.card
