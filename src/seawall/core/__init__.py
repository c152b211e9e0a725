"""What everything else is built on: errors, events, ids, the clock, canonical bytes."""
