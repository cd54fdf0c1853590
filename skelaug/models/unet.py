"""The UNet of improved DDPM (Nichol and Dhariwal 2021) on skeleton images of any size.

Its parts serve the noisy guide too, which is the encoder half with a classifier on top.
Letters: n samples, c channels, h rows, w frames of a map, e embedding size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelaug.models.layers import Conditioning, SelfAttention
from skelaug.models.spectral_residual import Placement, Residual, spectral_residual
from skelaug.shapes import check_shape

__all__ = [
    "AttentionBlock",
    "Downsample",
    "Encoder",
    "Level",
    "Middle",
    "ResidualBlock",
    "UNet",
    "Upsample",
    "group_norm",
    "require_divisible",
]

_CHANNELS = 3
_GROUPS = 32


def group_norm(channels: int) -> nn.GroupNorm:
    """Group norm of 32 groups, fewer where 32 does not divide the channels."""
    return nn.GroupNorm(math.gcd(_GROUPS, channels), channels)


def _zeroed(convolution: nn.Conv2d) -> nn.Conv2d:
    """The convolution with zero weights: a residual branch that starts as nothing."""
    nn.init.zeros_(convolution.weight)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution


def require_divisible(*, rows: int, frames: int, stride: int) -> None:
    """Check that an image can be halved as often as the network does.

    Raises:
        ValueError: It cannot.
    """
    if rows % stride or frames % stride:
        raise ValueError(
            f"image: expected rows and frames to be multiples of {stride} "
            f"(one halving per multiplier after the first), got {rows} x {frames}; "
            "pad the rows or use fewer multipliers"
        )


class ResidualBlock(nn.Module):
    """Two convolutions; the embedding scales and shifts the second norm.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        embedding: Size E of the conditioning.
        dropout: Dropout before the second convolution.
        halves: Average-pool both branches to half size before the first convolution.
    """

    def __init__(
        self, inputs: int, outputs: int, *, embedding: int, dropout: float, halves: bool = False
    ) -> None:
        super().__init__()
        self.norm1 = group_norm(inputs)
        self.resize = nn.AvgPool2d(2) if halves else nn.Identity()
        self.convolution1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.embedding = nn.Linear(embedding, 2 * outputs)
        self.norm2 = group_norm(outputs)
        self.dropout = nn.Dropout(dropout)
        self.convolution2 = _zeroed(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """Map N C H W and activated embedding N E to N C' H W (H/2 W/2 where it halves)."""
        h = self.convolution1(self.resize(F.silu(self.norm1(x))))
        scale, shift = self.embedding(embedding)[..., None, None].chunk(2, dim=1)
        h = self.norm2(h) * (1 + scale) + shift
        out: Tensor = self.skip(self.resize(x)) + self.convolution2(self.dropout(F.silu(h)))
        return out


class AttentionBlock(nn.Module):
    """Self-attention over all pixels of a map, added to it; zero at the start."""

    def __init__(self, channels: int, *, heads: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.attention = SelfAttention(width=channels, heads=heads)
        nn.init.zeros_(self.attention.out.weight)
        nn.init.zeros_(self.attention.out.bias)

    def forward(self, x: Tensor, residual: Residual | None = None) -> Tensor:
        """N C H W to N C H W; `residual` adds what was mixed, None just adds it."""
        tokens: Tensor = self.attention(self.norm(x).flatten(2).transpose(1, 2))
        mixed = tokens.transpose(1, 2).reshape(x.shape)
        return x + mixed if residual is None else residual(x, mixed)


class Level(nn.Module):
    """A residual block, and attention where the map is small enough."""

    def __init__(self, block: ResidualBlock, attention: AttentionBlock | None) -> None:
        super().__init__()
        self.block = block
        self.attention = attention

    def forward(self, x: Tensor, embedding: Tensor, residual: Residual | None = None) -> Tensor:
        """N C H W to N C' H W; for `residual` see `AttentionBlock`."""
        h: Tensor = self.block(x, embedding)
        if self.attention is not None:
            h = self.attention(h, residual)
        return h


class Downsample(nn.Module):
    """A convolution of stride 2; takes the embedding only to fit among the blocks."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """N C H W to N C H/2 W/2."""
        out: Tensor = self.convolution(x)
        return out


class Upsample(nn.Module):
    """Nearest neighbour to twice the size, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """N C H W to N C 2H 2W."""
        out: Tensor = self.convolution(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


class Encoder(nn.Module):
    """The descending half: per level some blocks, then a halving, and every map kept.

    Args:
        width: Channels of the first level.
        multipliers: Channels of each level as multiples of `width`.
        blocks: Residual blocks per level.
        attention_factors: Downsampling factors at which every block is followed by attention.
        heads: Attention heads.
        embedding: Size of the conditioning.
        dropout: Dropout in the residual blocks.
        halves_in_blocks: Halve with a residual block (guided diffusion) instead of a convolution.

    Attributes:
        kept: Channels of the maps that `forward` returns, in order.
    """

    def __init__(  # noqa: PLR0913
        self,
        *,
        width: int,
        multipliers: Sequence[int],
        blocks: int,
        attention_factors: Sequence[int],
        heads: int,
        embedding: int,
        dropout: float,
        halves_in_blocks: bool = False,
    ) -> None:
        super().__init__()
        channels = width
        self.read = nn.Conv2d(_CHANNELS, channels, 3, padding=1)
        self.stages = nn.ModuleList()
        self.kept = [channels]
        for level, multiplier in enumerate(multipliers):
            for _ in range(blocks):
                outputs = multiplier * width
                self.stages.append(
                    Level(
                        ResidualBlock(channels, outputs, embedding=embedding, dropout=dropout),
                        AttentionBlock(outputs, heads=heads)
                        if 2**level in attention_factors
                        else None,
                    )
                )
                channels = outputs
                self.kept.append(channels)
            if level < len(multipliers) - 1:
                self.stages.append(
                    ResidualBlock(
                        channels, channels, embedding=embedding, dropout=dropout, halves=True
                    )
                    if halves_in_blocks
                    else Downsample(channels)
                )
                self.kept.append(channels)

    def forward(
        self, x: Tensor, embedding: Tensor, residual: Residual | None = None
    ) -> list[Tensor]:
        """Image N 3 H W to the maps after the first convolution and after every stage."""
        maps: list[Tensor] = [self.read(x)]
        for stage in self.stages:
            attends = (residual,) if isinstance(stage, Level) else ()
            maps.append(stage(maps[-1], embedding, *attends))
        return maps


class Middle(nn.Module):
    """Block, attention, block at the smallest size."""

    def __init__(self, channels: int, *, heads: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.block1 = ResidualBlock(channels, channels, embedding=embedding, dropout=dropout)
        self.attention = AttentionBlock(channels, heads=heads)
        self.block2 = ResidualBlock(channels, channels, embedding=embedding, dropout=dropout)

    def forward(self, x: Tensor, embedding: Tensor, residual: Residual | None = None) -> Tensor:
        """N C H W to N C H W; for `residual` see `AttentionBlock`."""
        h = self.attention(self.block1(x, embedding), residual)
        out: Tensor = self.block2(h, embedding)
        return out


class UNet(nn.Module):
    """Denoiser for skeleton images, the paper's: 52.5 M parameters with the defaults.

    The image is 24 = 8 x 3 wide, so at most three halvings. Attention stands at the factors 2 and
    4 (12 x 12 and 6 x 6), because the reference's flag "16,8" would give 1 and 3 here, and at the
    middle. q and k are scaled by d^(-1/4) each there, which is softmax(q k / sqrt(d)) here.

    `spectral` adds FDSM's SG-SRM along the frames of every map with attention. The boundary is a
    quarter of the map's own frames: maps of 12, 6 and 3 frames have 3, 1 and 1 low frequencies.

    Args:
        rows: Rows R of the image, a multiple of 2 ** (levels - 1).
        frames: Columns F of the image, likewise.
        num_classes: Number of classes; 0 makes an unconditional network (the paper's).
        num_subjects: Number of performers; 0 makes a network that is not told who moves.
        learned_variance: Also emit the variance logits (Nichol and Dhariwal 2021, eq. 15).
        dropout: Dropout in the residual blocks.
        width: Channels of the first level.
        multipliers: Channels of each level as multiples of `width`.
        blocks: Residual blocks per level (one more in the ascending half).
        attention_factors: Downsampling factors at which every block is followed by attention.
        heads: Attention heads.
        spectral: Where SG-SRM amplifies: ``none``, ``attention`` or ``stream``; see
            `SpectralResidual`.
        alpha: Size of its largest gain.

    Raises:
        ValueError: The image cannot be halved that often, `heads` divides some width not, or
            `spectral` is unknown.
    """

    def __init__(  # noqa: PLR0913
        self,
        *,
        rows: int,
        frames: int,
        num_classes: int = 0,
        num_subjects: int = 0,
        learned_variance: bool = True,
        dropout: float = 0.0,
        width: int = 128,
        multipliers: Sequence[int] = (1, 2, 2, 2),
        blocks: int = 3,
        attention_factors: Sequence[int] = (2, 4),
        heads: int = 4,
        spectral: Placement = "none",
        alpha: float = 1.0,
    ) -> None:
        super().__init__()
        require_divisible(rows=rows, frames=frames, stride=2 ** (len(multipliers) - 1))
        self.spectral = spectral_residual(spectral, num_classes=num_classes, alpha=alpha)
        self.rows, self.frames = rows, frames
        out_channels = _CHANNELS * (2 if learned_variance else 1)
        embedding = 4 * width
        self.conditioning = Conditioning(
            frequencies=width, dim=embedding, num_classes=num_classes, num_subjects=num_subjects
        )
        self.encoder = Encoder(
            width=width,
            multipliers=multipliers,
            blocks=blocks,
            attention_factors=attention_factors,
            heads=heads,
            embedding=embedding,
            dropout=dropout,
        )
        kept = list(self.encoder.kept)
        channels = kept[-1]
        self.middle = Middle(channels, heads=heads, embedding=embedding, dropout=dropout)
        self.decoder = nn.ModuleList()
        self.upsamples = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(multipliers))):
            stages = nn.ModuleList()
            for _ in range(blocks + 1):
                outputs = multiplier * width
                stages.append(
                    Level(
                        ResidualBlock(
                            channels + kept.pop(), outputs, embedding=embedding, dropout=dropout
                        ),
                        AttentionBlock(outputs, heads=heads)
                        if 2**level in attention_factors
                        else None,
                    )
                )
                channels = outputs
            self.decoder.append(stages)
            self.upsamples.append(Upsample(channels) if level else nn.Identity())
        self.write = nn.Sequential(
            group_norm(channels),
            nn.SiLU(),
            _zeroed(nn.Conv2d(channels, out_channels, 3, padding=1)),
        )

    def forward(
        self,
        x: Tensor,
        step: Tensor,
        labels: Tensor | None = None,
        subjects: Tensor | None = None,
    ) -> Tensor:
        """Predict the noise, the clean image or the velocity, whichever it is trained for.

        Args:
            x: Noisy images, N 3 R F.
            step: N, in [0, 1000).
            labels: N, int64 in 0..num_classes; num_classes and None are the dropped label.
            subjects: N, int64 in 0..num_subjects, likewise for performers.

        Returns:
            N 3 R F, or N 6 R F with the variance logits last; in the dtype of `x`.
        """
        check_shape(x, "N C R F", what="x", C=_CHANNELS, R=self.rows, F=self.frames)
        embedding = F.silu(self.conditioning(step, labels, subjects))
        residual = None
        if self.spectral is not None:
            residual = partial(self.spectral, gain=self.spectral.gain(labels, len(x)), dim=-1)
        maps = self.encoder(x.to(embedding.dtype), embedding, residual)
        h = self.middle(maps[-1], embedding, residual)
        for stages, upsample in zip(self.decoder, self.upsamples, strict=True):
            assert isinstance(stages, nn.ModuleList)
            for stage in stages:
                h = stage(torch.cat([h, maps.pop()], dim=1), embedding, residual)
            h = upsample(h)
        out: Tensor = self.write(h)
        return out.to(x.dtype)
