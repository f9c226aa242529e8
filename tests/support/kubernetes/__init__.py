"""A node of a real Kubernetes in namespaces of its own: network, mounts and processes. `node()` is the whole; the
programs are built from Go modules and unpacked from Debian packages, once, into the cache of `support.engines`."""
