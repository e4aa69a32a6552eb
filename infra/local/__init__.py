"""The same synthesised stack on one machine: start, deploy, clock, schedules, inbox, demo."""
