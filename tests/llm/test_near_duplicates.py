"""Texts that say almost the same, found by what they share and never by chance."""

from __future__ import annotations

import numpy as np
import pytest

from noria.llm.documents import Document, NearDuplicate, near_duplicates, without_near_duplicates

WORDS = [f"word{i}" for i in range(3_000)]


def text(seed: int, length: int = 200) -> list[str]:
    return [WORDS[i] for i in np.random.default_rng(seed).integers(0, len(WORDS), length)]


def changed(words: list[str], count: int) -> str:
    """The same with so many words replaced, evenly: each takes four shingles with it."""
    places = np.linspace(10, len(words) - 11, count).astype(int)
    return " ".join("other" if place in places else word for place, word in enumerate(words))


def test_copies_are_found_with_what_they_share_and_the_first_one_stays() -> None:
    one, other = text(1), text(2)
    given = [("a", " ".join(one)), ("b", " ".join(other)), ("c", changed(one, 4)), ("d", changed(one, 60)), ("e", changed(other, 1))]
    found = near_duplicates(given)
    assert [(each.id, each.of) for each in found] == [("c", "a"), ("e", "b")]
    same = (197 - 4 * 4) / (197 + 4 * 4)
    assert found[0].similarity == pytest.approx(same, abs=1e-4)
    assert found == near_duplicates(given)
    assert near_duplicates(given, 0.99) == []


def test_case_punctuation_and_spaces_make_no_difference_and_order_does() -> None:
    assert near_duplicates([("a", "One, two — THREE four five!"), ("b", "one two three\n\nfour   five")]) == [NearDuplicate("b", "a", 1.0)]
    assert near_duplicates([("a", " ".join(WORDS[:50])), ("b", " ".join(reversed(WORDS[:50])))]) == []


def test_a_chain_of_small_changes_is_compared_with_what_is_kept() -> None:
    """What is left when the repetitions are left out has to say what they say: c is unlike a, though it is like b, which is like a."""
    words = text(3)
    chain = [("a", words), ("b", [*words[20:], *text(4, 20)]), ("c", [*words[40:], *text(4, 20), *text(5, 20)])]
    found = near_duplicates([(name, " ".join(each)) for name, each in chain], 0.75)
    assert [(each.id, each.of) for each in found] == [("b", "a")]


def test_nothing_is_found_by_chance_and_every_planted_copy_is() -> None:
    texts = [(f"t{seed}", " ".join(text(seed))) for seed in range(400)]
    assert near_duplicates(texts, 0.2) == []
    copies = [(f"c{seed}", changed(text(seed), 5)) for seed in range(0, 400, 4)]
    assert [(each.id, each.of) for each in near_duplicates([*texts, *copies])] == [(f"c{seed}", f"t{seed}") for seed in range(0, 400, 4)]


def test_languages_without_spaces_and_texts_without_words() -> None:
    japanese = "これは長い文章の一部であり、検索のために使われます。次の文は別のことを言います。"
    assert near_duplicates([("a", japanese), ("b", japanese.replace("長い", "短い"))], 0.6)[0].of == "a"
    assert near_duplicates([("a", ""), ("b", " \n"), ("c", "!!!"), ("d", "...")]) == []
    assert near_duplicates([]) == []


def test_many_of_one_frame_take_no_square_of_the_time() -> None:
    """Texts of one frame share their bands; only some of a bucket are compared."""
    frame = " ".join(text(7, 60))
    found = near_duplicates([(str(number), f"{frame} {' '.join(text(100 + number, 60))}") for number in range(500)])
    assert found == []


def test_a_share_that_can_not_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"from 0\.1 to 1"):
        near_duplicates([], 0)


def test_a_copy_for_other_readers_stays() -> None:
    """Who may not read the first one would find nothing."""
    same = " ".join(WORDS[:80])
    given = [
        Document("a", same, access=("staff",)),
        Document("b", f"{same} more", access=("staff",)),
        Document("c", same),
        Document("d", same, access=("staff",), metadata={"year": 2024}),
    ]
    found = without_near_duplicates(given)
    assert [document.id for document in found.documents] == ["a", "c", "d"]
    assert [each.id for each in found.left_out] == ["b"]
    assert [each.id for each in found.kept_apart] == ["c", "d"]
