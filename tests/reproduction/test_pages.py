from __future__ import annotations

import base64
import re

import pandas as pd

from lyapunov_pkg.reproduction.pages import figure_page, table_page


def test_the_page_of_a_figure_has_the_image_and_its_caption() -> None:
    page = figure_page("fig_9_1", "Figure 9.1. Exponents < 0 & others.", b"\x89PNG image")
    (image,) = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert base64.b64decode(image) == b"\x89PNG image"
    assert "Exponents &lt; 0 &amp; others." in page


def test_the_page_of_a_table_has_the_table_with_caption_and_note() -> None:
    frame = pd.DataFrame({"classifier": ["AeLLE", "<b>"], "f1_mean": [0.912, 0.5], "f1_std": [0.021, 0.1]})
    frame.attrs["note"] = "Two seeds."
    page = table_page("table_9_1", "Table 9.1. Scores.", frame)
    assert re.findall(r"<th>(.*)</th>", page) == ["classifier", "F1"]
    assert re.findall(r"<td>(.*)</td>", page) == ["AeLLE", "0.91 ± 0.02", "&lt;b&gt;", "0.50 ± 0.10"]
    assert page.index("Table 9.1. Scores.") < page.index("<table") < page.index("Two seeds.")
