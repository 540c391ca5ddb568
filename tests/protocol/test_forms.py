import pytest

from whisperlive_hybrid.errors import BadRequest
from whisperlive_hybrid.protocol.forms import FieldNames, Form

NAMES = FieldNames(
    ("model", "language", "speed", "on"), ("tags",), ("user",), unsupported=("speakers",)
)


def form(*fields: tuple[str, str]) -> Form:
    """A form of these fields."""
    return Form.of(fields, NAMES)


def test_an_unknown_field_is_refused_by_name() -> None:
    """Nothing is accepted and ignored: the error names the field and those that exist."""
    with pytest.raises(
        BadRequest, match=r"'pitch'.*are: file, model, language, speed, on, tags\[\], user\.$"
    ) as e:
        form(("pitch", "2"))
    assert (e.value.param, e.value.code) == ("pitch", "unknown_parameter")


def test_harmless_and_empty_fields_ask_for_nothing() -> None:
    """`user` has no effect on a transcript, and an empty value means that nothing was chosen."""
    read = form(("user", "me"), ("model", ""), ("tags[]", " "))
    assert read.one("model") is None
    assert read.many("tags") == ()


def test_a_list_that_is_always_refused_can_be_read() -> None:
    """It is refused with a reason, and the list of names in messages leaves it out."""
    assert form(("speakers[]", "Ann"), ("speakers", "Bo")).many("speakers") == ("Ann", "Bo")


def test_a_single_field_given_twice_is_refused() -> None:
    """Which of two values was meant cannot be known."""
    with pytest.raises(BadRequest, match="'model' was given 2 times") as e:
        form(("model", "a"), ("model", "a")).one("model")
    assert e.value.param == "model"


def test_lists_are_spelled_with_or_without_brackets() -> None:
    """Both spellings are in use, and the order of the values is kept."""
    assert form(("tags[]", "b"), ("tags", "a")).many("tags") == ("b", "a")


@pytest.mark.parametrize("value", ["-0.1", "1.1", "nan", "inf", "warm"])
def test_a_number_outside_its_range_is_refused(value: str) -> None:
    """Ranges hold for whatever Python would read as a number."""
    with pytest.raises(BadRequest, match="from 0 to 1") as e:
        form(("speed", value)).number("speed", 0.5, 0, 1)
    assert (e.value.param, e.value.code) == ("speed", "invalid_value")


@pytest.mark.parametrize("value", ["-1", "1.0", "4", "four", "²", "9" * 5000])
def test_a_whole_number_outside_its_range_is_refused(value: str) -> None:
    """And only digits are one."""
    with pytest.raises(BadRequest, match="whole number from 0 to 3") as e:
        form(("speed", value)).integer("speed", 0, 3)
    assert (e.value.param, e.value.code) == ("speed", "invalid_value")


def test_a_whole_number_may_be_left_out() -> None:
    """None is not 0."""
    assert form().integer("speed", 0, 3) is None
    assert form(("speed", "0")).integer("speed", 0, 3) == 0


def test_numbers_have_defaults() -> None:
    """A number that is given counts, otherwise the default."""
    assert form().number("speed", 0.5, 0, 1) == 0.5
    assert form(("speed", "1")).number("speed", 0.5, 0, 1) == 1.0


def test_a_switch_knows_two_words() -> None:
    """They are true and false; anything else is refused with both of them."""
    assert form(("on", "true")).boolean("on")
    assert not form().boolean("on")
    with pytest.raises(BadRequest, match="'yes'; it must be one of: true, false"):
        form(("on", "yes")).boolean("on")


@pytest.mark.parametrize("written", ["de", "DE", "de-AT", "german", " German "])
def test_languages_are_codes_regions_or_names(written: str) -> None:
    """All spellings mean Whisper's code."""
    assert form(("language", written)).language() == "de"


def test_an_unknown_language_is_refused() -> None:
    """With the field's name and what is allowed."""
    with pytest.raises(BadRequest, match=r"'klingon'.*af, am, ar") as e:
        form(("language", "klingon")).language()
    assert (e.value.param, e.value.code) == ("language", "invalid_value")
