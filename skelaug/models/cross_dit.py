"""CrossDiT, the network of TDSM and FDSM: how far a motion's features are from what a text says.

Two streams of tokens, skeleton features and words, each with norms, maps and modulations of its
own, meet in one softmax per block; the step and the text as a whole modulate both (adaLN-zero,
Peebles and Xie 2023). Do and Kim 2025 (TDSM) predict the noise in the features of one clip, which
are a single token, given its class; Zhou et al. 2026 (FDSM) add SG-SRM, which turns the high
frequencies of each attention's output up the more, the livelier the class moves.

Letters: n samples, l skeleton tokens, d features, s words, e sizes of a word, w width, h heads.

Where paper and published code of FDSM differ, both are here. Its text puts SG-SRM behind the
attention, which is ``attention``: the branch grows to at most 1 + alpha times itself. Its code puts
it on the residual ``stream``, whose high band then doubles in every block. Its text takes
frequencies along ``time``, its code along the hidden ``channel``, whose order means nothing: there
the transform is a fixed rotation, and the gain reaches three quarters of all directions.
Departures: words beyond the end of a sentence are masked (the code reads their padding), and what
the last block would compute for the words, which nothing reads, is left out, though its weights are
there and counted as published.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelaug.diffusion.spectral import amplified, cosine_basis, low_band
from skelaug.models.layers import Conditioning
from skelaug.shapes import check_shape

__all__ = ["CrossDiT", "JointBlock", "Spectral", "SpectralAxis"]

Spectral = Literal["none", "attention", "stream"]
SpectralAxis = Literal["channel", "time"]

_WAVES = 256  # that the step is told in
_EPS = 1e-6  # of the layer norms
_INITIAL = 0.02  # deviation of places and of the step's map


def _modulated(tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Layer norm without weights of its own, then scale and shift from the conditioning."""
    return F.layer_norm(tokens, tokens.shape[-1:], eps=_EPS) * (1 + scale) + shift


class _Stream(nn.Module):
    """What a stream has to itself in a block: maps around the attention, MLP, modulation."""

    def __init__(self, *, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )
        self.modulation = nn.Linear(width, 6 * width)

    def modulations(self, condition: Tensor) -> tuple[Tensor, ...]:
        """N W to shift, scale and gate of the attention, then of the MLP, N 1 W each."""
        vectors: Tensor = self.modulation(F.silu(condition))[:, None]
        return vectors.chunk(6, dim=-1)

    def asked(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normed tokens N T W to queries, keys and values, N H T W/H each."""
        n, t, w = tokens.shape
        q, k, v = self.qkv(tokens).view(n, t, 3, self.heads, w // self.heads).unbind(2)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    def told(self, mixed: Tensor) -> Tensor:
        """What the attention mixed, N H T W/H, to N T W."""
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class JointBlock(nn.Module):
    """One softmax over the tokens of both streams, then an MLP in each.

    Args:
        width: Token size W.
        heads: Heads H that share it.
        spectral: What SG-SRM is applied to.
        last: Whether nothing reads the words any more; their maps after the softmax then stay
            as they are, and are not trained.
    """

    def __init__(self, *, width: int, heads: int, spectral: Spectral, last: bool) -> None:
        super().__init__()
        self.spectral, self.last = spectral, last
        self.skeleton = _Stream(width=width, heads=heads)
        self.words = _Stream(width=width, heads=heads)
        for unread in (self.words.out, self.words.mlp) if last else ():
            unread.requires_grad_(False)

    def forward(
        self,
        x: Tensor,
        words: Tensor,
        condition: Tensor,
        heard: Tensor,
        boost: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor, Tensor]:
        """One step of both streams.

        Args:
            x: Skeleton tokens, N L W.
            words: Words, N S W.
            condition: N W.
            heard: N 1 1 L+S, bool: the tokens that take part.
            boost: SG-SRM, N L W to the same.

        Returns:
            Both streams; of the last block the words come back as they were.
        """
        length = x.shape[1]
        shift1, scale1, gate1, shift2, scale2, gate2 = self.skeleton.modulations(condition)
        to_words = self.words.modulations(condition)
        q, k, v = self.skeleton.asked(_modulated(x, shift1, scale1))
        q_words, k_words, v_words = self.words.asked(_modulated(words, *to_words[:2]))
        mixed = F.scaled_dot_product_attention(
            q if self.last else torch.cat([q, q_words], dim=2),
            torch.cat([k, k_words], dim=2),
            torch.cat([v, v_words], dim=2),
            attn_mask=heard,
        )
        branch = self.skeleton.told(mixed[:, :, :length])
        x = x + gate1 * (boost(branch) if self.spectral == "attention" else branch)
        x = boost(x) if self.spectral == "stream" else x
        x = x + gate2 * self.skeleton.mlp(_modulated(x, shift2, scale2))
        if not self.last:
            _, _, gate1, shift2, scale2, gate2 = to_words
            words = words + gate1 * self.words.told(mixed[:, :, length:])
            words = words + gate2 * self.words.mlp(_modulated(words, shift2, scale2))
        return x, words


class CrossDiT(nn.Module):
    """The noise in the features of a clip, given what it is said to show.

    Untrained it answers 0. The published sizes have 261.21 M parameters with 2048 numbers per word
    (TDSM: two texts side by side) and 259.64 M with 1024 (FDSM).

    Args:
        text_features: Numbers E of a word, and of the text as a whole.
        features: Numbers D of a skeleton token.
        width: Token size W.
        depth: Number of blocks.
        heads: Attention heads; must divide `width`.
        tokens: Words S that a text has at most.
        positions: Skeleton tokens L, which are told their place in time; 0 takes any number of
            them as they are, for clips that are one token.
        spectral: What SG-SRM is applied to: ``attention``, the attention's output (as in the
            paper), ``stream``, the sum it is added to (as in the published code), ``none``.
        spectral_axis: The frequencies are those along ``time`` or along the ``channel`` axis.
        alpha: Size of the largest gain of SG-SRM.

    Raises:
        ValueError: `heads` does not divide `width`, or a choice is unknown.
    """

    basis: Tensor | None

    def __init__(  # noqa: PLR0913
        self,
        *,
        text_features: int,
        features: int = 256,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        tokens: int = 35,
        positions: int = 0,
        spectral: Spectral = "none",
        spectral_axis: SpectralAxis = "channel",
        alpha: float = 1.0,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width}: expected a multiple of heads, got heads {heads}")
        for name, value, known in (
            ("spectral", spectral, get_args(Spectral)),
            ("spectral_axis", spectral_axis, get_args(SpectralAxis)),
        ):
            if value not in known:
                raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
        self.features, self.text_features, self.tokens = features, text_features, tokens
        self.positions, self.spectral, self.alpha = positions, spectral, alpha
        self.axis = 1 if spectral_axis == "time" else 2
        self.read = nn.Linear(features, width)
        self.place = nn.Parameter(torch.empty(positions, width)) if positions else None
        self.read_word = nn.Linear(text_features, width)
        self.place_of_word = nn.Parameter(torch.empty(tokens, width))
        self.read_text = nn.Sequential(
            nn.Linear(text_features, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.conditioning = Conditioning(frequencies=_WAVES, dim=width)
        self.blocks = nn.ModuleList(
            JointBlock(width=width, heads=heads, spectral=spectral, last=number == depth - 1)
            for number in range(depth)
        )
        self.modulation = nn.Linear(width, 2 * width)
        self.write = nn.Linear(width, features)
        size = (0, positions, width)[self.axis] if spectral != "none" else 0
        basis = cosine_basis(size).float() if size else None
        self.register_buffer("basis", basis, persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        """Xavier's weights, but for the places, the step's map, and what begins at 0."""
        zeros = {self.modulation, self.write}
        for module in self.modules():
            if isinstance(module, _Stream):
                zeros.add(module.modulation)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
                if module in zeros:
                    nn.init.zeros_(module.weight)
                else:
                    nn.init.xavier_uniform_(module.weight)
        told = [p for p in self.conditioning.parameters() if p.ndim == 2]
        for parameter in (*told, self.place, self.place_of_word):
            if parameter is not None:
                nn.init.normal_(parameter, std=_INITIAL)

    def forward(
        self,
        x: Tensor,
        step: Tensor,
        local: Tensor,
        mask: Tensor,
        pooled: Tensor,
        gain: Tensor | None = None,
    ) -> Tensor:
        """The noise in x.

        Args:
            x: Noisy features, N L D; L is 1 for clips pooled over time.
            step: N, in 0 ... T - 1.
            local: The words, N S E, at most `tokens`.
            mask: N S, bool, True = a word. What `local` holds elsewhere, NaN too, has no effect.
            pooled: The text as a whole, N E.
            gain: N, in [0, 1]: how lively the motion is that the text tells of. A network without
                SG-SRM does not read it.

        Returns:
            N L D, in the dtype of x.

        Raises:
            ValueError: A shape differs, or a network with SG-SRM got no gain.
        """
        n, length = self._check(x, step, local, mask, pooled, gain)
        dtype = self.read.weight.dtype
        words = torch.where(mask[..., None], local, 0).to(dtype)
        words = self.read_word(words) + self.place_of_word[: words.shape[1]]
        tokens = self.read(x.to(dtype))
        if self.place is not None:
            tokens = tokens + self.place
        condition = self.conditioning(step) + self.read_text(pooled.to(dtype))
        heard = F.pad(mask, (length, 0), value=True)[:, None, None]
        boost = partial(self._boosted, gain=gain)
        for block in self.blocks:
            tokens, words = block(tokens, words, condition, heard, boost)
        shift, scale = self.modulation(F.silu(condition))[:, None].chunk(2, dim=-1)
        noise: Tensor = self.write(_modulated(tokens, shift, scale))
        return noise.view(n, length, self.features).to(x.dtype)

    def _boosted(self, x: Tensor, gain: Tensor | None) -> Tensor:
        """SG-SRM (Zhou et al. 2026, eq. 1 to 4), N L W to the same."""
        if gain is None:
            return x
        low = low_band(x.shape[self.axis])
        return amplified(x, gain, alpha=self.alpha, low=low, dim=self.axis, basis=self.basis)

    def _check(
        self,
        x: Tensor,
        step: Tensor,
        local: Tensor,
        mask: Tensor,
        pooled: Tensor,
        gain: Tensor | None,
    ) -> tuple[int, int]:
        """The numbers N of samples and L of skeleton tokens, if everything fits."""
        places = {"L": self.positions} if self.positions else {}
        check_shape(x, "N L D", what="x", D=self.features, **places)
        n, length, _ = x.shape
        check_shape(step, "N", what="step", N=n)
        check_shape(local, "N S E", what="local", N=n, E=self.text_features)
        words = local.shape[1]
        if words > self.tokens:
            raise ValueError(f"local: expected at most {self.tokens} words, got {words}")
        check_shape(mask, "N S", what="mask", N=n, S=words)
        check_shape(pooled, "N E", what="pooled", N=n, E=self.text_features)
        if gain is not None:
            check_shape(gain, "N", what="gain", N=n)
        elif self.spectral != "none":
            raise ValueError(f"gain: expected N numbers with spectral {self.spectral}, got None")
        return n, length
