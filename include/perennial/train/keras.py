"""The family `keras`: a network of Keras that `build(columns, task)` of the pipeline's `candidates/<name>.py` returns."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from perennial.train.author import Author
from perennial.train.author_code import Task, call
from perennial.train.keras_model import KerasModel, as_margin, check_graph
from perennial.train.keras_training import cosine, load_keras, make_epoch, mean_loss
from perennial.train.network import shortest, train_network
from perennial.train.preprocess import fit_preprocessing
from perennial.train.reproducible import fit_reproducibly
from perennial.train.schedule import loss_of
from perennial.train.views import Dense

if TYPE_CHECKING:
    from perennial.config.candidates import Keras
    from perennial.train.checkpoints import Checkpoints
    from perennial.train.matrix_files import MatrixFiles
    from perennial.train.window import Window


def prepare(window: Window, settings: Keras) -> Dense:
    """Return the dense view of a row."""
    return Dense(window.inputs, fit_preprocessing(window))


def fit(
    rows: MatrixFiles,
    settings: Keras,
    seed: int,
    checkpoints: Checkpoints | None = None,
    begin: bytes | None = None,
    author: Author | None = None,
) -> KerasModel:
    """
    Train the author's network with Adam, by the rule of batches and epochs of `mlp`, bucket by bucket.

    It ignores checkpoints and the weights of another training.
    """
    if author is None:
        raise ValueError("a network needs its author's file")
    whole, short = (partial(_fit, settings=each, seed=seed, author=author) for each in (settings, shortest(settings)))
    return fit_reproducibly(whole, short, rows, author)


def _fit(rows: MatrixFiles, settings: Keras, seed: int, author: Author) -> KerasModel:
    make = partial(_make, rows, settings, seed, author)
    return KerasModel(train_network(rows, settings, seed, author, make), author.file)


def _make(rows: MatrixFiles, settings: Keras, seed: int, author: Author, steps: int, share: float) -> Any:
    """
    Return the network that the author's `build` makes, with its optimizer for a number of batches.

    :param share: of dropout and decay; those of this network are the author's
    """
    keras = load_keras()
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)
    columns, target = len(rows.names), rows.window.target
    built = call(author, "build", rows.names, Task.of(target))
    model: Any = as_margin(built, columns, target, author, "build")
    check_graph(model, columns, author.file)
    model.optimizer = keras.optimizers.Adam(cosine()(steps, settings.learning_rate))
    model.optimizer.build(model.trainable_variables)

    def measure(targets: Any, margins: Any) -> Any:
        return mean_loss(loss_of(target), targets, margins, from_logits=True) + sum(model.losses)

    model.epoch = make_epoch(model, columns, measure)
    return model
