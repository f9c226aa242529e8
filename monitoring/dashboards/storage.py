"""Database and cache of the applications: PostgreSQL and Redis by their exporters, pools by the apps themselves."""

from __future__ import annotations

from generator.text import Thresholds

from dashboards.panels import NAMESPACE, Board, Panel, Query, Row, Variable

INSTANCE = Variable("instance", "Exporter", 'label_values({__name__=~"pg_up|redis_up"}, instance)')
_OF = 'namespace=~"$namespace",instance=~"$instance"'


def _rate(metric: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{_OF}{more}}}[$__rate_interval]))"


def storage(limits: Thresholds) -> Board:
    """Connections, query times, hit rates."""
    return Board(
        "sidecar-database-cache",
        "Model services: database and cache",
        "PostgreSQL (postgres_exporter) and Redis (redis_exporter), and the connection pools of applications.",
        (Row("PostgreSQL", _postgres()), Row("Pools of applications", _pools()), Row("Redis", _redis())),
        (NAMESPACE, INSTANCE),
    )


def _postgres() -> tuple[Panel, ...]:
    return (
        Panel(
            "Connections",
            "By state.",
            "short",
            (Query(f"sum by (instance, state) (pg_stat_activity_count{{{_OF}}})", "{{instance}} {{state}}"),),
            stacked=True,
        ),
        Panel(
            "Connections, of those allowed",
            "Share of max_connections in use.",
            "percentunit",
            (
                Query(
                    f"sum by (instance) (pg_stat_activity_count{{{_OF}}}) "
                    f"/ sum by (instance) (pg_settings_max_connections{{{_OF}}})",
                    "{{instance}}",
                ),
            ),
            warn=0.7,
            alarm=0.9,
        ),
        Panel(
            "Time of a transaction",
            "Mean time that sessions worked for each transaction that ended.",
            "s",
            (
                Query(
                    # Milliseconds in postgres_exporter up to 0.11, seconds in later ones.
                    f"({_rate('pg_stat_database_active_time_seconds_total', 'instance, datname')} or "
                    f"{_rate('pg_stat_database_active_time', 'instance, datname')} / 1000) / "
                    f"({_rate('pg_stat_database_xact_commit', 'instance, datname')} > 0)",
                    "{{instance}} {{datname}}",
                ),
            ),
        ),
        Panel(
            "Longest transaction",
            "Age of the oldest that is still open.",
            "s",
            (Query(f"max by (instance) (pg_stat_activity_max_tx_duration{{{_OF}}})", "{{instance}}"),),
            warn=60,
        ),
        Panel(
            "Transactions",
            "Committed and rolled back, a second.",
            "ops",
            (
                Query(_rate("pg_stat_database_xact_commit", "instance"), "{{instance}} committed"),
                Query(_rate("pg_stat_database_xact_rollback", "instance"), "{{instance}} rolled back"),
            ),
        ),
        Panel(
            "Blocks from memory",
            "Share of blocks that did not have to be read.",
            "percentunit",
            (
                Query(
                    f"{_rate('pg_stat_database_blks_hit', 'instance')} / "
                    f"({_rate('pg_stat_database_blks_hit', 'instance')} + "
                    f"{_rate('pg_stat_database_blks_read', 'instance')} > 0)",
                    "{{instance}}",
                ),
            ),
            warn=0.9,
            low_is_bad=True,
        ),
    )


def _pools() -> tuple[Panel, ...]:
    return (
        Panel(
            "Pool use",
            "Connections by pool and state; OpenTelemetry's db.client.connection.count of the app.",
            "short",
            (
                Query(
                    "sum by (job, db_client_connection_pool_name, db_client_connection_state) "
                    '(db_client_connection_count{namespace=~"$namespace"})',
                    "{{job}} {{db_client_connection_pool_name}} {{db_client_connection_state}}",
                ),
            ),
            stacked=True,
            width=12,
        ),
        Panel(
            "Pools in use, of their size",
            "Used connections of db.client.connection.max.",
            "percentunit",
            (
                Query(
                    "sum by (job, db_client_connection_pool_name) (db_client_connection_count"
                    '{namespace=~"$namespace",db_client_connection_state="used"}) / '
                    "sum by (job, db_client_connection_pool_name) (db_client_connection_max"
                    '{namespace=~"$namespace"})',
                    "{{job}} {{db_client_connection_pool_name}}",
                ),
            ),
            warn=0.8,
            alarm=1,
            width=12,
        ),
    )


def _redis() -> tuple[Panel, ...]:
    return (
        Panel(
            "Hit rate",
            "Share of look-ups that found their key.",
            "percentunit",
            (
                Query(
                    f"{_rate('redis_keyspace_hits_total', 'instance')} / "
                    f"({_rate('redis_keyspace_hits_total', 'instance')} + "
                    f"{_rate('redis_keyspace_misses_total', 'instance')} > 0)",
                    "{{instance}}",
                ),
            ),
            warn=0.8,
            low_is_bad=True,
        ),
        Panel(
            "Memory",
            "In use, and the limit where there is one.",
            "bytes",
            (
                Query(f"redis_memory_used_bytes{{{_OF}}}", "{{instance}} in use"),
                Query(f"redis_memory_max_bytes{{{_OF}}} > 0", "{{instance}} limit"),
            ),
        ),
        Panel(
            "Time of a command",
            "Mean, by command.",
            "s",
            (
                Query(
                    f"{_rate('redis_commands_duration_seconds_total', 'instance, cmd')} / "
                    f"({_rate('redis_commands_total', 'instance, cmd')} > 0)",
                    "{{instance}} {{cmd}}",
                ),
            ),
        ),
        Panel("Clients", "Connected.", "short", (Query(f"redis_connected_clients{{{_OF}}}", "{{instance}}"),)),
        Panel(
            "Keys",
            "By database.",
            "short",
            (Query(f"sum by (instance, db) (redis_db_keys{{{_OF}}})", "{{instance}} {{db}}"),),
        ),
        Panel(
            "Evicted and expired",
            "Keys a second that went for want of memory, or of age.",
            "ops",
            (
                Query(_rate("redis_evicted_keys_total", "instance"), "{{instance}} evicted"),
                Query(_rate("redis_expired_keys_total", "instance"), "{{instance}} expired"),
            ),
        ),
    )
