"""Figures of predicted sets of classes, by scikit-learn."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sklearn import metrics
from sklearn.preprocessing import MultiLabelBinarizer


def figures_of_sets(rows: Sequence[Sequence[Collection[str]]]) -> dict[str, float]:
    """Of pairs of predicted and actual sets, in which a class occurs: name of the metric -> value."""
    names = sorted({name for pair in rows for one in pair for name in one})
    # With one column it would take the rows for those of two classes: a second one is there, and in no average.
    binarizer = MultiLabelBinarizer(classes=[*names, "~"])
    predicted, actual = (binarizer.fit_transform([pair[n] for pair in rows]) for n in (0, 1))
    found = {"model_subset_accuracy": metrics.accuracy_score(actual, predicted)}
    for average in ("micro", "macro"):
        of = metrics.precision_recall_fscore_support(
            actual, predicted, labels=list(range(len(names))), average=average, zero_division=0
        )[:3]
        found |= {f"model_{name}_{average}": v for name, v in zip(("precision", "recall", "f1"), of, strict=True)}
    return found
