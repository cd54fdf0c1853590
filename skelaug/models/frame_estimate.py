"""The error of a noisy pose from that frame alone: a linear estimate and a small perceptron.

What D3PRefiner's criss-cross attention has to find out joint by joint, a dense map of a frame has
at hand: all of its coordinates at once. It costs next to nothing and learns from few frames, so
that the attention can begin where it ends. Not in the paper. Letters: n samples, t frames,
v joints, s steps of the process.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["FrameEstimate"]


class FrameEstimate(nn.Module):
    """weight_s [x_s, y] + bias_s + perceptron([x_s, y] standardised, s / S).

    The buffers are fitted before training (see `skelaug.refinement.linear_estimate`); a new network
    answers 0. All is computed in the precision of the weights, whatever autocast says: in bfloat16
    a coordinate of one metre is off by 2 mm.

    Args:
        joints: Joints V.
        channels: Numbers of a joint: 3, and those of the condition y (2D poses 2, hints 3).
        steps: Steps of the process.
        width: Units of the perceptron's two hidden layers; 0 leaves it out.
    """

    weight: Tensor
    bias: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, joints: int, *, channels: int, steps: int, width: int) -> None:
        super().__init__()
        told, errors = channels * joints, 3 * joints
        self.steps = steps
        self.register_buffer("weight", torch.zeros(steps + 1, errors, told))
        self.register_buffer("bias", torch.zeros(steps + 1, errors))
        self.register_buffer("mean", torch.zeros(told))
        self.register_buffer("scale", torch.ones(told))
        self.perceptron: nn.Sequential | None = None
        if width:
            last = nn.Linear(width, errors)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.perceptron = nn.Sequential(
                nn.Linear(told + 1, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), last
            )

    def forward(self, x: Tensor, step: Tensor, keypoints: Tensor | None = None) -> Tensor:
        """The error N T V 3 of x (N T V 3) at steps N, given y (N T V 2 or 3) or nothing."""
        told = [x] if keypoints is None else [x, keypoints]
        with torch.autocast(x.device.type, enabled=False):
            rows = torch.cat([part.flatten(2).to(self.weight.dtype) for part in told], dim=-1)
            error = torch.baddbmm(self.bias[step][:, None], rows, self.weight[step].mT)
            if self.perceptron is not None:
                time = (2 * step / self.steps - 1).to(rows.dtype)
                time = time[:, None, None].expand(*rows.shape[:2], 1)
                seen = torch.cat([(rows - self.mean) / self.scale, time], dim=-1)
                error = error + self.perceptron(seen)
            return error.view(x.shape)
