"""Business: what models bring and cost. The figures are the rules of monitoring/sidecar/business-rules.yaml."""

from __future__ import annotations

from generator.text import Thresholds

from dashboards.panels import NAMESPACE, Board, Panel, Query, Row, Variable

SERVICE = Variable("service", "Service", "label_values(ml_revenue_impact_total, service)")
_OF = 'namespace=~"$namespace",service=~"$service"'
_RULES = "From the rules of monitoring/sidecar/business-rules.yaml."


def _day(metric: str) -> str:
    return f"sum by (service) (increase({metric}{{{_OF}}}[1d]))"


def business(limits: Thresholds) -> Board:
    """Revenue, savings, return, customers."""
    drop = limits.values["revenue_drop_ratio"]
    return Board(
        "sidecar-business",
        "Models: business",
        "What models bring and cost in a day, and what customers say.",
        (
            Row(
                "Money",
                (
                    Panel(
                        "Revenue impact of a day",
                        f"Of the last 24 hours. {_RULES}",
                        "currencyUSD",
                        (Query(f"sum by (service) (ml_revenue_impact_daily{{{_OF}}})", "{{service}}"),),
                        "stat",
                        width=6,
                        alert="RevenueImpactDown",
                    ),
                    Panel(
                        "Cost savings of a day",
                        f"Of the last 24 hours. {_RULES}",
                        "currencyUSD",
                        (Query(f"sum by (service) (automation_cost_savings_daily{{{_OF}}})", "{{service}}"),),
                        "stat",
                        width=6,
                    ),
                    Panel(
                        "Return on investment",
                        "Revenue impact and savings of a day, less its costs, of the costs (ml_cost_total).",
                        "percentunit",
                        (
                            Query(
                                f"({_day('ml_revenue_impact_total')} + {_day('automation_cost_savings_total')}"
                                f" - {_day('ml_cost_total')}) / ({_day('ml_cost_total')} > 0)",
                                "{{service}}",
                            ),
                        ),
                        "stat",
                        width=6,
                        alarm=0,
                        warn=0.1,
                        low_is_bad=True,
                    ),
                    Panel(
                        "Revenue impact, of the day before",
                        "1 is as much. Empty on the first day.",
                        "percentunit",
                        (
                            Query(
                                f"ml_revenue_impact_daily{{{_OF}}} / (ml_revenue_impact_daily{{{_OF}}} offset 1d > 0)",
                                "{{service}}",
                            ),
                        ),
                        "stat",
                        width=6,
                        warn=1 - drop,
                        low_is_bad=True,
                        alert="RevenueImpactDown",
                    ),
                    Panel(
                        "Revenue impact over time",
                        "Per hour.",
                        "currencyUSD",
                        (
                            Query(
                                f"sum by (service) (rate(ml_revenue_impact_total{{{_OF}}}[$__rate_interval])) * 3600",
                                "{{service}}",
                            ),
                        ),
                        width=12,
                    ),
                    Panel(
                        "Costs over time",
                        "Per hour.",
                        "currencyUSD",
                        (
                            Query(
                                f"sum by (service) (rate(ml_cost_total{{{_OF}}}[$__rate_interval])) * 3600",
                                "{{service}}",
                            ),
                        ),
                        width=12,
                    ),
                ),
            ),
            Row(
                "Customers",
                (
                    Panel(
                        "Customer satisfaction",
                        f"The last score. {_RULES}",
                        "short",
                        (Query(f"avg by (service) (customer_satisfaction_score{{{_OF}}})", "{{service}}"),),
                    ),
                    Panel(
                        "Active users",
                        f"The last count. {_RULES}",
                        "short",
                        (Query(f"max by (service) (platform_active_users{{{_OF}}})", "{{service}}"),),
                    ),
                    Panel(
                        "Predictions of a day, by class",
                        "Business events as the model called them.",
                        "short",
                        (
                            Query(
                                f"sum by (service, class) (increase(model_predictions_by_class_total{{{_OF}}}[1d]))",
                                "{{service}} {{class}}",
                            ),
                        ),
                        "bargauge",
                    ),
                ),
            ),
        ),
        (NAMESPACE, SERVICE),
    )
