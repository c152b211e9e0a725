"""What is wrong with a team before it is deployed: roles that overlap, authority, wiring and bounds."""
