"""Virtual charging stations and fleets: test a CSMS, drive the demo, make load."""
