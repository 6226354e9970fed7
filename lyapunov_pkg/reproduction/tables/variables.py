"""Names of variables in the records of several modules of tables."""

SCORES = ("recall", "precision", "f1")
DIFFERENCE = ("f1_difference", "f1_difference_low", "f1_difference_high")
COEFFICIENTS = (
    "pearson",
    "pearson_low",
    "pearson_high",
    "spearman",
    "spearman_low",
    "spearman_high",
    "partial_pearson",
    "partial_pearson_low",
    "partial_pearson_high",
    "partial_spearman",
    "partial_spearman_low",
    "partial_spearman_high",
    "n_used",
)
EARLY_COEFFICIENTS = ("early_epoch", "early_median", *(f"early_{name}" for name in COEFFICIENTS))
