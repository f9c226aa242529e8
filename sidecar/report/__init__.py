"""`sidecar report`: how models did over a period, and what changed since the period before it.

`figure_source.py` is what figures are read from, `sources.py` the list: Prometheus, documents in Elasticsearch or
OpenSearch, the embedded store, or the exposition of one sidecar since its start. Each gives families of metrics as the
page has them (`serve/pages/metric_families.py`), so that the page and the report compute the same figures from them.
Those that have records and no metrics count them by the derivers themselves (`replay.py`). `contents.py` is the report
as values, `building.py` makes it of a source, `page.py` and `as_json.py` write it, `mlflow_run.py` logs its figures.
"""
