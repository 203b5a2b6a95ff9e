"""Keeping: promises to carry accounts, receipts that say so, and what people see of both."""
