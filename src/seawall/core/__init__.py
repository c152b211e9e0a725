"""What everything else stands on: errors, events, ids, the clock, canonical bytes."""
