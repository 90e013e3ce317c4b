"""DICOMweb as text and bytes (PS3.18), for our origin server and our user agent alike. Knows no HTTP library."""
