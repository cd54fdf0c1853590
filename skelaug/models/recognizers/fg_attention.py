"""The attention blocks of FG-STFormer: over joints or parts of a frame, and over frames.

Gao et al. 2022, "Focal and Global Spatial-Temporal Transformer for Skeleton-based Action
Recognition" (ACCV), sec. 3.1, 3.3 and 3.4; what the paper leaves open is settled as in DSTA-Net
(Shi et al. 2020), on which it builds. Letters: n samples times persons, t frames, v joints or parts
that receive, u those that send, c channels, h heads, d channels of a head.

Features are n t v c in memory, so that every projection is one dense matrix product. Keys have no
bias, because in the softmax over keys it would cancel.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skelaug.models.layers import sinusoid

__all__ = ["SLOPE", "ChannelNorm", "CrossTransformer", "SpatialTransformer", "TemporalTransformer"]

SLOPE = 0.1
"""Slope of every LeakyReLU, as in DSTA-Net."""
_QUERY = 4  # queries and keys of a spatial head have a fourth of the block's channels


class ChannelNorm(nn.BatchNorm1d):
    """Batch norm of each channel where channels come last."""

    def forward(self, x: Tensor) -> Tensor:
        """... C to ... C."""
        normed: Tensor = super().forward(x.flatten(0, -2))
        return normed.view_as(x)


def _attention(queries: Tensor, keys: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(d)) (eq. 1 and 4) of ... v d and ... u d, never below float32."""
    logits = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-1, -2)
    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    maps: Tensor = logits.softmax(dim=-1, dtype=dtype)
    return maps


def _project(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, outputs, bias=False), ChannelNorm(outputs))


def _shortcut(inputs: int, outputs: int) -> nn.Module:
    return nn.Identity() if inputs == outputs else _project(inputs, outputs)


class _Encoding(nn.Module):
    """Adds the sines and cosines of each joint's or part's number, its type (sec. 3.3)."""

    table: Tensor

    def __init__(self, nodes: int, width: int) -> None:
        super().__init__()
        self.register_buffer("table", sinusoid(torch.arange(nodes), width), persistent=False)

    def forward(self, x: Tensor, chosen: Tensor | None = None) -> Tensor:
        """N T V C to the same; `chosen` N T V names the joints where they are not all in order."""
        table = self.table if chosen is None else F.embedding(chosen, self.table)
        return x + table.to(x.dtype)


class _Block(nn.Module):
    """Multi-head attention over the nodes of a frame and the feed-forward part behind it.

    The paper's heads of width C / H do not exist for 3 heads of 64 channels. As in DSTA-Net each
    head has queries and keys of C' / 4 channels, its value is the whole input, and the H copies
    that the maps aggregate go through one linear layer to C' channels:
    concat_h(A_h X) W = sum_h A_h (X W_h), computed as on the right.
    """

    def __init__(self, inputs: int, outputs: int, *, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.queries = nn.Linear(inputs, heads * (outputs // _QUERY))
        self.keys = nn.Linear(inputs, heads * (outputs // _QUERY), bias=False)
        self.values = nn.Linear(inputs, outputs * heads, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.norm = ChannelNorm(outputs)
        self.shortcut = _shortcut(inputs, outputs)
        self.feed = nn.Linear(outputs, outputs, bias=False)
        self.feed_norm = ChannelNorm(outputs)
        self.feed_shortcut = _shortcut(inputs, outputs)

    def split(self, projected: Tensor) -> Tensor:
        """N T V H*D to N T H V D."""
        n, t, v, _ = projected.shape
        return projected.view(n, t, v, self.heads, -1).transpose(2, 3)

    def update(self, x: Tensor, source: Tensor, maps: Tensor) -> Tensor:
        """What the block makes of its input, the values' source and the maps N T H V U."""
        n, t, v, _ = x.shape
        values = self.values(source).reshape(n, t, source.shape[2] * self.heads, -1)
        maps = self.dropout(maps).to(values.dtype).permute(0, 1, 3, 4, 2).reshape(n, t, v, -1)
        y = F.leaky_relu(self.shortcut(x) + self.norm(maps @ values), SLOPE)
        # the input once more, not y: the second residual of DSTA-Net
        return F.leaky_relu(self.feed_shortcut(x) + self.feed_norm(self.feed(y)), SLOPE)


class SpatialTransformer(_Block):
    """Basic-SFormer block (sec. 3.1 and 3.3, fig. 3a): the nodes of each frame among themselves.

    The map of a frame is softmax(Q K^T / sqrt(d)) + A_g. A_g is learnt, shared by all sequences
    and begins as 1 / V (Shi et al. 2020). Values carry no position encoding.

    Args:
        inputs: Channels C that come in.
        outputs: Channels C' that go out, a multiple of 4.
        nodes: Joints or parts V.
        heads: Attention heads H.
        dropout: Dropout of the attention maps.
    """

    def __init__(
        self, inputs: int, outputs: int, *, nodes: int, heads: int = 3, dropout: float = 0.0
    ) -> None:
        super().__init__(inputs, outputs, heads=heads, dropout=dropout)
        self.encoding = _Encoding(nodes, inputs)
        self.global_map = nn.Parameter(torch.full((heads, nodes, nodes), 1 / nodes))

    def gathered(self, chosen: Tensor) -> Tensor:
        """A_g between the joints of each frame: rows and columns `chosen` N T K, N T H K K."""
        heads, nodes, _ = self.global_map.shape
        pairs = chosen[..., :, None] * nodes + chosen[..., None, :]
        table = self.global_map.permute(1, 2, 0).reshape(nodes * nodes, heads)
        return F.embedding(pairs, table).movedim(-1, 2)

    def maps(self, x: Tensor, chosen: Tensor | None = None) -> Tensor:
        """The attention maps of features N T V C, N T H V V; receivers are rows."""
        coded = self.encoding(x, chosen)
        maps = _attention(self.split(self.queries(coded)), self.split(self.keys(coded)))
        return maps + (self.global_map if chosen is None else self.gathered(chosen))

    def forward(self, x: Tensor, chosen: Tensor | None = None) -> Tensor:
        """N T V C to N T V C'.

        Args:
            x: Features of all nodes, or of K chosen ones.
            chosen: N T K, the joint that each slot holds in each frame; None = all, in order.
        """
        return self.update(x, x, self.maps(x, chosen))


class CrossTransformer(_Block):
    """One direction of the joint-part cross-attention JP-CA (eq. 4, fig. 3b).

    Its map has no A_g, which the paper gives to self-attention alone; all else is as in
    `SpatialTransformer`, the position encodings included.

    Args:
        width: Channels C, a multiple of 4.
        receivers: Joints or parts V of the branch that is updated.
        senders: Joints or parts U of the branch that gives keys and values.
        heads: Attention heads H.
        dropout: Dropout of the attention maps.
    """

    def __init__(
        self, width: int, *, receivers: int, senders: int, heads: int = 3, dropout: float = 0.0
    ) -> None:
        super().__init__(width, width, heads=heads, dropout=dropout)
        self.encoding = _Encoding(receivers, width)
        self.source_encoding = _Encoding(senders, width)

    def maps(
        self,
        x: Tensor,
        source: Tensor,
        *,
        chosen: Tensor | None = None,
        source_chosen: Tensor | None = None,
    ) -> Tensor:
        """The attention maps, N T H V U; each row sums to one."""
        queries = self.queries(self.encoding(x, chosen))
        keys = self.keys(self.source_encoding(source, source_chosen))
        return _attention(self.split(queries), self.split(keys))

    def forward(
        self,
        x: Tensor,
        source: Tensor,
        *,
        chosen: Tensor | None = None,
        source_chosen: Tensor | None = None,
    ) -> Tensor:
        """Features N T V C and those of the other branch N T U C to N T V C.

        Args:
            x: Features that are updated.
            source: Features that they look at.
            chosen: N T V, the joints that x holds; None = all its nodes, in order.
            source_chosen: N T U, the same of the source.
        """
        maps = self.maps(x, source, chosen=chosen, source_chosen=source_chosen)
        return self.update(x, source, maps)


class TemporalTransformer(nn.Module):
    """FG-TFormer block (sec. 3.4, eq. 5): each joint's or part's frames among themselves.

    head_h = [Attention(Q_h, K_h) TCN_dilate(X)_h] W_h + TCN_dilate(X)_h,
    out = LeakyReLU(concat_h(head_h) W_O) + X.

    The paper halves the frames by striding the convolution that makes the values. Map and shortcut
    must then follow, which it does not say: queries and keys are those of every second frame, and
    the shortcut is a strided linear layer with batch norm.

    Args:
        width: Channels C, an even multiple of the number of heads.
        dilations: Dilation of each head's convolution; one head per entry.
        kernel: Frames that a convolution sees, odd.
        stride: 2 halves the frames: T' = ceil(T / 2).
        attention: False leaves head_h = TCN_dilate(X)_h (table 3, second row).
        convolution: False makes the values by a linear layer, head_h = [Attention V_h] W_h: the
            Basic-TFormer (table 3, first row).
        dropout: Dropout of the attention maps.
    """

    def __init__(
        self,
        width: int,
        *,
        dilations: Sequence[int] = (1, 2),
        kernel: int = 7,
        stride: int = 1,
        attention: bool = True,
        convolution: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        size = width // len(dilations)
        self.stride, self.attention, self.convolution = stride, attention, convolution
        window = kernel if convolution else 1
        self.values = nn.ModuleList(
            nn.Conv2d(
                width,
                size,
                (1, window),
                stride=(1, stride),
                padding=(0, dilation * (window // 2)),
                dilation=(1, dilation),
            )
            for dilation in dilations
        )
        if attention:
            self.queries = nn.Linear(width, width)
            self.keys = nn.Linear(width, width, bias=False)
            self.mixes = nn.ModuleList(nn.Linear(size, size) for _ in dilations)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, width)
        self.shortcut = nn.Identity() if stride == 1 else _project(width, width)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The attention map of each head, of features N V T C: N V T' T' each."""
        t, c = x.shape[2:]
        frames = torch.arange(t, device=x.device)
        coded = (x + sinusoid(frames, c).to(x.dtype))[:, :, :: self.stride]
        heads = len(self.values)
        queries, keys = self.queries(coded).chunk(heads, -1), self.keys(coded).chunk(heads, -1)
        return [_attention(q, k) for q, k in zip(queries, keys, strict=True)]

    def forward(self, x: Tensor) -> Tensor:
        """N T V C to N T' V C."""
        x = x.transpose(1, 2).contiguous()  # n v t c: the frames of a node lie side by side
        as_map = x.permute(0, 3, 1, 2)
        heads: list[Tensor] = [tcn(as_map).permute(0, 2, 3, 1) for tcn in self.values]
        if self.attention:
            mixed = [
                mix(self.dropout(a).to(v.dtype) @ v)
                for a, v, mix in zip(self.maps(x), heads, self.mixes, strict=True)
            ]
            if self.convolution:
                mixed = [m + v for m, v in zip(mixed, heads, strict=True)]
            heads = mixed
        y: Tensor = F.leaky_relu(self.out(torch.cat(heads, dim=-1)), SLOPE)
        y = y + self.shortcut(x[:, :, :: self.stride])
        return y.transpose(1, 2).contiguous()
