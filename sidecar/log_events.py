"""The program's own log lines: one table, like that of the metrics.

Code logs an event by its name with fields; `hint` is added from here when the line is written. A new event is a line.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["info", "warning", "error", "varies"]


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One line of the table."""

    name: str
    level: Level
    """`varies`: the call decides."""
    meaning: str
    hint: str = ""
    """What to do, where there is something to be done."""


_NONE_NEEDED = "nothing if it happens once; it is tried again"
_REPORT = "report it with the traceback: it is a fault of the program"
_DISK = "look at the disk of journal.path: space, permissions, faults"

TABLE: tuple[LogEvent, ...] = (
    LogEvent("started", "info", "Everything is started; with the version, the ports and the memory bounds."),
    LogEvent("stopping", "info", "SIGTERM or SIGINT was received; waiting items are delivered until the timeout."),
    LogEvent("stopped", "info", "Everything is stopped; `all_delivered` is whether nothing is waiting."),
    LogEvent("stopped_with_items_waiting", "warning", "The program stops, and items wait for the sinks in `waiting`; they are in the journal.", "start it again with the same journal.path, or run `sidecar journal drain`; a volume that goes with the pod takes them along"),
    LogEvent("standard_variable_ignored", "warning", "A standard environment variable is invalid; the default is in force.", "correct the variable, or set the option itself"),
    LogEvent("option_renamed", "warning", "An option was given by its old name.", "use the new name; the old one works for one minor version more"),
    LogEvent("receiver_open_to_network", "warning", "A receiver listens on more than loopback, and anybody may send.", "set a token file or a CA file for client certificates, or bind to 127.0.0.1"),
    LogEvent("credentials_reloaded", "info", "Files of credentials changed and were read again."),
    LogEvent("credentials_not_reloaded", "error", "Files of credentials changed and are invalid; the former ones stay in force.", "correct the files"),
    LogEvent("metric_not_read", "error", "One of the program's own metrics could not be read; scrapes are answered without it. Said once.", _REPORT),
    LogEvent("request_failed", "error", "A request failed by a fault of the program; the client was asked to try again.", _REPORT),
    LogEvent("records_repaired", "warning", "Invalid optional parts of records were left out or corrected; from now on only counted.", "correct the sender; see sidecar_receiver_repaired_total"),
    LogEvent("too_many_connections", "warning", "A connection was closed because the receiver has its maximum.", "raise max_connections, or send over fewer connections"),
    LogEvent("connection_closed", "warning", "A connection was closed because of what was sent over it.", "correct the sender; the reason says what is invalid"),
    LogEvent("connection_idle", "info", "A connection was closed because nothing was sent over it."),
    LogEvent("connection_lost", "info", "A connection ended by a network error."),
    LogEvent("connection_failed", "error", "A connection was closed by a fault of the program.", _REPORT),
    LogEvent("encoding_not_utf8", "warning", "Lines are UTF-16; they are stored as they are.", "have the program write UTF-8"),
    LogEvent("file_tail_failed", "error", "Reading log files failed by a fault of the program; it is restarted.", _REPORT),
    LogEvent("file_tail_lines_lost", "warning", "Lines of a log file were gone before they could be read.", "rotate later, or keep more rotated files; of reason maybe_copy it may have been a copy"),
    LogEvent("file_tail_copy_skipped", "warning", "A file is a copy of one that is read, and is not read.", "exclude copies by receive.file_tail.exclude"),
    LogEvent("file_tail_file_unreadable", "warning", "A log file cannot be read.", "let the program's user read it, or exclude it"),
    LogEvent("file_tail_directory_unreadable", "warning", "A directory on the way to log files cannot be looked into; what is in it is not read.", "let the program's user read and search it, or exclude it"),
    LogEvent("file_tail_directory_polled", "warning", "A directory cannot be watched; it is polled instead.", "raise fs.inotify.max_user_watches, or set receive.file_tail.watch to poll"),
    LogEvent("file_tail_gzip_truncated", "warning", "A compressed log file ends before its data does.", "check what compresses it"),
    LogEvent("file_tail_too_many_files", "error", "There are more log files than can be tracked; some are not read.", "narrow receive.file_tail.include"),
    LogEvent("journal_read_failed", "warning", "A consumer could not read the journal.", _NONE_NEEDED),
    LogEvent("journal_entries_lost", "error", "Entries of the journal cannot be read back and are lost to a consumer.", _DISK),
    LogEvent("journal_writer_broken", "error", "The journal's writer ended by a fault of the program; nothing is accepted until a restart.", _REPORT),
    LogEvent("journal_full", "warning", "The journal is at its quota; payloads are refused, for clients to send again, until the sinks in `behind` deliver.", "see `delivery_blocked`; restore the destination, or raise journal.quota_bytes"),
    LogEvent("journal_write_failed", "error", "The journal cannot be written; payloads are refused until it can.", _DISK),
    LogEvent("journal_write_recovered", "warning", "The journal can be written again."),
    LogEvent("journal_vacuum_failed", "warning", "The journal could not give space back to the disk.", _NONE_NEEDED),
    LogEvent("journal_checkpoint_failed", "warning", "What is in the journal's write-ahead log could not be copied into its database; it is safe where it is.", _NONE_NEEDED),
    LogEvent("journal_close_failed", "error", "The journal could not be closed cleanly; it recovers at the next start.", _DISK),
    LogEvent("journal_damaged", "error", "The journal is damaged; what can be read is salvaged.", _DISK),
    LogEvent("journal_salvaged", "error", "A damaged journal was set aside and a new one begins with what was salvaged.", "keep the file that was set aside until nothing is missed; see docs/how-to/recover.md"),
    LogEvent("journal_items_lost", "error", "Items of a damaged journal are lost; they are counted as dropped.", "see docs/how-to/recover.md"),
    LogEvent("journal_migrated", "info", "The journal of an earlier version was migrated to this one's."),
    LogEvent("journal_losses_not_committed", "warning", "The losses of a damaged journal are not committed yet.", _NONE_NEEDED),
    LogEvent("journal_rebuild_failed", "error", "The damaged journal could not be rebuilt.", "free disk space: a rebuild needs as much as there is to read"),
    LogEvent("consumer_pruned", "warning", "A sink is gone from the configuration; what was waiting for it is given up."),
    LogEvent("dead_letters_full", "error", "The dead letters are full; rejected documents are lost.", "replay or delete dead letters, or raise journal.dead_letters.max_bytes"),
    LogEvent("dead_letters_expired", "warning", "Dead letters past their age or number were deleted."),
    LogEvent("dead_letters_expire_failed", "warning", "Old dead letters could not be deleted.", _NONE_NEEDED),
    LogEvent("dead_letters_count_failed", "warning", "The dead letters could not be counted.", _NONE_NEEDED),
    LogEvent("derive_failed", "error", "The thread of derived metrics ended by a fault of the program; they stand still until a restart.", _REPORT),
    LogEvent("derive_payload_not_decodable", "error", "A stored payload cannot be decoded; its records are missing from the metrics.", _REPORT),
    LogEvent("reference_invalid", "error", "A reference of drift cannot be used; the former content of the file, if there was one, stays in force.", "make the file again with `sidecar profile`"),
    LogEvent("reference_missing", "warning", "There is no reference at derive.drift.reference.", "mount the file, or correct the path"),
    LogEvent("references_loaded", "info", "References of drift were read again; counters of those that changed begin at 0."),
    LogEvent("reference_learned", "info", "The first rows of a model are its reference from now on."),
    LogEvent("suite_invalid", "error", "A file is no Great Expectations suite; its former content, if there was one, stays in force.", "write the file again with Great Expectations 0.18 or 1.x; see docs/how-to/quality.md"),
    LogEvent("suite_missing", "warning", "There is no suite at derive.drift.suites.", "mount the file, or correct the path"),
    LogEvent("suites_loaded", "info", "Suites were read again; models whose suites changed begin again."),
    LogEvent("expectations_not_evaluated", "warning", "A suite has expectations that are not evaluated; the first are named, with the reason.", "`sidecar expectations FILE` lists all of them"),
    LogEvent("expectations_left_out", "warning", "A model has more expectations than there is room for.", "raise derive.drift.max_expectations"),
    LogEvent("features_left_out", "warning", "An event has more feature columns than are read; the first names are logged.", "send fewer features, or let the instrumentation choose: SIDECAR_CAPTURE_COLUMNS"),
    LogEvent("features_not_compared", "warning", "A reference has more columns than are compared; the first names are logged.", "raise derive.drift.max_features, or profile fewer columns"),
    LogEvent("features_not_learned", "warning", "A model has more features than are learned; the first names are logged.", "raise derive.drift.max_features"),
    LogEvent("drift_models_left_out", "warning", "A model is not compared with its reference: there are too many models, or columns.", "raise derive.drift.max_features"),
    LogEvent("outcome_models_left_out", "warning", "There are more models and versions than have windows of outcomes; their joined rows are counted only.", "raise derive.outcomes.max_models"),
    LogEvent("open_predictions_restarted", "warning", "Predictions that waited for labels cannot be read back (another version of the program, or damage): none of them waits any more.", "nothing; later predictions are joined"),
    LogEvent("outcomes_restarted", "warning", "What was kept of the windows of a model's outcomes cannot be read: they begin again.", "nothing"),
    LogEvent("experiment_left_out", "warning", "There are more experiments, or variants of one, than are compared; the first one that is left out is logged.", "raise derive.experiments.max_experiments or max_variants"),
    LogEvent("experiment_restarted", "warning", "What was kept of an experiment cannot be read: it begins again.", "nothing"),
    LogEvent("experiment_units_restarted", "warning", "Units that waited for their conversions cannot be read back (another version of the program, or damage): none of them waits any more.", "nothing; later exposures are joined"),
    LogEvent("service_graph_full", "warning", "Too many spans wait for the other side of their call; more are left out of the service graph.", "raise derive.service_graph.max_waiting, or lower max_wait"),
    LogEvent("derive_commit_failed", "warning", "Derived counters could not be committed.", _NONE_NEEDED),
    LogEvent("otlp_metric_points_dropped", "warning", "Metric points that were received are not exposed.", "see docs/how-to/otlp-forwarding.md for what can be exposed"),
    LogEvent("otlp_series_restarted", "warning", "Series of metrics received over OTLP cannot be restored; they restart.", _DISK),
    LogEvent("too_many_scrapers", "warning", "There are more scrapers than are kept apart; additional ones do not see new counters at 0 first.", "scrape from fewer places"),
    LogEvent("series_restarted", "info", "A metric's labels or buckets changed; its series restart at 0."),
    LogEvent("metric_names_clash", "warning", "Metrics are not exposed because others have their names.", "rename the metrics in the model's program"),
    LogEvent("metrics_not_redacted", "warning", "A sink gets metrics, which redaction does not change.", "leave metrics out by the option `signals`, if need be"),
    LogEvent("certificates_not_verified", "warning", "A sink accepts any certificate.", "set the CA file instead"),
    LogEvent("index_template_put", "info", "An index template was written to Elasticsearch."),
    LogEvent("index_templates_not_put", "warning", "Index templates could not be written to Elasticsearch.", "run `sidecar setup elasticsearch` with a user that may, or set bootstrap to false"),
    LogEvent("delivery_blocked", "varies", "A sink cannot deliver; it tries again, and items wait in the journal.", "see the reason and `detail`"),
    LogEvent("delivery_recovered", "info", "A sink delivers again."),
    LogEvent("delivery_host_failed", "warning", "One of a sink's hosts failed; the others are used."),
    LogEvent("delivery_prepare_failed", "error", "A request batch could not be made by a fault of the program.", _REPORT),
    LogEvent("delivery_send_failed", "error", "A request failed by a fault of the program.", _REPORT),
    LogEvent("delivery_commit_failed", "error", "What a sink has delivered could not be committed; it is tried again.", _DISK),
    LogEvent("delivery_entry_not_decodable", "error", "A stored payload cannot be decoded; the sink drops it.", _REPORT),
    LogEvent("delivery_documents_differ", "error", "A stored payload gave another number of documents than it has items.", _REPORT),
    LogEvent("documents_rejected", "error", "The destination rejected documents for good; they are dead letters.", "see `sidecar journal dead-letters list`; fix the cause and replay them"),
    LogEvent("dead_letters_replayed", "info", "Somebody had dead letters of a sink sent again, on the page."),
    LogEvent("partial_success", "varies", "An OTLP destination accepted a request with a message, or rejected some of its items.", "see the message"),
    LogEvent("rotated_files_not_deleted", "warning", "Old files of the file sink could not be deleted.", "let the program's user write to the directory"),
    LogEvent("file_truncated", "warning", "Something else truncated the file of the file sink.", "rotate by the sink's own options"),
    LogEvent("store_not_opened", "error", "The embedded store cannot be opened now; it is tried again with every batch.", _DISK),
    LogEvent("store_damaged", "error", "The embedded store was damaged and set aside; it restarts empty.", "delete the file that was set aside"),
    LogEvent("store_damage_found", "error", "The embedded store is damaged; it restarts empty at the next write."),
    LogEvent("store_block_unreadable", "error", "A block of the embedded store cannot be read; its spans are not shown."),
    LogEvent("push_failed", "warning", "Metrics cannot be pushed; it is tried again, with the values of then.", "see the reason and `detail`; `blocked` needs other credentials or another address"),
    LogEvent("push_recovered", "info", "Metrics are pushed again."),
    LogEvent("push_rejected", "error", "The receiver of pushed metrics refused samples for good, or warns.", "see `detail`: it is what the receiver said"),
    LogEvent("push_incomplete", "error", "The program stops and could not push its last metrics; `samples` are missing at the receiver.", "start it again with the same journal.path: counters go on, and are pushed then"),
    LogEvent("push_remote_write_1", "info", "The receiver does not know remote write 2.0; it is sent 1.0, without start times."),
    LogEvent("push_thread_failed", "error", "Pushing metrics ended by a fault of the program.", _REPORT),
    LogEvent("lookup_store_failed", "error", "A look-up had no answer from the store; the client got 502.", "see `error`: the file of the store, or the search engine"),
    LogEvent("store_entry_not_decodable", "error", "A stored payload cannot be decoded; its spans cannot be looked up.", _REPORT),
    LogEvent("injection_started", "info", "The webhook of `sidecar inject` listens."),
    LogEvent("pod_injected", "info", "A new pod was given the sidecar."),
    LogEvent("pod_not_injected", "warning", "A new pod asks for the sidecar and cannot have it; it is made without.", "see the reason; correct the pod's annotations or the pod"),
    LogEvent("injection_request_invalid", "warning", "The webhook was sent something other than an AdmissionReview v1.", "let only the API server reach it"),
)  # fmt: skip

_HINTS = {event.name: event.hint for event in TABLE if event.hint}


def add_hint(logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: the event's hint from the table, where the line has none."""
    hint = _HINTS.get(line["event"]) if isinstance(line.get("event"), str) else None
    if hint is not None:
        line.setdefault("hint", hint)
    return line
