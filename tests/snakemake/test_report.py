"""The HTML report in a real browser without a display."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lyapunov_pkg.reproduction.catalogue import figures, tables
from lyapunov_pkg.workflow.provenance import library_versions
from tests.snakemake.conftest import RunSnakemake

# Open the report like a reader and return the visible texts: those inside the window and not covered. Pages of figures
# and tables are opened in frames of their own, because scripts cannot read the frames of the report.
READER = """
<script>
const settled = () => new Promise(resolve => setTimeout(resolve, 300));
const inSight = (element, frame = window) => {
  const box = element.getBoundingClientRect();
  const hit = frame.document.elementFromPoint(box.x + Math.min(4, box.width / 2), box.y + box.height / 2);
  return box.width > 0 && box.height > 0 && hit !== null && element.contains(hit);
};
const reached = (element, frame = window) => {
  element.scrollIntoView({block: "center"});
  return inSight(element, frame);
};
const visibleText = (elements, frame = window) => [...elements].filter(e => reached(e, frame)).map(e => e.innerText);
const readPage = async uri => {
  const bytes = Uint8Array.from(atob(uri.slice(uri.indexOf(",") + 1)), letter => letter.charCodeAt(0));
  const frame = document.createElement("iframe");
  frame.style = "position: fixed; inset: 0; width: 1100px; height: 800px; z-index: 1000; background: white";
  frame.srcdoc = new TextDecoder().decode(bytes);
  const loaded = new Promise(resolve => frame.addEventListener("load", resolve));
  document.body.append(frame);
  await loaded;
  const page = frame.contentDocument, image = page.querySelector("img");
  const read = {
    caption: visibleText(page.querySelectorAll(".caption"), frame.contentWindow).join(),
    width: image && reached(image, frame.contentWindow) ? image.naturalWidth : 0,
    heads: visibleText(page.querySelectorAll("thead th"), frame.contentWindow),
    cells: visibleText(page.querySelectorAll("tbody td"), frame.contentWindow).length,
  };
  frame.remove();
  return read;
};
addEventListener("load", async () => {
  const seen = {chapters: {}, captions: {}, pages: {}};
  try {
    await settled();
    const description = document.querySelector("#app .prose"), configuration = document.querySelector("#configuration");
    seen.first_page = {
      in_sight: [...description.querySelectorAll("p, li, summary")].map(element => inSight(element)),
      text: visibleText(description.querySelectorAll("p, li")).join(" "),
      configuration: inSight(configuration.querySelector("pre")),
    };
    configuration.open = true;
    await settled();
    seen.unfolded = {
      top: description.getBoundingClientRect().top,
      configuration: reached(configuration.querySelector("pre")) ? configuration.querySelector("pre").innerText : "",
    };
    for (const [chapter, parts] of Object.entries(categories)) {
      seen.chapters[chapter] = {};
      for (const part of Object.keys(parts)) {
        app.setView({navbarMode: "subcategory", category: chapter, subcategory: part});
        await settled();
        seen.chapters[chapter][part] = visibleText(document.querySelectorAll("#app tbody td:first-child"));
        for (const path of parts[part]) {
          app.setView({navbarMode: "resultinfo", resultPath: path});
          await settled();
          seen.captions[path] = document.querySelector("#app").innerText;
          seen.pages[path] = await readPage(results[path].data_uri);
        }
      }
    }
    app.setView({content: "stats"});
    await settled();
    seen.runtimes = document.querySelectorAll("svg, canvas").length;
  } catch (error) { seen.error = String(error.stack || error); }
  document.body.innerHTML = "<pre id=seen></pre>";
  document.querySelector("#seen").textContent = JSON.stringify(seen);
});
</script>
"""


@pytest.fixture(scope="module")
def seen(finished: Path, run_snakemake: RunSnakemake, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Return the contents that a reader of the report sees."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        (pytest.fail if "CI" in os.environ else pytest.skip)("chromium not found; on Debian: apt-get install chromium")
    folder = tmp_path_factory.mktemp("report")
    result = run_snakemake(finished, "--report", str(folder / "report.html"))
    assert result.returncode == 0, result.stderr
    page = folder / "page.html"
    # Scripts in the page contain "</body>" too.
    body, _, end = (folder / "report.html").read_text().rpartition("</body>")
    page.write_text(f"{body}{READER}</body>{end}")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    options += [f"--user-data-dir={folder / 'profile'}", "--window-size=1280,900"]
    options += ["--virtual-time-budget=120000", "--dump-dom"]
    dump = subprocess.run([chromium, *options, page.as_uri()], capture_output=True, text=True, timeout=400, check=True)
    found = re.search(r'<pre id="seen">(.*)</pre>', dump.stdout, flags=re.S)
    assert found, dump.stdout[-2000:]
    seen = json.loads(html.unescape(found.group(1)))
    assert "error" not in seen, seen["error"]
    return seen


def test_the_first_page_is_readable_and_the_configuration_is_folded(seen: dict) -> None:
    first = seen["first_page"]
    assert first["in_sight"] and all(first["in_sight"])
    n_figures, n_tables = (sum(record.chapter == 3 for record in made().values()) for made in (figures, tables))
    assert "recomputed from the networks" in first["text"]
    assert f"Chapter 3: {n_figures} figures, {n_tables} tables" in first["text"]
    assert f"torch {library_versions()['torch']}" in first["text"]
    assert not first["configuration"]
    assert seen["unfolded"]["top"] >= 0  # A reader cannot scroll to contents above the upper edge of the window.
    assert re.search(r'"warmup_passes": 1', seen["unfolded"]["configuration"])
    assert seen["runtimes"] >= 1


def test_figures_and_tables_are_in_natural_order_under_their_chapters(seen: dict) -> None:
    assert sorted(seen["chapters"]) == ["Chapter 1", "Chapter 2", "Chapter 3", "Chapter 4"]
    for part, records in (("Figures", figures()), ("Tables", tables())):
        for heading, shown in seen["chapters"].items():
            labels = [record.label for record in records.values() if record.heading == heading]
            assert [label.split() for label in shown.get(part, [])] == [label.split() for label in labels]


@pytest.mark.parametrize("kind", ["figure", "table"])
def test_every_figure_and_table_opens_with_its_caption(seen: dict, kind: str) -> None:
    for name, record in (figures() if kind == "figure" else tables()).items():
        path = f"results/{kind}s/{name}.html"
        page, said = seen["pages"][path], record.text()
        assert re.sub(r"\d+ test networks", "test networks", page["caption"]) == said
        assert said[:60] in " ".join(seen["captions"][path].split())
        if kind == "figure":
            assert page["width"] > 1000
        else:
            assert len(page["heads"]) >= 2 and page["cells"] % len(page["heads"]) == 0 and page["cells"]
