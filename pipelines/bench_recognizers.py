"""Milliseconds of one training step of every recognizer; CTR-GCN and MS-G3D beside plain ones.

python pipelines/bench_recognizers.py [--threads 2] [--rounds 7] [--clock wall|processor]

Plain is the published formula written down as it stands: maps N C T V, one convolution and one
normalisation per branch and subset, einsum over joints, windows copied by unfold, conv3d; float32.
A round times plain, ours and ours under bfloat16 autocast one after the other on the same clips; a
ratio is the median over rounds of plain / ours. On a busy machine take --threads 1 --clock
processor. What makes ours faster:

MS-G3D  maps N T V C, so that a 1x1 convolution is a matrix product and a window a view that is
        never copied; channels are projected before joints are gathered, once per frame and not
        once per window; the product over orders and joints is one batched product; the kernel over
        a window's frames is a matrix product; the 1x1 convolutions and normalisations of six
        branches are one each; residual and ReLU in place.
CTR-GCN maps C N V T, so that 1x1 convolutions of all subsets and branches are one matrix product,
        the graph product is batched over contiguous memory, and the sum over subsets happens
        inside it; means over time come before the convolutions; normalisations over whole rows.
both    half the memory traffic and the matrix units of the processor under bfloat16.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu

from skelaug.models.recognizers import RECOGNIZERS
from skelaug.models.recognizers.ms_g3d import window_orders
from skelaug.skeleton.graph import directed_subsets, hops
from skelaug.skeleton.layouts import get_layout

CLASSES = 60
SHAPES = (("kinect_20", 64, 1), ("ntu_25", 64, 2))  # layout, frames, persons


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, (stride, 1)), nn.BatchNorm2d(outputs))


class PlainTime(nn.Module):
    """Branches over time: a convolution per dilation, a maximum, a 1x1 convolution."""

    def __init__(self, i: int, o: int, *, kernel: int, dilations: tuple[int, ...], stride: int = 1):
        super().__init__()
        b = o // (len(dilations) + 2)
        self.branches = nn.ModuleList()
        for d in dilations:
            conv = nn.Conv2d(b, b, (kernel, 1), (stride, 1), (d * (kernel // 2), 0), (d, 1))
            self.branches.append(nn.Sequential(*_conv(i, b), nn.ReLU(), conv, nn.BatchNorm2d(b)))
        pool = nn.MaxPool2d((3, 1), (stride, 1), (1, 0))
        self.branches.append(nn.Sequential(*_conv(i, b), nn.ReLU(), pool, nn.BatchNorm2d(b)))
        self.branches.append(_conv(i, b, stride))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class PlainMSTCN(nn.Module):
    def __init__(self, i: int, o: int, stride: int = 1, activate: bool = True):
        super().__init__()
        self.time = PlainTime(i, o, kernel=3, dilations=(1, 2, 3, 4), stride=stride)
        self.shortcut = nn.Identity() if i == o and stride == 1 else _conv(i, o, stride)
        self.activation = nn.ReLU(inplace=True) if activate else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.time(x) + self.shortcut(x))


class PlainMSGCN(nn.Module):
    """einsum over (orders x joints), then one 1x1 convolution over (orders x channels)."""

    def __init__(self, orders: Tensor, i: int, o: int):
        super().__init__()
        self.register_buffer("orders", orders.flatten(0, 1))
        self.mask = nn.Parameter(torch.empty_like(self.orders).uniform_(-1e-6, 1e-6))
        self.scales = len(orders)
        self.conv = nn.Conv2d(self.scales * i, o, 1)
        self.norm = nn.BatchNorm2d(o)

    def forward(self, x: Tensor) -> Tensor:
        n, c, t, v = x.shape
        y = torch.einsum("vu,nctu->nctv", self.orders + self.mask, x)
        y = y.view(n, c, t, self.scales, v).permute(0, 3, 1, 2, 4).reshape(n, -1, t, v)
        return relu(self.norm(self.conv(y)), inplace=True)


class PlainG3D(nn.Module):
    def __init__(self, parents: tuple[int, ...], widths: tuple[int, int, int], w: int, stride: int):
        super().__init__()
        i, inner, o = widths
        self.window = w
        self.unfold = nn.Unfold((w, 1), stride=(stride, 1), padding=(w // 2, 0))
        self.graph = PlainMSGCN(_orders(parents, 6, w), i, inner)
        self.conv = nn.Conv3d(inner, o, (1, w, 1))
        self.norm = nn.BatchNorm2d(o)

    def forward(self, x: Tensor) -> Tensor:
        n, c, _, v = x.shape
        x = self.unfold(x).view(n, c, self.window, -1, v).permute(0, 1, 3, 2, 4)
        y = self.graph(x.reshape(n, c, -1, self.window * v))
        return self.norm(self.conv(y.view(n, y.shape[1], -1, self.window, v)).squeeze(3))


class PlainMSG3D(nn.Module):
    def __init__(self, parents: tuple[int, ...], persons: int):
        super().__init__()
        scales = min(13, int(hops(parents).max()) + 2)  # as ours
        self.data_norm = nn.BatchNorm1d(persons * len(parents) * 3)
        self.blocks = nn.ModuleList()
        for i, inner, o in ((3, 96, 96), (96, 96, 192), (192, 192, 384)):
            stride = 1 if i == 3 else 2
            graph = PlainMSGCN(_orders(parents, scales, 1), i, inner)
            times = PlainMSTCN(inner, o, stride), PlainMSTCN(o, o, activate=False)
            windows = [PlainG3D(parents, (i, inner, o), w, stride) for w in (3, 5)]
            parts = [nn.Sequential(graph, *times), *windows, PlainMSTCN(o, o)]
            self.blocks.append(nn.ModuleList(parts))
        self.classify = nn.Linear(384, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        m, x = x.shape[-1], _normed(self.data_norm, x)
        for frames, three, five, after in self.blocks:
            x = after(relu(frames(x) + three(x) + five(x), inplace=True))
        return self.classify(x.view(len(x) // m, m, x.shape[1], -1).mean(3).mean(1))


class PlainCTRGC(nn.Module):
    """Three convolutions per subset, a fourth on the relation, einsum per subset."""

    def __init__(self, subsets: Tensor, i: int, o: int):
        super().__init__()
        r = 8 if i == 3 else i // 8
        self.topology, self.alpha = nn.Parameter(subsets.clone()), nn.Parameter(torch.zeros(1))
        self.convs = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in ((i, r), (i, r), (i, o), (r, o)))
            for _ in subsets
        )
        self.norm = nn.BatchNorm2d(o)
        self.shortcut = nn.Identity() if i == o else _conv(i, o)

    def forward(self, x: Tensor) -> Tensor:
        y = 0
        for shared, (receive, send, transform, refine) in zip(
            self.topology, self.convs, strict=True
        ):
            x1, x2 = receive(x).mean(2), send(x).mean(2)
            relation = torch.tanh(x1.unsqueeze(-1) - x2.unsqueeze(-2))
            topology = self.alpha * refine(relation) + shared
            y = y + torch.einsum("ncuv,nctv->nctu", topology, transform(x))
        return relu(self.norm(y) + self.shortcut(x), inplace=True)


class PlainCTRGCN(nn.Module):
    def __init__(self, parents: tuple[int, ...], persons: int):
        super().__init__()
        subsets = torch.from_numpy(directed_subsets(parents)).float()
        self.data_norm = nn.BatchNorm1d(persons * len(parents) * 3)
        self.blocks = nn.ModuleList()
        for block, (i, o) in enumerate(pairwise([3] + [64] * 4 + [128] * 3 + [256] * 3)):
            stride = 2 if block in (4, 7) else 1
            times = PlainTime(o, o, kernel=5, dilations=(1, 2), stride=stride)
            shortcut = nn.Identity() if i == o else _conv(i, o, stride)
            parts = [PlainCTRGC(subsets, i, o), times, *([shortcut] if block else [])]
            self.blocks.append(nn.ModuleList(parts))
        self.classify = nn.Linear(256, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        m, x = x.shape[-1], _normed(self.data_norm, x)
        for graph, times, *shortcut in self.blocks:
            y = times(graph(x))
            x = relu(y + shortcut[0](x) if shortcut else y, inplace=True)
        return self.classify(x.view(len(x) // m, m, x.shape[1], -1).mean(3).mean(1))


def _orders(parents: tuple[int, ...], scales: int, window: int) -> Tensor:
    orders = torch.from_numpy(window_orders(parents, scales, window)).float()
    return orders.reshape(scales, window * len(parents), -1)


def _normed(norm: nn.Module, x: Tensor) -> Tensor:
    """N C T V M to (N M) C T V."""
    n, c, t, v, m = x.shape
    x = norm(x.permute(0, 4, 3, 1, 2).reshape(n, m * v * c, t))
    return x.view(n * m, v, c, t).permute(0, 2, 3, 1).contiguous()


PLAIN = {"ctr-gcn": PlainCTRGCN, "ms-g3d": PlainMSG3D}


def _step(network: nn.Module, x: Tensor, labels: Tensor, narrow: bool) -> Callable[[], None]:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            logits = network(x)
        cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    return step


def _times(name: str, shape: tuple[str, int, int], options: argparse.Namespace) -> list[str]:
    """The cells of one row."""
    layout, frames, persons = shape
    parents = get_layout(layout).parents
    x = torch.randn(options.batch, 3, frames, len(parents), persons)
    labels = torch.randint(CLASSES, (options.batch,))
    ours = RECOGNIZERS[name](parents=parents, num_classes=CLASSES, persons=persons)
    steps = {"ours": _step(ours, x, labels, False), "bf16": _step(ours, x, labels, True)}
    if name in PLAIN:
        plain = PLAIN[name](parents, persons)
        sizes = [sum(p.numel() for p in network.parameters()) for network in (plain, ours)]
        if sizes[0] != sizes[1]:
            raise SystemExit(f"{name}: not the same network, parameters {sizes}")
        steps = {"plain": _step(plain, x, labels, False), **steps}
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    seconds: dict[str, list[float]] = {key: [] for key in steps}
    for turn in range(options.rounds + 1):
        for key, step in steps.items():
            start = clock()
            step()
            if turn:  # the first round warms up
                seconds[key].append(clock() - start)
    cells = [name, " x ".join(map(str, (*x.shape[:1], *x.shape[2:])))]
    for key in ("plain", "ours", "bf16"):
        cells.append(f"{1e3 * statistics.median(seconds[key]):.0f}" if key in steps else "")
    for key in ("ours", "bf16"):
        pairs = zip(seconds.get("plain", []), seconds[key], strict=False)
        ratios = [plain / own for plain, own in pairs]
        cells.append(f"{statistics.median(ratios):.2f}" if ratios else "")
    return cells


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    parser.add_argument(
        "--networks", nargs="+", default=sorted(RECOGNIZERS, key=lambda n: (n not in PLAIN, n))
    )
    parser.add_argument("--layouts", nargs="+", default=[layout for layout, *_ in SHAPES])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        "| network | N x T x V x M | plain ms | ours ms | bf16 ms | plain / ours | plain / bf16 |"
    )
    print("|" + "---|" * 7)
    for name in options.networks:
        for shape in SHAPES:
            if shape[0] in options.layouts:
                print("|", " | ".join(_times(name, shape, options)), "|", flush=True)


if __name__ == "__main__":
    main()
