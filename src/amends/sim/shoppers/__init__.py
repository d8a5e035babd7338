"""Shoppers, honest and not, who buy, ask for their money back, and are found out or not."""
