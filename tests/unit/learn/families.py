"""One small model of each family that tasks are made of, with data of its form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shoal.learn.recipe import Recipe

ROWS = 24


def recipe(loss: str = "cross_entropy", **changes: object) -> Recipe:
    plain = {
        "loss": loss,
        "optimizer": {"name": "adamw", "lr": 0.01},
        "batch_size": 8,
        "local_steps": 5,
        "rounds": 3,
    }
    return Recipe.from_dict(plain | changes)


class LogisticRegression(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Cnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten()
        )
        self.head = nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.net(x))


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(3))
        self.convs = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1, bias=False) for _ in range(2))
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norms[0](self.first(x)))
        inner = F.relu(self.norms[1](self.convs[0](x)))
        x = F.relu(x + self.norms[2](self.convs[1](inner)))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Gpt(nn.Module):
    """Tied weights, a buffer that is not saved, and dropout inside attention."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(11, 8), nn.Embedding(7, 8)
        self.norm, self.qkv, self.out = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.tokens.weight
        self.register_buffer("positions", torch.arange(7), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        rows, length = x.shape
        hidden = self.tokens(x) + self.places(self.positions[:length])
        q, k, v = (t.view(rows, length, 2, 4).transpose(1, 2) for t in self.qkv(self.norm(hidden)).split(8, dim=-1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=0.1 if self.training else 0.0)
        return self.head(hidden + self.out(mixed.transpose(1, 2).reshape(rows, length, 8)))


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.lstm = nn.Embedding(11, 6), nn.LSTM(6, 6, num_layers=2, dropout=0.2, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(self.tokens(x))[0][:, -1])


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 3), nn.Tanh(), nn.Linear(3, 6), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Adapter(nn.Module):
    """A frozen base under a low-rank adapter."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(6, 3)
        self.base.requires_grad_(False)
        self.down, self.up = nn.Linear(6, 2, bias=False), nn.Linear(2, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.up(self.down(x))


@dataclass(frozen=True)
class Family:
    build: Callable[[], nn.Module]
    x: Tensor
    y: Tensor
    recipe: Recipe


def _random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


_TABLE = torch.randn(ROWS, 6, generator=_random(1))
_IMAGES = torch.randn(ROWS, 1, 8, 8, generator=_random(2))
_TOKENS = torch.randint(11, (ROWS, 7), generator=_random(3))
# Where a gradient is 0 but for rounding (a bias before BatchNorm, the key's bias in attention), Adam turns the noise
# into whole steps, so that final weights cannot be compared: those families train with momentum.
_MOMENTUM = {"name": "sgd", "lr": 0.1, "momentum": 0.9}
_CLASSES = torch.randint(3, (ROWS,), generator=_random(4))

FAMILIES = {
    "logreg": Family(LogisticRegression, _TABLE, _CLASSES, recipe(optimizer={"name": "sgd", "lr": 0.1})),
    "mlp": Family(Mlp, _TABLE, _CLASSES, recipe(optimizer=_MOMENTUM)),
    "cnn": Family(Cnn, _IMAGES, _CLASSES, recipe(optimizer=_MOMENTUM)),
    "resnet": Family(ResNet, _IMAGES, _CLASSES, recipe(grad_clip=1.0)),
    "gpt": Family(Gpt, _TOKENS, _TOKENS.roll(-1, 1), recipe(schedule="cosine", optimizer=_MOMENTUM)),
    "lstm": Family(Lstm, _TOKENS, _CLASSES, recipe()),
    "autoencoder": Family(Autoencoder, _TABLE, _TABLE, recipe("mse", optimizer={"name": "adam", "lr": 0.01})),
    "adapter": Family(Adapter, _TABLE, _CLASSES, recipe()),
}
