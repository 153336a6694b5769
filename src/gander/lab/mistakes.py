"""The classic mistakes on examples of a few lines: each is run as it stands, then its cure, and what PyTorch said is kept.

Nothing is quoted from memory: a message is that of the PyTorch installed, and a mistake that PyTorch lets pass is shown by the number that
betrays it. The examples are fixed text of this file; nothing a user says is ever executed.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gander import rng

CRITIC, BATCH, NOISE, PIXELS = 8, 16, 2, 4  # units of the examples' critic, rows, and sizes
DATA = 60  # images in the examples' data set

SETTING = """\
G = Sequential(Linear(2, 8), Tanh(), Linear(8, 4), Tanh())  # images of 4 pixels in [-1, 1]
D = Sequential(Linear(4, 8), Tanh(), Linear(8, 1))          # one logit for an image
z, real = randn(16, 2), rand(16, 4) * 2 - 1
step_d, step_g = SGD(D.parameters(), lr=0.1), SGD(G.parameters(), lr=0.1)
d_loss = lambda fake, real: softplus(fake).mean() + softplus(-real).mean()
g_loss = lambda fake: softplus(-fake).mean()"""
"""What the examples stand on, as the page shows it; ``_names`` builds the same."""


@dataclass(frozen=True)
class Mistake:
    """One of the classics: the lines that make it, those that do not, and what there is to know."""

    name: str
    wrong: str
    cure: str
    means: str
    here: str
    """Why it cannot happen in gander."""


@dataclass(frozen=True)
class Replay:
    """A mistake as it went here: what the wrong lines brought forth, and what the cure printed."""

    mistake: Mistake
    said: str
    loud: bool
    """Whether PyTorch stopped or warned; otherwise what was said is a number printed by the example."""
    cured: str


MISTAKES = (
    Mistake(
        "A variable modified in place",
        """\
fake = G(z)
of_d, of_g = d_loss(D(fake), D(real)), g_loss(D(fake))
of_d.backward(retain_graph=True); step_d.step()
of_g.backward()""",
        """\
fake = G(z)
d_loss(D(fake.detach()), D(real)).backward(); step_d.step()
of_g = g_loss(D(fake)); of_g.backward(); step_g.step()
print(f"both stepped, generator's loss {of_g.item():.3f}")""",
        "The step wrote new weights into the very tensors that the generator's loss, computed before it, must multiply by on its way "
        "back. The cure is order, not clone(): the critic steps first, then it judges again, with the weights it now has.",
        "Each schedule computes a player's loss after the last step it depends on, or takes both gradients before either step.",
    ),
    Mistake(
        "Backward through a freed graph",
        """\
fake = G(z)
d_loss(D(fake), D(real)).backward()
g_loss(D(fake)).backward()""",
        """\
fake = G(z)
d_loss(D(fake.detach()), D(real)).backward()
g_loss(D(fake)).backward()
print(f"slope at the generator's first layer {G[0].weight.grad.norm().item():.4f}")""",
        "The first backward walked through the generator too, and freed what it had kept for the walk. The critic's loss has no "
        "business there: detach() ends the walk at the image. retain_graph=True, which the message proposes, silences it and leads to the "
        "next mistake.",
        "A step walks back to its own player's weights and no further, whatever the schedule; the generator's graph is walked once.",
    ),
    Mistake(
        "retain_graph=True, and a wrong gradient in silence",
        """\
fake = G(z)
of_d, of_g = d_loss(D(fake), D(real)), g_loss(D(fake))
of_d.backward(retain_graph=True); of_g.backward()
print(f"the critic's gradient is {angle(D, of='d_loss'):.0f} degrees off")""",
        """\
fake = G(z)
of_d, of_g = d_loss(D(fake), D(real)), g_loss(D(fake))
of_d.backward(retain_graph=True, inputs=list(D.parameters()))
of_g.backward(inputs=list(G.parameters()))
print(f"the critic's gradient is {angle(D, of='d_loss'):.0f} degrees off")""",
        "This is the entangled schedule above. backward() adds to every parameter that the loss depends on, and the generator's loss depends "
        "on the critic. Both losses pull at the critic's opinion of the same fakes, in opposite directions, and no message says so. "
        "Naming the inputs gives each player its own.",
        "A step walks back to its own player's parameters by name; entangled can be chosen in this laboratory alone.",
    ),
    Mistake(
        "Long where Float is expected",
        """\
label = torch.arange(16) % 4
D(F.one_hot(label, 4))""",
        """\
label = torch.arange(16) % 4
print(tuple(D(F.one_hot(label, 4).float()).shape))""",
        "Labels are whole numbers and layers multiply by fractions. one_hot keeps the type of its labels, so the encoding of a "
        "class must be turned to float before a layer, or a binary cross-entropy, sees it. The reverse exists too: cross_entropy wants "
        "its class numbers as Long.",
        "Every kind of code encodes itself as float32 and is scored in its own type; a label's type is settled where the data is read.",
    ),
    Mistake(
        "A batch larger than the data",
        """\
before, steps = D[0].weight.clone(), 0
for (x,) in DataLoader(TensorDataset(images), batch_size=10_000, drop_last=True): steps += 1
print(f"{steps} steps; weights changed: {not torch.equal(before, D[0].weight)}")""",
        """\
batch, steps = min(16, len(images)), 0
for (x,) in DataLoader(TensorDataset(images), batch_size=batch, drop_last=True): steps += 1
print(f"{steps} steps a pass over {len(images)} images")""",
        "drop_last drops the only batch there is. The loop is over before it began, every epoch, and no message comes; without drop_last it "
        "is one step an epoch instead of many, and the samples stay noise.",
        "A batch larger than the data is refused before training, with a size that fits. Images come as one endless shuffled sequence, so no "
        "batch is dropped and none is short.",
    ),
    Mistake(
        "Images in [0, 1] and a tanh generator",
        """\
real = pixels / 255
rule = lambda image: (image < 0).any(1).float().mean().item()
print(f"has a negative pixel: {rule(real):.0%} of real, {rule(G(z)):.0%} of generated images")""",
        """\
real = pixels / 127.5 - 1
rule = lambda image: (image < 0).any(1).float().mean().item()
print(f"has a negative pixel: {rule(real):.0%} of real, {rule(G(z)):.0%} of generated images")""",
        "tanh draws in [-1, 1]. Where real images have no negative pixel, one glance at the sign tells them apart; the critic wins on the "
        "scale instead of the shape, and the generator spends its steps on learning the scale.",
        "Images are kept as whole bytes and become [-1, 1] in one place, for training, reading and measuring alike.",
    ),
    Mistake(
        "A softmax before cross-entropy",
        """\
logit = torch.full((1, 10), -20.0).index_fill(1, tensor([3]), 20.0).requires_grad_()
right, wrong = (F.cross_entropy(logit.softmax(1), tensor([k])) for k in (3, 4))
slope = torch.autograd.grad(wrong, logit)[0].norm()
print(f"sure and right: loss {right:.3f}; sure and wrong: {wrong:.3f}, slope {slope:.0e}")""",
        """\
logit = torch.full((1, 10), -20.0).index_fill(1, tensor([3]), 20.0).requires_grad_()
right, wrong = (F.cross_entropy(logit, tensor([k])) for k in (3, 4))
slope = torch.autograd.grad(wrong, logit)[0].norm()
print(f"sure and right: loss {right:.3f}; sure and wrong: {wrong:.3f}, slope {slope:.0e}")""",
        "cross_entropy takes logits and has the softmax inside. Of probabilities it makes a second softmax, whose inputs lie between 0 and 1: "
        "for ten classes the loss cannot fall below log(1 + 9/e) = 1.461 and hardly ever teaches. A recogniser whose loss stops "
        "there has this.",
        "A recogniser hands over logits and its loss holds the softmax, so it is taken once.",
    ),
    Mistake(
        "A column beside a row",
        """\
verdict = D(real)
loss = F.mse_loss(verdict, verdict.squeeze(1))
print(f"verdicts against themselves: loss {loss.item():.4f}")""",
        """\
verdict = D(real).squeeze(1)
loss = F.mse_loss(verdict, verdict)
print(f"verdicts against themselves: loss {loss.item():.4f}")""",
        "(16, 1) against (16,) is stretched to 16 x 16: every verdict is compared with every target, and even the right answer has a loss. With "
        "targets that are all equal the number comes out right, which is why it goes unnoticed.",
        "A critic's verdict is (B,) from the start, and objectives are per sample.",
    ),
)


def replayed() -> list[Replay]:
    """Every mistake, made and cured here and now. The random numbers of others are left alone."""
    with torch.random.fork_rng(devices=[]):
        return [_replay(mistake) for mistake in MISTAKES]


def _replay(mistake: Mistake) -> Replay:
    said, loud = executed(mistake.wrong)
    cured, failed = executed(mistake.cure)
    assert not failed, f"the cure of {mistake.name!r} failed: {cured}"
    return Replay(mistake, said, loud, cured)


def executed(lines: str) -> tuple[str, bool]:
    """What the lines of an example print, warn of and stop with, and whether PyTorch had anything to say."""
    printed = io.StringIO()
    names = _names()
    stopped = ""
    with warnings.catch_warnings(record=True) as heard, contextlib.redirect_stdout(printed):
        warnings.simplefilter("always")
        try:
            exec(compile(lines, "<example>", "exec"), names)
        except Exception as error:  # whatever PyTorch raises is what is asked for
            stopped = f"{type(error).__name__}: {error}"
    warned = [f"{one.category.__name__}: {one.message}" for one in heard]
    parts = [*warned, printed.getvalue().strip(), stopped]
    return "\n".join(part for part in parts if part), bool(warned or stopped)


def _names() -> dict[str, Any]:
    """What an example may use, always the same."""
    rng.seed_torch(0, "laboratory", 0)
    generator = nn.Sequential(
        nn.Linear(NOISE, CRITIC), nn.Tanh(), nn.Linear(CRITIC, PIXELS), nn.Tanh()
    )
    critic = nn.Sequential(nn.Linear(PIXELS, CRITIC), nn.Tanh(), nn.Linear(CRITIC, 1))
    z, real = torch.randn(BATCH, NOISE), torch.rand(BATCH, PIXELS) * 2 - 1

    def d_loss(fake: Tensor, real: Tensor) -> Tensor:
        return F.softplus(fake).mean() + F.softplus(-real).mean()

    def g_loss(fake: Tensor) -> Tensor:
        return F.softplus(-fake).mean()

    def angle(network: nn.Module, of: str) -> float:
        """Between the gradient the critic has and that of its own loss, in degrees."""
        from gander.lab.gradients import deviation

        assert network is critic and of == "d_loss"
        player = list(critic.parameters())
        loss = d_loss(critic(generator(z).detach()), critic(real))
        received = [p.grad for p in player if p.grad is not None]
        return deviation(received, list(torch.autograd.grad(loss, player))).degrees

    from torch.utils.data import DataLoader, TensorDataset

    return {
        "torch": torch,
        "F": F,
        "tensor": torch.tensor,
        "DataLoader": DataLoader,
        "TensorDataset": TensorDataset,
        "G": generator,
        "D": critic,
        "z": z,
        "real": real,
        "pixels": torch.randint(0, 256, (BATCH, PIXELS)),
        "images": torch.rand(DATA, PIXELS),
        "step_d": torch.optim.SGD(critic.parameters(), lr=0.1),
        "step_g": torch.optim.SGD(generator.parameters(), lr=0.1),
        "d_loss": d_loss,
        "g_loss": g_loss,
        "angle": angle,
    }
