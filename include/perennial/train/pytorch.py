"""The family `pytorch`: a network of PyTorch that `build(columns, task)` of the pipeline's `candidates/<name>.py` returns."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from perennial.train.author import Author
from perennial.train.author_code import Task, call, failures_of
from perennial.train.estimators import seed_libraries
from perennial.train.network import shortest, train_network
from perennial.train.preprocess import fit_preprocessing
from perennial.train.pytorch_model import PyTorchModel, check_network, flat, load_torch
from perennial.train.reproducible import fit_reproducibly
from perennial.train.schedule import CLASSES, LOG_LOSS, Loss, loss_of
from perennial.train.views import Dense

if TYPE_CHECKING:
    import torch

    from perennial.config.candidates import PyTorch
    from perennial.models.scoring import Numbers
    from perennial.train.checkpoints import Checkpoints
    from perennial.train.matrix_files import MatrixFiles
    from perennial.train.window import Window


def prepare(window: Window, settings: PyTorch) -> Dense:
    """Return the dense view of a row."""
    return Dense(window.inputs, fit_preprocessing(window))


def fit(
    rows: MatrixFiles,
    settings: PyTorch,
    seed: int,
    checkpoints: Checkpoints | None = None,
    begin: bytes | None = None,
    author: Author | None = None,
) -> PyTorchModel:
    """
    Train the author's network with Adam, by the rule of batches and epochs of `mlp`, bucket by bucket.

    It ignores checkpoints and the weights of another training.
    """
    if author is None:
        raise ValueError("a network needs its author's file")
    whole, short = (partial(_fit, settings=each, seed=seed, author=author) for each in (settings, shortest(settings)))
    return fit_reproducibly(whole, short, rows, author)


def _fit(rows: MatrixFiles, settings: PyTorch, seed: int, author: Author) -> PyTorchModel:
    make = partial(_make, rows, settings, seed, author)
    trained: _Network = train_network(rows, settings, seed, author, make)
    return PyTorchModel(trained.module.cpu().eval(), author)


def _make(rows: MatrixFiles, settings: PyTorch, seed: int, author: Author, steps: int, share: float) -> _Network:
    """
    Return the network that the author's `build` makes, with its optimizer for a number of batches.

    :param share: of dropout and decay; those of this network are the author's
    """
    torch = load_torch()
    seed_libraries(seed)
    torch.manual_seed(seed)
    target = rows.window.target
    module = call(author, "build", rows.names, Task.of(target))
    check_network(module, len(rows.names), target.outputs, author)
    return _Network(module, author, loss_of(target), steps, settings.learning_rate)


class _Network:
    """
    A network with its optimizer, as `train_network` trains it.

    :param steps: the number of batches in which the learning rate falls along a cosine
    :param rate: the highest learning rate
    """

    def __init__(self, module: torch.nn.Module, author: Author, loss: Loss, steps: int, rate: float) -> None:
        torch = load_torch()
        self._author, self._loss = author, loss
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.module = module.to(self._device)
        self._optimizer = torch.optim.Adam(self.module.parameters(), rate)
        self._rates = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0)))
        )

    def epoch(self, x: Numbers, y: Numbers, order: NDArray[np.int64], batch: int) -> float:
        """
        Train on rows in a given order and return the sum of their losses.

        The batches are of almost equal size: a last one of a single row would be too few for BatchNorm.
        """
        torch = load_torch()
        rows, labels = (torch.from_numpy(values).to(self._device) for values in (x, y))
        total = 0.0
        self.module.train()
        for places in torch.from_numpy(order).to(self._device).tensor_split(math.ceil(len(order) / batch)):
            with failures_of(self._author):
                loss = self._measure(labels[places], self.module(rows[places]))
                self._optimizer.zero_grad()
                loss.backward()
                self._optimizer.step()
            self._rates.step()
            total += loss.item() * len(places)
        return total

    def __call__(self, x: Numbers, *, training: bool) -> Numbers:
        """Return the margins of some rows, [rows, outputs]."""
        torch = load_torch()
        self.module.train(training)
        with failures_of(self._author), torch.no_grad():
            margins: Numbers = self.module(torch.from_numpy(x).to(self._device)).cpu().numpy()
        return margins

    def _measure(self, targets: torch.Tensor, answers: torch.Tensor) -> Any:
        """Return the mean loss of a batch."""
        torch = load_torch()
        margins = flat(answers)
        if self._loss == CLASSES:
            return torch.nn.functional.cross_entropy(margins, targets.long())
        if self._loss == LOG_LOSS:
            return torch.nn.functional.binary_cross_entropy_with_logits(margins, targets)
        error = targets - margins
        if isinstance(self._loss, str):
            return error.square().mean()
        return torch.maximum(self._loss * error, (self._loss - 1) * error).mean()
