"""Modularity: whether each code tells of one factor only, InfoGAN-CR protocol.

As ``modularity``, on 73,728 random images there, on all 15,000 that are read here (Lin et al., 2020). The floor, readings shuffled among
images, is high where factors have very different numbers of levels; the ceiling is what the factors themselves score. Cost: under a second once the images are read.
"""

from __future__ import annotations

from gander.study import Figure, Study
from gander.study.dependence import information, modularity
from gander.study.factors import measured


def measure(study: Study) -> dict[str, Figure]:
    """One figure."""
    return measured(
        study, "modularity_cr", lambda e: modularity(information(e.everything)), "InfoGAN-CR"
    )
