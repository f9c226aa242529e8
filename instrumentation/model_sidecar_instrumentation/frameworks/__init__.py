"""One module a framework: which of its calls are predictions, and where in their arguments and results things are."""
