"""How each source is made of the settings; one file a vendor."""
