"""One file a vendor; `base` holds what they share."""
