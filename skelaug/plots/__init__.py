"""Arrays in, a picture out."""
