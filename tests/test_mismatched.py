"""A real image beside what is given of another: the term by hand, the rows that count, both schedules, what is refused."""

import pytest
import torch

import tiny
from gander import batches, stepping
from gander.errors import ConfigError
from gander.players import make_players
from gander.tally import Tally

SHOWN = ("cgan", "cgan-concat", "cgan-multiply", "cgan-embed", "cgan-2014")


def dealt(preset, *settings):
    """A game, a batch and what is drawn for it; the critic is still, so that looks can be compared."""
    made = tiny.plan(preset, "r1=0", *settings)
    game = make_players(made).game
    game.critic.eval()
    real, known = batches.batch_at(made, 0)
    return game, real, known, stepping.Single(made, 0).draws("critic", 0)


def logits(game, real, known, drawn):
    told = game.fakes(known, drawn).told
    return game.critic(real, told, real=True).logit


@pytest.mark.parametrize("preset", SHOWN)
@pytest.mark.parametrize("objective", ["nonsaturating", "relativistic"])
def test_the_term_is_the_critic_s_loss_with_the_next_row_s_label_in_the_fake_s_place(
    preset, objective
):
    game, real, known, drawn = dealt(preset, "mismatched=0.5", f"objective={objective}")
    (label,) = known
    own = logits(game, real, known, drawn)
    other = logits(game, real, {label: known[label].roll(1, 0)}, drawn)
    counts = known[label] != known[label].roll(1, 0)
    wanted = 0.5 * (game.objective.critic(other, own) * counts.flatten()).mean()
    found = game.critic_terms(real, known, drawn)
    torch.testing.assert_close(found["mismatched"], wanted)
    plain, *_ = dealt(preset, "mismatched=0", f"objective={objective}")
    without = plain.critic_terms(real, known, drawn)
    torch.testing.assert_close(found["critic"], without["critic"])
    assert "mismatched" not in without


def test_rows_of_the_same_class_and_rows_without_a_label_count_nothing():
    game, real, known, drawn = dealt("cgan", "mismatched=1")
    (label,) = known
    same = {label: torch.zeros_like(known[label])}
    assert game.critic_terms(real, same, drawn)["mismatched"].item() == 0
    missing = game.spec.code(label).resolved.missing(torch.full_like(known[label], -1))
    assert bool(missing.all())
    none = {label: torch.full_like(known[label], -1)}
    assert game.critic_terms(real, none, drawn)["mismatched"].item() == 0
    one = {label: torch.where(torch.arange(tiny.BATCH) == 3, -1, torch.arange(tiny.BATCH) % 2)}
    one[label] = one[label].to(known[label].dtype)
    own = logits(game, real, one, drawn)
    other = logits(game, real, {label: one[label].roll(1, 0)}, drawn)
    counts = torch.ones(tiny.BATCH)
    counts[[3, 4]] = 0  # it has none, and the next would be given none
    wanted = (game.objective.critic(other, own) * counts).mean()
    torch.testing.assert_close(game.critic_terms(real, one, drawn)["mismatched"], wanted)


def test_one_look_has_the_same_term():
    game, real, known, drawn = dealt("cgan", "mismatched=0.7", "schedule=one-stage")
    together = game.terms_together(real, known, drawn).critic["mismatched"]
    torch.testing.assert_close(together, game.critic_terms(real, known, drawn)["mismatched"])


def test_the_generator_has_no_such_term_and_the_log_has_its_mean(tmp_path):
    game, real, known, drawn = dealt("cgan", "mismatched=0.7")
    assert set(game.generator_terms(real, known, drawn)) == {"generator"}
    made = tiny.plan("cgan", "mismatched=0.7", "critic_steps=2")
    players, tally = make_players(made), Tally()
    stepping.step(made, players, tally)
    means = tally.means(made.config, players.images_seen)
    assert means["mismatched"] == pytest.approx(float(tally.sums["mismatched"]) / 2)


@pytest.mark.parametrize("preset", ["acgan", "infogan", "gan"])
def test_without_a_shown_code_it_is_refused(preset):
    with pytest.raises(ConfigError, match="no code is shown"):
        tiny.plan(preset, "mismatched=1")
