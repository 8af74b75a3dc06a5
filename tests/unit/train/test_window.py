"""A window on disk: the order in which its rows arrive decides nothing, and neither values nor labels are lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pyarrow as pa
import pytest
from windows import LABEL, prepare, store_window

from perennial.config.candidates import Logistic, Mlp
from perennial.config.pipeline import Inputs
from perennial.lake.sample import SAMPLE
from perennial.models.scoring import to_arrays
from perennial.store.content_name import sha256
from perennial.train import cells, logistic, mlp, window
from perennial.train.checkpoints import Checkpoints
from perennial.train.keras_training import load_keras
from perennial.train.layers import Layer, to_safetensors
from perennial.train.medians import Medians
from perennial.train.scratch import Scratch
from perennial.train.window import Window, WindowWriter, count_buckets

MakeRows = Callable[..., pa.Table]


@pytest.fixture
def small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide the 480 rows of a test into eight buckets."""
    monkeypatch.setattr(window, "BUCKET_ROWS", 70)


def content(stored: Window) -> list[tuple[bytes, list[list[str]], list[int]]]:
    return [(bucket.numbers.tobytes(), bucket.texts.tolist(), bucket.y.tolist()) for bucket in stored.read()]


def test_the_number_of_buckets_is_a_power_of_two_and_grows_with_the_rows() -> None:
    assert [count_buckets(rows) for rows in (0, 1, 131_072, 131_073, 262_144, 262_145, 30_000_000)] == [1, 1, 1, 2, 2, 4, 256]


def test_fewer_rows_than_expected_have_the_buckets_of_their_number(inputs: Inputs, make_rows: MakeRows, tmp_path: Path) -> None:
    """Rows without a label are expected, too, and left out."""
    rows = make_rows()
    writer = WindowWriter(Scratch(Path(mkdtemp(dir=tmp_path))), inputs, LABEL, 20_000_000)
    writer.add(rows)
    merged = writer.finish()
    assert merged.bucket_rows == [480]
    assert content(merged) == content(store_window(tmp_path, rows, inputs))
    assert {path.name for path in merged.scratch.folder.iterdir()} == {"0.rows"}


@pytest.mark.usefixtures("small_buckets")
def test_the_order_and_the_parts_in_which_rows_arrive_decide_nothing(inputs: Inputs, make_rows: MakeRows, tmp_path: Path) -> None:
    # A tenth of the hashes occur several times, some of them in equal rows.
    rows = make_rows()
    hashes = np.where(np.arange(480) % 10 == 0, 7, rows[SAMPLE].to_numpy())
    rows = rows.set_column(rows.column_names.index(SAMPLE), SAMPLE, pa.array(hashes, pa.int32()))
    rows = pa.concat_tables([rows, rows.slice(0, 40)])
    whole = store_window(tmp_path, rows, inputs)
    found = [content(whole)]
    for seed, size in ((1, 7), (2, 130), (3, 520)):
        mixed = rows.take(pa.array(np.random.default_rng(seed).permutation(520)))
        writer = WindowWriter(Scratch(Path(mkdtemp(dir=tmp_path))), inputs, LABEL, 520)
        for begin in range(0, 520, size):
            writer.add(mixed.slice(begin, size))
        other = writer.finish()
        assert (other.counts, other.empty, other.target, other.words) == (
            whole.counts,
            whole.empty,
            whole.target,
            whole.words,
        )
        found.append(content(other))
    assert whole.buckets == 8
    assert all(one == found[0] for one in found[1:])


@pytest.mark.usefixtures("small_buckets")
def test_no_row_is_lost_or_changed(inputs: Inputs, make_rows: MakeRows, tmp_path: Path) -> None:
    rows = make_rows()
    stored = store_window(tmp_path, rows, inputs)
    numbers, texts = to_arrays(rows, inputs)
    y = rows["failed"].to_numpy().astype(np.int8)
    expected = sorted(zip(map(bytes, numbers), map(tuple, texts.tolist()), y.tolist(), strict=True))
    read = [
        item
        for bucket in stored.read()
        for item in zip(map(bytes, bucket.numbers), map(tuple, bucket.texts.tolist()), bucket.y.tolist(), strict=True)
    ]
    assert sorted(read) == expected
    assert (stored.rows, round(stored.target.constant * 480), sum(stored.bucket_rows)) == (480, int(y.sum()), 480)
    assert stored.counts["shift"][""] == rows["shift"].null_count


@pytest.mark.usefixtures("small_buckets")
def test_the_preprocessing_of_buckets_is_that_of_one_bucket(
    inputs: Inputs, make_rows: MakeRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view, _ = prepare(store_window(tmp_path, make_rows(), inputs))
    monkeypatch.setattr(window, "BUCKET_ROWS", 1000)
    one, _ = prepare(store_window(tmp_path, make_rows(), inputs))
    fitted, alone = view.fitted, one.fitted
    assert (fitted.medians, fitted.nullable, fitted.number_classes, fitted.text_classes, fitted.codes) == (
        alone.medians,
        alone.nullable,
        alone.number_classes,
        alone.text_classes,
        alone.codes,
    )
    np.testing.assert_array_equal(np.float32(fitted.means), np.float32(alone.means))
    np.testing.assert_array_equal(np.float32(fitted.scales), np.float32(alone.scales))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 1000, 1001])
def test_medians_are_exact(count: int) -> None:
    rng = np.random.default_rng(count)
    values = np.stack(
        [
            rng.normal(size=count),
            rng.integers(-3, 3, count) * rng.choice([0.0, 1e-40, 1e30, -0.0], count),
            np.where(rng.random(count) < 0.3, np.nan, rng.normal(5, 1e-3, count)),
            np.full(count, np.nan),
            np.where(rng.random(count) < 0.6, np.inf, 1.5),
        ],
        axis=1,
    ).astype(np.float32)
    medians = Medians(values.shape[1])
    for part in np.array_split(values, 4):
        medians.count(part)
    for part in np.array_split(values, 3):
        medians.count_near(part)
    known = [column[~np.isnan(column)].astype(float) for column in values.T]
    with np.errstate(invalid="ignore"):
        expected = [np.median(column) if len(column) else 0.0 for column in known]
    np.testing.assert_array_equal(medians.values(), expected)
    assert medians.nulls.tolist() == np.isnan(values).sum(axis=0).tolist()


@pytest.mark.usefixtures("small_buckets")
def test_logistic_gives_the_weights_of_scikit_learn_as_32_bit_floats(inputs: Inputs, make_rows: MakeRows, tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    _, matrix = prepare(store_window(tmp_path, make_rows(), inputs))
    parts = list(matrix.read())
    x, y = (np.concatenate(some) for some in zip(*((rows.columns, labels) for rows, labels, _ in parts), strict=True))
    model = LogisticRegression(C=0.03, solver="newton-cholesky").fit(x.astype(float), y)
    expected = Layer(model.coef_.T.astype(np.float32), model.intercept_.astype(np.float32), None)
    assert logistic.fit(matrix, Logistic(), 0).weights == to_safetensors([expected])


@pytest.mark.usefixtures("small_buckets")
@pytest.mark.parametrize("max_columns", [0, 10], ids=["codes only", "columns and codes"])
def test_logistic_of_codes_gives_the_weights_of_scikit_learn(
    inputs: Inputs, make_rows: MakeRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_columns: int
) -> None:
    from scipy.sparse import csr_array
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    monkeypatch.setattr("perennial.train.classes.MAX_COLUMNS", max_columns)
    _, matrix = prepare(store_window(tmp_path, make_rows(), inputs))
    assert len(matrix.bucket_rows) == 8
    parts = list(matrix.read())
    codes = [np.concatenate([part.rows.codes[:, place] for part in parts]) for place in range(len(matrix.sizes))]
    one_hot = [np.eye(size + 1)[code][:, :-1] for code, size in zip(codes, matrix.sizes, strict=True)]
    x = np.hstack([np.concatenate([part.rows.columns for part in parts]), *one_hot]).astype(float)
    monkeypatch.setattr(cells, "_PART_ROWS", 17)
    with threadpool_limits(1, user_api="blas"):
        model = LogisticRegression(C=0.03, solver="newton-cg", tol=1e-6).fit(
            csr_array(x), np.concatenate([part.y for part in parts])
        )
        weights, steps = cells.newton_on_cells(matrix, 0.03)
    np.testing.assert_array_equal(weights, np.append(model.coef_[0], model.intercept_), strict=True)
    assert steps == model.n_iter_[0]
    assert not list(matrix.window.scratch.folder.glob("*.matrix"))


@pytest.mark.tensorflow
@pytest.mark.usefixtures("small_buckets")
@pytest.mark.parametrize("lost_after", [1, 11, 16])
def test_a_training_goes_on_in_the_middle_of_an_epoch_with_the_same_bits(
    inputs: Inputs, make_rows: MakeRows, tmp_path: Path, s3, lost_after: int
) -> None:
    class LosingNode(Checkpoints):
        def save(self, buckets: int, state) -> None:
            super().save(buckets, state)
            if buckets == lost_after:
                raise InterruptedError

    _, matrix = prepare(store_window(tmp_path, make_rows(), inputs))
    whole = sha256(mlp.fit(matrix, Mlp(), 7).weights)
    prefix = f"{s3.lake}/models/y.checkpoints/"
    with pytest.raises(InterruptedError):
        mlp.fit(matrix, Mlp(), 7, LosingNode(s3.objects, prefix, seconds=0))
    load_keras().utils.set_random_seed(99)  # what another process would find is not what was left here
    assert sha256(mlp.fit(matrix, Mlp(), 7, Checkpoints(s3.objects, prefix, seconds=0)).weights) == whole
    last = 17 * 8  # 18 batches an epoch, in eight buckets
    assert list(s3.objects.list(prefix)) == [f"{prefix}{last}.safetensors"]
