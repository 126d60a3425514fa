"""What no part of the domain owns: files, locks, progress, processes, text."""
