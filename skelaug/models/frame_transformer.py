"""A diffusion transformer over time: one token is the whole pose, of a frequency or of a frame.

The blocks are those of DiT (Peebles and Xie 2023, fig. 3, adaLN-zero). A pose image has few frames
and many numbers per frame, so tokens are whole columns instead of square patches: 24 tokens of 60
numbers. The first half of the blocks works on cosine frequencies over time: an orthonormal map, so
the noise stays white, while motion gathers in the slow tokens and a fast one is almost all noise.
The second half works on frames again, where a bone has its length. A gain per frequency, joint and
step, learned from the conditioning, is the linear part of the denoiser (Wiener's filter); the
blocks only add what is not linear. Without frequencies and gains samples jitter.

`spectral` adds FDSM's SG-SRM, which is not the same gain: it multiplies what the attentions add
inside the blocks, all features and all frequencies from a quarter on alike, by one factor per class
of 1 or more; the gain above multiplies the noisy image, each frequency, joint and step by its own
factor of any size. On tokens that are frequencies SG-SRM needs no transform.
Letters: n samples, c channels, r rows, f frames, d width.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelaug.diffusion.spectral import cosine_basis
from skelaug.models.layers import Conditioning, SelfAttention, sinusoid
from skelaug.models.spectral_residual import Placement, Residual, spectral_residual
from skelaug.shapes import check_shape

__all__ = ["Block", "FrameTransformer"]

_CHANNELS = 3


def _transformed(x: Tensor, basis: Tensor) -> Tensor:
    """Last axis of x times the rows of an orthonormal basis, never rounded to bf16.

    Rounding here would put the jitter back in.
    """
    with torch.autocast(x.device.type, enabled=False):
        return x.to(basis.dtype) @ basis.mT


def _modulate(tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Layer norm without weights of its own, then scale and shift from the conditioning."""
    normed = F.layer_norm(tokens, tokens.shape[-1:]).to(scale.dtype)  # bfloat16 in autocast
    return torch.addcmul(shift, normed, scale)


class Block(nn.Module):
    """DiT fig. 3: attention and MLP, each between a modulated norm and a gate."""

    MODULATIONS = 6  # shift, scale and gate of the two branches

    def __init__(self, *, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention = SelfAttention(width=width, heads=heads)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, tokens: Tensor, modulation: tuple[Tensor, ...], residual: Residual | None = None
    ) -> Tensor:
        """Tokens N F D and six vectors N 1 D to N F D.

        `residual` adds the attention's branch; None just adds it.
        """
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation
        h = self.dropout(self.attention(_modulate(tokens, shift1, scale1))).to(tokens.dtype)
        if residual is None:
            tokens = torch.addcmul(tokens, gate1, h)
        else:
            tokens = residual(tokens, gate1.to(tokens.dtype) * h)
        h = self.dropout(self.mlp(_modulate(tokens, shift2, scale2)))
        return torch.addcmul(tokens, gate2, h.to(tokens.dtype))


class FrameTransformer(nn.Module):
    """Denoiser for skeleton images, the one for CPUs.

    Against DiT: all blocks' modulations come from one linear map, because they depend on the
    conditioning alone (DiT has one per block; same function, fewer calls); frequencies and gains,
    see the head of this file.

    Args:
        rows: Rows R of the image (joints of all persons).
        frames: Columns F of the image.
        num_classes: Number of classes; 0 makes an unconditional network.
        num_subjects: Number of performers; 0 makes a network that is not told who moves.
        learned_variance: Also emit the variance logits (Nichol and Dhariwal 2021, eq. 15).
        dropout: Dropout after attention and after the MLP (inside it costs a sixth more time).
        width: Token size D.
        depth: Number of blocks.
        heads: Attention heads; must divide `width`.
        mlp_ratio: Hidden size of the MLP as a multiple of `width`.
        frequencies: Work on frequencies first, and with gains; else on frames only, without.
        spectral: Where SG-SRM amplifies: ``none``, ``attention`` or ``stream``; see
            `SpectralResidual`.
        alpha: Size of its largest gain.

    Raises:
        ValueError: `heads` does not divide `width`, or `spectral` is unknown.
    """

    basis: Tensor

    def __init__(  # noqa: PLR0913
        self,
        *,
        rows: int,
        frames: int,
        num_classes: int = 0,
        num_subjects: int = 0,
        learned_variance: bool = False,
        dropout: float = 0.0,
        width: int = 192,
        depth: int = 6,
        heads: int = 6,
        mlp_ratio: float = 4.0,
        frequencies: bool = True,
        spectral: Placement = "none",
        alpha: float = 1.0,
    ) -> None:
        super().__init__()
        self.rows, self.frames = rows, frames
        self.out_channels = _CHANNELS * (2 if learned_variance else 1)
        self.read = nn.Linear(_CHANNELS * rows, width)
        self.position = nn.Parameter(sinusoid(torch.arange(frames), width) * 0.5)
        self.conditioning = Conditioning(
            frequencies=width, dim=width, num_classes=num_classes, num_subjects=num_subjects
        )
        self.blocks = nn.ModuleList(
            Block(width=width, heads=heads, hidden=round(mlp_ratio * width), dropout=dropout)
            for _ in range(depth)
        )
        self.modulation = nn.Linear(width, (Block.MODULATIONS * depth + 2) * width)
        self.write = nn.Linear(width, self.out_channels * rows)
        self.gain = nn.Linear(width, frames * _CHANNELS * rows) if frequencies else None
        self.frequency = nn.Parameter(self.position.detach().clone()) if frequencies else None
        self.spectral = spectral_residual(spectral, num_classes=num_classes, alpha=alpha)
        self.register_buffer("basis", cosine_basis(frames).float(), persistent=False)
        for linear in (self.modulation, self.write, self.gain):
            if linear is not None:
                nn.init.zeros_(linear.weight)
                nn.init.zeros_(linear.bias)

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
        n, c, r, f = x.shape
        depth, width = len(self.blocks), self.position.shape[1]

        condition = F.silu(self.conditioning(step, labels, subjects))
        vectors = self.modulation(condition).view(n, Block.MODULATIONS * depth + 2, 1, width)
        offsets = torch.zeros(Block.MODULATIONS * depth + 2, 1, 1, device=x.device)
        offsets[1::3] = 1.0  # scales are 1 + s; the order is shift, scale, gate, ..., shift, scale
        modulations = (vectors + offsets.to(vectors.dtype)).unbind(1)

        columns = x.to(self.basis.dtype).flatten(1, 2)
        spectrum = _transformed(columns, self.basis).mT
        if self.frequency is None:
            tokens = self.read(columns.mT) + self.position
        else:
            tokens = self.read(spectrum) + self.frequency
        residual, among_frames = self._residuals(labels, n)
        for i, block in enumerate(self.blocks):
            if self.frequency is None or i == depth // 2:
                residual = among_frames
            if self.frequency is not None and i == depth // 2:
                tokens = _transformed(tokens.mT, self.basis.mT).mT + self.position
            tokens = block(tokens, modulations[6 * i : 6 * i + 6], residual)
        out = self.write(_modulate(tokens, modulations[-2], modulations[-1])).to(columns.dtype).mT
        if self.gain is not None:
            gains = self.gain(condition).view(spectrum.shape).to(columns.dtype)
            linear = _transformed((gains * spectrum).mT, self.basis.mT)
            out = torch.cat([out[:, : c * r] + linear, out[:, c * r :]], dim=1)
        image: Tensor = out.reshape(n, self.out_channels, r, f)
        return image.to(x.dtype)

    def _residuals(
        self, labels: Tensor | None, count: int
    ) -> tuple[Residual | None, Residual | None]:
        """How blocks add their attention, where tokens are frequencies and where frames."""
        if self.spectral is None:
            return None, None
        add = partial(self.spectral, gain=self.spectral.gain(labels, count), dim=1)
        return partial(add, is_spectrum=True), partial(add, basis=self.basis)
