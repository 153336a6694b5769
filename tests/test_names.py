"""What people call codes: names that can be kept, said again, exchanged and taken away, and those a code cannot have."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gander import names
from gander.codes import CodeSpec
from gander.errors import CodeError, RunError
from gander.names import Called, Names

LINE = (
    "noise:gaussian(3) category:categorical(4),recognised style:gaussian(2),recognised "
    "c1:uniform,recognised c2:uniform,recognised turn:circular,recognised on:binary(2),recognised"
)
SPEC = CodeSpec.parse(LINE)
KNOBS = [code.name for code in SPEC.knobs]
word = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=12).map(
    "w".__add__
)
said = st.text(min_size=1, max_size=names.LONGEST).filter(
    lambda text: text.isprintable() and text == text.strip() and text[0] != "#"
)


def by_hand(*settings, before=None, seen=0):
    return names.by_hand(before or Names(), SPEC, settings, seen)


def again(given_names):
    """The names as the file gives them back."""
    return Names.from_dict(json.loads(json.dumps(given_names.to_dict())), SPEC, "names.json")


# ---------------------------------------------------------------------- said and kept
@given(words=st.lists(word, min_size=len(KNOBS), max_size=len(KNOBS), unique=True))
def test_every_knob_can_be_called_by_a_name_and_found_by_both(words):
    given_names = by_hand(*(f"{code}={w}" for code, w in zip(KNOBS, words, strict=True)))
    for code, called in zip(KNOBS, words, strict=True):
        assert given_names.find(called, SPEC) == given_names.find(code, SPEC) == code
        assert given_names.label(code) == called
    assert again(given_names) == given_names


@given(words=st.lists(said, min_size=1, max_size=4, unique=True))
def test_a_class_that_has_a_name_is_ordered_by_it_and_by_its_index(words):
    given_names = by_hand(*(f"category.{k}={w}" for k, w in enumerate(words)))
    kind = given_names.applied(SPEC).code("category").resolved
    for k, w in enumerate(words):
        assert kind.parse(w) == kind.parse(f"#{k}") == k
    for k in range(len(words), 4):
        assert kind.names[k] == f"#{k}" and kind.parse(f"#{k}") == k
    called = given_names.of("category")
    assert called.confidence == (1.0,) * len(words) + (0.0,) * (4 - len(words))
    assert given_names.found["category"]["hand"] == list(range(len(words)))
    assert again(given_names) == given_names


def test_names_are_kept_beside_the_weights_whole(tmp_path):
    given_names = by_hand("c1=slant:left:right", "category.2=sept ½", seen=99)
    path = names.keep(tmp_path, given_names)
    assert names.read(tmp_path, SPEC) == given_names and path.parent == tmp_path
    assert given_names.of("c1") == Called("slant", "left", "right")
    assert given_names.found["c1"] == {"images_seen": 99}
    assert [p.name for p in tmp_path.iterdir()] == [names.FILE]


def test_two_names_can_be_exchanged_and_one_said_anew():
    one = by_hand("category.0=a", "category.1=b", "c1=x", "c2=y")
    other = by_hand("category.0=b", "category.1=a", "c1=y:low:high", "c2=x", before=one)
    assert other.of("category").classes == ("b", "a", "#2", "#3")
    assert (other.label("c1"), other.label("c2")) == ("y", "x")
    renamed = by_hand("c1=z", before=other)
    assert renamed.of("c1") == Called("z", "low", "high")
    assert by_hand("y.#0=c", before=by_hand("category=y")).of("category").classes[0] == "c"


@pytest.mark.parametrize("code", KNOBS)
def test_what_was_named_can_be_unnamed(code):
    one = by_hand(f"{code}=thing", "c1=slant" if code != "c1" else "c2=slant")
    assert code in one.codes
    for gone in (by_hand(f"{code}=", before=one), one.without(code)):
        assert code not in gone.codes and code not in gone.found
        assert len(gone.codes) == 1 and len(one.codes) == 2
    assert by_hand("category.3=x", "category.3=") == Names()
    assert by_hand(f"{code}={code}") == Names()


# ---------------------------------------------------------------------- what cannot be
WRONG = {
    "no equals sign": ("c1", "code=name:low:high"),
    "one end": ("c1=slant:left", "both ends"),
    "four words": ("c1=a:b:c:d", "both ends"),
    "no such code": ("c3=slant", "'c3' is not a code"),
    "noise": ("noise=x", "Valid:"),
    "a blank": ("c1=my slant", "letters, digits"),
    "a number": ("c1=7", "beginning with a letter"),
    "another code": ("c1=c2", "that is a code"),
    "another's name": ("c1=tilt c2=tilt", "so is c"),
    "a word of ours": ("c1=all", "something else"),
    "a name of draw": ("c1=seed", "something else"),
    "a long name": ("c1=" + "x" * 61, "at most 60"),
    "a bell": ("category.1=\a", "can be printed"),
    "two lines": ("category.1=a\nb", "can be printed"),
    "a fifth class": ("category.4=x", "#0 to #3"),
    "a negative class": ("category.-1=x", "#0 to #3"),
    "a class by its name": ("category.#0=a category.a=b", "left of the ="),
    "a word as a class": ("category.four=x", "left of the ="),
    "the same class name": ("category.1=a category.3=a", "#1 and #3"),
    "another's index": ("category.1=#2", "an index"),
    "a part of a slider": ("style.0=x", "no classes"),
    "a switch": ("on.0=x", "no classes"),
    "ends of an angle": ("turn=angle:left:right", "comes round"),
    "ends of a category": ("category=digit:low:high", "no slider"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_name_that_cannot_be_is_refused_by_one_sentence(case):
    settings, says = WRONG[case]
    words = [settings] if "my" in settings or "\n" in settings else settings.split(" ")
    with pytest.raises(CodeError) as refused:
        by_hand(*words)
    assert says in str(refused.value) and "\n" not in str(refused.value)


def test_classes_that_the_data_name_are_not_renamed():
    spec = CodeSpec.parse("noise:gaussian(3) digit:categorical(3),given,recognised")
    with pytest.raises(CodeError, match="given by the data"):
        names.by_hand(Names(), spec, ["digit.1=one"], 0)
    assert names.by_hand(Names(), spec, ["digit=number"], 0).find("number", spec) == "digit"


FOREIGN = {
    "another schema": {"schema": 9, "codes": {}},
    "no table": [],
    "no codes": {"schema": 1},
    "an unknown code": {"schema": 1, "codes": {"c9": {"name": "x"}}},
    "a name of numbers": {"schema": 1, "codes": {"c1": {"name": 7}}},
    "a name with blanks": {"schema": 1, "codes": {"c1": {"name": "a b"}}},
    "two the same": {"schema": 1, "codes": {"c1": {"name": "x"}, "c2": {"name": "x"}}},
    "another's own name": {"schema": 1, "codes": {"c1": {"name": "c2"}, "c2": {"name": "x"}}},
    "too few classes": {"schema": 1, "codes": {"category": {"classes": ["a"]}}},
    "classes of a slider": {"schema": 1, "codes": {"c1": {"classes": ["a"]}}},
    "an escape": {"schema": 1, "codes": {"c1": {"low": "\x1b[2J"}}},
    "found by an escape": {"schema": 1, "codes": {}, "found": {"c1": {"data": "\x1b[2J"}}},
    "found at length": {"schema": 1, "codes": {}, "found": {"c1": {"data": "x" * 9999}}},
    "found by a table": {"schema": 1, "codes": {}, "found": {"c1": {"data": {"a": 1}}}},
    "found by nothing": {"schema": 1, "codes": {}, "found": {"c1": 3}},
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_strangers_file_is_looked_at_before_it_is_believed(case, tmp_path):
    (tmp_path / names.FILE).write_text(json.dumps(FOREIGN[case]))
    with pytest.raises(RunError, match=names.FILE):
        names.read(tmp_path, SPEC)


# ---------------------------------------------------------------------- what is written can be read
@given(text=st.text(max_size=3000) | st.just("\udcff"), count=st.integers(0, 2000))
def test_how_names_were_found_never_stands_in_the_way_of_reading_them(
    text, count, tmp_path_factory
):
    how = {"data": text, "column": text, "labels": 7, "hand": list(range(count))}
    folder = tmp_path_factory.getbasetemp()
    names.keep(folder, Names({"c1": Called("slant")}, {"c1": how}))
    assert names.read(folder, SPEC).of("c1").name == "slant"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b"[]", b"{}", b"7"])
def test_a_damaged_file_of_names_says_what_to_do(content, tmp_path):
    (tmp_path / names.FILE).write_bytes(content)
    with pytest.raises(RunError, match="delete it"):
        names.read(tmp_path, SPEC)
