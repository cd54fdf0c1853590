"""The convolutional guide of the ablation: EfficientNet (Tan and Le 2019) for small images.

EfficientNet halves five times, which leaves nothing of 24 x 24; here the stem does not halve, so
that maps are 24, 12, 6, 3 and 2 wide. Letters: n samples, c channels, h rows, w frames of a map.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from skelaug.shapes import check_shape

__all__ = ["CNNGuide", "MBConv", "SqueezeExcitation"]

# Table 1 of the paper: expansion, channels, layers, stride, kernel.
_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
_STEM, _HEAD = 32, 1280


def _convolution(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution, batch norm, SiLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.SiLU(),
    )


class SqueezeExcitation(nn.Module):
    """Weigh the channels by what the whole map holds (Hu et al. 2018, fig. 2)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1),
            nn.SiLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """N C H W to N C H W."""
        weights: Tensor = self.weigh(x.mean(dim=(2, 3), keepdim=True))
        return x * weights


class MBConv(nn.Module):
    """MobileNetV2 block with squeeze and excitation; a quarter of its inputs are squeezed to."""

    def __init__(
        self, inputs: int, outputs: int, *, expansion: int, kernel: int, stride: int
    ) -> None:
        super().__init__()
        hidden = expansion * inputs
        self.expand = _convolution(inputs, hidden, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _convolution(hidden, hidden, kernel, stride=stride, groups=hidden)
        self.excite = SqueezeExcitation(hidden, max(1, inputs // 4))
        self.project = nn.Sequential(
            nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """N C H W to N C' H/stride W/stride, rounded up."""
        h: Tensor = self.project(self.excite(self.depthwise(self.expand(x))))
        return x + h if self.is_residual else h


class CNNGuide(nn.Module):
    """Guide on clean skeleton images; B1 (6.7 M parameters) with the defaults.

    Args:
        rows: Rows R of the image.
        frames: Columns F of the image.
        num_classes: Number of classes K.
        width_factor: Multiplies all channels (rounded to multiples of 8).
        depth_factor: Multiplies the layers of every stage (rounded up).
        stem_stride: Stride of the first convolution, 1 or 2 (2 is EfficientNet's).
        dropout: Dropout before the classifier.

    Raises:
        ValueError: The stride is neither 1 nor 2.
    """

    def __init__(
        self,
        *,
        rows: int,
        frames: int,
        num_classes: int,
        width_factor: float = 1.0,
        depth_factor: float = 1.1,
        stem_stride: int = 1,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if stem_stride not in (1, 2):
            raise ValueError(f"stem_stride: expected 1 or 2, got {stem_stride}")
        self.rows, self.frames = rows, frames
        inputs = _rounded(_STEM * width_factor)
        layers: list[nn.Module] = [_convolution(3, inputs, 3, stride=stem_stride)]
        for expansion, channels, depth, stride, kernel in _STAGES:
            outputs = _rounded(channels * width_factor)
            for layer in range(math.ceil(depth * depth_factor)):
                layers.append(
                    MBConv(
                        inputs,
                        outputs,
                        expansion=expansion,
                        kernel=kernel,
                        stride=1 if layer else stride,
                    )
                )
                inputs = outputs
        head = _rounded(_HEAD * width_factor)
        self.layers = nn.Sequential(*layers, _convolution(inputs, head, 1))
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(head, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        """Clean images N 3 R F to logits N K; gradients for guidance need `eval()`."""
        check_shape(x, "N C R F", what="x", C=3, R=self.rows, F=self.frames)
        logits: Tensor = self.classify(self.layers(x).mean(dim=(2, 3)))
        return logits


def _rounded(channels: float) -> int:
    """The nearest multiple of 8 that is not more than a tenth too small."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
