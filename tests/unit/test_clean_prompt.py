"""What is left of a prompt after script tags are taken out, and how long it may be."""

import contextlib
import time

import pytest

from app.domain.errors import InvalidRequest
from app.services.orders.web_generation import clean_prompt

TOO_SHORT_OR_LONG = "Prompt must be 5-2000 characters"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("a cat <script>alert(1)</script>on a mat", "a cat on a mat"),
        ("a cat <SCRIPT type='text/javascript'>alert(1)</ScRiPt >on a mat", "a cat on a mat"),
        ("a cat < script >alert(1)< / script >on a mat", "a cat on a mat"),
        ("a cat <script\n>alert(1)\n\n</script\n>on a mat", "a cat on a mat"),
        ("a cat <script>one</script>on <script>two</script>a mat", "a cat on a mat"),
        ("a cat on a mat<script>", "a cat on a mat"),
        ("a cat on a mat</script>", "a cat on a mat"),
        ("a cat on a mat <script src=//evil.example", "a cat on a mat"),
        ("  a cat on a mat\n", "a cat on a mat"),
    ],
)
def test_script_tags_are_removed_in_every_spelling(written: str, kept: str) -> None:
    assert clean_prompt(written) == kept


@pytest.mark.parametrize(
    "written",
    [
        "a cat <scr<script>ipt>alert(1)</scr</script>ipt> on a mat",
        "a cat <scr<script></script>ipt>alert(1)</script> on a mat",
        "a cat <<script>script>alert(1)<</script>/script> on a mat",
    ],
)
def test_no_tag_is_put_together_from_the_halves_of_a_removed_one(written: str) -> None:
    cleaned = clean_prompt(written)

    assert "<script" not in cleaned.lower()
    assert "</script" not in cleaned.lower()
    assert cleaned.endswith("on a mat")


@pytest.mark.parametrize(
    "prompt",
    [
        "a <b>bold</b> move",
        "3 < 5 > 2 {prompt} $HOME %s \\n",
        "a movie script on a desk",
        "<scripture> in gold",
        "Ein Schloß 🏰 bei Nacht",
        "猫が窓辺で",
    ],
)
def test_everything_else_stays_as_it_was_written(prompt: str) -> None:
    assert clean_prompt(prompt) == prompt


@pytest.mark.parametrize("length", [5, 6, 1999, 2000])
def test_lengths_within_the_limits_are_accepted(length: int) -> None:
    assert len(clean_prompt("x" * length)) == length


@pytest.mark.parametrize(
    "text", ["", "x", "x" * 4, "x" * 2001, "x" * 100_000, "     ", "  x y  ", "<script>hello world</script>", "<script>x</script>four"]
)
def test_lengths_beyond_the_limits_are_refused_with_the_rule(text: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        clean_prompt(text)

    assert refused.value.message == TOO_SHORT_OR_LONG
    assert [(error.pointer, error.detail) for error in refused.value.errors] == [("/prompt", TOO_SHORT_OR_LONG)]


def test_an_emoji_counts_as_one_character() -> None:
    assert clean_prompt("🏰" * 2000) == "🏰" * 2000


@pytest.mark.parametrize("part", ["<script>", "< script ", "<script>x</script>", "</script ", "<", "<scr<script>"])
def test_a_prompt_made_to_be_slow_is_not(part: str) -> None:
    text = (part * 2000)[:1990] + " a cat mat"
    began = time.process_time()

    with contextlib.suppress(InvalidRequest):
        clean_prompt(text)

    assert time.process_time() - began < 1
