"""What people run: the command line, one small file per command, no mathematics."""
