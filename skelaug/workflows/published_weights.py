"""Weights that other programs published, as checkpoints that every command takes."""

from __future__ import annotations

from pathlib import Path

from skelaug.checkpoint import Checkpoint
from skelaug.data.ntu import CLASSES
from skelaug.errors import DataError
from skelaug.models.recognizers.efficient_gcn_published import read_published
from skelaug.skeleton.layouts import get_layout
from skelaug.skeleton.preparation import PROFILES

__all__ = ["published_checkpoint"]

_PERSONS = 2


def published_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint of a recognizer that EfficientGCN's authors published.

    It names the actions of NTU RGB+D in clips of ntu_25, of one or two persons, in metres of the
    camera; clips converted from .skeleton files are.

    Args:
        path: The authors' weights as a safetensors file.

    Raises:
        NotFoundError: There is no such file.
        DataError: The file does not hold those weights, or knows more classes than the data set.
    """
    arguments, network = read_published(path)
    count = arguments["num_classes"]
    if count > len(CLASSES):
        raise DataError(f"{path}: expected at most {len(CLASSES)} classes of NTU, got {count}")
    profile = PROFILES["efficient"]
    return Checkpoint(
        kind="efficient-gcn",
        arguments=arguments,
        weights=network.state_dict(),
        layout=get_layout("ntu_25"),
        classes=CLASSES[:count],
        meta={
            "what": "recognizer",
            "preparation": {
                "profile": profile.name,
                "frames": profile.frames,
                "persons": _PERSONS,
            },
            "streams": ["joint"],
            "source": "EfficientGCN, Song, Zhang, Shan and Wang 2022",
            "licence": "MIT",
            "data": {"name": "NTU RGB+D"},
            "fps": 30.0,
            "persons": _PERSONS,
        },
    )
