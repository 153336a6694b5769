"""Laws of the code specification: what it allows, how it is written, and what an overlay leaves alone."""

import tomllib
from itertools import product
from typing import get_args

import pytest
import tomli_w
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from gander.code import BEHIND, Code, Fed, Learns, Scored, Shown
from gander.codes import CodeSpec
from gander.errors import CodeError
from gander.kinds import Binary, Categorical, Circular, Gaussian, Uniform

COLUMNS = {
    "digit": Categorical(3, (0.5, 0.2, 0.3), ("zero", "one", "two")),
    "slant": Uniform(1, -2.0, 4.0, (-2.0, 0.0, 4.0)),
    "angle": Circular(),
    "tags": Binary(2),
    "kind of hat": Categorical(2),
}
MIXED = (
    "noise:gaussian(5) digit:given,shown,recognised slant:given,recognised=0.5 tags:given,shown=embed "
    "category:categorical(4),recognised c1:uniform(2),recognised=0.3 turn:circular,recognised=0.1"
)


def mixed():
    return CodeSpec.parse(MIXED).resolve(COLUMNS, "digit")


# ---------------------------------------------------------------------- the family and what is refused
@pytest.mark.parametrize(
    ("line", "family"),
    [
        ("noise:gaussian(62)", "GAN"),
        ("noise:gaussian(62) spare:categorical(3)", "GAN"),
        ("noise:gaussian(62) c:uniform,recognised", "InfoGAN"),
        *((f"noise:gaussian(62) label:given,shown={form}", "CGAN") for form in get_args(Shown)),
        ("noise:gaussian(62) label:given,recognised", "ACGAN"),
        ("noise:gaussian(62) label:given,shown,recognised", "CGAN+ACGAN"),
        ("noise:gaussian(62) label:given,recognised c:uniform,recognised", "ACGAN+InfoGAN"),
        ("noise:gaussian(62) label:given,shown c:uniform,recognised", "CGAN+InfoGAN"),
        (MIXED, "CGAN+ACGAN+InfoGAN"),
    ],
)
def test_every_row_of_the_table_has_its_name(line, family):
    assert CodeSpec.parse(line).family == family


asked = [
    (None, "digit"),
    (None, *get_args(Shown)),
    (0.0, 0.7),
    (Gaussian(2), None),
    (None, "digit"),
]


@pytest.mark.parametrize(
    ("column", "shown", "weight", "kind", "frequencies"), list(product(*asked))
)
def test_every_combination_is_allowed_or_refused_with_its_reason(
    column, shown, weight, kind, frequencies
):
    if shown and not column:
        reason = "nothing to show beside a real image"
    elif column and not shown and not weight:
        reason = "the generator may ignore it"
    elif shown not in (None, *BEHIND) and weight:
        reason = "the recogniser would read it from what it was shown"
    elif kind is None and not column and not frequencies:
        reason = "needs a kind"
    else:
        code = Code("c", kind, column, shown, weight, frequencies=frequencies)
        assert code.is_noise == (not column and not weight)
        assert code.is_discovered == (not column and weight > 0)
        return
    with pytest.raises(CodeError, match=reason) as refusal:
        Code("c", kind, column, shown, weight, frequencies=frequencies)
    assert "'c'" in str(refusal.value)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "at least one"),
        ("a:gaussian a:gaussian(2)", "two codes are named 'a'"),
        ("label:given,shown", "every code enters by normalisation"),
        ("label:given,shown=multiply", "there is no noise"),
        ("noise:gaussian,fed=embed label:given,shown=multiply", "there is no noise"),
        ("c:uniform,recognised c2:categorical(3),fed=multiply", "there is no noise"),
        ("a:given=x,shown=concat b:given=x,recognised", "'b' is shown at the trunk's input"),
        ("noise", "'noise' is not a code"),
        ("noise:", "'noise:' is not a code"),
        ("noise:gausian(3)", "Did you mean 'gaussian'"),
        ("noise:gaussian(x)", r"given gaussian\(x\)"),
        ("noise:gaussian(2.5)", "is no size"),
        ("noise:gaussian(inf)", "is no size"),
        ("noise:gaussian(nan)", "is no size"),
        ("noise:gaussian(2,3)", "is no size"),
        ("noise:gaussian(0)", "100,000, given 0"),
        ("noise:uniform(3,1)", "low number to a higher"),
        ("c:categorical(0.5,0.9)", "sum to 1"),
        ("c:uniform,recognised=much", "0 or more, given 'much'"),
        ("c:uniform,recognised=-1", "a number of 0 or more"),
        ("c:uniform,recognised=inf", "a number of 0 or more"),
        ("c:uniform,recognised=nan", "a number of 0 or more"),
        ("d:given,shown=projecton", "Did you mean 'projection'"),
        ("d:given,recognised,learns=boths", "Did you mean 'both'"),
        ("c:uniform,recognized", "Did you mean 'recognised'"),
        ("c:uniform,fed=normalization", "Did you mean 'normalisation'"),
        ("c:uniform,scored=elements", "Did you mean 'elementwise'"),
        ("2c:uniform", "beginning with a letter"),
        ("c d:uniform", "'c' is not a code"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused_with_its_reason(line, reason):
    with pytest.raises(CodeError, match=reason):
        CodeSpec.parse(line)


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        (["noise"], "codes is a table"),
        ({"noise": 3}, "'noise' is a table"),
        ({"noise": {"kind": "gaussian", "recognised": "much"}}, "0 or more, given 'much'"),
        ({"noise": {"size": 3}}, "is not a setting of a code"),
        ({"noise": {"kind": "gaussian", "shown": 3}}, "shown is a word, given 3"),
        ({"label": {"given": False, "recognised": 1}}, "given is a word, given False"),
        ({"noise": {"kind": "gaussian", "sise": 3}}, "Did you mean 'size'"),
        ({"label": {"givn": "label"}}, "Did you mean 'given'"),
        ({"a.b": {"kind": "gaussian"}}, "a name is letters"),
    ],
)
def test_tables_that_make_no_sense_are_refused_with_their_reason(tables, reason):
    with pytest.raises(CodeError, match=reason):
        CodeSpec.from_dict(tables)


@given(st.text(alphabet="ab:=,.() 01;-given shown uniform", max_size=30))
def test_any_text_is_a_specification_or_one_clear_refusal(line):
    try:
        spec = CodeSpec.parse(line)
    except CodeError as error:
        assert str(error)
    else:
        assert CodeSpec.parse(str(spec)) == spec


def test_a_code_waiting_for_its_column_says_so():
    with pytest.raises(CodeError, match="still waits for the data"):
        _ = CodeSpec.parse("z:gaussian label:given,shown").code("label").resolved


def test_a_misspelt_code_is_answered_with_the_nearest():
    with pytest.raises(CodeError, match="Did you mean 'category'"):
        mixed().code("catgory")


# ---------------------------------------------------------------------- how it is written
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,6}", fullmatch=True)
sizes = st.integers(1, 12)
bounds = st.floats(-1e9, 1e9, allow_nan=False).map(lambda x: x + 0.0)


@st.composite
def chances(draw):
    parts = draw(st.lists(st.integers(0, 1000), min_size=2, max_size=5))
    assume(sum(parts))
    return tuple(p / sum(parts) for p in parts)


@st.composite
def a_kind(draw):
    which = draw(st.sampled_from(["gaussian", "uniform", "categorical", "binary", "circular"]))
    if which == "gaussian":
        return Gaussian(draw(sizes))
    if which == "circular":
        return Circular(draw(sizes))
    if which == "uniform":
        low, high = sorted((draw(bounds), draw(bounds)))
        assume(low < high)
        return draw(st.sampled_from([Uniform(draw(sizes)), Uniform(draw(sizes), low, high)]))
    if which == "categorical":
        shares = draw(st.none() | chances())
        return Categorical(len(shares), shares) if shares else Categorical(draw(sizes) + 1)
    on = draw(st.lists(st.floats(0, 1), min_size=1, max_size=4))
    return draw(st.sampled_from([Binary(draw(sizes)), Binary(len(on), tuple(on))]))


@st.composite
def a_code(draw, name):
    settings = {
        "recognised": draw(st.sampled_from([0.0, 1.0]) | st.floats(0, 1e6)),
        "learns": draw(st.sampled_from(get_args(Learns))),
        "scored": draw(st.sampled_from(get_args(Scored))),
        "fed": draw(st.none() | st.sampled_from(get_args(Fed))),
    }
    try:
        if draw(st.booleans()):
            column = draw(st.just(name) | names)
            shown = draw(st.none() | st.sampled_from(get_args(Shown)))
            return Code(name, given=column, shown=shown, **settings)
        if draw(st.booleans()):
            return Code(name, frequencies=draw(names), **settings)
        return Code(name, draw(a_kind()), **settings)
    except CodeError:
        assume(False)


@st.composite
def a_spec(draw):
    found = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    try:
        return CodeSpec(tuple(draw(a_code(name)) for name in found))
    except CodeError:
        assume(False)


@given(a_spec())
def test_one_line_a_file_and_python_say_the_same(spec):
    assert CodeSpec.parse(str(spec)) == spec
    assert CodeSpec.from_dict(spec.to_dict()) == spec
    assert CodeSpec.from_dict(tomllib.loads(tomli_w.dumps(spec.to_dict()))) == spec


def test_a_resolved_specification_survives_a_file_names_frequencies_and_all():
    spec = CodeSpec.parse(MIXED + " like:frequencies=label").resolve(COLUMNS, "digit")
    assert CodeSpec.from_dict(tomllib.loads(tomli_w.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize(
    ("line", "tables"),
    [
        ("z:gaussian(62)", {"z": {"kind": "gaussian", "size": 62}}),
        ("z:gaussian", {"z": {"kind": "gaussian"}}),
        ("label:given,shown,fed=embed", {"label": {"given": True, "shown": True, "fed": "embed"}}),
        (
            "d:given=digit,shown,fed=concat",
            {"d": {"given": "digit", "shown": "projection", "fed": "concat"}},
        ),
        ("d:given,recognised", {"d": {"given": "d", "shown": False, "recognised": 1}}),
        ("c:uniform(-2,3)", {"c": {"kind": "uniform", "low": -2, "high": 3}}),
        ("c:uniform(4,-2,3)", {"c": {"kind": "uniform", "size": 4, "low": -2, "high": 3}}),
        ("c:categorical(.5,.5)", {"c": {"kind": "categorical", "size": 2, "probs": [0.5, 0.5]}}),
        ("b:binary(.25)", {"b": {"kind": "binary", "size": 1, "probs": [0.25]}}),
        ("b:binary(3)", {"b": {"kind": "binary", "size": 3}}),
        (
            "c:uniform,recognised=0.1;\n z:gaussian",
            {"c": {"kind": "uniform", "recognised": 0.1}, "z": {"kind": "gaussian"}},
        ),
        ("c:frequencies=label,recognised", {"c": {"frequencies": "label", "recognised": 1.0}}),
    ],
)
def test_the_short_forms_mean_what_they_say(line, tables):
    assert CodeSpec.parse(line) == CodeSpec.from_dict(tables)


@pytest.mark.parametrize("fed", [None, *get_args(Fed)])
@pytest.mark.parametrize("shown", [None, *get_args(Shown)])
def test_the_generator_gets_a_code_as_told_or_as_the_critic_does(shown, fed):
    code = Code("c", given="digit", shown=shown, recognised=float(shown is None), fed=fed)
    default = {"projection": "normalisation", "hidden": "normalisation", None: "concat"}.get(
        shown, shown
    )
    assert code.enters == (fed or default)


def test_codes_are_sorted_by_what_is_asked_of_them():
    spec = CodeSpec.parse(MIXED)
    assert [code.name for code in spec.given] == ["digit", "slant", "tags"]
    assert [code.name for code in spec.recognised] == ["digit", "slant", "category", "c1", "turn"]
    assert [code.name for code in spec.codes if code not in spec.knobs] == ["noise"]


# ---------------------------------------------------------------------- values
@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(1, 9), st.data())
def test_a_draw_at_a_position_does_not_depend_on_the_batch(seed, first, count, data):
    spec = mixed()
    whole = spec.draw(seed, "train", first, count)
    start = data.draw(st.integers(0, count - 1))
    part = spec.draw(seed, "train", first + start, count - start)
    for name, values in whole.items():
        assert torch.equal(values[start:], part[name])


def test_codes_streams_and_seeds_draw_apart():
    spec = CodeSpec.parse("a:gaussian(4) b:gaussian(4)")
    drawn = [
        values
        for seed, stream in ((0, "train"), (1, "train"), (0, "probe"))
        for values in spec.draw(seed, stream, 0, 5).values()
    ]
    for i, one in enumerate(drawn):
        assert not any(torch.equal(one, other) for other in drawn[:i])


def test_adding_a_code_changes_no_other_codes_draw():
    alone, more = CodeSpec.parse("noise:gaussian(5)"), mixed()
    assert torch.equal(alone.draw(0, "train", 0, 4)["noise"], more.draw(0, "train", 0, 4)["noise"])


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=6))
def test_one_seed_is_one_image_whatever_is_drawn_beside_it(wanted):
    spec = mixed()
    together = spec.draw_at(wanted)
    for i, seed in enumerate(wanted):
        for name, values in spec.draw_at([seed]).items():
            assert torch.equal(values[0], together[name][i])


@pytest.mark.parametrize("name", mixed().by_name)
def test_an_overlay_leaves_every_other_value_untouched(name):
    spec = mixed()
    drawn, other = spec.draw(0, "train", 0, 6), spec.draw(1, "train", 0, 6)
    before = {key: values.clone() for key, values in drawn.items()}
    laid = spec.overlay(drawn, {name: other[name]})
    assert list(laid) == list(drawn)
    for key in laid:
        assert torch.equal(laid[key], other[key] if key == name else before[key])
        assert torch.equal(drawn[key], before[key])


@pytest.mark.parametrize("name", ["digit", "slant", "tags"])
def test_an_overlay_falls_back_on_the_draw_where_a_row_holds_nothing(name):
    spec = mixed()
    drawn, other = spec.draw(0, "train", 0, 6), spec.draw(1, "train", 0, 6)
    known = other[name].clone()
    known[1::2] = torch.tensor(spec.code(name).resolved.MISSING).to(known.dtype)
    laid = spec.overlay(drawn, {name: known})
    assert torch.equal(laid[name][::2], other[name][::2])
    assert torch.equal(laid[name][1::2], drawn[name][1::2])
    told = spec.reveal(laid, {name: known})
    if name in told:
        assert told[name].known[:, 0].tolist() == [1, 0, 1, 0, 1, 0]


def test_the_critic_is_told_what_is_shown_and_nothing_else():
    spec = mixed()
    values = spec.draw(0, "train", 0, 6)
    told = spec.reveal(values, {})
    assert told.keys() == {"digit", "tags"}
    for name, (encoding, known) in told.items():
        assert torch.equal(encoding, spec.encode(values)[name]) and (known == 1).all()


def test_the_batchs_columns_become_values_of_each_codes_shape():
    spec = mixed()
    columns = {
        "digit": torch.tensor([0, 2, -1]),
        "slant": torch.tensor([0.5, torch.nan, 1.0]),
        "tags": torch.ones(3, 2),
        "unused": torch.zeros(3),
    }
    known = spec.known(columns)
    assert known.keys() == {"digit", "slant", "tags"}
    for name, values in known.items():
        assert values.shape == (3, *spec.code(name).resolved.shape)


# ---------------------------------------------------------------------- read back
def test_the_recognisers_output_is_split_code_by_code():
    spec = mixed()
    params = torch.arange(2.0 * spec.params).view(2, -1)
    parts = spec.split(params)
    assert list(parts) == [code.name for code in spec.recognised]
    assert torch.equal(torch.cat(list(parts.values()), dim=1), params)
    assert all(part.shape[1] == spec.code(name).resolved.params for name, part in parts.items())


def test_each_recognition_term_is_weighted_and_asked_only_where_known():
    spec = mixed()
    values = spec.draw(0, "train", 0, 6)
    params = torch.randn(6, spec.params, generator=torch.Generator().manual_seed(0))
    terms = spec.recognition(params, values)
    for code in spec.recognised:
        belief = code.resolved.posterior(spec.split(params)[code.name])
        by_hand = -code.recognised * belief.log_prob(values[code.name]).mean()
        torch.testing.assert_close(terms[code.name], by_hand)
    some = {name: values[name] for name in ("digit", "c1", "noise")}
    assert spec.recognition(params, some).keys() == {"digit", "c1"}
    assert spec.recognition(params, values, lambda code: code.name == "turn").keys() == {"turn"}
    assert spec.information(params, some).keys() == {"digit", "c1"}


# ---------------------------------------------------------------------- the data's part
def test_the_label_takes_the_name_and_the_frequencies_of_its_column():
    spec = CodeSpec.parse("noise:gaussian label:given,shown").resolve(COLUMNS, "digit")
    assert spec.codes[1] == Code("digit", COLUMNS["digit"], given="digit", shown="projection")
    own = CodeSpec.parse("noise:gaussian what:given=label,shown").resolve(COLUMNS, "digit")
    assert own.codes[1] == Code("what", COLUMNS["digit"], given="digit", shown="projection")


@pytest.mark.parametrize("column", ["digit", "slant", "angle", "tags"])
def test_every_sort_of_column_can_be_given(column):
    spec = CodeSpec.parse(f"noise:gaussian {column}:given,shown").resolve(COLUMNS, "digit")
    assert spec.code(column).resolved == COLUMNS[column]


def test_a_label_whose_column_has_no_name_for_a_code_keeps_its_own():
    spec = CodeSpec.parse("noise:gaussian label:given,shown").resolve(COLUMNS, "kind of hat")
    assert spec.codes[1] == Code("label", Categorical(2), given="kind of hat", shown="projection")


def test_a_column_named_label_is_the_label():
    columns = {"label": Categorical(4), "digit": Categorical(3)}
    spec = CodeSpec.parse("z:gaussian label:given,shown").resolve(columns, "digit")
    assert spec.code("label").resolved.size == 4


def test_a_discovered_code_may_borrow_the_labels_frequencies_without_their_names():
    spec = CodeSpec.parse("category:frequencies=label,recognised").resolve(COLUMNS, "digit")
    code = spec.code("category")
    assert code.resolved == Categorical(3, (0.5, 0.2, 0.3))
    assert code.is_discovered and code.given is None


def test_resolving_twice_changes_nothing():
    assert mixed().resolve(COLUMNS, "digit") == mixed()
    spec = CodeSpec.parse("category:frequencies=label,recognised").resolve(COLUMNS, "digit")
    assert spec.resolve(COLUMNS, "digit") == spec


@pytest.mark.parametrize(
    ("line", "label", "reason"),
    [
        ("digt:given,recognised", "digit", "Did you mean 'digit'.*angle"),
        ("label:given,recognised", None, "these images have no labels"),
        ("c:frequencies=slant", "digit", "'slant' has no classes"),
        ("c:frequencies=nothing", "digit", "takes its frequencies from the data.*slant"),
        (
            "slant:categorical(3),given,recognised",
            "digit",
            "'slant' is uniform, but the code says categ",
        ),
        ("digit:given,recognised label:given,recognised", "digit", "two codes are named 'digit'"),
    ],
)
def test_what_the_data_cannot_supply_is_refused_with_the_columns_it_has(line, label, reason):
    with pytest.raises(CodeError, match=reason):
        CodeSpec.parse(line).resolve(COLUMNS, label)
