"""`sidecar drill`: a bad condition made to happen, so that the alert about it can be seen to fire, to arrive at its
receivers, and to resolve."""
