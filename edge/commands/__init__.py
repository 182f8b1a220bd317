"""What each command does, a file each; `edge.cli` parses and prints."""
