"""Randomness is a function of position: the laws that make a run resumable and a seed an image.

Statistical laws are checked at fixed seeds, with thresholds that a fresh seed would miss once in ten thousand.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gander import rng

FAILURE_RATE = 1e-4
seeds = st.integers(0, 2**64 - 1)
names = st.text(max_size=12)


@given(seeds, names, st.integers(0, 2**70), st.integers(1, 9), st.integers(0, 12), st.data())
def test_any_slice_of_a_draw_is_the_draw_at_that_position(
    seed, stream, first, count, columns, data
):
    whole = rng.raw(seed, stream, first, count, columns)
    start = data.draw(st.integers(0, count))
    stop = data.draw(st.integers(start, count))
    part = rng.raw(seed, stream, first + start, stop - start, columns)
    assert part.dtype == np.uint64 and part.shape == (stop - start, columns)
    assert np.array_equal(whole[start:stop], part)
    numbers = rng.uniforms(seed, stream, first, count, columns)
    assert np.array_equal(
        numbers[start:stop], rng.uniforms(seed, stream, first + start, len(part), columns)
    )


def philox(key, counter):
    """One block of Philox4x64-10 as Salmon et al. publish it, in whole numbers."""
    mask, (k0, k1), (a, b, c, d) = 2**64 - 1, key, counter
    for _ in range(10):
        left, right = 0xD2E7470EE14C6C93 * a, 0xCA5A826395121157 * c
        a, b, c, d = (right >> 64) ^ b ^ k0, right & mask, (left >> 64) ^ d ^ k1, left & mask
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & mask, (k1 + 0xBB67AE8584CAA73B) & mask
    return [a, b, c, d]


@given(seeds, names, st.integers(0, 2**60), st.integers(1, 9))
def test_the_words_are_philox_of_seed_stream_and_position(seed, stream, position, columns):
    blocks = -(-columns // 4)
    words = []
    for block in range(blocks):
        count = position * blocks + block + 1  # numpy counts before it draws
        words += philox((seed, rng.stream_key(stream)), (count, 0, 0, 0))
    assert rng.raw(seed, stream, position, 1, columns)[0].tolist() == words[:columns]


@given(seeds, seeds, names, names)
def test_seeds_and_streams_differ(seed, other, stream, name):
    same = np.array_equal(rng.raw(seed, stream, 0, 2, 4), rng.raw(other, name, 0, 2, 4))
    assert same == ((seed, stream) == (other, name))


def test_no_word_comes_twice():
    words = [
        rng.raw(seed, stream, first, 200, 6)
        for seed in (0, 1)
        for stream in ("train/noise", "train/digit", "draw/noise")
        for first in (0, 200, 10**9)
    ]
    every = np.concatenate(words).ravel()
    assert len(np.unique(every)) == len(every)


def test_streams_seeds_neighbours_and_columns_are_independent():
    n = 20_000
    base = rng.uniforms(0, "noise", 0, n, 2)
    others = {
        "stream": rng.uniforms(0, "noise2", 0, n, 2)[:, 0],
        "seed": rng.uniforms(1, "noise", 0, n, 2)[:, 0],
        "next position": rng.uniforms(0, "noise", 1, n, 2)[:, 0],
        "next column": base[:, 1],
    }
    for what, other in others.items():
        assert stats.pearsonr(base[:, 0], other).pvalue > FAILURE_RATE, what
        counts = np.histogram2d(base[:, 0], other, bins=8, range=[[0, 1], [0, 1]])[0]
        assert stats.chisquare(counts.ravel()).pvalue > FAILURE_RATE, what


@given(seeds, names, st.integers(0, 2**40), st.integers(1, 20), st.integers(1, 20))
def test_uniforms_are_at_least_zero_and_less_than_one(seed, stream, first, count, columns):
    u = rng.uniforms(seed, stream, first, count, columns)
    assert u.dtype == np.float64 and u.shape == (count, columns)
    assert (u >= 0).all() and (u < 1).all()


@pytest.mark.parametrize("word", [0, 2**64 - 1])
def test_the_extreme_words_are_still_inside(word, monkeypatch):
    monkeypatch.setattr(rng, "raw", lambda *_: np.full((3, 4), word, dtype=np.uint64))
    u = rng.uniforms(0, "any", 0, 3, 4)
    assert (u >= 0).all() and (u < 1).all()
    assert np.isfinite(rng.normals(u)).all()


def test_uniforms_are_uniform_and_normals_normal():
    u = rng.uniforms(3, "law", 0, 20_000, 2)
    for column in u.T:
        assert stats.kstest(column, "uniform").pvalue > FAILURE_RATE
    z = rng.normals(u)
    for column in z.T:
        assert stats.kstest(column, "norm").pvalue > FAILURE_RATE
    assert stats.pearsonr(*z.T).pvalue > FAILURE_RATE
    assert stats.pearsonr(*(z.T**2)).pvalue > FAILURE_RATE


def test_normals_are_box_and_mullers():
    u = rng.uniforms(0, "box", 0, 50, 6)
    radius, angle = np.sqrt(-2 * np.log(1 - u[:, :3])), 2 * np.pi * u[:, 3:]
    by_hand = np.hstack([radius * np.cos(angle), radius * np.sin(angle)])
    np.testing.assert_allclose(rng.normals(u), by_hand, rtol=1e-12, atol=1e-12)


stretches = st.tuples(st.integers(0, 9) | st.integers(0, 2**63), st.integers(0, 4))


@given(st.lists(stretches, max_size=6), st.integers(1, 9))
def test_a_drawing_seed_is_a_position_of_the_drawing_stream(parts, columns):
    wanted = [seed for first, count in parts for seed in range(first, first + count)]
    rows = rng.uniforms_at(wanted, "draw/noise", columns)
    assert rows.shape == (len(wanted), columns)
    for seed, row in zip(wanted, rows, strict=True):
        assert np.array_equal(row, rng.uniforms(0, "draw/noise", seed, 1, columns)[0])


@given(seeds, st.integers(0, 10**6), st.integers(0, 300))
def test_a_permutation_has_everything_once(seed, epoch, n):
    order = rng.permutation(seed, "order", epoch, n)
    assert np.array_equal(np.sort(order), np.arange(n))
    assert np.array_equal(order, rng.permutation(seed, "order", epoch, n))


def test_permutations_are_fair_and_differ_from_epoch_to_epoch():
    orders = np.array([rng.permutation(0, "order", epoch, 4) for epoch in range(4800)])
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 24 and stats.chisquare(counts).pvalue > FAILURE_RATE


def test_torchs_own_generators_are_put_at_a_position():
    def drawn(*position):
        rng.seed_torch(*position)
        return torch.rand(4)

    here = drawn(1, "step", 5)
    for other in ((2, "step", 5), (1, "pets", 5), (1, "step", 6)):
        assert not torch.equal(here, drawn(*other))
    assert torch.equal(here, drawn(1, "step", 5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_a_tensor_has_its_numbers_and_its_type(dtype):
    numbers = np.arange(12.0).reshape(3, 4).T
    found = rng.tensor(numbers, dtype)
    assert found.dtype == dtype and found.is_contiguous() and found.tolist() == numbers.tolist()


def test_the_streams_never_change_by_accident():
    assert rng.stream_key("train/noise") == GOLDEN_KEY
    assert rng.raw(7, "golden", 5, 2, 3).tolist() == GOLDEN_WORDS
    assert rng.uniforms(7, "golden", 5, 1, 3)[0].tolist() == GOLDEN_UNIFORMS
    assert rng.permutation(7, "golden", 2, 8).tolist() == GOLDEN_ORDER


GOLDEN_KEY = 10770135013513429843
GOLDEN_WORDS = [
    [7018706994518951390, 11231723340887921094, 15248195109548031962],
    [13668598814942294475, 7810254655359186965, 12597833749577942935],
]
GOLDEN_UNIFORMS = [0.38048486857483255, 0.6088729423473416, 0.8266063132127409]
GOLDEN_ORDER = [4, 1, 6, 7, 5, 0, 2, 3]
