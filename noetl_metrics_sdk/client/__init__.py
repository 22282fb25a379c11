"""The client: it wires the stations, has their settings, and tells what they have done."""
