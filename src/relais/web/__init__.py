"""The web door: PS3.18 as an origin server, thin over the verbs of archive. One module per transaction or resource."""
