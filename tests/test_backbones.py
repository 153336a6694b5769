"""Laws of every backbone, at every sort of size it says it serves, and of the critic built on it."""

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrize

from gander import backbones
from gander.codes import CodeSpec
from gander.critic import Critic
from gander.errors import ConfigError
from gander.kinds import Categorical
from gander.norms import ConditionalNorm, SplitNorm

NAMES = backbones.names()
every_backbone = pytest.mark.parametrize("name", NAMES)
LATENT, CONDITION, ROWS = 5, 3, 4
FAITHFUL = {"article"}  # keeps the tutorials' biases in front of a normalisation


def sizes(name):
    """Smallest, largest, odd, and unequal sides, as far as the backbone serves them."""
    low, high = backbones.find(name).SIZES
    wanted = [
        (low, low),
        (28, 28),
        (29, 29),
        (33, 33),
        (32, 40),
        (45, 34),
        (high, high),
        (low, high),
        (high, low),
    ]
    return [size for size in dict.fromkeys(wanted) if low <= min(size) and max(size) <= high]


EVERYWHERE = [(name, size) for name in NAMES for size in sizes(name)]
every_size = pytest.mark.parametrize(
    ("name", "size"), EVERYWHERE, ids=[f"{name}-{h}x{w}" for name, (h, w) in EVERYWHERE]
)


def width(name):
    return 12 if name in ("mlp", "maxout") else 4


def a_generator(name, shape, condition=CONDITION):
    torch.manual_seed(0)
    return backbones.find(name).Generator(LATENT, condition, shape, width(name))


def a_trunk(name, shape, normed):
    torch.manual_seed(0)
    return backbones.find(name).Trunk(shape[0], shape[1:], width(name), normed)


def inputs(condition=CONDITION, rows=ROWS):
    source = torch.Generator().manual_seed(1)
    told = torch.eye(max(1, condition))[torch.arange(rows) % max(1, condition)][:, :condition]
    return torch.randn(rows, LATENT, generator=source), told


def pictures(shape, rows=ROWS):
    return torch.empty(rows, *shape).uniform_(-1, 1, generator=torch.Generator().manual_seed(2))


def usual_shape(name, channels=1):
    low, high = backbones.find(name).SIZES
    side = min(max(low, 16), high)
    return (channels, side, side)


# ---------------------------------------------------------------------- what a file offers
@every_backbone
def test_a_backbone_says_what_it_is_and_what_it_serves(name):
    backbone = backbones.find(name)
    first = (backbone.__doc__ or "").strip().partition("\n")[0]
    assert first.endswith((".", "px"))
    low, high = backbone.SIZES
    assert 1 <= low <= high and backbone.WIDTH > 0
    assert backbone.NORM in ("batch", "spectral", "none")


def test_a_misspelt_backbone_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'dcgan'"):
        backbones.find("dcgam")


@every_backbone
def test_a_size_out_of_range_is_refused_with_one_that_fits(name):
    low, high = backbones.find(name).SIZES
    for height, across in product((low, high), repeat=2):
        backbones.check_size(name, height, across)
    for height, across in ((low - 1, low), (low, low - 1), (high + 1, high), (low, high + 1)):
        with pytest.raises(ConfigError) as refusal:
            backbones.check_size(name, height, across)
        size = int(str(refusal.value).rpartition("data.size=")[2].rstrip("."))
        backbones.check_size(name, size, size)


def test_a_size_another_backbone_serves_is_answered_with_its_name():
    with pytest.raises(ConfigError, match=r"use model\.backbone=resnet"):
        backbones.check_size("dcgan", 128, 128)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 9))
def test_an_image_is_halved_no_more_often_than_needed_and_the_grid_covers_it(
    height, across, smallest
):
    halvings = backbones.stages(height, across, smallest)
    longer = max(height, across)
    assert longer <= smallest * 2**halvings
    assert halvings == 0 or longer > smallest * 2 ** (halvings - 1)
    for side, cells in zip((height, across), backbones.grid(height, across, halvings), strict=True):
        assert (cells - 1) * 2**halvings < side <= cells * 2**halvings


# ---------------------------------------------------------------------- shapes and ranges
@every_size
def test_a_generator_draws_images_of_the_size_asked_for(name, size):
    for channels, condition in ((1, 0), (3, CONDITION)):
        network = a_generator(name, (channels, *size), condition)
        images = network(*inputs(condition))
        assert images.shape == (ROWS, channels, *size) and images.dtype == torch.float32
        assert torch.isfinite(images).all() and images.abs().max() <= 1
        assert len(images.unique(dim=0)) == ROWS


@every_size
def test_a_trunk_reads_images_of_the_size_it_was_built_for(name, size):
    for channels, normed in ((1, False), (3, True)):
        network = a_trunk(name, (channels, *size), normed)
        features = network(pictures((channels, *size)))
        assert features.shape == (ROWS, network.features)
        assert torch.isfinite(features).all() and len(features.unique(dim=0)) == ROWS
        assert isinstance(network.reader_hidden, int) and network.reader_hidden >= 0


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@every_backbone
def test_any_number_of_channels_goes_through_both_networks(name, channels):
    shape = usual_shape(name, channels)
    images = a_generator(name, shape)(*inputs())
    assert images.shape[1] == channels
    assert a_trunk(name, shape, normed=True)(images).shape[0] == ROWS


@every_size
def test_every_pixel_counts(name, size):
    """Nothing at an odd edge is cropped from the critic's view or left undrawn."""
    network = a_trunk(name, (1, *size), normed=False).eval()
    images = pictures((1, *size)).requires_grad_(True)
    projection = torch.randn(network.features, generator=torch.Generator().manual_seed(3))
    (seen,) = torch.autograd.grad((network(images) @ projection).sum(), images)
    edges = (seen[..., 0, :], seen[..., -1, :], seen[..., :, 0], seen[..., :, -1])
    assert all(edge.abs().sum() > 0 for edge in edges)
    drawn = a_generator(name, (1, *size))(*inputs())
    assert drawn[..., -1, :].std() > 0 and drawn[..., :, -1].std() > 0


# ---------------------------------------------------------------------- gradients
def grads(network, output):
    source = torch.Generator().manual_seed(3)
    weights = torch.randn(output.shape, generator=source, dtype=output.dtype)
    found = torch.autograd.grad((output * weights).sum(), list(network.parameters()))
    return dict(zip(dict(network.named_parameters()), found, strict=True))


def assert_all_learn(name, found):
    for key, grad in found.items():
        assert torch.isfinite(grad).all(), key
        if name not in FAITHFUL or not key.endswith("bias"):
            assert grad.abs().max() > 1e-9, key


@pytest.mark.parametrize("condition", [0, CONDITION])
@every_size
def test_the_gradient_reaches_every_parameter_of_the_generator(name, size, condition):
    """In double precision, where a bias in front of a normalisation shows its true gradient: zero."""
    network = a_generator(name, (2, *size), condition).double()
    latent, told = inputs(condition)
    assert_all_learn(name, grads(network, network(latent.double(), told.double())))


@pytest.mark.parametrize("normed", [False, True])
@every_size
def test_the_gradient_reaches_every_parameter_of_the_trunk(name, size, normed):
    network = a_trunk(name, (2, *size), normed).double()
    assert_all_learn(name, grads(network, network(pictures((2, *size)).double())))


# ---------------------------------------------------------------------- rows and statistics
@pytest.mark.parametrize("condition", [0, CONDITION])
@every_backbone
def test_once_trained_an_image_does_not_depend_on_its_neighbours(name, condition):
    network = a_generator(name, usual_shape(name), condition)
    latent, told = inputs(condition)
    network(latent, told)
    network.eval()
    together = network(latent, told)
    alone = torch.cat([network(latent[i : i + 1], told[i : i + 1]) for i in range(ROWS)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    trunk = a_trunk(name, usual_shape(name), normed=True)
    trunk(together.detach())
    trunk.eval()
    features = torch.cat([trunk(image[None]) for image in together])
    torch.testing.assert_close(trunk(together), features, rtol=1e-4, atol=1e-5)


@every_backbone
def test_noise_and_condition_each_change_the_image(name):
    network = a_generator(name, usual_shape(name)).eval()
    latent, told = inputs()
    images = network(latent, told)
    for other in (network(latent + 1, told), network(latent, told.roll(1, 1))):
        assert (other != images).flatten(1).any(1).all()


# ---------------------------------------------------------------------- the critic on top
HIDDEN = "digit:given,shown=hidden"
LINE = "noise:gaussian(5) digit:given,shown,recognised c1:uniform,recognised"


def a_critic(name, norm, line=LINE):
    torch.manual_seed(0)
    spec = CodeSpec.parse(line).resolve({"digit": Categorical(3)}, "digit")
    return Critic(spec, backbones.find(name).Trunk, usual_shape(name), width(name), norm)


every_norm = pytest.mark.parametrize("norm", ["batch", "spectral", "none"])


@every_norm
@every_backbone
def test_a_critic_says_one_logit_and_the_readers_parameters_and_all_of_it_learns(name, norm):
    critic = a_critic(name, norm)
    values = critic.spec.draw(0, "x", 0, ROWS)
    told = critic.spec.reveal(values, values)
    verdict = critic(pictures(usual_shape(name)), told, real=True)
    assert verdict.logit.shape == (ROWS,) and verdict.params.shape == (ROWS, critic.spec.params)
    found = grads(critic, torch.cat([verdict.logit[:, None], verdict.params], dim=1))
    for key, grad in found.items():
        assert torch.isfinite(grad).all()
        faithful = name in FAITHFUL and key.startswith("trunk") and key.endswith("bias")
        assert faithful or grad.abs().max() > 0, key


@every_norm
@every_backbone
def test_a_critic_of_noise_alone_reads_nothing(name, norm):
    critic = a_critic(name, norm, "noise:gaussian(5)")
    verdict = critic(pictures(usual_shape(name)), {}, real=False)
    assert verdict.logit.shape == (ROWS,) and verdict.params.shape == (ROWS, 0)
    assert not any("reader" in key for key in critic.state_dict())


@every_backbone
def test_spectral_normalisation_bounds_every_layer_that_judges(name):
    critic = a_critic(name, "spectral")
    values = critic.spec.draw(0, "x", 0, ROWS)
    with torch.no_grad():
        for _ in range(60):
            critic(pictures(usual_shape(name)), critic.spec.reveal(values, values), real=True)
    critic.eval()
    judges = [*critic.trunk.modules(), *critic.judge.modules(), *critic.match.modules()]
    judges += [*critic.joint.modules()] if critic.joint is not None else []
    layers = [layer for layer in judges if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert layers
    for layer in layers:
        assert parametrize.is_parametrized(layer, "weight")
        largest = torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item()
        assert largest == pytest.approx(1, abs=0.05)


@every_norm
@every_backbone
def test_only_batch_normalisation_keeps_statistics_and_it_keeps_real_and_fake_apart(name, norm):
    critic = a_critic(name, norm)
    norms = [module for module in critic.modules() if isinstance(module, SplitNorm)]
    assert not norms or norm == "batch"
    assert norms or norm != "batch" or backbones.find(name).NORM != "batch"
    assert not any(
        isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d | ConditionalNorm) for m in critic.modules()
    )
    values = critic.spec.draw(0, "x", 0, ROWS)
    told = critic.spec.reveal(values, values)
    before = [{key: value.clone() for key, value in m.named_buffers()} for m in norms]
    critic(pictures(usual_shape(name)), told, real=True)
    for module, old in zip(norms, before, strict=True):
        for key, value in module.named_buffers():
            assert torch.equal(value, old[key]) == key.startswith("fake")
    middle = [{key: value.clone() for key, value in m.named_buffers()} for m in norms]
    critic(pictures(usual_shape(name)), told, real=False)
    for module, old in zip(norms, middle, strict=True):
        for key, value in module.named_buffers():
            assert torch.equal(value, old[key]) == key.startswith("real")


# ---------------------------------------------------------------------- the networks of 2014
def test_maxout_has_the_layers_of_the_papers():
    """Goodfellow et al. (2014) and Mirza & Osindero (2014), at 28 px and the backbone's own width."""
    networks, published = backbones.find("maxout"), {}
    for line, condition in (("noise:uniform(100)", 0), (f"noise:uniform(100) {HIDDEN}", 10)):
        spec = CodeSpec.parse(line).resolve({"digit": Categorical(10)}, "digit")
        generator = networks.Generator(100, condition, (1, 28, 28), networks.WIDTH)
        critic = Critic(spec, networks.Trunk, (1, 28, 28), networks.WIDTH, networks.NORM)
        published[condition] = [
            sorted(tuple(p.shape) for p in network.parameters() if p.dim() == 2)
            for network in (generator, critic)
        ]
    assert published[0] == [
        [(784, 1200), (1200, 100), (1200, 1200)],
        [(1, 240), (5 * 240, 240), (5 * 240, 784)],
    ]
    assert published[10] == [
        [(200, 100), (784, 1200), (1000, 10), (1200, 1200)],
        [(1, 240), (5 * 50, 10), (4 * 240, 240 + 50), (5 * 240, 784)],
    ]


def test_maxout_is_the_largest_of_its_pieces_and_drops_black_pixels():
    trunk = a_trunk("maxout", (1, 16, 16), normed=False).eval()
    images = pictures((1, 16, 16))
    linear = trunk.layer.linear
    pieces = [
        ((images.flatten(1) + 1) / 2) @ w.T + b
        for w, b in zip(linear.weight.chunk(5), linear.bias.chunk(5), strict=True)
    ]
    torch.testing.assert_close(trunk(images), torch.stack(pieces).amax(0))
    black = torch.full((ROWS, 1, 16, 16), -1.0)
    assert torch.equal(trunk.train()(black), trunk.eval()(black))
    assert not torch.equal(trunk.train()(images), trunk.eval()(images))
