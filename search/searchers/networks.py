"""Small networks in numpy with hand-written back-propagation, and Adam.

Searchers must start fast and do without a deep-learning framework; their networks are small.
All arrays are 64-bit, so that gradients can be checked against finite differences.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def generator(seed: int) -> np.random.Generator:
    """A numpy generator for weights and batches; equal seeds give equal numbers."""
    return np.random.Generator(np.random.PCG64(seed))


def uniform(rng: np.random.Generator, shape: tuple[int, ...], bound: float) -> Floats:
    """Numbers uniform in ``[-bound, bound]``."""
    return np.asarray((2.0 * rng.random(shape) - 1.0) * bound, dtype=np.float64)


class Adam:
    """Adam over a list of arrays, which it changes in place.

    Args:
        params: arrays to optimise.
        lr: step size.

    Source: Kingma and Ba, Adam, ICLR 2015 (betas 0.9 and 0.999).
    """

    def __init__(self, params: Sequence[Floats], lr: float) -> None:
        self._params, self._lr, self._steps = params, lr, 0
        self._first = [np.zeros_like(p) for p in params]
        self._second = [np.zeros_like(p) for p in params]

    def step(self, gradients: Sequence[Floats]) -> None:
        """One step down the gradients, one array per parameter."""
        self._steps += 1
        lr = self._lr * np.sqrt(1.0 - 0.999**self._steps) / (1.0 - 0.9**self._steps)
        each = zip(self._params, gradients, self._first, self._second, strict=True)
        for param, gradient, first, second in each:
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient**2 - second)
            param -= lr * first / (np.sqrt(second) + 1e-8)


def joined(gradients: Sequence[Floats]) -> list[Floats]:
    """Gradients of all layers as that of :attr:`Mlp.flat`."""
    return [np.concatenate([gradient.ravel() for gradient in gradients])]


class Mlp:
    """Linear layers with ReLU between them; linear at the end.

    Args:
        sizes: width of the input, of every hidden layer, and of the output.
        rng: for the initial weights; those of the last layer are small, as in DDPG.

    ``params`` are the layers' weights and biases, views of the one array ``flat``, so that an
    optimiser or a slow copy needs one operation instead of one per layer.
    """

    def __init__(self, sizes: Sequence[int], rng: np.random.Generator) -> None:
        pairs = list(zip(sizes[:-1], sizes[1:], strict=True))
        self.flat = np.empty(sum((inputs + 1) * outputs for inputs, outputs in pairs))
        self.params: list[Floats] = []
        used = 0
        for inputs, outputs in pairs:
            bound = 3e-3 if len(self.params) == 2 * len(pairs) - 2 else 1.0 / np.sqrt(inputs)
            for shape in ((inputs, outputs), (outputs,)):
                part = self.flat[used : used + int(np.prod(shape))].reshape(shape)
                part[...] = uniform(rng, shape, bound)
                self.params.append(part)
                used += part.size

    def forward(self, inputs: Floats) -> list[Floats]:
        """Input, outputs of the hidden layers, output; each of shape ``[batch, width]``."""
        layers = [inputs]
        for i in range(0, len(self.params), 2):
            output = layers[-1] @ self.params[i] + self.params[i + 1]
            layers.append(np.maximum(output, 0.0) if i < len(self.params) - 2 else output)
        return layers

    def backward(self, layers: list[Floats], slope: Floats) -> tuple[list[Floats], Floats]:
        """Gradients of a loss from its slope at the output.

        Args:
            layers: what :meth:`forward` returned.
            slope: derivative of the loss by the output, shape ``[batch, width]``.

        Returns:
            The gradient of every array of ``params``, and the derivative by the input.
        """
        gradients: list[Floats] = []
        for i in range(len(self.params) - 2, -1, -2):
            below = layers[i // 2]
            gradients[:0] = [below.T @ slope, slope.sum(axis=0)]
            slope = slope @ self.params[i].T
            if i:
                slope = slope * (below > 0)
        return gradients, slope
