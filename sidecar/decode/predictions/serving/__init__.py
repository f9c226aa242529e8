"""Payloads of serving protocols, where they pass as log records or events.

A protocol is a module, a test and a line in `protocols.PROTOCOLS`. `records` finds the records of a payload that are
worth a look, `exchange` says where in a record the request and the response are, a protocol's `read` says what they
mean, as a `Call`. Values in, values out.
"""
