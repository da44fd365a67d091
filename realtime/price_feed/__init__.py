"""The feed process: sources followed, ticks numbered and conflated, last values published, bars stored."""
