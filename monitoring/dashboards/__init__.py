"""Grafana's dashboards as values; `python monitoring/build_dashboards.py` writes them."""
