"""The HTML report, opened in a real browser without a screen."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lyapunov_pkg.reproduction.figures.chapters import chapter_of
from lyapunov_pkg.workflow.provenance import library_versions
from tests.snakemake.conftest import RunSnakemake
from tests.snakemake.test_targets import FIGURES, TABLES

# Goes through the report as a reader does, and leaves what is seen in the page.
READER = """
<script>
const settled = () => new Promise(resolve => setTimeout(resolve, 300));
const shown = async view => { app.setView(view); await settled(); return document.querySelector("#app").innerText; };
addEventListener("load", async () => {
  const seen = {chapters: {}, captions: {}, widths: {}};
  try {
    await settled();
    seen.first_page = document.querySelector("#app").innerText;
    for (const [chapter, parts] of Object.entries(categories)) {
      seen.chapters[chapter] = {};
      app.showCategory(chapter);
      await settled();
      for (const part of Object.keys(parts)) {
        seen.chapters[chapter][part] = await shown({navbarMode: "subcategory", category: chapter, subcategory: part});
        for (const path of parts[part]) {
          seen.captions[path] = await shown({navbarMode: "resultinfo", resultPath: path});
          if (results[path].mime_type.startsWith("image")) {
            await shown({content: "img", contentPath: results[path].data_uri, resultPath: path});
            const image = [...document.querySelectorAll("#app img")].find(image => image.src == results[path].data_uri);
            seen.widths[path] = image.naturalWidth;
          }
        }
      }
    }
    await shown({content: "stats"});
    seen.runtimes = document.querySelectorAll("svg, canvas").length;
  } catch (error) { seen.error = String(error); }
  document.body.innerHTML = "<pre id=seen></pre>";
  document.querySelector("#seen").textContent = JSON.stringify(seen);
});
</script>
"""


@pytest.fixture(scope="module")
def seen(finished: Path, run_snakemake: RunSnakemake, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What a reader of the report sees."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        (pytest.fail if "CI" in os.environ else pytest.skip)("chromium not found; on Debian: apt-get install chromium")
    folder = tmp_path_factory.mktemp("report")
    result = run_snakemake(finished, "--report", str(folder / "report.html"))
    assert result.returncode == 0, result.stderr
    page = folder / "page.html"
    body, _, end = (folder / "report.html").read_text().rpartition("</body>")  # scripts in it say "</body>", too
    page.write_text(f"{body}{READER}</body>{end}")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    options += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=60000", "--dump-dom"]
    dump = subprocess.run([chromium, *options, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="seen">(.*)</pre>', dump.stdout, flags=re.S)
    assert found, dump.stdout[-2000:]
    seen = json.loads(html.unescape(found.group(1)))
    assert "error" not in seen, seen["error"]
    return seen


def test_every_figure_and_table_is_under_its_chapter(seen: dict) -> None:
    assert set(seen["chapters"]) == {"Chapter 1", "Chapter 2", "Chapter 3", "Chapter 4"}
    for name in FIGURES:
        assert f"fig_{name}.png" in seen["chapters"][f"Chapter {chapter_of(f'fig_{name}')}"]["Figures"]
    for name in TABLES:
        assert f"table_{name}.csv" in seen["chapters"][f"Chapter {chapter_of(f'table_{name}')}"]["Tables"]


def test_figures_are_whole_images_and_captions_say_what_is_shown(seen: dict) -> None:
    assert len(seen["widths"]) == len(FIGURES) and min(seen["widths"].values()) > 1000
    for kind, names in (("figure", FIGURES), ("table", TABLES)):
        for name in names:
            (caption,) = [
                text for path, text in seen["captions"].items() if f"/{kind[:3]}" in path and f"_{name}." in path
            ]
            number = f"{kind.capitalize()} {name.replace('_', '.').upper()}"
            said = "Beyond the dissertation" if name.startswith("extra") else number
            assert re.search(rf"{said}\. \S.*\w\.", caption)


def test_configuration_versions_and_runtimes_are_told(seen: dict) -> None:
    assert f"torch {library_versions()['torch']}" in seen["first_page"]
    assert re.search(r'"warmup_passes": 1', seen["first_page"])
    assert seen["runtimes"] >= 1
