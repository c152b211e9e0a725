"""The edit distance of two texts, for thousands of long ones."""

from __future__ import annotations


def compute_edit_distance(one: str, other: str) -> int:
    """Return how many letters must be put in, taken out or replaced to make one text of the other (Levenshtein).

    A column of the usual table is held as the bits of two numbers, by Myers (1999) as Hyyrö (2003) writes it: the
    bits say where the column rises and where it falls by one.
    """
    if not one or not other:
        return len(one) + len(other)
    places: dict[str, int] = {}
    for index, letter in enumerate(one):
        places[letter] = places.get(letter, 0) | 1 << index
    last, mask = 1 << (len(one) - 1), (1 << len(one)) - 1
    rises, falls, distance = mask, 0, len(one)
    for letter in other:
        equal = places.get(letter, 0)
        diagonal = (((equal & rises) + rises) ^ rises) | equal | falls
        up = falls | (mask & ~(diagonal | rises))
        down = rises & diagonal
        distance += bool(up & last) - bool(down & last)
        up = up << 1 | 1
        rises = (down << 1 | ~(diagonal | up)) & mask
        falls = up & diagonal & mask
    return distance


def compute_share_to_edit(one: str, other: str) -> float:
    """Return the edit distance as a share of the longer text: 0.0 for equal ones, 1.0 for nothing in common."""
    return compute_edit_distance(one, other) / max(len(one), len(other), 1)
