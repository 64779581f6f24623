"""Train a small network with PyTorch, as it is and with fastconv's convolutions; print the ratio.

python examples/pytorch_training.py
"""

import time

import torch
from torch import nn

import fastconv.adapters.torch


def train(steps):
    """Return the seconds for so many steps, and the last loss."""
    torch.manual_seed(0)
    layers = []
    for inputs, outputs in ((3, 64), (64, 64), (64, 128), (128, 128)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
        if inputs == outputs:
            layers.append(nn.MaxPool2d(2))
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    images, labels = torch.randn(32, 3, 64, 64), torch.arange(32) % 10
    begin = time.perf_counter()
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
    return time.perf_counter() - begin, loss.item()


def main():
    """Compare."""
    train(2)
    plain, loss = train(10)
    print(f"PyTorch       {plain:.2f} s, loss {loss:.4f}")
    with fastconv.adapters.torch.enabled():
        train(2)
        ours, loss = train(10)
        print(f"with fastconv {ours:.2f} s, loss {loss:.4f}")
        print(f"ratio         {plain / ours:.2f}")
        print(fastconv.adapters.torch.stats())


if __name__ == "__main__":
    main()
