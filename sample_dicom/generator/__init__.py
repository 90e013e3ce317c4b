"""What generate.py is made of: phantoms (numbers), modules (attributes), encode (bytes), studies (who and when)."""
