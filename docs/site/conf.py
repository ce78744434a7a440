"""How the site is built; `docs/site/build.py` lays out what Sphinx reads."""

from noria import __version__

project, author, version = "Noria", "The Noria developers", __version__
copyright = author
extensions = ["myst_parser"]
root_doc = "index"
html_theme, html_title, html_show_sourcelink, html_copy_source = "furo", f"Noria {version}", False, False
html_css_files = ["noria.css"]
html_static_path = ["static"]
exclude_patterns = ["LICENSE"]
nitpicky = True
add_module_names = False
pygments_style, pygments_dark_style = "friendly", "github-dark"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b6b7c", "color-brand-content": "#0b6b7c"},
    "dark_css_variables": {"color-brand-primary": "#5ec4d6", "color-brand-content": "#5ec4d6"},
}

# Markdown as a code host reads it: anchors made from headings, tables, field lists in the pages that are made from docstrings.
myst_heading_anchors = 4
myst_enable_extensions = ["fieldlist", "colon_fence"]
smartquotes = False
