"""`sidecar report`: how models did over a period, and what changed since the period before it.

`figure_source.py` is what figures are read from: Prometheus over a period (`prometheus_source.py`), or the exposition
of one sidecar since its start (`exposition_source.py`). Both give families of metrics as the page has them
(`serve/pages/metric_families.py`), so that the page and the report compute the same figures from them. `contents.py` is
the report as values, `building.py` makes it of a source, `page.py` and `as_json.py` write it, `mlflow_run.py` logs its
figures.
"""
