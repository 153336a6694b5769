"""The family: each textbook loss, written out in plain PyTorch, equals ``Game`` under its specification.

The textbooks below call the networks' own layers and nothing else of gander: inputs, losses and who receives which
gradient are written by hand. Values and gradients must agree.
"""

import math
from typing import get_args

import pytest
import torch
import torch.nn.functional as F

from gander import augmentations, backbones, config
from gander.code import BEHIND, Scored, Shown
from gander.codes import CodeSpec
from gander.conditioning import SteeredGenerator
from gander.critic import Critic
from gander.errors import CodeError
from gander.game import RECOGNISERS, Game
from gander.kinds import Binary, Categorical, Circular, Gaussian, Uniform
from gander.objectives import OBJECTIVES
from gander.penalties import PENALTIES

SHAPE = (2, 16, 18)
ROWS = 6
COLUMNS = {
    "digit": Categorical(3),
    "slant": Uniform(1, -2.0, 4.0),
    "angle": Circular(2),
    "tags": Binary(2),
    "pose": Gaussian(2),
}
FORMS = get_args(Shown)
AT_INPUT = tuple(form for form in FORMS if form not in BEHIND)
SCORED = get_args(Scored)
PLAYED = ("mlp", "dcgan")  # without and with statistics of the batch; neither draws dropout
FAMILY = {
    "gan": "noise:gaussian(5)",
    "cgan": "noise:gaussian(5) digit:given,shown",
    "cgan-concat": "noise:gaussian(5) digit:given,shown=concat",
    "cgan-multiply": "noise:gaussian(5) digit:given,shown=multiply",
    "cgan-embed": "noise:gaussian(5) digit:given,shown=embed",
    "acgan": "noise:gaussian(5) digit:given,recognised,learns=both",
    "acgan-real": "noise:gaussian(5) digit:given,recognised",
    "infogan": "noise:gaussian(5) category:categorical(4),recognised c1:uniform(2),recognised=0.3",
    "mixture": "noise:gaussian(5) digit:given,shown,recognised=0.7 slant:given,shown=concat "
    "turn:circular,recognised=0.4 switch:binary(2),recognised=0.2",
}


def play(line, backbone="mlp", objective="nonsaturating", norm=None, shape=SHAPE, **settings):
    torch.manual_seed(0)
    spec = CodeSpec.parse(line).resolve(COLUMNS, "digit")
    networks = backbones.find(backbone)
    width = 16 if backbone == "mlp" else 4
    generator = SteeredGenerator(spec, networks.Generator, shape, width)
    critic = Critic(spec, networks.Trunk, shape, width, norm or networks.NORM)
    with torch.no_grad():  # away from the start, where offsets are zero and embeddings small
        for parameter in [*generator.parameters(), *critic.parameters()]:
            parameter += 0.1 * torch.randn_like(parameter)
    return Game(spec, generator, critic, OBJECTIVES[objective], **settings)


def deal(game, seed=0, rows=ROWS):
    """A batch: real images, the given codes' values, and every code's draw."""
    real = torch.empty(rows, *SHAPE).uniform_(-1, 1, generator=torch.Generator().manual_seed(seed))
    drawn = game.spec.draw(seed, "train", 0, rows)
    other = game.spec.draw(seed, "columns", 0, rows)
    return real, {code.name: other[code.name] for code in game.spec.given}, drawn


def parameters(network):
    return list(network.parameters())


def gradients(loss, network):
    grads = torch.autograd.grad(loss, parameters(network), allow_unused=True, retain_graph=True)
    return [
        torch.zeros_like(p) if g is None else g
        for p, g in zip(parameters(network), grads, strict=True)
    ]


def total(terms):
    return torch.stack(list(terms.values())).sum()


def assert_same(ours, textbook, network):
    """One number and one gradient."""
    torch.testing.assert_close(ours, textbook, rtol=1e-6, atol=1e-6)
    for a, b in zip(gradients(ours, network), gradients(textbook, network), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def assert_plays(game, batch, critic, generator):
    """``critic`` and ``generator`` are the textbook's losses, from zero-argument functions."""
    torch.manual_seed(1)
    ours = total(game.critic_terms(*batch))
    torch.manual_seed(1)
    assert_same(ours, critic(), game.critic)
    assert_same(total(game.generator_terms(*batch)), generator(), game.generator)


def nothing(rows=ROWS):
    return torch.empty(rows, 0)


def judge(game, seen):
    return game.critic.judge(game.critic.trunk(seen)).squeeze(1)


def read(game, seen):
    return game.critic.reader.layers(game.critic.trunk(seen))


def cross_entropy(probability, target):
    return F.binary_cross_entropy(probability, torch.full_like(probability, target))


def gaussian_nll(mean, value, deviation=1.0):
    """-log N(value; mean, deviation²), summed over dimensions, averaged over the batch."""
    error = (value - mean) / deviation
    constant = math.log(deviation * math.sqrt(2 * math.pi))
    return (0.5 * error.square() + constant).sum(1).mean()


# ---------------------------------------------------------------------- the adversarial part
@pytest.mark.parametrize("backbone", PLAYED)
@pytest.mark.parametrize("objective", ["minimax", "nonsaturating"])
def test_noise_alone_is_the_gan_of_2014(backbone, objective):
    game = play(FAMILY["gan"], backbone, objective)
    real, known, drawn = deal(game)

    def G():
        return game.generator.body(drawn["noise"], nothing())

    def D(images):
        return torch.sigmoid(judge(game, images))

    def critic():
        return cross_entropy(D(G().detach()), 0.0) + cross_entropy(D(real), 1.0)

    def generator():
        if objective == "minimax":
            return torch.log(1 - D(G())).mean()
        return cross_entropy(D(G()), 1.0)

    assert_plays(game, (real, known, drawn), critic, generator)


@pytest.mark.parametrize("backbone", PLAYED)
def test_least_squares_is_lsgan(backbone):
    game = play(FAMILY["gan"], backbone, "least-squares")
    real, known, drawn = deal(game)

    def G():
        return game.generator.body(drawn["noise"], nothing())

    def critic():
        fake, true = judge(game, G().detach()), judge(game, real)
        return 0.5 * F.mse_loss(fake, torch.zeros(ROWS)) + 0.5 * F.mse_loss(true, torch.ones(ROWS))

    assert_plays(
        game,
        (real, known, drawn),
        critic,
        lambda: 0.5 * F.mse_loss(judge(game, G()), torch.ones(ROWS)),
    )


def test_wasserstein_with_the_gradient_penalty_is_wgan_gp():
    game = play(FAMILY["gan"], objective="wasserstein", penalties={"gradient": 10.0})
    real, known, drawn = deal(game)

    def G():
        return game.generator.body(drawn["noise"], nothing())

    def critic():
        fake = G().detach()
        mix = torch.rand(ROWS, 1, 1, 1)
        between = (real + mix * (fake - real)).requires_grad_(True)
        (slope,) = torch.autograd.grad(judge(game, between).sum(), between, create_graph=True)
        penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        return judge(game, fake).mean() - judge(game, real).mean() + 10 * penalty

    assert_plays(game, (real, known, drawn), critic, lambda: -judge(game, G()).mean())


@pytest.mark.parametrize("backbone", PLAYED)
def test_relativistic_pairs_real_and_fake_row_by_row_under_both_slopes(backbone):
    game = play(FAMILY["gan"], backbone, "relativistic", penalties={"r1": 0.5, "r2": 0.25})
    real, known, drawn = deal(game)

    def G():
        return game.generator.body(drawn["noise"], nothing())

    def slope(images):
        images = images.detach().requires_grad_(True)
        (grad,) = torch.autograd.grad(judge(game, images).sum(), images, create_graph=True)
        return grad.square().sum((1, 2, 3)).mean() / 2

    def critic():
        fake = G().detach()
        pairs = [
            F.softplus(f - r) for f, r in zip(judge(game, fake), judge(game, real), strict=True)
        ]
        return sum(pairs) / ROWS + 0.5 * slope(real) + 0.25 * slope(fake)

    def generator():
        pairs = zip(judge(game, G()), judge(game, real).detach(), strict=True)
        return sum(F.softplus(r - f) for f, r in pairs) / ROWS

    assert_plays(game, (real, known, drawn), critic, generator)


# ---------------------------------------------------------------------- the condition
def one_hot(digits):
    return torch.eye(3)[digits]


def hidden_by_hand(game, images, told):
    """The logit of features beside a layer of what is told, under one that joins them."""
    joint, features = game.critic.joint, game.critic.trunk(images)
    beside = F.leaky_relu(told @ joint.beside.weight.T + joint.beside.bias, 0.2)
    both = torch.cat([features, beside], dim=1) @ joint.both.weight.T + joint.both.bias
    return game.critic.judge(F.leaky_relu(both, 0.2)).squeeze(1)


def conditioned_by_hand(game, form, noise, digits):
    """The generator's image of ``digits`` and the critic's logit on (images, digits), as published."""
    rows = range(len(digits))
    told, entry = game.generator.embeddings, game.critic.entry.embeddings

    def row_of(table, i):
        return table.weight[:, digits[i]]

    def G():
        if form in BEHIND:
            return game.generator.body(noise, one_hot(digits))
        if form == "concat":
            latent = torch.cat([noise, one_hot(digits)], dim=1)
        elif form == "multiply":
            latent = torch.stack([noise[i] * row_of(told["digit"], i) for i in rows])
        else:
            latent = torch.stack([torch.cat([noise[i], row_of(told["digit"], i)]) for i in rows])
        return game.generator.body(latent, nothing(len(digits)))

    def D(images):
        if form == "projection":
            features = game.critic.trunk(images)
            scale = features.shape[1] ** -0.5
            matched = [scale * features[i] @ row_of(game.critic.match["digit"], i) for i in rows]
            return game.critic.judge(features).squeeze(1) + torch.stack(matched)
        if form == "hidden":
            return hidden_by_hand(game, images, one_hot(digits))
        if form == "concat":
            planes = torch.zeros(len(digits), 3, *SHAPE[1:])
            for i in rows:
                planes[i, digits[i]] = 1.0
            return judge(game, torch.cat([images, planes], dim=1))
        if form == "multiply":
            scaled = [images[i] * row_of(entry["digit"], i).view(SHAPE) for i in rows]
            return judge(game, torch.stack(scaled))
        planes = [row_of(entry["digit"], i).view(1, *SHAPE[1:]) for i in rows]
        return judge(game, torch.cat([images, torch.stack(planes)], dim=1))

    return G, D


@pytest.mark.parametrize("backbone", PLAYED)
@pytest.mark.parametrize("form", FORMS)
def test_given_and_shown_is_cgan_in_every_form(form, backbone):
    game = play(f"noise:gaussian(5) digit:given,shown={form}", backbone)
    real, known, drawn = deal(game)
    G, D = conditioned_by_hand(game, form, drawn["noise"], known["digit"])

    def critic():
        fake = torch.sigmoid(D(G().detach()))
        return cross_entropy(fake, 0.0) + cross_entropy(torch.sigmoid(D(real)), 1.0)

    def generator():
        return cross_entropy(torch.sigmoid(D(G())), 1.0)

    assert_plays(game, (real, known, drawn), critic, generator)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("form", FORMS)
def test_every_kind_of_column_enters_by_every_form(form, column):
    game = play(f"noise:gaussian(5) {column}:given,shown={form}")
    real, known, drawn = deal(game)
    told = COLUMNS[column].encode(known[column])
    fed, entry = game.generator.embeddings, game.critic.entry.embeddings
    noise, images = drawn["noise"], real
    latent, condition, extra = [noise], nothing(), 0.0
    if form == "projection":
        condition = told
        features = game.critic.trunk(real)
        extra = (features * game.critic.match[column](told)).sum(1) * features.shape[1] ** -0.5
    elif form == "hidden":
        condition = told
    elif form == "concat":
        latent = [noise, told]
        images = torch.cat([real, told[:, :, None, None] * torch.ones(SHAPE[1:])], dim=1)
    elif form == "multiply":
        latent = [noise * fed[column](told)]
        images = real * entry[column](told).view(-1, *SHAPE)
    else:
        latent = [noise, fed[column](told)]
        images = torch.cat([real, entry[column](told).view(-1, 1, *SHAPE[1:])], dim=1)
    values = game.spec.overlay(drawn, known)
    by_hand = game.generator.body(torch.cat(latent, dim=1), condition)
    torch.testing.assert_close(game.generator(values), by_hand)
    verdict = game.critic(real, game.spec.reveal(values, known), real=True)
    hidden = form == "hidden"
    seen = hidden_by_hand(game, images, told) if hidden else judge(game, images) + extra
    torch.testing.assert_close(verdict.logit, seen)


# ---------------------------------------------------------------------- the recogniser
@pytest.mark.parametrize("backbone", PLAYED)
@pytest.mark.parametrize("learns", ["both", "real"])
def test_given_and_recognised_is_acgan(learns, backbone):
    game = play(f"noise:gaussian(5) digit:given,recognised=0.7,learns={learns}", backbone)
    real, known, drawn = deal(game)
    latent = torch.cat([drawn["noise"], one_hot(known["digit"])], dim=1)

    def G():
        return game.generator.body(latent, nothing())

    def source(images, target):
        return cross_entropy(torch.sigmoid(judge(game, images)), target)

    def label(images):
        return 0.7 * F.cross_entropy(read(game, images), known["digit"])

    def critic():
        fake = G().detach()
        loss = source(fake, 0.0) + source(real, 1.0) + label(real)
        return loss + label(fake) if learns == "both" else loss

    def generator():
        fake = G()
        return source(fake, 1.0) + label(fake)

    assert_plays(game, (real, known, drawn), critic, generator)


@pytest.mark.parametrize("backbone", PLAYED)
def test_discovered_codes_are_infogan(backbone):
    game = play(FAMILY["infogan"], backbone)
    real, known, drawn = deal(game)
    latent = torch.cat([drawn["noise"], torch.eye(4)[drawn["category"]], drawn["c1"]], dim=1)

    def G():
        return game.generator.body(latent, nothing())

    def source(images, target):
        return cross_entropy(torch.sigmoid(judge(game, images)), target)

    def information(images):
        said = read(game, images)
        category = F.cross_entropy(said[:, :4], drawn["category"])
        return category + 0.3 * gaussian_nll(said[:, 4:], drawn["c1"])

    def critic():
        fake = G().detach()
        return source(fake, 0.0) + source(real, 1.0) + information(fake)

    def generator():
        fake = G()
        return source(fake, 1.0) + information(fake)

    assert_plays(game, (real, known, drawn), critic, generator)


@pytest.mark.parametrize("backbone", PLAYED)
def test_a_mixture_is_the_sum_of_its_parts(backbone):
    game = play(FAMILY["mixture"], backbone)
    real, known, drawn = deal(game)
    shown = (known["slant"] + 2) / 3 - 1
    turn = torch.cat([drawn["turn"].cos(), drawn["turn"].sin()], dim=1)
    latent = torch.cat([drawn["noise"], shown, turn, 2 * drawn["switch"] - 1], dim=1)
    planes = shown[:, :, None, None] * torch.ones(SHAPE[1:])

    def G():
        return game.generator.body(latent, one_hot(known["digit"]))

    def D(images):
        features = game.critic.trunk(torch.cat([images, planes], dim=1))
        embedded = game.critic.match["digit"].weight.T[known["digit"]]
        matched = (features * embedded).sum(1) / math.sqrt(features.shape[1])
        logit = game.critic.judge(features).squeeze(1) + matched
        return torch.sigmoid(logit), game.critic.reader.layers(features).split([3, 2, 2], dim=1)

    def discovered(turned, switched):
        concentration = (turned.square().sum(1) + 1e-6).sqrt()
        mean = torch.atan2(turned[:, 1], turned[:, 0])
        bessel = torch.log(2 * math.pi * torch.special.i0(concentration))
        belief = concentration * torch.cos(drawn["turn"][:, 0] - mean) - bessel
        flips = F.binary_cross_entropy_with_logits(switched, drawn["switch"], reduction="none")
        return -0.4 * belief.mean() + 0.2 * flips.sum(1).mean()

    def critic():
        fake, (_, turned, switched) = D(G().detach())
        true, (digit, _, _) = D(real)
        loss = cross_entropy(fake, 0.0) + cross_entropy(true, 1.0)
        return loss + discovered(turned, switched) + 0.7 * F.cross_entropy(digit, known["digit"])

    def generator():
        fake, (digit, turned, switched) = D(G())
        label = 0.7 * F.cross_entropy(digit, known["digit"])
        return cross_entropy(fake, 1.0) + label + discovered(turned, switched)

    assert_plays(game, (real, known, drawn), critic, generator)


def test_elementwise_codes_under_a_third_optimiser_are_the_tutorials_infogan():
    line = "noise:gaussian(5) category:categorical(4),recognised,scored=elementwise"
    line += " c1:uniform,recognised=0.2,scored=elementwise"
    game = play(line, objective="least-squares", recogniser="joint")
    real, known, drawn = deal(game)
    latent = torch.cat([drawn["noise"], torch.eye(4)[drawn["category"]], drawn["c1"]], dim=1)

    def information():
        said = read(game, game.generator.body(latent, nothing()))
        probabilities = torch.softmax(said[:, :4], dim=1)
        category = F.binary_cross_entropy(probabilities, torch.eye(4)[drawn["category"]])
        return category + 0.2 * F.mse_loss(said[:, 4:], drawn["c1"])

    for player in (game.critic, game.generator):
        assert_same(total(game.recognition_terms(real, known, drawn)), information(), player)


# ---------------------------------------------------------------------- who learns from what
@pytest.mark.parametrize(
    "penalties", [{}, dict.fromkeys(PENALTIES, 1.0)], ids=["plain", "penalised"]
)
@pytest.mark.parametrize("recogniser", RECOGNISERS)
@pytest.mark.parametrize("member", FAMILY)
def test_the_critics_terms_give_the_generator_no_gradient(member, recogniser, penalties):
    game = play(FAMILY[member], recogniser=recogniser, penalties=penalties)
    total(game.critic_terms(*deal(game))).backward()
    assert all(p.grad is None for p in game.generator.parameters())
    moved = [p.grad is not None and p.grad.abs().sum() > 0 for p in game.critic.trunk.parameters()]
    assert all(moved)


@pytest.mark.parametrize(
    ("member", "objective"),
    [
        *((member, "nonsaturating") for member in FAMILY),
        *(("mixture", name) for name in OBJECTIVES),
    ],
)
@pytest.mark.parametrize("backbone", backbones.names())
def test_the_generators_terms_reach_every_parameter_of_the_generator(member, backbone, objective):
    side = max(16, backbones.find(backbone).SIZES[0])
    shape = (1, side, side)
    game = play(FAMILY[member], backbone, objective, shape=shape)
    real = torch.rand(ROWS, *shape) * 2 - 1
    _, known, drawn = deal(game)
    loss = total(game.generator_terms(real, known, drawn))
    for parameter, grad in zip(
        parameters(game.generator),
        torch.autograd.grad(loss, parameters(game.generator)),
        strict=True,
    ):
        assert grad.shape == parameter.shape and torch.isfinite(grad).all()
        assert grad.abs().sum() > 0


RECOGNISING = "noise:gaussian(5) digit:given,shown,recognised c1:uniform,recognised=0.5"


@pytest.mark.parametrize("recogniser", RECOGNISERS)
def test_the_trunk_learns_to_read_only_where_the_setting_says_so(recogniser):
    game = play(RECOGNISING, recogniser=recogniser)
    terms = game.critic_terms(*deal(game))
    readings = [term for name, term in terms.items() if name.startswith(("fake/", "real/"))]
    if recogniser == "joint":
        assert list(terms) == ["critic"]
        return
    assert len(readings) == 2
    reading = torch.stack(readings).sum()
    assert all(g.abs().sum() > 0 for g in gradients(reading, game.critic.reader))
    felt = [bool(g.abs().sum() > 0) for g in gradients(reading, game.critic.trunk)]
    assert all(felt) if recogniser == "critic" else not any(felt)
    judging = gradients(terms["critic"], game.critic.trunk)
    assert all(g.abs().sum() > 0 for g in judging)


def test_the_heads_alone_learn_what_trunk_and_heads_would_have_said():
    batch = deal(play(RECOGNISING))
    both, heads = (
        play(RECOGNISING, recogniser=name).critic_terms(*batch) for name in ("critic", "heads")
    )
    assert both.keys() == heads.keys()
    for name in both:
        assert torch.equal(both[name], heads[name])


def test_a_third_optimiser_alone_recognises_and_moves_both_networks():
    game = play(RECOGNISING, recogniser="joint")
    batch = deal(game)
    assert list(game.critic_terms(*batch)) == ["critic"]
    assert list(game.generator_terms(*batch)) == ["generator"]
    terms = game.recognition_terms(*batch)
    assert {name.split("/")[1] for name in terms} == {"digit", "c1"}
    for network in (game.generator, game.critic.trunk, game.critic.reader):
        assert all(g.abs().sum() > 0 for g in gradients(total(terms), network))


@pytest.mark.parametrize("member", FAMILY)
def test_a_recogniser_is_asked_only_what_is_known(member):
    game = play(FAMILY[member])
    batch = deal(game)
    recognised = {code.name for code in game.spec.recognised}
    given = {code.name for code in game.spec.given}
    taught = {c.name for c in game.spec.recognised if c.given is None or c.learns == "both"}
    critic, generator = game.critic_terms(*batch), game.generator_terms(*batch)
    on_fake = {f"fake/{name}" for name in taught}
    on_real = {f"real/{name}" for name in recognised & given}
    assert critic.keys() == {"critic"} | on_fake | on_real
    assert generator.keys() == {"generator"} | {f"draws/{name}" for name in recognised}


@pytest.mark.parametrize("name", config.preset_names())
def test_every_preset_plays(name):
    settings = config.load(name)
    networks = backbones.find(settings.model.backbone)
    spec = settings.codes.resolve({"digit": Categorical(10)}, "digit")
    shape = (1, 28, 28)
    critic = Critic(spec, networks.Trunk, shape, 4, networks.NORM)
    generator = SteeredGenerator(spec, networks.Generator, shape, 4)
    objective = OBJECTIVES[settings.game.objective]
    game = Game(spec, generator, critic, objective, settings.game.recogniser)
    real = torch.rand(ROWS, *shape)
    known = spec.known({"digit": torch.arange(ROWS)})
    drawn = spec.draw(0, "train", 0, ROWS) | {augmentations.WEIGHT: torch.ones(ROWS)}
    for of in augmentations.VIEW:
        drawn |= augmentations.draw_views((), 0, "train", 0, ROWS, of)
    for place in set(spec.views) - {"view"}:
        own = augmentations.own(place)
        drawn |= augmentations.draw_views(own, 0, "train", 0, ROWS, "fake", place=place)
    for terms in (game.critic_terms, game.generator_terms):
        assert torch.isfinite(total(terms(real, known, drawn)))


# ---------------------------------------------------------------------- rows that lack their label
MISSING_ROWS = torch.tensor([False, True, False, False, True, True])


def without_labels(game, known, rows=MISSING_ROWS):
    partly = {}
    for name, values in known.items():
        missing = torch.tensor(game.spec.code(name).resolved.MISSING, dtype=values.dtype)
        partly[name] = torch.where(rows.view(-1, *[1] * (values.dim() - 1)), missing, values)
    return partly


@pytest.mark.parametrize("scored", SCORED)
@pytest.mark.parametrize("column", COLUMNS)
def test_rows_without_a_label_teach_the_reader_nothing(column, scored):
    game = play(f"noise:gaussian(5) {column}:given,recognised=0.7,scored={scored}")
    real, known, drawn = deal(game)
    ours = game.critic_terms(real, without_labels(game, known), drawn)[f"real/{column}"]
    labelled = ~MISSING_ROWS
    alone = game.critic_terms(
        real[labelled],
        {name: values[labelled] for name, values in known.items()},
        {name: values[labelled] for name, values in drawn.items()},
    )[f"real/{column}"]
    assert_same(ours, alone, game.critic)


def test_a_row_with_part_of_its_labels_counts_as_without():
    game = play("noise:gaussian(5) tags:given,recognised")
    real, known, drawn = deal(game)
    whole = game.critic_terms(real, without_labels(game, known), drawn)
    known["tags"][MISSING_ROWS, 1] = torch.nan
    assert torch.equal(game.critic_terms(real, known, drawn)["real/tags"], whole["real/tags"])


@pytest.mark.parametrize("recogniser", RECOGNISERS)
@pytest.mark.parametrize("scored", SCORED)
@pytest.mark.parametrize("column", COLUMNS)
def test_no_labels_at_all_is_a_loss_of_zero_with_finite_gradients(column, scored, recogniser):
    line = f"noise:gaussian(5) {column}:given,recognised,shown,learns=both,scored={scored}"
    game = play(line, recogniser=recogniser)
    real, known, drawn = deal(game)
    none = without_labels(game, known, torch.ones(ROWS, dtype=torch.bool))
    terms = game.critic_terms(real, none, drawn)
    if recogniser == "joint":
        terms = game.recognition_terms(real, none, drawn)
    on_real = next(term for name, term in terms.items() if name.startswith(("real/", "reads/")))
    assert on_real.item() == 0.0
    total(terms).backward()
    grads = [p.grad for p in game.critic.parameters() if p.grad is not None]
    assert grads and all(torch.isfinite(g).all() for g in grads)


@pytest.mark.parametrize("column", COLUMNS)
def test_a_row_without_a_label_is_drawn_with_the_value_drawn_for_it(column):
    game = play(f"noise:gaussian(5) {column}:given,recognised")
    real, known, drawn = deal(game)
    partly = without_labels(game, known)
    filled = {column: known[column].clone()}
    filled[column][MISSING_ROWS] = drawn[column][MISSING_ROWS]
    ours, theirs = (game.generator_terms(real, values, drawn) for values in (partly, filled))
    for name in theirs:
        assert torch.equal(ours[name], theirs[name])


@pytest.mark.parametrize("norm", ["none", "spectral", "batch"])
@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("form", FORMS)
def test_a_row_without_a_label_is_judged_without_it(form, column, norm):
    game = play(f"noise:gaussian(5) {column}:given,shown={form}", "dcgan", norm=norm)
    game.critic.eval()  # statistics of the batch would let one row see its neighbours
    real, known, _ = deal(game)
    partly = without_labels(game, known)
    one, other = (
        game.critic(
            real,
            game.spec.reveal(game.spec.overlay(game.spec.draw(s, "x", 0, ROWS), partly), partly),
            True,
        ).logit
        for s in (3, 4)
    )
    assert torch.equal(one[MISSING_ROWS], other[MISSING_ROWS])
    shuffled = {column: known[column].roll(1, 0) if column != "digit" else (known[column] + 1) % 3}
    told, retold = (game.spec.reveal(values, values) for values in (known, shuffled))
    changed = game.critic(real, told, True).logit != game.critic(real, retold, True).logit
    assert changed.any() and (~MISSING_ROWS).any()
    images, extra = real, game.critic.entry.channels - SHAPE[0]
    if form in ("concat", "embed"):
        images = torch.cat([real, torch.zeros(ROWS, extra, *SHAPE[1:])], dim=1)
    bare = torch.zeros(ROWS, COLUMNS[column].width)
    hidden = form == "hidden"
    plain = hidden_by_hand(game, images, bare) if hidden else judge(game, images)
    torch.testing.assert_close(one[MISSING_ROWS], plain[MISSING_ROWS], rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------------- the recogniser cannot cheat
@pytest.mark.parametrize("backbone", backbones.names())
@pytest.mark.parametrize(
    ("column", "form"), [*((c, "projection") for c in COLUMNS), ("digit", "hidden")]
)
def test_a_code_shown_behind_the_trunk_never_reaches_the_recogniser(column, form, backbone):
    side = max(16, backbones.find(backbone).SIZES[0])
    shape = (1, side, side)
    line = f"noise:gaussian(5) {column}:given,shown={form},recognised"
    game = play(line, backbone, shape=shape)
    game.critic.eval()
    images = torch.rand(ROWS, *shape)
    told = [
        game.spec.reveal(values, values)
        for values in (game.spec.draw(seed, "x", 0, ROWS) for seed in (1, 2))
    ]
    encoding = told[0][column].encoding.requires_grad_(True)
    verdict, other = (game.critic(images, values, real=False) for values in told)
    assert torch.equal(verdict.params, other.params)
    assert not torch.equal(verdict.logit, other.logit)
    (grad,) = torch.autograd.grad(
        verdict.params.sum(), encoding, allow_unused=True, retain_graph=True
    )
    assert grad is None
    assert torch.autograd.grad(verdict.logit.sum(), encoding)[0].abs().sum() > 0


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("form", AT_INPUT)
def test_a_code_shown_at_the_input_may_not_be_recognised(form, column):
    with pytest.raises(CodeError, match="the recogniser would read it from what it was shown"):
        CodeSpec.parse(f"noise:gaussian(5) {column}:given,shown={form},recognised=0.1")


@pytest.mark.parametrize("form", AT_INPUT)
def test_nor_may_its_column_be_recognised_under_another_name(form):
    with pytest.raises(CodeError, match="the recogniser would read it from what it was shown"):
        play(f"noise:gaussian(5) label:given,shown={form} again:given=digit,recognised")


@pytest.mark.parametrize("other", ["c1:uniform,recognised", "slant:given,recognised"])
@pytest.mark.parametrize("form", AT_INPUT)
def test_a_recognised_code_beside_one_shown_at_the_input_is_read_from_the_image_alone(form, other):
    game = play(f"noise:gaussian(5) digit:given,shown={form} {other}")
    name = other.partition(":")[0]
    real, known, drawn = deal(game)
    moved = {**drawn, name: drawn[name] + 1}
    rows = {n: v + 1 if n == name else v for n, v in known.items()}
    told = game.spec.reveal(game.spec.overlay(drawn, known), known)
    retold = game.spec.reveal(game.spec.overlay(moved, rows), rows)
    assert told.keys() == retold.keys() == {"digit"}
    a, b = (game.critic(real, what, real=True).params for what in (told, retold))
    assert torch.equal(a, b)


# ---------------------------------------------------------------------- names
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["type", "values", "training", "forward", "weight-2"])
def test_a_code_may_have_any_name_even_one_that_networks_use_themselves(name, form):
    line = f"noise:gaussian(5) {name}:given=digit,shown={form}"
    game, plain = play(line), play(line.replace(name, "digit"))
    batch = deal(plain)
    renamed = [{name if n == "digit" else n: v for n, v in values.items()} for values in batch[1:]]
    ours, theirs = game.critic_terms(batch[0], *renamed), plain.critic_terms(*batch)
    assert torch.equal(ours["critic"], theirs["critic"])
    keys = [key.replace(f".{name}.", ".digit.") for key in game.critic.state_dict()]
    assert keys == list(plain.critic.state_dict())
