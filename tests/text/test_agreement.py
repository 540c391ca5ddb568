"""LocalAgreement: stable words are agreed on twice, and are only ever added to."""

from hypothesis import given
from hypothesis import strategies as st

from whisperlive_hybrid.text.agreement import Agreement, normalize_word, split_words

hypotheses = st.lists(st.lists(st.sampled_from(["a", "b", "c."]), max_size=6), max_size=8)


def test_two_hypotheses_make_a_word_stable() -> None:
    """Words of a single hypothesis are not stable; those that a second one repeats are."""
    agreement = Agreement()
    assert agreement.add(" where is the") == " where is the"
    assert agreement.stable == ""
    agreement.add(" where is the ball now")
    assert agreement.stable == " where is the"


def test_the_last_word_is_held_back() -> None:
    """The audio may end inside the last word, so that it is not stable after two hypotheses."""
    agreement = Agreement()
    agreement.add(" please wait")
    agreement.add(" please wait")
    assert agreement.stable == " please"


def test_case_and_punctuation_do_not_count() -> None:
    """Commas and capitals change; the first stable spelling is kept."""
    agreement = Agreement()
    agreement.add(" Yes, it is")
    assert agreement.add(" yes it is red") == " yes it is red"
    assert agreement.stable == " yes it is"
    assert agreement.add(" Yes, it is red today") == " yes it is red today"


def test_a_hypothesis_that_forgets_stable_words_does_not_take_them_back() -> None:
    """The text keeps its stable beginning with any later hypothesis."""
    agreement = Agreement()
    agreement.add(" the cat is black")
    agreement.add(" the cat is black and")
    assert agreement.add(" a dog was black and white") == " the cat is black and white"


@given(hypotheses)
def test_stable_text_only_grows(spoken: list[list[str]]) -> None:
    """Every stable text is the beginning of the next one and of the text."""
    agreement, before = Agreement(), ""
    for words in spoken:
        shown = agreement.add("".join(f" {word}" for word in words))
        assert agreement.stable.startswith(before)
        assert shown.startswith(agreement.stable)
        before = agreement.stable


def test_scripts_without_spaces_are_cut_into_characters() -> None:
    """Chinese has no spaces to wait for; a single word with an umlaut is still a word."""
    assert split_words("你好") == ["你", "好"]
    assert split_words(" Müller") == [" Müller"]


def test_bare_punctuation_is_a_word_of_its_own() -> None:
    """Two different marks are not the same word."""
    assert normalize_word(" ¿") != normalize_word(" !")
    assert normalize_word(" ¿Dónde") == "dónde"


def test_what_was_forgotten_can_be_recalled() -> None:
    """Then hypotheses begin with it again, and it stays stable."""
    agreement = Agreement()
    agreement.add(" and so we went")
    agreement.add(" and so we went home")
    agreement.forget(" and so")
    assert agreement.add(" we went home again") == " we went home again"
    agreement.recall(" and so")
    assert agreement.stable == " and so we went home"
    assert agreement.add(" And so we went home again now") == " and so we went home again now"
