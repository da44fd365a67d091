"""What can be priced: instruments, their symbols at each source, bars and last values."""
