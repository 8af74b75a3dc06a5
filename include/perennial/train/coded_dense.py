"""A dense layer of Keras whose inputs are columns and codes."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # mlp.load_keras imports them after it has set their environment
    import keras
    import tensorflow as tf


@cache
def coded_dense(keras: ModuleType) -> type[keras.layers.Dense]:
    """Return the class of the layer: `keras` must be imported first."""
    import tensorflow as tf

    class CodedDense(keras.layers.Dense):  # type: ignore[misc, name-defined]
        """
        A dense layer over columns and one-hot columns, of which only the codes exist.

        The last inputs are the codes. A code picks its row of the kernel; a code equal to its size picks nothing.
        """

        def __init__(self, units: int, sizes: tuple[int, ...], **options: Any) -> None:
            super().__init__(units, **options)
            self.sizes = sizes

        def build(self, shape: tuple[int | None, int]) -> None:
            super().build((None, shape[-1] - len(self.sizes) + sum(self.sizes)))
            self.input_spec = None  # the inputs are fewer than the rows of the kernel

        def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
            begin = inputs.shape[-1] - len(self.sizes)
            columns, codes = inputs[:, :begin], tf.cast(inputs[:, begin:], tf.int32)
            kernel = tf.convert_to_tensor(self.kernel)
            # oneDNN ends the process at a product without columns.
            value = tf.matmul(columns, kernel[:begin]) + self.bias if begin else self.bias
            for index, size in enumerate(self.sizes):
                rows = tf.concat([kernel[begin : begin + size], tf.zeros((1, self.units))], axis=0)
                value += tf.gather(rows, codes[:, index])
                begin += size
            return self.activation(value)

    return CodedDense
