"""What monitoring/build.py makes files with."""
