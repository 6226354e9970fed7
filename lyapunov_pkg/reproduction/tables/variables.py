"""Names of variables that the records of several modules of tables ask for."""

SCORES = ("recall", "precision", "f1")
COEFFICIENTS = ("pearson", "pearson_low", "pearson_high", "spearman", "spearman_low", "spearman_high", "n_used")
