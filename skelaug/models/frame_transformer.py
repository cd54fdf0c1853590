"""A diffusion transformer over frames: one token is the whole pose of one frame.

The blocks are those of DiT (Peebles and Xie 2023, fig. 3, adaLN-zero), the long skip connections
those of U-ViT (Bao et al. 2023). A pose image has few frames and many numbers per frame, so tokens
are whole columns instead of square patches: 24 tokens of 60 numbers.
Letters: n samples, c channels, r rows, f frames, d width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelaug.models.layers import Conditioning, SelfAttention, sinusoid
from skelaug.shapes import check_shape

__all__ = ["Block", "FrameConvolution", "FrameTransformer"]

_CHANNELS = 3


def _modulate(tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Layer norm without weights of its own, then scale and shift from the conditioning."""
    normed = F.layer_norm(tokens, tokens.shape[-1:]).to(scale.dtype)  # bfloat16 in autocast
    return torch.addcmul(shift, normed, scale)


class FrameConvolution(nn.Module):
    """Depthwise convolution over frames, added to its input; zero at the start."""

    def __init__(self, *, width: int, kernel: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(
            width, width, (kernel, 1), padding=(kernel // 2, 0), groups=width
        )
        nn.init.zeros_(self.convolution.weight)
        nn.init.zeros_(self.convolution.bias)  # type: ignore[arg-type]

    def forward(self, tokens: Tensor) -> Tensor:
        """N F D to N F D. As N D F 1 the tokens already lie in the channels-last order."""
        mixed: Tensor = self.convolution(tokens.transpose(1, 2).unsqueeze(-1))
        return tokens + mixed.squeeze(-1).transpose(1, 2)


class Block(nn.Module):
    """DiT fig. 3: attention and MLP, each between a modulated norm and a gate."""

    MODULATIONS = 6  # shift, scale and gate of the two branches

    def __init__(
        self, *, width: int, heads: int, hidden: int, dropout: float, temporal_kernel: int
    ) -> None:
        super().__init__()
        self.frames = (
            FrameConvolution(width=width, kernel=temporal_kernel) if temporal_kernel else None
        )
        self.attention = SelfAttention(width=width, heads=heads)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, modulation: tuple[Tensor, ...]) -> Tensor:
        """Tokens N F D and six vectors N 1 D to N F D."""
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation
        h = _modulate(tokens, shift1, scale1)
        if self.frames is not None:
            h = self.frames(h)
        tokens = torch.addcmul(tokens, gate1, self.dropout(self.attention(h)).to(tokens.dtype))
        h = self.dropout(self.mlp(_modulate(tokens, shift2, scale2)))
        return torch.addcmul(tokens, gate2, h.to(tokens.dtype))


class FrameTransformer(nn.Module):
    """Denoiser for skeleton images, the one for CPUs.

    Against DiT: all blocks' modulations come from one linear map, because they depend on the
    conditioning alone (DiT has one per block; same function, fewer calls); the long skips are
    added through a zero-initialised linear map instead of concatenated (half the work).

    Args:
        rows: Rows R of the image (joints of all persons).
        frames: Columns F of the image.
        num_classes: Number of classes; 0 makes an unconditional network.
        learned_variance: Also emit the variance logits (Nichol and Dhariwal 2021, eq. 15).
        dropout: Dropout after attention and after the MLP (inside it costs a sixth more time).
        width: Token size D.
        depth: Number of blocks.
        heads: Attention heads; must divide `width`.
        mlp_ratio: Hidden size of the MLP as a multiple of `width`.
        long_skips: Connect block i with block depth - 1 - i.
        temporal_kernel: Frames that a depthwise convolution before the attention sees (odd);
            0 leaves it out.

    Raises:
        ValueError: `heads` does not divide `width`, or `temporal_kernel` is even.
    """

    def __init__(  # noqa: PLR0913
        self,
        *,
        rows: int,
        frames: int,
        num_classes: int = 0,
        learned_variance: bool = False,
        dropout: float = 0.0,
        width: int = 192,
        depth: int = 6,
        heads: int = 6,
        mlp_ratio: float = 4.0,
        long_skips: bool = False,
        temporal_kernel: int = 0,
    ) -> None:
        super().__init__()
        if temporal_kernel and temporal_kernel % 2 == 0:
            raise ValueError(f"temporal_kernel: expected 0 or odd, got {temporal_kernel}")
        self.rows, self.frames = rows, frames
        self.out_channels = _CHANNELS * (2 if learned_variance else 1)
        self.read = nn.Linear(_CHANNELS * rows, width)
        self.position = nn.Parameter(sinusoid(torch.arange(frames), width) * 0.5)
        self.conditioning = Conditioning(frequencies=width, dim=width, num_classes=num_classes)
        self.blocks = nn.ModuleList(
            Block(
                width=width,
                heads=heads,
                hidden=round(mlp_ratio * width),
                dropout=dropout,
                temporal_kernel=temporal_kernel,
            )
            for _ in range(depth)
        )
        self.skips = nn.ModuleList(
            nn.Linear(width, width) for _ in range(depth // 2 if long_skips else 0)
        )
        self.modulation = nn.Linear(width, (Block.MODULATIONS * depth + 2) * width)
        self.write = nn.Linear(width, self.out_channels * rows)
        for linear in (self.modulation, self.write, *self.skips):
            assert isinstance(linear, nn.Linear)
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor, step: Tensor, labels: Tensor | None = None) -> Tensor:
        """Predict the noise, the clean image or the velocity, whichever it is trained for.

        Args:
            x: Noisy images, N 3 R F.
            step: N, in [0, 1000).
            labels: N, int64 in 0..num_classes; num_classes and None are the dropped label.

        Returns:
            N 3 R F, or N 6 R F with the variance logits last; in the dtype of `x`.
        """
        check_shape(x, "N C R F", what="x", C=_CHANNELS, R=self.rows, F=self.frames)
        n, _, r, f = x.shape
        depth, width = len(self.blocks), self.position.shape[1]

        condition = F.silu(self.conditioning(step, labels))
        vectors = self.modulation(condition).view(n, Block.MODULATIONS * depth + 2, 1, width)
        offsets = torch.zeros(Block.MODULATIONS * depth + 2, 1, 1, device=x.device)
        offsets[1::3] = 1.0  # scales are 1 + s; the order is shift, scale, gate, ..., shift, scale
        modulations = (vectors + offsets.to(vectors.dtype)).unbind(1)

        columns = x.to(self.position.dtype).flatten(1, 2).transpose(1, 2)
        tokens = self.read(columns) + self.position
        held: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            if i >= depth - len(self.skips):
                tokens = tokens + self.skips[i - depth + len(self.skips)](held.pop())
            tokens = block(tokens, modulations[6 * i : 6 * i + 6])
            if i < len(self.skips):
                held.append(tokens)
        out: Tensor = self.write(_modulate(tokens, modulations[-2], modulations[-1]))
        return out.transpose(1, 2).reshape(n, self.out_channels, r, f).to(x.dtype)
