"""The generators that a benchmark can train, by name: ours, its ablations, and its rivals.

All of them learn from skeleton images of one codec and draw through ``skelaug synth``, so that
their clips reach the recognizer in the same way. Names that start with ``paper`` follow Jiang et
al. (the transformer-guided diffusion model) in what they are made of, an unconditional denoiser and
a guide, at the sizes of the ``cpu`` preset; the rows of their tables 4 and 5 are among them. A
fine-tuned CLIP is not: it would need its weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["GENERATORS", "GeneratorSpec"]

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class GeneratorSpec:
    """How a generator is trained and how it draws.

    Attributes:
        meaning: What it is, in a few words.
        what: What ``skelaug train`` trains.
        settings: Of that training, over its ``cpu`` preset.
        guide: Settings of a guide's training, over its ``cpu`` preset; None = no guide.
        synth: Settings of `skelaug.workflows.synthesize.SynthesizeConfig`.
    """

    meaning: str
    what: str = "diffusion"
    settings: Settings = field(default_factory=dict)
    guide: Settings | None = None
    synth: Settings = field(default_factory=dict)


_SQUARE = {"rows": 24, "frames": 24}  # the paper's images; a UNet halves them three times
_ANCESTRAL = {"sampler": "ddpm", "spacing": "uniform", "quietest": 1.0, "label_weight": 1.0}
_PULLED = {"guidance_scale": 10.0}
_DRAGGED = {"guidance_scale": 30.0, "guidance_max_shift": 5.0}  # the guide alone knows the class
_LEFT_ALONE = {"guidance_scale": 1e-9}  # a guide that is not heard; without one synth refuses


def _paper(
    meaning: str,
    *,
    guide: str = "st-trans",
    pull: Settings = _DRAGGED,
    steps: int = 1000,
    schedule: str = "cosine",
    drawn: int | None = 50,
) -> GeneratorSpec:
    """The paper's composition: an unconditional denoiser of `steps` levels, and a guide."""
    arguments: Settings = {"variant": "xxs"} if guide == "st-trans" else {}
    return GeneratorSpec(
        meaning,
        settings={
            "codec": _SQUARE,
            "conditional": False,
            "diffusion": {"steps": steps, "schedule": schedule},
        },
        guide={
            "codec": _SQUARE,
            "model": {"name": guide, "arguments": arguments},
            "schedule": schedule,
            "schedule_steps": steps,
        },
        synth={
            **_ANCESTRAL,
            "steps": min(steps, drawn or steps),
            **pull,
        },
    )


GENERATORS: Mapping[str, GeneratorSpec] = {
    "diffusion": GeneratorSpec("our denoiser, told the class"),
    "performers": GeneratorSpec(
        "our denoiser, told class and performer", settings={"performers": True}
    ),
    "guided": GeneratorSpec(
        "our denoiser, told the class and guided",
        guide={"model": {"name": "frame", "arguments": {}}},
        synth=_PULLED,
    ),
    "paper": _paper("unconditional with ST-Trans, 50 of 1,000 steps drawn"),
    "paper-1000": _paper("the same, all 1,000 steps drawn", drawn=None),
    "paper-500": _paper("500 steps", steps=500, drawn=None),
    "paper-100": _paper("100 steps", steps=100, drawn=None),
    "paper-linear": _paper("linear schedule", schedule="linear"),
    "paper-unguided": _paper("without guidance", pull=_LEFT_ALONE),
    "paper-cnn": _paper("guided by a CNN", guide="cnn"),
    "paper-vit": _paper("guided by a ViT", guide="vit"),
    "paper-unet": _paper("guided by a noisy UNet", guide="noisy-unet"),
    "action2motion": GeneratorSpec("frame-wise GRU-VAE", what="action2motion"),
    "actor": GeneratorSpec("transformer VAE", what="actor"),
    "hgvae": GeneratorSpec(
        "hierarchical graph VAE, told the class", what="hgvae", settings={"conditional": True}
    ),
}
