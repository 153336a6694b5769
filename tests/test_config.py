"""Laws of what a run is told: every setting and preset is checked, found by its short name, and written back."""

import dataclasses
import math
import tomllib
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gander import backbones, config
from gander.codes import CodeSpec
from gander.errors import CodeError, ConfigError, UseError
from gander.objectives import OBJECTIVES
from gander.penalties import PENALTIES
from gander.settings import SECTIONS, SETTINGS

EVERY = [(section, name) for section, settings in SETTINGS.items() for name in settings]
every_setting = pytest.mark.parametrize(("section", "name"), EVERY, ids=map(".".join, EVERY))
every_preset = pytest.mark.parametrize("preset", config.preset_names())


def kind_of(section, name):
    return typing.get_type_hints(SECTIONS[section])[name]


def another(section, name):
    """A valid value that is not the default."""
    setting, kind = SETTINGS[section][name], kind_of(section, name)
    if typing.get_args(kind):
        return next(option for option in typing.get_args(kind) if option != setting.default)
    if name == "backbone":
        return next(backbone for backbone in backbones.names() if backbone != setting.default)
    if name == "objective":
        return next(objective for objective in OBJECTIVES if objective != setting.default)
    if name in ("augment", "views"):
        return "flip,shift"
    if kind is bool:
        return not setting.default
    if kind is str:
        return "elsewhere"
    if kind is float:
        low = setting.metadata["least"] or 0
        return (setting.default + low) / 2 if setting.default > low else low + 0.125
    return setting.default + 3


def with_setting(section, name, value):
    return config.from_dict({"codes": "noise:gaussian(3)", section: {name: value}})


def read(settings, section, name):
    return getattr(getattr(settings, section), name)


# ---------------------------------------------------------------------- presets
@every_preset
def test_every_preset_loads_and_says_what_it_is(preset):
    settings = config.load(preset)
    assert settings.preset == preset and isinstance(settings.codes, CodeSpec)
    about = config.presets()[preset]
    assert about.strip() and "\n" not in about


FAMILIES = {
    "gan": "GAN",
    "dcgan": "GAN",
    "cgan": "CGAN",
    "acgan": "ACGAN",
    "infogan": "InfoGAN",
    "acgan-infogan": "ACGAN+InfoGAN",
    "cgan-infogan": "CGAN+ACGAN+InfoGAN",
}


@every_preset
def test_a_presets_name_is_the_family_of_its_codes(preset):
    longest = max((name for name in FAMILIES if preset.startswith(name)), key=len)
    assert config.load(preset).codes.family == FAMILIES[longest]


@every_preset
def test_a_whole_configuration_survives_its_file(preset, tmp_path):
    settings = config.load(preset, ["batch=64", "noise.size=7"], training__seed=5)
    text = config.to_toml(settings, {"provenance": {"version": "x", "nothing": None}})
    assert config.from_dict(tomllib.loads(text)) == settings
    (tmp_path / "again.toml").write_text(text, encoding="utf-8")
    assert config.load(str(tmp_path / "again.toml")) == settings


# ---------------------------------------------------------------------- every setting
@every_setting
def test_every_setting_says_what_it_means(section, name):
    about = SETTINGS[section][name].metadata["about"]
    assert about and "\n" not in about


@every_setting
def test_every_default_is_a_valid_value(section, name):
    default = SETTINGS[section][name].default
    assert read(with_setting(section, name, default), section, name) == default


@every_setting
def test_every_setting_is_set_by_its_whole_its_short_name_and_the_commands_own_options(
    section, name
):
    value = another(section, name)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    by_whole = config.load("gan", [f"{section}.{name}={text}"])
    assert read(by_whole, section, name) == value
    assert config.load("gan", **{f"{section}__{name}": value}) == by_whole
    homes = [home for home, settings in SETTINGS.items() if name in settings]
    assert homes == [section], "two settings share a short name"
    assert config.load("gan", [f" {name} = {text} "]) == by_whole


@every_setting
def test_a_later_word_wins(section, name):
    value, default = another(section, name), SETTINGS[section][name].default
    overrides = [f"{name}={str(v).lower() if isinstance(v, bool) else v}" for v in (value, default)]
    assert read(config.load("gan", overrides), section, name) == default


@every_setting
def test_a_value_of_the_wrong_type_is_refused_by_name(section, name):
    wrong = {str: 3, int: "many", float: "much", bool: 1}.get(kind_of(section, name), "sideways")
    for value in (wrong, [1], {"a": 1}, math.nan):
        with pytest.raises(ConfigError, match=rf"{section}\.{name}"):
            with_setting(section, name, value)
    if kind_of(section, name) in (int, float):
        for value in (True, math.inf):
            with pytest.raises(ConfigError, match=rf"{section}\.{name}"):
                with_setting(section, name, value)


@every_setting
def test_bounds_hold_and_are_told(section, name):
    least, most = (SETTINGS[section][name].metadata[end] for end in ("least", "most"))
    step = 1 if kind_of(section, name) is int else 1e-3
    for end, beyond in ((least, -step), (most, step)):
        if end is not None:
            assert read(with_setting(section, name, end), section, name) == end
            with pytest.raises(
                ConfigError, match=rf"{section}\.{name} is a .*({least:,} to|{least:,} or more)"
            ):
                with_setting(section, name, end + beyond)


@every_setting
def test_every_number_has_a_least_value(section, name):
    if kind_of(section, name) in (int, float):
        assert SETTINGS[section][name].metadata["least"] is not None


def test_numbers_may_be_written_as_people_do():
    settings = config.load("gan", ["images=6e5", "critic_rate=1", "save_seconds=5"])
    assert settings.training.images == 600_000 and isinstance(settings.training.images, int)
    assert isinstance(settings.optimiser.critic_rate, float)
    settings = config.load("gan", ["r1=.02", "critic_rate=1.e-3", "save_seconds=5."])
    assert (settings.game.r1, settings.optimiser.critic_rate) == (0.02, 0.001)
    assert settings.report.save_seconds == 5
    with pytest.raises(ConfigError, match="a whole number"):
        config.load("gan", ["images=0.5"])


def test_every_penalty_is_a_setting():
    assert PENALTIES.keys() <= SETTINGS["game"].keys()


# ---------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("bacth=3", "Did you mean 'batch'"),
        ("training.bacth=3", "Did you mean 'training"),
        ("trainin.batch=3", "Did you mean 'training"),
        ("batch", "--set takes key=value, given 'batch'"),
        ("=3", "--set takes key=value"),
        ("batch=1", "from 2 to 65,536 .*, given 1"),
        ("objective=hing", "Did you mean 'hinge'"),
        ("backbone=dcgam", "Did you mean 'dcgan'"),
        ("recogniser=head", "Did you mean 'heads'"),
        ("codes.nois.size=3", "Did you mean 'noise'"),
        ("codes.noise.sise=3", "Did you mean 'size'"),
        ("noise.sise=3", "Did you mean 'size'"),
        ("noise.size=many", "from 1 to 100,000, given 'many'"),
        ("codes=noise:gausian", "Did you mean 'gaussian'"),
    ],
)
def test_an_override_that_makes_no_sense_is_refused_with_the_nearest(override, reason):
    with pytest.raises(UseError, match=reason):
        config.load("gan", [override])


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({}, r"\[codes.NAME\]"),
        ({"codes": 3}, "codes is a table"),
        ({"codes": {"noise": 3}}, "'noise' is a table"),
        ({"codes": "z:gaussian", "trainin": {}}, "Did you mean 'training'"),
        ({"codes": "z:gaussian", "training": 3}, r"\[training\] is a table of settings, given 3"),
        ({"codes": "z:gaussian", "training": {"bacth": 3}}, "Did you mean 'batch'"),
        ({"codes": "z:gaussian", "game": {"objective": "hing"}}, "Did you mean 'hinge'"),
        ({"codes": "z:gaussian", "model": {"backbone": "dcgam"}}, "Did you mean 'dcgan'"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_the_nearest(table, reason):
    with pytest.raises(UseError, match=reason):
        config.from_dict(table)


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        ("training = 3", ["batch=4"]),
        ("codes = 3", ["noise.size=4"]),
        ("codes = [1]", ["batch=4"]),
        ("[codes]\nnoise = 3", ["noise.size=4"]),
        ("codes = ", []),
        ("codes = '\udcff'", []),
    ],
)
def test_a_broken_file_is_refused_before_anything_is_laid_on_it(text, overrides, tmp_path):
    file = tmp_path / "own.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UseError):
        config.load(str(file), overrides)
    with pytest.raises(UseError):
        config.load(str(file), training__batch=4)


def test_a_preset_or_file_that_is_not_there_is_answered_with_what_is(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'infogan'"):
        config.load("infogam")
    with pytest.raises(ConfigError, match=r"there is no file.*infogan"):
        config.load(str(tmp_path / "infogan.toml"))


words = st.text(alphabet="abcdegimnorst.=_[]'1- {}", max_size=24)


@given(words | words.map("codes.noise.".__add__) | words.map("codes=".__add__))
def test_any_override_is_a_configuration_or_one_clear_refusal(override):
    try:
        assert isinstance(config.load("gan", [override]), config.Config)
    except UseError as error:
        assert str(error)


# ---------------------------------------------------------------------- codes
@pytest.mark.parametrize("key", ["codes.c1.recognised", "c1.recognised"])
def test_a_setting_of_one_code_leaves_all_else_alone(key):
    plain, changed = config.load("infogan"), config.load("infogan", [f"{key}=0.125"])
    assert changed.codes.code("c1") == dataclasses.replace(plain.codes.code("c1"), recognised=0.125)
    codes = tuple(c if c.name != "c1" else plain.codes.code("c1") for c in changed.codes.codes)
    assert dataclasses.replace(changed, codes=CodeSpec(codes)) == plain


def test_codes_can_be_said_in_one_line():
    line = "z:gaussian(9) slant:uniform,recognised=0.1"
    settings = config.load("gan", [f"codes={line}", "z.size=3"])
    assert settings.codes == CodeSpec.parse(line.replace("9", "3"))
    assert config.from_dict({"codes": line}).codes == CodeSpec.parse(line)


def test_an_override_that_breaks_a_code_is_refused():
    with pytest.raises(CodeError, match="the recogniser would read it"):
        config.load("cgan-concat", ["label.recognised=1"])


def test_a_code_named_as_a_section_does_not_hide_it():
    base = ["codes=model:gaussian(3)"]
    assert config.load("gan", [*base, "model.width=8"]).model.width == 8
    assert config.load("gan", [*base, "codes.model.size=8"]).codes == CodeSpec.parse(
        "model:gaussian(8)"
    )


# ---------------------------------------------------------------------- files of one's own
def test_a_file_may_build_on_a_preset(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('preset = "infogan-lsgan"\n[training]\nbatch = 16\n', encoding="utf-8")
    own, base = config.load(str(file)), config.load("infogan-lsgan")
    assert own.training == dataclasses.replace(base.training, batch=16)
    assert dataclasses.replace(own, training=base.training) == base
    file.write_text('preset = "infogan"\n[codes.z]\nkind = "gaussian"\n', encoding="utf-8")
    assert config.load(str(file)).codes == CodeSpec.parse("z:gaussian")


def test_a_file_without_a_preset_is_named_after_itself(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('codes = "z:gaussian(4)"\n', encoding="utf-8")
    settings = config.load(str(file), ["codes.z.size=5"])
    assert settings.preset == "mine" and settings.codes == CodeSpec.parse("z:gaussian(5)")


# ---------------------------------------------------------------------- another run or the same
@every_preset
def test_a_configuration_does_not_differ_from_itself(preset):
    assert config.differences(config.load(preset), config.load(preset)) == []


FREE = {"training.images", "training.threads", "training.recorded", "training.rescues"}
"""How long, how the machine goes about it, and what is done where it goes wrong."""


@every_setting
def test_changing_a_setting_makes_another_run_unless_it_only_reports(section, name):
    old = config.from_dict({"codes": "noise:gaussian(3)"})
    new = with_setting(section, name, another(section, name))
    lines = config.differences(old, new)
    if section == "report" or f"{section}.{name}" in FREE:
        assert lines == []
    else:
        before = read(old, section, name)
        assert lines == [f"{section}.{name}: {before} -> {read(new, section, name)}"]


def test_the_length_matters_where_rates_decay_over_it():
    changes = ["images=1000"]
    plain = config.load("gan"), config.load("gan", changes)
    decaying = config.load("gan", ["decay=linear"]), config.load("gan", ["decay=linear", *changes])
    assert config.differences(*plain) == []
    assert [line.partition(":")[0] for line in config.differences(*decaying)] == ["training.images"]
    assert len(config.differences(plain[0], decaying[1])) == 2


def test_every_change_of_the_codes_is_a_difference():
    old = config.load("gan", ["codes=z:gaussian(3) c:uniform,recognised"])
    for line in (
        "z:gaussian(4) c:uniform,recognised",
        "z:gaussian(3) c:uniform,recognised=0.5",
        "z:gaussian(3) c:uniform(-2,1),recognised",
        "z:gaussian(3)",
        "z:gaussian(3) c:uniform,recognised d:gaussian",
        "c:uniform,recognised z:gaussian(3)",
    ):
        assert config.differences(old, config.load("gan", [f"codes={line}"])), line
