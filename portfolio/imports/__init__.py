"""Reads files of rows (ours, and those of brokers and other programs) and writes ours.

Pure: what a draft's symbol is among our assets, and whether the ledger takes the row, is found out by who books it.
"""
