"""The placement document: what was asked, measured and chosen, as sections of data; renderers make Markdown and HTML of them."""
