"""Settings of Sphinx. `make docs` builds the website, runs the gallery examples and treats warnings as errors."""

from __future__ import annotations

import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from lyapunov_pkg.version import package_version

project = "lyapunov_pkg"
author = "The lyapunov_pkg authors"
copyright = "the lyapunov_pkg authors, MIT licence"
version = release = package_version()

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery/**.ipynb", "gallery/**.py", "gallery/**.md5"]
templates_path = ["_templates"]
default_role = "py:obj"

html_theme = "furo"
html_title = f"lyapunov_pkg {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_math_renderer = "mathml"

myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["config.cache"]

# The descriptions of arguments state their types in words.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_ignore_module_all = False
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Fewer exponents than rows", "Differentiable exponents"]
# Names in backticks in a docstring become links if they are public. Other names stay code.
nitpick_ignore_regex = [("py:obj", ".*"), ("py:class", r"(torch|numpy|xarray|lyapunov_pkg\.aelle\.embedding)\..*")]

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"^(?!(.*/)?plot_)",
    "abort_on_example_error": False,
    "remove_config_comments": True,
    "show_memory": False,
    "parallel": 2,
    "show_signature": False,
    "write_computation_times": False,
    "plot_gallery": "True",
    "within_subsection_order": "FileNameSortKey",
    "reset_modules": ("matplotlib",),
    "matplotlib_animations": False,
}

OUTSIDE = {"../benchmarks/README.md": "benchmarks.md", "../CHANGELOG.md": "changelog.md"}
"""Files outside docs/ that are pages of the website."""


def link_inside(app: Sphinx, page: str, source: list[str]) -> None:
    """Redirect links to files outside docs/ to their pages of the website."""
    for outside, inside in OUTSIDE.items():
        source[0] = re.sub(rf"\]\({re.escape(outside)}(?=[)#])", f"]({inside}", source[0])


def keep_formulas(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Escape * and | in the formulas of docstrings, which reStructuredText would read as markup."""
    in_example = False
    for number, line in enumerate(lines):
        in_example = line.lstrip().startswith(">>>") or (in_example and bool(line.strip()))
        if in_example:
            continue
        bullet, rest = re.fullmatch(r"(\s*(?:\* )?)(.*)", line).groups()
        outside = rest.split("`")[::2]
        inside = [f"`{code}`" for code in rest.split("`")[1::2]] + [""]
        escaped = (re.sub(r"([*|])", r"\\\1", text) for text in outside)
        if len(outside) == len(inside):
            lines[number] = bullet + "".join(text + code for text, code in zip(escaped, inside, strict=True))


def write_formula(translator: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML. Browsers draw it without scripts from other websites."""
    formula = node.astext().replace(r"\dots", r"\ldots")
    mathml = tex2mathml(formula, as_block=isinstance(node, nodes.math_block))
    translator.body.append(f'<span class="formula">{mathml}</span>')
    raise nodes.SkipNode


def skip_what_sklearn_adds(app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object) -> bool | None:
    """Leave out the methods that scikit-learn generates for routing metadata."""
    return True if name.endswith("_request") or name == "get_metadata_routing" else None


def setup(app: Sphinx) -> None:
    """Connect what this file adds to Sphinx."""
    app.add_html_math_renderer("mathml", (write_formula, None), (write_formula, None))
    app.connect("source-read", link_inside)
    app.connect("autodoc-skip-member", skip_what_sklearn_adds)
    app.connect("autodoc-process-docstring", keep_formulas, priority=400)  # before Napoleon, which adds markup
