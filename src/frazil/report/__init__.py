"""The report: sections that the stages write as data, their plots, and the one page made of them."""
