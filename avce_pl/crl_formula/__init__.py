"""Formulas of the contrastive representation loss (CRL); one file per option."""
