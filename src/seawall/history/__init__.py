"""What is made of recorded runs: their record for people, why they ended so, replay and fork."""
