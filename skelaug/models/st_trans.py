"""The ST-Trans guide: MobileViT (Mehta and Rastegari 2022) cut down for skeleton images.

The paper that proposes it drops four MobileNetV2 blocks without naming them. The only four that
stand in a row are layer1 (1) and layer2 (3); dropping them also saves one halving. With a stem
of stride 1, a 24 x 24 image then enters the three transformers as 36, 9 and 4 patches, where the
unmodified network would have 4, 1 and 1 and attention over one token does nothing.
Rows are joints and columns frames, so a 2 x 2 patch is two neighbouring joints in two frames.
Letters: n samples, c channels, h rows, w frames of a map, d width of its tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelaug.models.layers import SelfAttention
from skelaug.shapes import check_shape

__all__ = ["InvertedResidual", "MobileViTBlock", "STTrans", "TransformerLayer", "fold", "unfold"]

_PATCH = 2
_HEADS = 4
_STEM = 16


@dataclass(frozen=True)
class _Variant:
    """Widths of one size of MobileViT (table 4 of its appendix)."""

    expansion: int
    layer1: int
    layer2: int
    channels: tuple[int, int, int]
    tokens: tuple[int, int, int]


_DEPTHS = (2, 4, 3)
_VARIANTS: Mapping[str, _Variant] = {
    "xxs": _Variant(2, 16, 24, (48, 64, 80), (64, 80, 96)),
    "xs": _Variant(4, 32, 48, (64, 80, 96), (96, 120, 144)),
    "s": _Variant(4, 32, 64, (96, 128, 160), (144, 192, 240)),
}


def _convolution(inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, SiLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.SiLU(),
    )


class InvertedResidual(nn.Module):
    """MobileNetV2 block (Sandler et al. 2018, fig. 4d) with SiLU in place of ReLU6."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = _convolution(inputs, hidden, 1)
        self.depthwise = nn.Sequential(
            nn.Conv2d(hidden, hidden, 3, stride, padding=1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.SiLU(),
        )
        self.project = nn.Sequential(
            nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """N C H W to N C' H/stride W/stride, rounded up."""
        h: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + h if self.is_residual else h


class TransformerLayer(nn.Module):
    """Pre-norm attention and MLP (Dosovitskiy et al. 2021, eq. 2 and 3) with SiLU."""

    def __init__(self, *, width: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.LayerNorm(width), SelfAttention(width=width, heads=_HEADS), nn.Dropout(dropout)
        )
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.SiLU(),
            nn.Linear(2 * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """N T D to N T D."""
        tokens = tokens + self.attention(tokens)
        out: Tensor = tokens + self.mlp(tokens)
        return out


def unfold(x: Tensor) -> Tensor:
    """Split a map of even sizes into four token sequences, one per place inside a 2 x 2 patch.

    MobileViT fig. 1b: attention later joins pixels of the same place in different patches.

    Args:
        x: N D H W.

    Returns:
        4 N x HW / 4 x D.
    """
    n, d, h, w = x.shape
    places = x.view(n, d, h // _PATCH, _PATCH, w // _PATCH, _PATCH).permute(0, 3, 5, 2, 4, 1)
    return places.reshape(n * _PATCH**2, h * w // _PATCH**2, d)


def fold(tokens: Tensor, *, height: int, width: int) -> Tensor:
    """The inverse of `unfold`: 4 N x HW / 4 x D to N D H W."""
    d = tokens.shape[-1]
    places = tokens.view(-1, _PATCH, _PATCH, height // _PATCH, width // _PATCH, d)
    return places.permute(0, 5, 3, 1, 4, 2).reshape(-1, d, height, width)


class MobileViTBlock(nn.Module):
    """MobileViT fig. 1b: convolutions as local, attention over patches as global mixing.

    There is no positional encoding: the convolutions on both sides know where things are.
    """

    def __init__(self, *, channels: int, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.local = nn.Sequential(
            _convolution(channels, channels, 3), nn.Conv2d(channels, width, 1, bias=False)
        )
        self.transformer = nn.Sequential(
            *(TransformerLayer(width=width, dropout=dropout) for _ in range(depth)),
            nn.LayerNorm(width),
        )
        self.project = _convolution(width, channels, 1)
        self.fuse = _convolution(2 * channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """N C H W to N C H W. Odd maps are resized to the next even size and back."""
        h, w = x.shape[-2:]
        even = (h + h % _PATCH, w + w % _PATCH)
        local: Tensor = self.local(x)
        if even != (h, w):
            local = F.interpolate(local, size=even, mode="bilinear", align_corners=False)
        mixed = fold(self.transformer(unfold(local)), height=even[0], width=even[1])
        if even != (h, w):
            mixed = F.interpolate(mixed, size=(h, w), mode="bilinear", align_corners=False)
        out: Tensor = self.fuse(torch.cat([x, self.project(mixed)], dim=1))
        return out


class STTrans(nn.Module):
    """Guide on clean skeleton images.

    Args:
        rows: Rows R of the image (joints of all persons, tree order).
        frames: Columns F of the image.
        num_classes: Number of classes K.
        variant: Size: ``xxs``, ``xs`` or ``s``.
        stem_stride: Stride of the first convolution, 1 or 2 (2 is MobileViT's).
        dropped: Leave out layer1 and layer2; False is the full MobileViT.
        dropout: Dropout in the transformers and before the classifier.

    Raises:
        ValueError: The variant or the stride is unknown.
    """

    def __init__(
        self,
        *,
        rows: int,
        frames: int,
        num_classes: int,
        variant: str = "xs",
        stem_stride: int = 1,
        dropped: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if variant not in _VARIANTS:
            raise ValueError(f"variant: expected one of {sorted(_VARIANTS)}, got {variant!r}")
        if stem_stride not in (1, 2):
            raise ValueError(f"stem_stride: expected 1 or 2, got {stem_stride}")
        size = _VARIANTS[variant]
        self.rows, self.frames = rows, frames
        self.stem = _convolution(3, _STEM, 3, stride=stem_stride)
        self.layers12 = nn.Sequential() if dropped else _layers12(size)
        stages: list[nn.Module] = []
        inputs = _STEM if dropped else size.layer2
        for channels, width, depth in zip(size.channels, size.tokens, _DEPTHS, strict=True):
            stages += [
                InvertedResidual(inputs, channels, stride=2, expansion=size.expansion),
                MobileViTBlock(channels=channels, width=width, depth=depth, dropout=dropout),
            ]
            inputs = channels
        self.layers345 = nn.Sequential(*stages)
        self.head = _convolution(inputs, 4 * inputs, 1)
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * inputs, num_classes))
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:
        """Clean images N 3 R F to logits N K.

        Gradients for guidance need `eval()`, because batch norm else couples the samples.
        """
        check_shape(x, "N C R F", what="x", C=3, R=self.rows, F=self.frames)
        maps = self.head(self.layers345(self.layers12(self.stem(x))))
        logits: Tensor = self.classify(maps.mean(dim=(2, 3)))
        return logits


def _layers12(size: _Variant) -> nn.Sequential:
    """MobileViT's layer1 and layer2: the four blocks before the first transformer."""
    return nn.Sequential(
        InvertedResidual(_STEM, size.layer1, stride=1, expansion=size.expansion),
        InvertedResidual(size.layer1, size.layer2, stride=2, expansion=size.expansion),
        InvertedResidual(size.layer2, size.layer2, stride=1, expansion=size.expansion),
        InvertedResidual(size.layer2, size.layer2, stride=1, expansion=size.expansion),
    )


def _initialise(module: nn.Module) -> None:
    """Kaiming-normal convolutions, truncated normal linear maps, as in MobileViT."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
    elif isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
