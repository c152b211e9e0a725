"""Everything that the command line draws: tables, the step tree, progress, JSON documents, and how values are written."""
