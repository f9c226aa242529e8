"""compose.yaml as it stands, started by Docker's own compose over podman, in namespaces of its own."""
