"""The tables of the paper, made from run folders."""
