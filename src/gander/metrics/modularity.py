"""Modularity: whether each code tells of one factor only, disentanglement_lib protocol.

Ridgeway & Mozer, "Learning Deep Disentangled Embeddings with the F-Statistic Loss", 2018; Locatello et al., 2019: 10,000 images, codes in 20 bins
of equal width. The floor, readings shuffled among images, is high where factors have very different numbers of levels (0.7 for sprites, 0.2 for
glyphs): by chance a code tells more of a factor of many levels than of one of few, and that looks like modularity. The ceiling is
what the factors themselves score. Cost: under a second once the images are read.
"""

from __future__ import annotations

from gander.study import Figure, Study
from gander.study.dependence import information, modularity
from gander.study.factors import measured


def measure(study: Study) -> dict[str, Figure]:
    """One figure."""
    return measured(
        study, "modularity", lambda e: modularity(information(e.fitted)), "disentanglement_lib"
    )
