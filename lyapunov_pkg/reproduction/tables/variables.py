"""Names of variables that the records of several modules of tables ask for."""

SCORES = ("recall", "precision", "f1")
DIFFERENCE = ("f1_difference", "f1_difference_low", "f1_difference_high")
COEFFICIENTS = ("pearson", "pearson_low", "pearson_high", "spearman", "spearman_low", "spearman_high", "n_used")
