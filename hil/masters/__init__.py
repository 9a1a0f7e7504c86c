"""Masters of other makers on the bench: small drives in their own words, and what runs them."""
