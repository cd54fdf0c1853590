"""One file per paper or network; a network takes plain arguments and a layout's sizes.

The registries are literal. Denoisers are called ``network(x, step, labels=None,
subjects=None)``, guides ``guide(x)``, except the noisy one, which is ``guide(x, step)``;
classifiers read motions, ``classifier(motion, lengths=None)``, and recognizers
``recognizer(clips)``; rival generators are explained where they are listed. Motion priors are
called ``prior(x, seen, known, labels, noise)`` while they learn, and asked through ``infer``,
``log_densities``, ``reconstruct`` and ``sample``: see `MotionModel`. Lifters are called
``lifter(keypoints)`` and refiners ``refiner(x, step, keypoints=None)``, with N T V C. Matchers
are told features and a text: ``matcher(x, step, local, mask, pooled, gain=None)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from skelaug.errors import UsageError, did_you_mean
from skelaug.models.cnn_guide import CNNGuide
from skelaug.models.cross_dit import CrossDiT
from skelaug.models.frame_guide import FrameGuide
from skelaug.models.frame_transformer import FrameTransformer
from skelaug.models.gru_classifier import GRUClassifier
from skelaug.models.hgvae import HGVAE
from skelaug.models.hm_vae import HMVAE
from skelaug.models.mixste import MixSTE
from skelaug.models.motion_vae import MotionVAE
from skelaug.models.noisy_unet_guide import NoisyUNetGuide
from skelaug.models.pose_denoiser import PoseDenoiser
from skelaug.models.recognizers import RECOGNIZERS
from skelaug.models.rivals import RIVALS
from skelaug.models.st_trans import STTrans
from skelaug.models.stcformer import STCFormer
from skelaug.models.unet import UNet
from skelaug.models.vit_guide import ViTGuide

__all__ = [
    "CLASSIFIERS",
    "DENOISERS",
    "GUIDES",
    "LIFTERS",
    "MATCHERS",
    "MOTION_PRIORS",
    "RECOGNIZERS",
    "REFINERS",
    "RIVALS",
    "build",
]

Constructor = Callable[..., nn.Module]

DENOISERS: Mapping[str, Constructor] = {
    "frame-transformer": FrameTransformer,
    "unet": UNet,
}
GUIDES: Mapping[str, Constructor] = {
    "st-trans": STTrans,
    "frame": FrameGuide,
    "cnn": CNNGuide,
    "vit": ViTGuide,
    "noisy-unet": NoisyUNetGuide,
}
CLASSIFIERS: Mapping[str, Constructor] = {"gru": GRUClassifier}
MOTION_PRIORS: Mapping[str, Constructor] = {
    "hgvae": HGVAE,
    "motion-vae": MotionVAE,
    "hm-vae": HMVAE,
}
LIFTERS: Mapping[str, Constructor] = {"stcformer": STCFormer, "mixste": MixSTE}
REFINERS: Mapping[str, Constructor] = {"pose-denoiser": PoseDenoiser}
MATCHERS: Mapping[str, Constructor] = {"cross-dit": CrossDiT}


def build(
    kind: str, arguments: Mapping[str, Any], *, generator: torch.Generator | None = None
) -> nn.Module:
    """The network of a registry's name.

    Args:
        kind: A key of one of the registries.
        arguments: Keyword arguments of its constructor (plain JSON values).
        generator: The source of the initial weights, which leaves torch's global one as it was;
            None takes them from the global one.

    Raises:
        UsageError: The kind is unknown, or the arguments do not fit it.
    """
    networks = {
        **DENOISERS,
        **GUIDES,
        **CLASSIFIERS,
        **RECOGNIZERS,
        **RIVALS,
        **MOTION_PRIORS,
        **LIFTERS,
        **REFINERS,
        **MATCHERS,
    }
    if kind not in networks:
        raise UsageError(f"network: no kind {kind!r}; {did_you_mean(kind, networks)}")
    with torch.random.fork_rng(devices=[], enabled=generator is not None):
        if generator is not None:
            torch.random.set_rng_state(generator.get_state())
        try:
            return networks[kind](**arguments)
        except (TypeError, ValueError) as error:
            raise UsageError(f"network {kind!r}: {error}") from error
